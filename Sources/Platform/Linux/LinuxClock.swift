// The kernel's clocks and random numbers.
import CLinux

/// The kernel's monotonic and wall clocks. Reading one costs about 20 ns (vDSO).
public final class LinuxClock: Clock {
  public init() {}
  public var monotonic_ns: Int64 { linux_monotonic_ns() }
  public var wall_ns: Int64 { linux_wall_ns() }
  public var isWallTrusted: Bool { wall_ns >= earliestTrustedWall_ns }
}

/// The kernel's random numbers, fetched 64 words at a time.
public final class LinuxEntropy: Entropy {
  private static let words = 64
  private let pool: UnsafeMutablePointer<UInt64>
  private var left = 0

  public init() { pool = .allocate(capacity: Self.words) }
  deinit { pool.deallocate() }

  public func next() -> UInt64 {
    if left == 0 {
      linux_random(pool, Self.words * 8)
      left = Self.words
    }
    left -= 1
    // A number that was given away does not stay in memory.
    defer { pool[left] = 0 }
    return pool[left]
  }
}
