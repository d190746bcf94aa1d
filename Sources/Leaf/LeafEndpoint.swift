// Where a hub takes leaf links, and by which way.
import Bytes

/// A leaf listener of a hub.
public struct LeafEndpoint: Equatable {
  public var hostName: String
  public var port: UInt16
  public var user = ByteString()
  public var password = ByteString()
  /// What the server's certificate must be for; empty: the host name.
  public var certificateName = ByteString()
  /// nil: plain TCP.
  public var webSocket: LeafWebSocket?
  /// nil: directly.
  public var proxy: LeafProxy?

  public init(hostName: String, port: UInt16, user: ByteString = ByteString(), password: ByteString = ByteString()) {
    self.hostName = hostName
    self.port = port
    self.user = user
    self.password = password
  }

  /// Who the server's certificate must name.
  public var secureName: ByteString { certificateName.isEmpty ? ByteString(hostName) : certificateName }

  public var text: String { "\(hostName):\(port)" }

  /// `host:port` as HTTP wants it.
  var authority: ByteString {
    let name = ByteString(hostName)
    return name.bytes.contains(ASCII.colon) ? ("[\(name)]:\(port)" as Words).text : ("\(name):\(port)" as Words).text
  }
}

/// What is special about a leaf listener that is reached over WebSocket.
public struct LeafWebSocket: Equatable {
  /// What stands before `/leafnode`; empty, or begins with a slash.
  public var path: ByteString
  /// Asks the hub whether frames may go without masks.
  public var wantsNoMasking: Bool

  public init(path: ByteString = ByteString(), wantsNoMasking: Bool = false) {
    self.path = path
    self.wantsNoMasking = wantsNoMasking
  }

  /// The path of the request.
  var leafPath: ByteString {
    var bytes = path.bytes
    while bytes.last == ASCII.slash { bytes.removeLast() }
    bytes.append(literal: "/leafnode")
    return ByteString(bytes)
  }
}

/// An HTTP proxy that makes tunnels to hubs (CONNECT).
public struct LeafProxy: Equatable {
  public var hostName: String
  public var port: UInt16
  public var user: ByteString
  public var password: ByteString
  /// For connecting to it, and for its answer; nil: as without it.
  public var timeout_ns: Int64?

  public init(
    hostName: String, port: UInt16, user: ByteString = ByteString(), password: ByteString = ByteString(), timeout_ns: Int64? = nil
  ) {
    self.hostName = hostName
    self.port = port
    self.user = user
    self.password = password
    self.timeout_ns = timeout_ns
  }
}
