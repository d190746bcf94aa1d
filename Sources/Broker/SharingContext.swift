// What all sharing between the accounts of a server has in common: how deep a message has passed, and who asks.
import Bytes
import JSON
import Platform

/// One per broker.
public final class SharingContext {
  /// Accounts may pass requests on in chains. A cycle is refused when it is configured; this ends one that is not seen there.
  private static let depthMax = 16
  static let requesterHeader: StaticString = "Nats-Request-Info"

  let host: Host
  /// How many services the message that is routed now has come through.
  private(set) var depth = 0

  public init(host: Host) { self.host = host }

  /// Whether the message that is routed now has come through a service: it is not exported to others as a message again.
  var isPassing: Bool { depth > 0 }

  /// Routes into another account.
  func pass(_ route: () -> Bool) -> Bool {
    guard depth < Self.depthMax else { return false }
    depth += 1
    defer { depth -= 1 }
    return route()
  }

  /// The header block of `headers` with a line that says who asks: the account and its distance, or all when it `shares` that.
  func writeRequester(_ source: Endpoint, _ account: Account, shares: Bool, over headers: ByteView, to output: inout [UInt8]) {
    output.reserveCapacity(headers.count + 128)
    if headers.isEmpty {
      output.append(literal: "NATS/1.0\r\n")
    } else {
      Self.copy(headers, without: ByteView(Self.requesterHeader), to: &output)
    }
    output.append(literal: Self.requesterHeader)
    output.append(literal: ": ")
    output.append(source.describe(account, shares: shares))
    output.append(literal: "\r\n\r\n")
  }

  /// The lines of a header block but those called `name`, and without the empty line at its end.
  private static func copy(_ headers: ByteView, without name: ByteView, to output: inout [UInt8]) {
    var start = 0
    while start < headers.count {
      let end = headers.firstIndex(of: ASCII.lineFeed, from: start).map { $0 + 1 } ?? headers.count
      let line = headers.slice(start, end)
      let isEmpty = line.trimmed.isEmpty
      // In any case: a responder may read it in any case, too.
      let isNamed = line.firstIndex(of: ASCII.colon).map { line.prefix($0).trimmed.equalsIgnoringCase(name) } ?? false
      if !isEmpty, !isNamed {
        output.append(line)
        // What is added must not continue the line of whoever left its end out.
        if line[line.count - 1] != ASCII.lineFeed { output.append(literal: "\r\n") }
      }
      start = end
    }
  }
}

extension Endpoint {
  /// This endpoint as the responder of a shared service sees it (client-protocol.md section 7).
  func describe(_ account: Account, shares: Bool) -> ByteString {
    var json = JSONWriter()
    json.beginObject()
    let client = self as? ClientConnection
    if shares, let client {
      json.field("start", time: client.started_ns)
      json.field("host", client.stream.remote.hostText)
      json.field("id", id)
    }
    json.field("acc", account.name)
    if let client {
      if shares {
        json.fieldUnlessEmpty("user", client.user)
        json.fieldUnlessEmpty("name", client.name)
        json.fieldUnlessEmpty("lang", client.lang)
        json.fieldUnlessEmpty("ver", client.version)
      }
      json.fieldUnlessZero("rtt", client.rtt_ns ?? 0)
      if shares {
        json.field("server", client.serverName)
        json.field("kind", literal: "Client")
        json.field("client_type", literal: "nats")
      }
    }
    json.endObject()
    return ByteString(json.finish())
  }
}
