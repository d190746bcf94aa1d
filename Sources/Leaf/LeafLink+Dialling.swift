// The handshake of a link that this server dialled, and what a hub says in INFO later.
import Broker
import Bytes
import Compression
import JSON
import Platform
import Wire

extension LeafLink {
  func receiveInfo(_ text: ByteView) {
    guard let info = LeafInfo(text) else { return end(.badInfo) }
    perform(handshake.received(info), info)
  }

  func perform(_ action: LeafHandshake.Action, _ info: LeafInfo) {
    let isFirst = compression == nil
    compression = handshake.choice
    switch action {
    case .startTLS:
      measured()
      startTLS()
    case .requestCompression(let mode):
      said(info)
      output.append(literal: "INFO {\"compression\":\"")
      output.append(literal: mode.name)
      output.append(literal: "\"}\r\n")
      compress(mode)
      expectStep(rtt_ns: rtt_ns ?? 0, or: .noInfo)
    case .connect:
      if isFirst { said(info) }
      connect()
    case .established: establish(info)
    case .update:
      if info.importPermissions != nil || info.exportPermissions != nil || info.connectInfo {
        advertiseChanges { update(info) }
      } else {
        update(info)
      }
    case .fail(let failure): end(failure)
    }
  }

  private func said(_ info: LeafInfo) {
    peer = LeafPeer(info)
    owner?.linkSaidInfo(self, rtt_ns: measured())
  }

  /// From the connection, or from the last step of TLS, to INFO.
  @discardableResult
  private func measured() -> Int64 {
    if let rtt_ns { return rtt_ns }
    let measured_ns = host.clock.monotonic_ns - (secureStream?.lastFlight_ns ?? started_ns)
    rtt_ns = measured_ns
    return measured_ns
  }

  /// From here on everything is compressed, in both directions.
  func compress(_ mode: LeafCompressionMode) {
    let codec: LeafCodec = mode == .lz4 ? .lz4 : .s2
    let decoder = LeafDecoder(codec)
    // Whoever dialled says CONNECT and waits. What a hub tells behind its answer may come in one chunk with that.
    if listener != nil { decoder.chunkMax = parser.lineMax }
    self.decoder = decoder
    output.compress(LeafEncoder(codec, level: level(mode)))
  }

  func level(_ mode: LeafCompressionMode) -> CompressionLevel {
    switch mode {
    case .notSupported, .off, .accept, .s2Uncompressed: .uncompressed
    case .s2Fast, .lz4: .fast
    case .s2Better: .better
    case .s2Best: .best
    case .s2Auto: options.compressionThresholds.level(rtt_ns: rtt_ns ?? 0)
    }
  }

  private func connect() {
    let proof: [(name: StaticString, value: ByteString)]
    do throws(LeafCredentials.Failure) {
      proof = try options.credentials.prove(nonce: handshake.info.nonce, disk: host.disk)
    } catch { return end(.credentials(error.text.string)) }
    var json = JSONWriter()
    json.beginObject()
    json.field("version", ServerIdentity.protocolVersion)
    json.field("server_id", options.serverID)
    json.field("name", options.serverName)
    json.field("cluster", options.serverName)
    json.fieldUnlessEmpty("domain", options.domain)
    json.fieldUnlessFalse("jetstream", options.jetStream)
    json.fieldUnlessFalse("headers", peer.headers)
    json.fieldUnlessFalse("is_hub", !role.isSpoke)
    json.fieldUnlessFalse("isolate", options.requestIsolation)
    json.field("compress_mode", literal: compressionName)
    json.field("remote_account", account.name)
    if !options.user.isEmpty {
      json.field("user", options.user)
      if options.password.isEmpty { json.field("auth_token", options.user) } else { json.field("pass", options.password) }
    }
    for member in proof { json.field(member.name, member.value) }
    if !options.denyImports.isEmpty { json.field("deny_pub", options.denyImports) }
    json.endObject()
    output.append(literal: "CONNECT ")
    output.append(json.finish())
    output.append(literal: "\r\n")
    if handshake.isEstablished {
      establish(handshake.info)
    } else {
      expectStep(rtt_ns: rtt_ns ?? 0, or: .noAnswerToConnect)
    }
  }

  private func establish(_ info: LeafInfo) {
    isReady = true
    update(info)
    guard !isEnded else { return }  // the hub said that it goes away, and the link was given up
    // A leaf of the hub's own cluster hangs on this server: messages would go round (section 9.4).
    if shared.links.contains(where: { $0.account === account && !$0.role.isSolicitor && isSameCluster($0) }) {
      return refuse(.loop(account: account.name), as: .loop)
    }
    begin()
  }

  /// The handshake is done, in either role: interest is told, and from now on every change of it.
  func begin() {
    isReady = true
    host.timers.cancel(deadline)
    parser.payloadMax = payloadMax
    decoder?.chunkMax = nil
    shared.add(self)
    advertiseAll()
    account.observe(self)
    account.leafnodeCount += 1
    isCounted = true
    startWatching()
    owner?.linkEstablished(self)
  }

  /// A later INFO (section 3.5).
  private func update(_ info: LeafInfo) {
    if !info.remoteAccount.isEmpty { peer.remoteAccount = info.remoteAccount }
    if info.importPermissions != nil || info.exportPermissions != nil || !isReady || info.connectInfo {
      receivePermission = info.importPermissions ?? SubjectPermission()
      sendPermission = info.exportPermissions ?? SubjectPermission()
      receivePermission.deny += options.denyImports
      sendPermission.deny += options.denyExports
    }
    if info.lameDuck { owner?.linkLameDuck(self) }
  }
}
