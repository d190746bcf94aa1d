// The handshake of a link that this server accepted (leafnode-protocol.md sections 3 to 5).
import Broker
import Bytes
import Compression
import JSON
import Platform
import Web
import Wire

extension LeafLink {
  /// The first word is ours.
  func greet() {
    guard let listener else { preconditionFailure("only a link that was accepted greets") }
    nonce = ByteString(host.entropy.name(Self.nonceLength))
    if let tls = ownTLS { begin(tls, on: stream, host: host) } else { sayInfo() }
    host.after(listener.options.authenticationTimeout_ns, deadline) { [unowned(unsafe) self] in  // safe: cancelled in `end`
      self.refuse(.authenticationTimeout)
    }
  }

  /// What the listener has TLS begin with; nil where there is none, or has been: around a WebSocket.
  private var ownTLS: ClientTLS? { options.isWebSocket ? nil : listener?.tls }

  /// As long as those of real servers: 89 random bits.
  private static let nonceLength = 15

  /// INFO of the solicitor: it wants to compress. Later ones mean nothing.
  func receiveCompressionRequest(_ text: ByteView) {
    // Nothing else counts, and most of the rest is empty (section 3.3).
    guard let json = try? JSON.parse(text, depthMax: 8, nodesMax: LeafInfo.nodesMax), json.object != nil else {
      return refuse(.malformed)
    }
    switch acceptance.receivedInfo(compression: json["compression"]?.string) {
    case .compress(let mode):
      compression = acceptance.choice
      rtt_ns = host.clock.monotonic_ns - started_ns
      compress(mode)
      sendInfo(.compressed(mode))
    case .wait: break
    case .judge: preconditionFailure("INFO is not judged")
    case .refuse(let refusal): refuse(refusal)
    }
  }

  func receiveConnect(_ text: ByteView) {
    switch acceptance.receivedConnect() {
    case .judge: judge(text)
    case .refuse(let refusal): refuse(refusal)
    case .wait, .compress: preconditionFailure("CONNECT is judged or refused")
    }
  }

  private func judge(_ text: ByteView) {
    guard let listener else { preconditionFailure("only a link that was accepted hears CONNECT") }
    compression = acceptance.choice
    guard let connect = LeafConnect(text) else { return refuse(.malformed) }
    if let refusal = listener.objection(to: connect) {
      // Solicitors take the reason for what it is only when the handshake seems to go on (section 4.1).
      if case .minimumVersion = refusal { sendInfo(.answer) }
      return refuse(refusal)
    }
    rtt_ns = rtt_ns ?? host.clock.monotonic_ns - started_ns
    peer = LeafPeer(connect)
    peer.headers = connect.headers && options.headers
    role.isSpoke = connect.isHub
    if connect.isolate { isIsolated = true }
    ask(connect)
  }

  // MARK: INFO

  enum InfoKind {
    case first
    /// The answer to a request for compression.
    case compressed(LeafCompressionMode)
    /// The answer to CONNECT.
    case answer
    case lameDuck
  }

  func sendInfo(_ kind: InfoKind) {
    guard let listener else { preconditionFailure("only the acceptor describes itself by INFO") }
    var json = JSONWriter()
    json.beginObject()
    json.field("server_id", options.serverID)
    json.field("server_name", options.serverName)
    json.field("version", ServerIdentity.protocolVersion)
    // The one of 2.10: no tracing.
    json.field("proto", 1)
    json.field("go", ServerIdentity.compiler)
    let address = listener.advertisedAddress(stream.local)
    json.field("host", address.host)
    json.field("port", address.port)
    json.field("headers", options.headers)
    json.field("auth_required", true)
    if let tls = ownTLS {
      json.field("tls_required", true)
      json.fieldUnlessFalse("tls_verify", tls.verifies)
    }
    json.field("max_payload", payloadMax)
    json.fieldUnlessFalse("jetstream", options.jetStream)
    json.fieldUnlessEmpty("domain", options.domain)
    json.fieldUnlessEmpty("cluster", listener.options.cluster)
    json.field("api_lvl", ServerIdentity.apiLevel)
    json.field("info_on_connect", true)
    json.field("leafnode_urls", listener.advertisedURLs(address))
    switch kind {
    case .first:
      writeIdentity(&json)
      let mode = options.compression
      if mode != .notSupported { json.field("compression", literal: mode.nameForServers) }
      // A nats-server does not know this member.
      if mode != .notSupported, mode != .off { json.field("petiole_compression", literal: mode.name) }
    case .compressed(let mode):
      writeIdentity(&json)
      json.field("compression", literal: mode.name)
    case .answer:
      json.field("client_id", id)
      json.field("connect_info", true)
      json.field("remote_account", account.name)
      json.fieldUnlessFalse("acc_is_sys", listener.isSystem(account))
      // To the solicitor: what it may receive, and what it may send.
      if !sendPermission.isUnrestricted { write(sendPermission, "import", &json) }
      if !receivePermission.isUnrestricted { write(receivePermission, "export", &json) }
    case .lameDuck: json.field("ldm", true)
    }
    json.endObject()
    output.append(literal: "INFO ")
    output.append(json.finish())
    output.append(literal: " \r\n")
  }

  private func writeIdentity(_ json: inout JSONWriter) {
    json.field("client_id", id)
    json.field("nonce", nonce)
  }

  private func write(_ permission: SubjectPermission, _ name: StaticString, _ json: inout JSONWriter) {
    json.beginObject(name)
    if !permission.allow.isEmpty { json.field("allow", permission.allow) }
    if !permission.deny.isEmpty { json.field("deny", permission.deny) }
    json.endObject()
  }
}

extension LeafLink: TLSEntrant {
  public var isGone: Bool { isEnded }

  public func sayInfo() { sendInfo(.first) }

  public func enter(_ tls: ClientTLS, saysInfo: Bool) -> TLSStream {
    saysInfoWhenSecured = saysInfo
    let secure = TLSStream(over: stream, tls, host: host)
    carry(by: secure)
    return secure
  }

  /// nil where certificates do not say who other servers are: as in nats-server that is for `leafnodes { tls }` to say over WebSocket
  /// too, and the certificate is the one that the WebSocket's TLS was shown.
  var certificateNames: [ByteString]? {
    guard let tls = listener?.tls, tls.mapsUsers else { return nil }
    return (secureStream ?? (stream as? WebSocketStream)?.secureStream)?.userNames ?? []
  }
}
