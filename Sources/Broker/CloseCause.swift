// Why a client connection is closed: what the client is told, and what monitoring shows.
import Bytes
import Web

/// Why the server closes a client (client-protocol.md section 3; reasons as in monitoring.md section 3).
public enum CloseCause {
  case unknownOperation, malformed, clientError, controlLineExceeded, payloadExceeded
  case invalidProtocol, noRespondersNeedsHeaders, headersNotAllowed, badConnect, accountNotAllowed
  case connectionsExceeded, staleConnection
  case serverShutdown

  /// The text of the -ERR that goes ahead of the close; nil where the server closes without a word.
  public var text: StaticString? {
    switch self {
    case .unknownOperation: "Unknown Protocol Operation"
    case .controlLineExceeded: "maximum control line exceeded"
    case .payloadExceeded: "Maximum Payload Violation"
    case .invalidProtocol: "invalid client protocol"
    case .noRespondersNeedsHeaders: "no responders requires headers support"
    case .accountNotAllowed: "Authorization Violation"
    case .connectionsExceeded: "maximum connections exceeded"
    case .staleConnection: "Stale Connection"
    case .malformed, .clientError, .headersNotAllowed, .badConnect, .serverShutdown: nil
    }
  }

  public var reason: StaticString {
    switch self {
    case .unknownOperation, .malformed, .headersNotAllowed, .badConnect: "Parse Error"
    case .clientError: "Client Closed"
    case .controlLineExceeded: "Maximum Control Line Exceeded"
    case .payloadExceeded: "Maximum Message Payload Exceeded"
    case .invalidProtocol: "Bad Client Protocol Version"
    case .noRespondersNeedsHeaders: "No Responders Requires Headers"
    case .accountNotAllowed: "Authentication Failure"
    case .connectionsExceeded: "Maximum Connections Exceeded"
    case .staleConnection: "Stale Connection"
    case .serverShutdown: "Server Shutdown"
    }
  }

  /// What a WebSocket's close frame says, as nats-server's does.
  var webSocketStatus: UInt16 {
    switch self {
    case .clientError: WebSocketStream.Status.normal
    case .unknownOperation, .malformed, .headersNotAllowed, .badConnect, .invalidProtocol: WebSocketStream.Status.protocolError
    case .accountNotAllowed, .connectionsExceeded, .controlLineExceeded: WebSocketStream.Status.policyViolation
    case .payloadExceeded: WebSocketStream.Status.messageTooBig
    case .staleConnection, .serverShutdown: WebSocketStream.Status.goingAway
    case .noRespondersNeedsHeaders: WebSocketStream.Status.internalError
    }
  }
}
