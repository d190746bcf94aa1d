// Operator mode: the tokens of operators and accounts, as a configuration names them.
import Bytes
import Identity

/// The options of operator mode.
public struct OperatorOptions: Equatable, Sendable {
  /// Tokens of trusted operators.
  public var tokens: [ByteString] = []
  /// What those tokens say is the system's account; empty when they do not.
  var systemAccount = ByteString()
  public var trustedKeys: [ByteString] = []
  public var accountTokens: [ByteString] = []
  var location = Location.none
  var hasResolver = false

  public init() {}

  public var isOn: Bool { !tokens.isEmpty || !trustedKeys.isEmpty }
}

extension OptionDecoder {
  /// `operator`: tokens, or the files that have them.
  mutating func operators(_ entry: ConfigurationEntry, _ options: inout OperatorOptions) {
    options.location = entry.value.location
    for (text, location) in strings(entry.value, field: entry.key) ?? [] {
      let token: ByteString
      if text.hasPrefix("eyJ") {
        token = text
      } else {
        switch ConfigurationFile.read(text.string) {
        case .success(let bytes): token = Self.token(in: bytes)
        case .failure(let failure):
          error(at: location, "error parsing operator JWT: \(text): \(failure.text)")
          continue
        }
      }
      do throws(TokenProblem) {
        let claims = try OperatorClaims(token.withView { view throws(TokenProblem) in try Token(view) })
        options.tokens.append(token)
        if !claims.systemAccount.isEmpty { options.systemAccount = claims.systemAccount }
      } catch {
        self.error(at: location, "error parsing operator JWT: \(error.text)")
      }
    }
  }

  /// The token of a file: alone, or between lines of dashes.
  private static func token(in bytes: [UInt8]) -> ByteString {
    bytes.withView { view in
      var start = 0
      while start < view.count {
        let end = view.firstIndex(of: ASCII.lineFeed, from: start) ?? view.count
        let line = view.slice(start, end).trimmed
        if line.hasPrefix("eyJ") { return ByteString(line) }
        start = end + 1
      }
      return ByteString(view.trimmed)
    }
  }

  /// `resolver`: only the one that is in memory.
  mutating func resolver(_ entry: ConfigurationEntry, _ options: inout OperatorOptions) {
    var kind = ByteString()
    var unknown: [ConfigurationEntry] = []
    switch entry.value.content {
    case .string(let text): kind = text
    case .map(let map):
      for item in map.entries {
        if item.key.withView({ $0.equalsIgnoringCase("type") }), case .string(let text) = item.value.content {
          kind = text
        } else {
          unknown.append(item)
        }
      }
    default: break
    }
    switch ByteString(kind.withView { $0.trimmed.bytes.map { ASCII.lowercased($0) } }) {
    case "mem", "memory":
      options.hasResolver = true
      for item in unknown { error(at: item.keyLocation, "unknown field \"\(item.key)\"") }
    default:
      error(
        at: entry.value.location,
        "not supported by this version of petiole: another resolver than MEMORY: put the accounts' JWTs into resolver_preload")
    }
  }

  /// `resolver_preload`: accounts' tokens by their keys.
  mutating func preload(_ entry: ConfigurationEntry, _ options: inout OperatorOptions) {
    guard let map = map(entry.value, field: entry.key) else { return }
    for item in map.entries {
      guard let text = string(item.value, field: item.key) else { continue }
      do throws(TokenProblem) {
        let claims = try AccountClaims(text.withView { view throws(TokenProblem) in try Token(view) })
        if claims.key != item.key {
          error(at: item.keyLocation, "invalid account JWT: it is that of \(claims.key)")
        } else {
          options.accountTokens.append(text)
        }
      } catch {
        self.error(at: item.value.location, "invalid account JWT: \(error.text)")
      }
    }
  }

  mutating func trustedKeys(_ entry: ConfigurationEntry, _ options: inout OperatorOptions) {
    options.location = entry.value.location
    for (key, location) in strings(entry.value, field: entry.key) ?? [] {
      if PublicKey(key, kind: .operator) == nil {
        error(at: location, "trust key \"\(key)\" required to be a valid public operator nkey")
      } else {
        options.trustedKeys.append(key)
      }
    }
  }
}
