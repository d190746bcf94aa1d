// `host:port`, as addresses to listen on and to advertise are written.
import Bytes

public struct HostPort: Equatable, Sendable {
  /// Without brackets; empty where only a port was given.
  public var host: ByteString
  /// -1 asks for a free port where one listens.
  public var port: Int

  public init(host: ByteString, port: Int) {
    self.host = host
    self.port = port
  }

  /// `host:port`, an IPv6 address in brackets.
  public var text: String { description.text.string }

  var description: Words { host.bytes.contains(ASCII.colon) ? "[\(host)]:\(port)" : "\(host):\(port)" }

  enum Failure: Error, Equatable {
    /// There is no port, or the colons cannot be told apart.
    case address
    /// What stands for the port is not one.
    case port(ByteString)
  }

  /// Splits at the last colon; an IPv6 address must be in brackets. `ports` are those allowed; `portDefault` makes the port optional.
  static func parse(_ text: ByteView, ports: ClosedRange<Int>, portDefault: Int? = nil) throws(Failure) -> HostPort {
    let host: ByteView
    var rest: ByteView
    if text.count > 0, text[0] == 0x5B {
      guard let close = text.firstIndex(of: 0x5D), close > 1 else { throw .address }
      host = text.slice(1, close)
      rest = text.dropFirst(close + 1)
      guard isAddress6(host) else { throw .address }
    } else {
      let colon = text.firstIndex(of: ASCII.colon) ?? text.count
      host = text.prefix(colon)
      rest = text.dropFirst(colon)
      if rest.count > 1, rest.firstIndex(of: ASCII.colon, from: 1) != nil { throw .address }
      for index in 0..<host.count where !isHostByte(host[index]) { throw .address }
    }
    guard !rest.isEmpty else {
      guard let portDefault else { throw .address }
      return HostPort(host: ByteString(host), port: portDefault)
    }
    guard rest[0] == ASCII.colon else { throw .address }
    rest = rest.dropFirst(1)
    let isNegative = rest.count > 1 && rest[0] == ASCII.minus
    guard let number = rest.dropFirst(isNegative ? 1 : 0).decimalInt(), ports.contains(isNegative ? -number : number) else {
      throw .port(ByteString(rest))
    }
    return HostPort(host: ByteString(host), port: isNegative ? -number : number)
  }

  /// The bytes of names and IPv4 addresses; beyond ASCII is left to the resolver.
  private static func isHostByte(_ byte: UInt8) -> Bool {
    ASCII.isLetter(byte) || ASCII.isDigit(byte) || byte == ASCII.minus || byte == ASCII.dot || byte == 0x5F || byte >= 0x80
  }

  /// Looks like an IPv6 address, perhaps with a zone; whether it is one is found when it is used.
  private static func isAddress6(_ host: ByteView) -> Bool {
    let address = host.prefix(host.firstIndex(of: 0x25) ?? host.count)
    guard address.firstIndex(of: ASCII.colon) != nil else { return false }
    for index in 0..<address.count {
      let byte = address[index]
      let lower = ASCII.lowercased(byte)
      guard ASCII.isDigit(byte) || (lower >= 0x61 && lower <= 0x66) || byte == ASCII.colon || byte == ASCII.dot else { return false }
    }
    return true
  }
}
