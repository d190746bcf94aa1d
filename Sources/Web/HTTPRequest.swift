// An HTTP request, as far as monitoring and WebSocket need it: method, path, query, fields. RFC 9112, no bodies.
import Bytes

/// The head of a request.
public struct HTTPRequest {
  /// Longest head that is read unless the caller says otherwise; a monitoring request is a line and a few headers.
  public static let headMax = 8 * 1024

  public enum Outcome {
    case incomplete
    case request(HTTPRequest, consumed: Int)
    case bad
  }

  public private(set) var isGet = false
  public private(set) var isHead = false
  public private(set) var path = ByteString()
  private var query: [(name: ByteString, value: ByteString)] = []
  /// Whether the connection may be used again.
  public private(set) var keepAlive = true
  /// The fields; valid as long as the bytes that were parsed.
  public let head: HTTPHead

  /// A value of the query.
  public subscript(_ name: StaticString) -> ByteString? { query.first { $0.name.equals(name) }?.value }

  /// The request at the front of `bytes`.
  public static func parse(_ bytes: ByteView, headMax: Int = HTTPRequest.headMax) -> Outcome {
    let head: HTTPHead
    switch HTTPHead.parse(bytes, max: headMax) {
    case .incomplete: return .incomplete
    case .bad: return .bad
    case .head(let found): head = found
    }
    let line = head.startLine
    guard let first = line.firstIndex(of: ASCII.space) else { return .bad }
    let behind = line.dropFirst(first + 1)
    guard let second = behind.firstIndex(of: ASCII.space) else { return .bad }
    let version = behind.dropFirst(second + 1)
    guard version.equals("HTTP/1.1") || version.equals("HTTP/1.0") else { return .bad }
    var request = HTTPRequest(head: head)
    let method = line.prefix(first)
    request.isGet = method.equals("GET")
    request.isHead = method.equals("HEAD")
    let target = behind.prefix(second)
    let mark = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
    request.path = ByteString(target.prefix(mark))
    request.readQuery(target.dropFirst(min(mark + 1, target.count)))
    request.keepAlive = version.equals("HTTP/1.1") && !head.has("connection", token: "close")
    return .request(request, consumed: head.count)
  }

  private init(head: HTTPHead) { self.head = head }

  private mutating func readQuery(_ text: ByteView) {
    var rest = text
    while !rest.isEmpty {
      let end = rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.count
      let pair = rest.prefix(end)
      let equals = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.count
      query.append((Self.decoded(pair.prefix(equals)), Self.decoded(pair.dropFirst(min(equals + 1, pair.count)))))
      rest = rest.dropFirst(min(end + 1, rest.count))
    }
  }

  /// Percent-decoded; what is no escape stays as it is.
  private static func decoded(_ text: ByteView) -> ByteString {
    var bytes: [UInt8] = []
    var index = 0
    while index < text.count {
      if text[index] == UInt8(ascii: "%"), index + 2 < text.count, let high = hex(text[index + 1]), let low = hex(text[index + 2]) {
        bytes.append(high << 4 | low)
        index += 3
      } else {
        bytes.append(text[index] == ASCII.plus ? ASCII.space : text[index])
        index += 1
      }
    }
    return ByteString(bytes)
  }

  private static func hex(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x41...0x46: digit - 0x41 + 10
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
  }
}
