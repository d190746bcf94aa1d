// Why a leaf link was not made or was lost.
import Bytes
import Platform
import Web

/// Why a leaf link was not made or was lost.
public enum LeafFailure: Error, Equatable {
  case network(NetworkError)
  /// The proxy on the way, and whether it was given a user name.
  case proxyAuthentication(wasGiven: Bool)
  case proxy(WebFailure)
  /// The server did not make the connection a WebSocket.
  case webSocket(WebFailure)
  case closedByPeer
  case noInfo
  case noAnswerToConnect
  case notALeafListener
  case badInfo
  case tlsNotOffered
  case tls(TLSError)
  case unknownCompression(String)
  case clusterNameInvalid(String)
  case protocolViolation
  case compressionCorrupt
  case pingsUnanswered
  case outputOverflow
  case loop
  case sameCluster
  case refusedByPeer(String)
  /// This side refused.
  case refused(LeafRefusal)
  /// What the link would prove itself with is not there.
  case credentials(String)
  /// Its user has another account or other rights since a reload.
  case accessChanged
  case closedHere

  /// For people: what happened, and what to do where something can be done.
  public var text: String { words.string }

  private var words: Words {
    switch self {
    case .network(let error): "network: \(error)"
    case .proxyAuthentication(let wasGiven):
      wasGiven
        ? "the proxy does not accept the username and password (407)"
        : "the proxy wants authentication (407): set username and password in its `proxy` block"
    case .proxy(let failure): Self.words(failure, ofProxy: true)
    case .webSocket(let failure): Self.words(failure, ofProxy: false)
    case .closedByPeer: "the other end closed the connection"
    case .noInfo: "the server did not say INFO in time"
    case .noAnswerToConnect: "the hub did not answer CONNECT in time"
    case .notALeafListener: "the server is not a leaf listener (check the port: 7422 by default)"
    case .badInfo: "the server's INFO cannot be read"
    case .tlsNotOffered:
      "TLS is configured for this hub, and the hub offers none: switch it on there, or take tls:// and the tls block away here"
    case .tls(let error): "TLS: \(error.text)"
    case .unknownCompression(let mode): "the hub announces the unknown compression mode \"\(mode)\""
    case .clusterNameInvalid(let name): "the hub's cluster name \"\(name)\" is not valid"
    case .protocolViolation: "the other end sent what is not the leaf protocol"
    case .compressionCorrupt: "the other end sent a corrupt compressed stream"
    case .pingsUnanswered: "the other end does not answer PING"
    case .outputOverflow: "the other end reads too slowly"
    case .loop: "loop detected: the other end is reachable by another way already"
    case .sameCluster: "the hub says that its cluster has the same name as this server: set another server_name"
    case .refusedByPeer(let text): "the other end refused: \(text)"
    case .refused(let refusal): "refused: \(refusal.words ?? "its operations cannot be read")"
    case .credentials(let text): "\(text)"
    case .accessChanged: "its user's account or rights have changed"
    case .closedHere: "closed"
    }
  }

  private static func words(_ failure: WebFailure, ofProxy: Bool) -> Words {
    let who: Words = ofProxy ? "the proxy" : "the server"
    switch failure {
    case .network(let error): return "\(who): \(error)"
    case .closed: return "\(who) closed the connection without an answer"
    case .timedOut: return "\(who) did not answer in time"
    case .notHTTP:
      return ofProxy
        ? "what answers at the proxy's address is not an HTTP proxy"
        : "the server does not speak HTTP (check the port and ws:// or wss://: this needs a WebSocket listener)"
    case .refused(_, let status):
      return ofProxy ? "the proxy refuses the tunnel: \(status)" : "the server answered \(status) instead of making a WebSocket"
    case .notWebSocket: return "the server's answer is not that of a WebSocket"
    }
  }

  /// How long to stay away before the next attempt at this hub, beyond the ordinary delay (section 7), in nanoseconds.
  public var penalty_ns: Int64 {
    switch self {
    case .loop, .sameCluster: 30 * second_ns
    case .refusedByPeer(let text) where text.utf8.starts(with: "connection rejected since minimum version".utf8): 5 * second_ns
    default: 0
    }
  }
}
