// Randomness that a seed determines.
import Bytes

/// xoshiro256** (Blackman and Vigna, public domain), seeded by splitmix64. For simulation and tests only: it is predictable.
public final class SeededEntropy: Entropy {
  public let seed: UInt64
  private var state: (UInt64, UInt64, UInt64, UInt64)

  public init(seed: UInt64) {
    self.seed = seed
    var mix = seed
    func next() -> UInt64 {
      mix &+= 0x9E37_79B9_7F4A_7C15
      var value = mix
      value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
      value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
      return value ^ (value >> 31)
    }
    state = (next(), next(), next(), next())
  }

  private static func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { (value << by) | (value >> (64 - by)) }

  public func next() -> UInt64 {
    let result = Self.rotate(state.1 &* 5, 7) &* 9
    let shifted = state.1 << 17
    state.2 ^= state.0
    state.3 ^= state.1
    state.1 ^= state.2
    state.0 ^= state.3
    state.2 ^= shifted
    state.3 = Self.rotate(state.3, 45)
    return result
  }

  /// A number in `range`.
  public func within(_ range: ClosedRange<Int64>) -> Int64 { range.lowerBound + Int64(below(Int(range.upperBound - range.lowerBound) + 1)) }

  /// True once in `chances` times on average.
  public func oneIn(_ chances: Int) -> Bool { below(chances) == 0 }

  /// True with this probability, given in millionths.
  public func chance(millionths: Int) -> Bool { millionths > 0 && below(1_000_000) < millionths }

  /// A stream of its own, so that what one part draws does not change what another gets.
  public func fork() -> SeededEntropy { SeededEntropy(seed: next()) }
}
