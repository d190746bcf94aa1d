// The seam for time. Linux's clocks are in Linux/, the simulated one in Simulated/.

/// Where all time comes from.
public protocol Clock: AnyObject {
  /// Nanoseconds that never go back; the origin is arbitrary. For every deadline and duration.
  var monotonic_ns: Int64 { get }
  /// Nanoseconds since 1970-01-01T00:00:00Z as the wall clock says, which may jump. For stamps that people read.
  var wall_ns: Int64 { get }
}

/// One second, in the unit of every time here.
public let second_ns: Int64 = 1_000_000_000
/// One millisecond, in the unit of every time here.
public let millisecond_ns: Int64 = 1_000_000
