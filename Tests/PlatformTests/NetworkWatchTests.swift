// Changes of the machine's network: the kernel's messages taken apart, and their simulated twin.
import CLinux
import Foundation
import Testing

@testable import Platform

/// Messages as rtnetlink(7) makes them.
private enum Message {
  private static func bytes<Value>(_ value: Value) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }

  private static func message(_ type: UInt16, _ body: [UInt8], multi: Bool = false) -> [UInt8] {
    let padded = body + [UInt8](repeating: 0, count: (4 - body.count % 4) % 4)
    return bytes(UInt32(16 + body.count)) + bytes(type) + bytes(UInt16(multi ? 2 : 0)) + bytes(UInt32(7)) + bytes(UInt32(0)) + padded
  }

  private static func attribute(_ type: UInt16, _ value: [UInt8]) -> [UInt8] { bytes(UInt16(4 + value.count)) + bytes(type) + value }

  /// RTM_NEWADDR 20, RTM_DELADDR 21; IFA_ADDRESS 1, IFA_LOCAL 2.
  static func address(
    _ isNew: Bool, _ address: [UInt8], peer: [UInt8]? = nil, link: UInt32 = 3, scope: UInt8 = 0, flags: UInt8 = 0x80, multi: Bool = false
  ) -> [UInt8] {
    let head: [UInt8] = [address.count == 4 ? 2 : 10, 24, flags, scope] + bytes(link)
    return message(isNew ? 20 : 21, head + attribute(1, peer ?? address) + (peer == nil ? [] : attribute(2, address)), multi: multi)
  }

  /// RTM_NEWROUTE 24, RTM_DELROUTE 25.
  static func route(_ isNew: Bool, protocol source: UInt8 = 3, type: UInt8 = 1, flags: UInt32 = 0) -> [UInt8] {
    message(isNew ? 24 : 25, [2, 0, 0, 0, 254, source, 0, type] + bytes(flags))
  }

  /// RTM_NEWLINK 16, RTM_DELLINK 17.
  static func link(_ isNew: Bool, flags: UInt32, change: UInt32) -> [UInt8] {
    message(isNew ? 16 : 17, [0, 0] + bytes(UInt16(1)) + bytes(Int32(3)) + bytes(flags) + bytes(change))
  }

  static let up: UInt32 = 1 << 16 | 0x41
}

@Suite struct NetworkWatchTests {
  private func events(_ datagrams: [[UInt8]]) -> [linux_network_event] {
    var pair: [Int32] = [0, 0]
    precondition(socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &pair) == 0)
    defer { for fd in pair { _ = CLinux.close(fd) } }
    for datagram in datagrams { #expect(datagram.withUnsafeBytes { CLinux.write(pair[0], $0.baseAddress, $0.count) } == datagram.count) }
    var found = [linux_network_event](repeating: linux_network_event(), count: Int(LINUX_NETWORK_EVENTS))
    let count = linux_netlink_read(pair[1], &found, Int32(LINUX_NETWORK_EVENTS))
    return Array(found.prefix(Int(count)))
  }

  private func kinds(_ datagrams: [[UInt8]]) -> [Int] { events(datagrams).map { Int($0.kind) } }

  @Test("links, addresses and routes that matter are told, several in one datagram too")
  func told() {
    let datagrams = [
      Message.link(true, flags: Message.up, change: 1 << 16) + Message.address(true, [192, 168, 1, 7]),
      Message.route(true), Message.route(false),
      Message.address(false, [UInt8](repeating: 0x20, count: 16)) + Message.link(true, flags: 0x3, change: 0x40)
        + Message.link(false, flags: 0, change: 0),
    ]
    #expect(
      kinds(datagrams) == [
        Int(LINUX_LINK_UP), Int(LINUX_ADDRESS_ADDED), Int(LINUX_ROUTE_ADDED), Int(LINUX_ROUTE_REMOVED), Int(LINUX_ADDRESS_REMOVED),
        Int(LINUX_LINK_DOWN), Int(LINUX_LINK_DOWN),
      ])
    let found = events(datagrams)
    #expect(found[1].address.size == 4 && found[1].address.bytes.3 == 7 && found[1].link == 3 && found[1].was_there == 0)
    #expect(found[4].address.size == 16 && found[4].address.bytes.15 == 0x20)
  }

  @Test("a point-to-point link's own address counts, not the other end's; what was there is no news")
  func ownAddress() {
    let found = events([Message.address(true, [10, 0, 0, 2], peer: [10, 0, 0, 1], multi: true)])
    #expect(found.count == 1 && found[0].address.bytes.3 == 2 && found[0].was_there == 1)
  }

  @Test("what matters to nobody is passed over, and what is no message does no harm")
  func passedOver() {
    #expect(
      kinds([
        Message.address(true, [127, 0, 0, 1], scope: 254), Message.address(true, [UInt8](repeating: 0xFE, count: 16), scope: 253),
        Message.address(true, [UInt8](repeating: 0x20, count: 16), flags: 0x40), Message.route(true, protocol: 2),
        Message.route(true, type: 2), Message.route(true, flags: 0x200), Message.link(true, flags: Message.up, change: 0),
        Message.link(true, flags: Message.up | 8, change: 1 << 16), [1, 2, 3], [], [UInt8](repeating: 0xFF, count: 3000),
        [UInt8](Message.address(true, [192, 168, 1, 7]).prefix(20)),
      ]) == [])
    let random = SeededEntropy(seed: 5)
    for _ in 0..<300 {
      var datagram = Message.address(true, [192, 168, 1, 7]) + Message.route(true)
      for _ in 0..<3 { datagram[random.below(datagram.count)] = UInt8(truncatingIfNeeded: random.next()) }
      #expect(events([datagram]).count <= 4)
    }
  }

  @Test("the kernel of this machine is listened to, and what is there already is no change")
  func kernel() {
    let loop = LinuxLoop()
    let network = LinuxNetwork(loop: loop)
    var changes = 0
    #expect(network.watchChanges { _ in changes += 1 })
    _ = loop.run(timeout_ns: 100 * millisecond_ns) { false }
    #expect(changes == 0)
    loop.close()
  }

  @Test("a simulated machine that is unplugged and plugged in hears of it, and its connections stall meanwhile")
  func simulated() throws {
    let simulation = Simulation(seed: 3)
    let (gateway, hub) = (simulation.machine("gateway"), simulation.machine("hub"))
    var changes: [NetworkChange] = []
    #expect(gateway.host.network.watchChanges { changes.append($0) })
    gateway.setConnected(false)
    #expect(simulation.link(gateway, hub).isPartitioned)
    simulation.run(for: second_ns)
    gateway.setConnected(true)
    gateway.setConnected(true)
    simulation.run(for: second_ns)
    #expect(!simulation.link(gateway, hub).isPartitioned)
    #expect(changes == [NetworkChange(hasLost: true, removed: [gateway.address]), NetworkChange(hasGained: true)])
  }
}
