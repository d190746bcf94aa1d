// Talking to the service manager (sd_notify(3)): one datagram for each change of state, nothing without NOTIFY_SOCKET.
import CLinux

/// Tells systemd how the service is. Every call is harmless when there is no service manager.
public enum ServiceNotify {
  public static func ready(status: String = "") { send(status.isEmpty ? "READY=1" : "READY=1\nSTATUS=\(singleLine(status))") }
  public static func status(_ text: String) { send("STATUS=\(singleLine(text))") }
  public static func stopping() { send("STOPPING=1") }

  /// A reload begins; `ready` ends it. systemd wants the monotonic time in microseconds with it (Type=notify-reload).
  public static func reloading() { send("RELOADING=1\nMONOTONIC_USEC=\(linux_monotonic_ns() / 1000)") }

  /// Keeps the watchdog quiet for another interval.
  public static func watchdog() { send("WATCHDOG=1") }

  /// How often `watchdog` should be called: half the time that systemd gives (WATCHDOG_USEC), or nil when it does not watch this process.
  public static var watchdogInterval_ns: Int64? {
    if let pid = ProcessStatus.environment("WATCHDOG_PID"), Int(pid) != ProcessStatus.processID { return nil }
    guard let text = ProcessStatus.environment("WATCHDOG_USEC"), let limit_us = Int64(text) else { return nil }
    guard limit_us > 0, limit_us <= Int64.max / 1000 else { return nil }
    return limit_us * 500
  }

  private static func send(_ state: String) {
    if let path = ProcessStatus.environment("NOTIFY_SOCKET") { send(state, to: path) }
  }

  /// Sends `state` as it is. Returns whether the service manager's socket took it.
  @discardableResult
  static func send(_ state: String, to path: String) -> Bool {
    path.withCString { path in state.withCString { state in linux_notify(path, state) } } == 0
  }

  /// A line feed would begin another assignment.
  private static func singleLine(_ text: String) -> String {
    String(decoding: text.utf8.map { $0 == 0x0A || $0 == 0 ? 0x20 : $0 }, as: UTF8.self)
  }
}
