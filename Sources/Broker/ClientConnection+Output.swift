// What a client is sent: INFO, errors, messages.
import Bytes
import Interest
import JSON
import Platform
import Web

extension ClientConnection {
  /// INFO, with nats-server's space before the line end. The second one, after the first PONG, also says whose account it is.
  func sendInfo(afterFirstPong: Bool = false) {
    var json = JSONWriter()
    json.beginObject()
    json.field("server_id", broker.identity.id)
    json.field("server_name", broker.identity.name)
    json.field("version", ServerIdentity.protocolVersion)
    json.field("proto", 1)
    json.field("go", ServerIdentity.compiler)
    let address = (upgrade == nil ? broker.address : broker.webSockets?.address) ?? stream.local
    let advertised = upgrade == nil ? broker.advertised : nil
    json.field("host", advertised?.host ?? address.hostText)
    json.field("port", advertised?.port ?? Int(address.port))
    json.field("headers", broker.limits.headers)
    json.fieldUnlessFalse("auth_required", broker.authenticator.isAskedFor)
    json.field("max_payload", payloadMax)
    if upgrade == nil {
      if let tls = broker.tls { json.field(tls.isOptional ? "tls_available" : "tls_required", true) }
    } else {
      // As nats-server says it, behind the handshake of TLS and the one of the WebSocket.
      json.fieldUnlessFalse("tls_required", secureStream != nil)
      json.fieldUnlessFalse("tls_available", secureStream != nil)
    }
    json.fieldUnlessFalse("tls_verify", broker.tls?.verifies ?? false)
    json.fieldUnlessFalse("jetstream", broker.jetStream)
    json.field("client_id", id)
    json.field("client_ip", stream.remote.hostText)
    if !connected, let access { json.fieldUnlessEmpty("nonce", access.facts.nonce) }
    json.fieldUnlessEmpty("domain", broker.domain)
    json.fieldUnlessFalse("ldm", broker.isLameDuck)
    if afterFirstPong {
      json.field("connect_info", true)
      json.field("remote_account", account.name)
      json.fieldUnlessFalse("acc_is_sys", account === broker.systemAccount)
    }
    json.field("api_lvl", ServerIdentity.apiLevel)
    json.endObject()
    stream.output.append(literal: "INFO ")
    stream.output.append(json.finish())
    stream.output.append(literal: " \r\n")
    stream.wantsFlush()
  }

  func sendError(_ text: StaticString) {
    stream.output.append(literal: "-ERR '")
    stream.output.append(literal: text)
    stream.output.append(literal: "'\r\n")
    stream.wantsFlush()
  }

  /// `removed` is the sid of a subscription that was taken away.
  func sendError(_ text: StaticString, quoting subject: ByteView, queue: ByteView = ByteView(), removed: ByteView? = nil) {
    var line: [UInt8] = []
    line.append(literal: "-ERR '")
    line.append(literal: text)
    GoQuoted.append(subject, to: &line)
    if !queue.isEmpty {
      line.append(literal: " using queue ")
      GoQuoted.append(queue, to: &line)
    }
    if let removed {
      line.append(literal: " (sid ")
      GoQuoted.append(removed, to: &line)
      line.append(literal: ")")
    }
    line.append(literal: "'\r\n")
    stream.output.append(line)
    stream.wantsFlush()
  }

  /// Nobody took the request: says so on the reply subject, if this client listens there itself (client-protocol.md section 2).
  func sendNoResponders(_ subject: ByteView, _ reply: ByteView) {
    for subscription in account.interest.match(reply).plain where subscription.endpoint === self {
      let size = 32 + subject.count
      stream.output.append(literal: "HMSG ")
      stream.output.append(reply)
      stream.output.append(literal: " ")
      stream.output.append(subscription.sid)
      Decimal.withDigits(of: size) { digits in
        stream.output.append(literal: " ")
        stream.output.append(digits)
        stream.output.append(literal: " ")
        stream.output.append(digits)
      }
      stream.output.append(literal: "\r\nNATS/1.0 503\r\nNats-Subject: ")
      stream.output.append(subject)
      stream.output.append(literal: "\r\n\r\n\r\n")
      stream.wantsFlush()
      subscription.delivered &+= 1
      if subscription.max > 0, subscription.delivered >= subscription.max { drop(subscription) }
      return
    }
  }

}
