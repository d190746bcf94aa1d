// Addresses as people write them: "127.0.0.1:4222", "[::1]:4222". Names are the resolver's business.
import Bytes
import CLinux

extension SocketAddress: CustomStringConvertible {
  /// "127.0.0.1", "::1"
  public var hostText: String {
    var raw = raw
    return withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { text in
      let start = text.bindMemory(to: CChar.self).baseAddress!
      let length = linux_address_text(&raw, start)
      return ByteView(UnsafeRawBufferPointer(start: start, count: Int(length))).string
    }
  }

  /// "127.0.0.1:4222", "[::1]:4222"
  public var description: String { (address.count == 4 ? "\(hostText):\(port)" as Words : "[\(hostText)]:\(port)").string }

  /// The address that `host` spells ("127.0.0.1", "::1", "[::1]"), or nil when it is something else, such as a name.
  public init?(literal host: String, port: UInt16) {
    var text = [UInt8](host.utf8)
    if text.count > 2, text[0] == 0x5B, text[text.count - 1] == 0x5D { text = [UInt8](text[1..<text.count - 1]) }
    // The longest text of an IPv6 address has 45 characters.
    guard !text.isEmpty, text.count <= 45, !text.contains(0) else { return nil }
    text.append(0)
    var raw = linux_address()
    let parsed = text.withUnsafeBytes { linux_address_parse($0.baseAddress!.assumingMemoryBound(to: CChar.self), &raw) }
    guard parsed == 1 else { return nil }
    raw.port = port
    self.init(raw)
  }

  /// The address that "host:port" or "[host]:port" spells, or nil.
  public init?(_ text: String) {
    let bytes = [UInt8](text.utf8)
    guard let colon = bytes.lastIndex(of: ASCII.colon), colon > 0 else { return nil }
    guard let port = [UInt8](bytes[(colon + 1)...]).withView({ $0.decimalInt() }), port <= 65535 else { return nil }
    let host = [UInt8](bytes[0..<colon])
    // An IPv6 address with a port must stand in brackets.
    if host[0] != 0x5B, host.contains(ASCII.colon) { return nil }
    self.init(literal: String(decoding: host, as: UTF8.self), port: UInt16(port))
  }
}
