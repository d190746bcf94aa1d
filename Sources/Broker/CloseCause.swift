// Why a client connection is closed: what the client is told, and what monitoring shows.
import Bytes
import Web

/// Why the server closes a client (client-protocol.md section 3; reasons as in monitoring.md section 3).
public enum CloseCause {
  case unknownOperation, malformed, clientError, controlLineExceeded, payloadExceeded
  case invalidProtocol, noRespondersNeedsHeaders, headersNotAllowed, badConnect, notAuthorized
  case connectionsExceeded, accountConnectionsExceeded, loginsExceeded, subscriptionsExceeded, staleConnection
  case authenticationTimeout, authenticationExpired, accountExpired, authenticationRevoked
  /// After a reload its user is another account's, or none.
  case userChanged
  case serverShutdown, kicked
  /// It read too slowly what was kept for it.
  case slowConsumer

  /// The text of the -ERR that goes ahead of the close; nil where the server closes without a word.
  public var text: StaticString? {
    switch self {
    case .unknownOperation: "Unknown Protocol Operation"
    case .controlLineExceeded: "maximum control line exceeded"
    case .payloadExceeded: "Maximum Payload Violation"
    case .invalidProtocol: "invalid client protocol"
    case .noRespondersNeedsHeaders: "no responders requires headers support"
    case .notAuthorized: "Authorization Violation"
    case .authenticationTimeout: "Authentication Timeout"
    case .authenticationExpired: "User Authentication Expired"
    case .accountExpired: "Account Authentication Expired"
    case .authenticationRevoked: "User Authentication Revoked"
    case .connectionsExceeded: "maximum connections exceeded"
    case .accountConnectionsExceeded: "maximum account active connections exceeded"
    case .loginsExceeded: "maximum pending authentications exceeded"
    case .subscriptionsExceeded: "maximum subscriptions exceeded"
    case .staleConnection: "Stale Connection"
    case .malformed, .clientError, .headersNotAllowed, .badConnect, .serverShutdown, .kicked, .userChanged, .slowConsumer: nil
    }
  }

  public var reason: StaticString {
    switch self {
    case .unknownOperation, .malformed, .headersNotAllowed, .badConnect: "Parse Error"
    case .clientError, .userChanged: "Client Closed"
    case .controlLineExceeded: "Maximum Control Line Exceeded"
    case .payloadExceeded: "Maximum Message Payload Exceeded"
    case .invalidProtocol: "Bad Client Protocol Version"
    case .noRespondersNeedsHeaders: "No Responders Requires Headers"
    case .notAuthorized: "Authentication Failure"
    case .authenticationTimeout: "Authentication Timeout"
    case .authenticationExpired, .accountExpired: "Authentication Expired"
    case .authenticationRevoked: "Credentials Revoked"
    case .connectionsExceeded: "Maximum Connections Exceeded"
    case .accountConnectionsExceeded: "Maximum Account Connections Exceeded"
    case .loginsExceeded: "Maximum Pending Authentications Exceeded"
    case .subscriptionsExceeded: "Maximum Subscriptions Exceeded"
    case .staleConnection: "Stale Connection"
    case .serverShutdown: "Server Shutdown"
    case .kicked: "Kicked"
    case .slowConsumer: "Slow Consumer (Pending Bytes)"
    }
  }

  /// What a WebSocket's close frame says, as nats-server's does.
  var webSocketStatus: UInt16 {
    switch self {
    case .clientError, .userChanged: WebSocketStream.Status.normal
    case .unknownOperation, .malformed, .headersNotAllowed, .badConnect, .invalidProtocol: WebSocketStream.Status.protocolError
    case .notAuthorized, .authenticationTimeout, .authenticationExpired, .accountExpired, .authenticationRevoked, .connectionsExceeded,
      .accountConnectionsExceeded, .loginsExceeded, .subscriptionsExceeded, .controlLineExceeded, .slowConsumer:
      WebSocketStream.Status.policyViolation
    case .payloadExceeded: WebSocketStream.Status.messageTooBig
    case .staleConnection, .serverShutdown: WebSocketStream.Status.goingAway
    case .noRespondersNeedsHeaders, .kicked: WebSocketStream.Status.internalError
    }
  }
}
