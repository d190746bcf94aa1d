// The seam for randomness.

/// Where all randomness comes from: the kernel's, or a seed in simulation.
public protocol Entropy: AnyObject {
  /// 64 random bits.
  func next() -> UInt64
  // Requirements, not only extension methods: Embedded Swift emits no body for a generic method that is called on an `any Entropy`
  // and not inlined, and the call traps. As requirements they are specialised for each source.
  /// A number in 0..<bound, without bias that matters (bound is far below 2^32).
  func below(_ bound: Int) -> Int
  /// `count` characters from `0-9A-Za-z`, as nats-server's short random names.
  func name(_ count: Int) -> [UInt8]
}

extension Entropy {
  public func below(_ bound: Int) -> Int {
    precondition(bound > 0, "a random number needs a positive bound")
    return Int(truncatingIfNeeded: next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  public func name(_ count: Int) -> [UInt8] {
    let digits: StaticString = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    var name: [UInt8] = []
    name.reserveCapacity(count)
    for _ in 0..<count { name.append(digits.utf8Start[below(62)]) }
    return name
  }
}
