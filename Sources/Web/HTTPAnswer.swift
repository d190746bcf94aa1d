// An HTTP answer as a client sees it, as far as tunnels and WebSockets need it: the status and the fields. RFC 9112, no bodies.
import Bytes

/// The head of an answer. Its views are valid as long as the bytes that were parsed.
public struct HTTPAnswer {
  /// Longest head that is read. Proxies send cookies and explanations, but not more.
  public static let headMax = 8 * 1024

  public enum Outcome {
    case incomplete
    case answer(HTTPAnswer)
    case bad
  }

  public let status: Int
  /// `403 Forbidden`, as it stands in the first line.
  public let statusText: ByteView
  public let head: HTTPHead
  /// More of a status is not shown.
  private static let shownMax = 80

  /// The status for people. Whoever answers chose the words, so that control characters go.
  public var shownStatus: String {
    var shown: [UInt8] = []
    for index in 0..<min(statusText.count, Self.shownMax) where statusText[index] >= ASCII.space && statusText[index] != 0x7F {
      shown.append(statusText[index])
    }
    return ByteString(shown).string
  }

  /// The answer at the front of `bytes`.
  public static func parse(_ bytes: ByteView) -> Outcome {
    // Whatever else answers (a NATS server says INFO) is found at its first bytes.
    let version: StaticString = "HTTP/1."
    let known = min(bytes.count, ByteView(version).count)
    guard bytes.prefix(known) == ByteView(version).prefix(known) else { return .bad }
    switch HTTPHead.parse(bytes, max: headMax) {
    case .incomplete: return .incomplete
    case .bad: return .bad
    case .head(let head):
      let line = head.startLine
      guard let blank = line.firstIndex(of: ASCII.space) else { return .bad }
      let text = line.dropFirst(blank + 1).trimmed
      let digits = text.prefix(text.firstIndex(of: ASCII.space) ?? text.count)
      guard digits.count == 3, let status = digits.decimalInt(), status >= 100 else { return .bad }
      return .answer(HTTPAnswer(status: status, statusText: text, head: head))
    }
  }
}
