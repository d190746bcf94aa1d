// The seam for time. Linux's clocks are in Linux/, the simulated one in Simulated/.

/// Where all time comes from.
public protocol Clock: AnyObject {
  /// Nanoseconds that never go back; the origin is arbitrary. For every deadline and duration.
  var monotonic_ns: Int64 { get }
  /// Nanoseconds since 1970-01-01T00:00:00Z as the wall clock says, which may jump. For stamps that people read.
  var wall_ns: Int64 { get }
  /// Whether the wall clock can be right: false on a machine without a real-time clock until its time was synchronised. Nothing may be
  /// thrown away because of a time that is not trusted.
  var isWallTrusted: Bool { get }
}

extension Clock {
  public var isWallTrusted: Bool { true }
}

/// 2026-01-01T00:00:00Z, before which no release of this program was made: an earlier wall clock was never set.
public let earliestTrustedWall_ns: Int64 = 1_767_225_600 * second_ns

/// One second, in the unit of every time here.
public let second_ns: Int64 = 1_000_000_000
/// One millisecond, in the unit of every time here.
public let millisecond_ns: Int64 = 1_000_000
