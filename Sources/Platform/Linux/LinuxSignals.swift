// Signals as events of the loop (signalfd), so that no handler ever interrupts it.
import CLinux

/// Delivers SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 as ordinary events. SIGPIPE is ignored.
public final class LinuxSignals: EventSource {
  public enum Signal: Equatable, Sendable {
    case terminate, interrupt, hangUp, user1, user2
  }

  private let loop: LinuxLoop
  private let fd: Int32
  private let arrived: (Signal) -> Void

  /// From here on the process no longer dies of these signals; `arrived` is called in a turn of the loop for each.
  /// The loop keeps the object. Must be made before any other thread is started. Nil when the kernel refuses.
  @discardableResult
  public init?(loop: LinuxLoop, arrived: @escaping (Signal) -> Void) {
    self.loop = loop
    self.arrived = arrived
    let signals = [SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2]
    fd = linux_signalfd(signals, Int32(signals.count))
    guard fd >= 0, loop.watch(fd, Epoll.input, self) else { return nil }
  }

  deinit {
    if fd >= 0 { _ = CLinux.close(fd) }
  }

  func ready(_ events: UInt32) {
    while true {
      switch linux_signal_next(fd) {
      case SIGTERM: arrived(.terminate)
      case SIGINT: arrived(.interrupt)
      case SIGHUP: arrived(.hangUp)
      case SIGUSR1: arrived(.user1)
      case SIGUSR2: arrived(.user2)
      default: return
      }
    }
  }
}
