// What the agent tells its operator. Where lines go (stderr, journald, a simulation's trace) is the sink's business.
import Bytes

public enum LogLevel: UInt8, Comparable {
  case fatal, error, warning, info, debug, trace
  public static func < (left: LogLevel, right: LogLevel) -> Bool { left.rawValue < right.rawValue }
}

/// Lines for the operator, in nats-server's levels.
public final class Log {
  /// Lines above this level are not made.
  public var level: LogLevel
  private let sink: (LogLevel, String) -> Void

  public init(level: LogLevel = .info, sink: @escaping (LogLevel, String) -> Void) {
    self.level = level
    self.sink = sink
  }

  @inline(never) private func write(_ lineLevel: LogLevel, _ line: () -> Words) {
    // A line stays one, whatever of it others have said.
    if lineLevel <= level { sink(lineLevel, GoQuoted.oneLine(line().text).string) }
  }

  public func fatal(_ line: @autoclosure () -> Words) { write(.fatal, line) }
  public func error(_ line: @autoclosure () -> Words) { write(.error, line) }
  public func warning(_ line: @autoclosure () -> Words) { write(.warning, line) }
  public func info(_ line: @autoclosure () -> Words) { write(.info, line) }
  public func debug(_ line: @autoclosure () -> Words) { write(.debug, line) }
  public func trace(_ line: @autoclosure () -> Words) { write(.trace, line) }
}
