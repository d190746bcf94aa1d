// A password or token as a configuration has it: the text itself, or its bcrypt hash. How a hash is computed, which takes a processor a
// tenth of a second, is Platform's business.
import Bytes

public struct StoredPassword: Hashable, Sendable {
  /// A hash of a higher cost takes longer than any client waits.
  public static let costMax = 15
  /// `$2a$`, the cost in two digits, `$`, 22 characters of salt and 31 of hash.
  static let hashLength = 60

  /// As configured.
  public let text: ByteString

  public init(_ text: ByteString) { self.text = text }

  /// Whether this is a bcrypt hash: nats-server's own test, so that a file means the same to both.
  public var isHash: Bool {
    text.withView { view in
      guard view.count >= 7, view.hasPrefix("$2"), view[3] == 0x24, view[6] == 0x24 else { return false }
      switch view[2] {
      case 0x61, 0x62, 0x78, 0x79: return ASCII.isDigit(view[4]) && ASCII.isDigit(view[5])
      default: return false
      }
    }
  }

  /// What is wrong with a hash; nil when nothing is, or when this is none.
  public var hashProblem: StaticString? {
    guard isHash else { return nil }
    return text.withView { view in
      let cost = view.slice(4, 6).decimalInt() ?? 0
      if cost < 4 || cost > Self.costMax { return "a bcrypt hash must have a cost from 4 to 15" }
      guard view.count == Self.hashLength else { return "a bcrypt hash has 60 characters" }
      for index in 7..<view.count {
        let byte = view[index]
        if !ASCII.isLetter(byte), !ASCII.isDigit(byte), byte != ASCII.dot, byte != ASCII.slash {
          return "a bcrypt hash has other characters"
        }
      }
      return nil
    }
  }

  /// A hash that takes as long to compute as this one, and is that of no password: what bcrypt makes does not end in a run of dots.
  public var decoy: ByteString {
    precondition(isHash && hashProblem == nil, "only a hash has one that looks like it")
    return ByteString(text.bytes[..<Self.settingLength] + [UInt8](repeating: ASCII.dot, count: Self.hashLength - Self.settingLength))
  }
  /// Up to the end of the salt.
  private static let settingLength = 29

  /// Whether `password` is the one that is stored; for those that are not hashed.
  public func equals(_ password: ByteString) -> Bool { !isHash && Secret.equal(text, password) }
}
