// An HTTP request, as far as monitoring needs it: method, path, query. RFC 9112, GET only, no bodies.
import Bytes

/// The head of a request.
struct HTTPRequest {
  /// Longest head that is read; a monitoring request is a line and a few headers.
  static let headMax = 8 * 1024

  enum Outcome {
    case incomplete
    case request(HTTPRequest, consumed: Int)
    case bad
  }

  var isGet = false
  var isHead = false
  var path = ByteString()
  private var query: [(name: ByteString, value: ByteString)] = []
  var keepAlive = true

  subscript(_ name: StaticString) -> ByteString? { query.first { $0.name.equals(name) }?.value }

  /// The request at the front of `bytes`.
  static func parse(_ bytes: ByteView) -> Outcome {
    guard let end = endOfHead(bytes) else { return bytes.count > headMax ? .bad : .incomplete }
    guard end <= headMax, let lineEnd = bytes.firstIndex(of: ASCII.lineFeed) else { return .bad }
    let line = bytes.prefix(lineEnd).trimmed
    guard let first = line.firstIndex(of: ASCII.space) else { return .bad }
    let behind = line.dropFirst(first + 1)
    guard let second = behind.firstIndex(of: ASCII.space) else { return .bad }
    let version = behind.dropFirst(second + 1)
    guard version.equals("HTTP/1.1") || version.equals("HTTP/1.0") else { return .bad }
    var request = HTTPRequest()
    let method = line.prefix(first)
    request.isGet = method.equals("GET")
    request.isHead = method.equals("HEAD")
    let target = behind.prefix(second)
    let mark = target.firstIndex(of: UInt8(ascii: "?")) ?? target.count
    request.path = ByteString(target.prefix(mark))
    request.readQuery(target.dropFirst(min(mark + 1, target.count)))
    request.keepAlive = version.equals("HTTP/1.1") && !closes(bytes.slice(lineEnd + 1, end))
    return .request(request, consumed: end)
  }

  private static func endOfHead(_ bytes: ByteView) -> Int? {
    var start = 0
    while let end = bytes.firstIndex(of: ASCII.lineFeed, from: start) {
      let length = end - start
      if length == 0 || (length == 1 && bytes[start] == ASCII.carriageReturn) { return end + 1 }
      start = end + 1
    }
    return nil
  }

  private static func closes(_ headers: ByteView) -> Bool {
    var start = 0
    while let end = headers.firstIndex(of: ASCII.lineFeed, from: start) {
      let line = headers.slice(start, end).trimmed
      start = end + 1
      guard let colon = line.firstIndex(of: ASCII.colon), line.prefix(colon).equalsIgnoringCase("connection") else { continue }
      if line.dropFirst(colon + 1).trimmed.equalsIgnoringCase("close") { return true }
    }
    return false
  }

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
