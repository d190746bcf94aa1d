// Versions of servers, as they stand in CONNECT and in configurations.

/// Major, minor and patch of a server.
public struct ReleaseVersion: Comparable, Sendable {
  public let major: Int
  public let minor: Int
  public let patch: Int

  public init(major: Int, minor: Int, patch: Int) {
    self.major = major
    self.minor = minor
    self.patch = patch
  }

  /// `2.10.26`, `v2.11.0-RC.1`; nil for what does not begin with three numbers. What follows them does not count.
  public init?(_ text: ByteView) {
    var numbers: [Int] = []
    var rest = text
    if !rest.isEmpty, rest[0] == UInt8(ascii: "v") { rest = rest.dropFirst(1) }
    while numbers.count < 3 {
      var digits = 0
      while digits < rest.count, ASCII.isDigit(rest[digits]) { digits += 1 }
      guard digits > 0, let number = rest.prefix(digits).decimalInt() else { break }
      numbers.append(number)
      rest = rest.dropFirst(digits)
      guard !rest.isEmpty, rest[0] == ASCII.dot else { break }
      rest = rest.dropFirst(1)
    }
    guard numbers.count == 3 else { return nil }
    self.init(major: numbers[0], minor: numbers[1], patch: numbers[2])
  }

  public static func < (left: ReleaseVersion, right: ReleaseVersion) -> Bool {
    (left.major, left.minor, left.patch) < (right.major, right.minor, right.patch)
  }
}
