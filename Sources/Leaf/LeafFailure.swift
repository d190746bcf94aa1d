// Why a leaf link was not made or was lost.
import Bytes
import Platform

/// Why a leaf link was not made or was lost.
public enum LeafFailure: Error, Equatable {
  case network(NetworkError)
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
  case closedHere

  /// For people: what happened, and what to do where something can be done.
  public var text: String { words.string }

  private var words: Words {
    switch self {
    case .network(let error): "network: \(error)"
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
    case .closedHere: "closed"
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
