// Credentials files (`.creds`): a user's token and seed, each between lines of dashes (leafnode-protocol.md section 8).
import Bytes

/// What a credentials file holds.
public struct CredentialsFile {
  /// Larger files are not credentials.
  public static let sizeMax = 1 << 20

  public enum Failure: Error, Equatable {
    case noToken, noSeed, badSeed
    public var text: StaticString {
      switch self {
      case .noToken: "there is no user JWT in it"
      case .noSeed: "there is no seed in it"
      case .badSeed: "its seed cannot be read"
      }
    }
  }

  /// The user's JWT, as it stands there.
  public let token: ByteString
  public let seed: Seed

  public init(parsing text: ByteView) throws(Failure) {
    var blocks = Self.blocks(text).makeIterator()
    guard let token = blocks.next() else { throw .noToken }
    guard let secret = blocks.next() else { throw .noSeed }
    guard let seed = Seed(secret), seed.publicKey.kind == .user else { throw .badSeed }
    self.token = ByteString(token)
    self.seed = seed
  }

  /// A seed from a file of its own: alone, or between dashes.
  public static func seed(in text: ByteView) -> Seed? {
    var lines = Lines(text)
    while let line = lines.next() {
      if line.hasPrefix("SU"), let seed = Seed(line) { return seed }
    }
    return nil
  }

  /// The first two lines that stand between two lines of dashes each.
  private static func blocks(_ text: ByteView) -> [ByteView] {
    var found: [ByteView] = []
    var lines = Lines(text)
    var previousIsRule = false
    var candidate: ByteView?
    while let line = lines.next(), found.count < 2 {
      let isRule = isRule(line)
      if let body = candidate {
        if isRule { found.append(body) }
        candidate = nil
        // The rule that ends one block does not begin the next.
        previousIsRule = false
      } else if previousIsRule, !isRule, !line.isEmpty {
        candidate = line
        previousIsRule = false
      } else {
        previousIsRule = isRule
      }
    }
    return found
  }

  private static func isRule(_ line: ByteView) -> Bool { line.count >= 6 && line.hasPrefix("---") && line.hasSuffix(ByteView("---")) }
}

/// The lines of a text without blanks at their ends.
struct Lines {
  private let text: ByteView
  private var start = 0

  init(_ text: ByteView) { self.text = text }

  mutating func next() -> ByteView? {
    guard start < text.count else { return nil }
    let end = text.firstIndex(of: ASCII.lineFeed, from: start) ?? text.count
    defer { start = end + 1 }
    return text.slice(start, end).trimmed
  }
}
