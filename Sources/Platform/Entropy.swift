// The seam for randomness.

/// Where all randomness comes from: the kernel's, or a seed in simulation.
public protocol Entropy: AnyObject {
  /// 64 random bits.
  func next() -> UInt64
}

extension Entropy {
  /// A number in 0..<bound, without bias that matters (bound is far below 2^32).
  public func below(_ bound: Int) -> Int {
    precondition(bound > 0, "a random number needs a positive bound")
    return Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// `count` characters from `0-9A-Za-z`, as nats-server's short random names.
  public func name(_ count: Int) -> [UInt8] {
    let digits: StaticString = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    var name: [UInt8] = []
    name.reserveCapacity(count)
    for _ in 0..<count { name.append(digits.utf8Start[below(62)]) }
    return name
  }
}
