// The selector's randomness: a small generator with a seed, so that every decision replays from it. Not for secrets.

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014).
public struct Jitter: Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return Jitter.mix(state)
  }

  /// A number in `low...high`, evenly.
  public mutating func between(_ low: Int64, _ high: Int64) -> Int64 {
    precondition(low <= high, "a random range must not be empty")
    let width = UInt64(high - low) + 1
    return low + Int64(truncatingIfNeeded: next().multipliedFullWidth(by: width).high)
  }

  /// `value` moved by up to `percent` in either direction.
  public mutating func spread(_ value: Int64, percent: Int64) -> Int64 {
    let reach = value * percent / 100
    return between(value - reach, value + reach)
  }

  /// The finalizer alone: an even 64-bit image of `value`, the same on every device.
  public static func mix(_ value: UInt64) -> UInt64 {
    var mixed = value
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
