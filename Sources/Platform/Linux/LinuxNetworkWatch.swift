// Hears from the kernel what happens to the machine's network, and tells it once for all that comes together.
import Bytes
import CLinux

/// A netlink socket on the event loop.
final class LinuxNetworkWatch: EventSource {
  /// A change comes as several messages (link, addresses, routes) within some milliseconds.
  static let settle_ns = 50 * millisecond_ns
  /// Addresses that are remembered; a machine with more hears of some of them anew.
  private static let addressesMax = 256

  private let loop: LinuxLoop
  private let fd: Int32
  private let changed: (NetworkChange) -> Void
  private var addresses: Set<HostAddress> = []
  private var pending = NetworkChange()
  private let timer = Timer()

  private struct HostAddress: Hashable {
    let link: Int32
    let bytes: [UInt8]
  }

  /// nil when the kernel gives no such socket (a sandbox may forbid it).
  init?(loop: LinuxLoop, changed: @escaping (NetworkChange) -> Void) {
    self.loop = loop
    self.changed = changed
    fd = linux_netlink_open()
    if fd < 0 { return nil }
    guard loop.watch(fd, Epoll.input, self) else {
      _ = CLinux.close(fd)
      return nil
    }
  }

  func ready(_ events: UInt32) {
    withUnsafeTemporaryAllocation(of: linux_network_event.self, capacity: Int(LINUX_NETWORK_EVENTS)) { room in
      let count = Int(linux_netlink_read(fd, room.baseAddress!, Int32(LINUX_NETWORK_EVENTS)))
      for event in room.prefix(count) { take(event) }
    }
    guard pending != NetworkChange(), !timer.isScheduled else { return }
    loop.timers.schedule(timer, at: loop.clock.monotonic_ns + Self.settle_ns) { [self] in
      let change = pending
      pending = NetworkChange()
      changed(change)
    }
  }

  private func take(_ event: linux_network_event) {
    switch Int(event.kind) {
    case Int(LINUX_LINK_UP), Int(LINUX_ROUTE_ADDED): pending.hasGained = true
    case Int(LINUX_LINK_DOWN), Int(LINUX_ROUTE_REMOVED): pending.hasLost = true
    case Int(LINUX_ADDRESS_ADDED):
      if addresses.count >= Self.addressesMax { addresses.removeAll() }
      // Routers make the kernel announce an address again and again.
      if addresses.insert(address(event)).inserted, event.was_there == 0 { pending.hasGained = true }
    case Int(LINUX_ADDRESS_REMOVED):
      let address = address(event)
      addresses.remove(address)
      pending.hasLost = true
      pending.removed.append(address.bytes)
    default:
      pending.hasGained = true
      pending.hasLost = true
    }
  }

  private func address(_ event: linux_network_event) -> HostAddress {
    HostAddress(link: event.link, bytes: withUnsafeBytes(of: event.address.bytes) { [UInt8]($0.prefix(Int(event.address.size))) })
  }
}
