// When a leaf link goes over to TLS, and when it refuses to go on without.
import Bytes
import Testing

@testable import Leaf

@Suite("TLS in the leaf handshake")
struct TLSHandshakeTests {
  private func info(required: Bool = false, available: Bool = false) -> LeafInfo {
    var info = LeafInfo()
    info.clientID = 7
    info.infoOnConnect = true
    info.leafURLs = ["hub:7422"]
    info.compression = "off"
    info.tlsRequired = required
    info.tlsAvailable = available
    return info
  }

  @Test(
    "TLS begins behind the first INFO when the hub requires it or this side does, and CONNECT follows inside", arguments: [true, false])
  func upgrade(byHub: Bool) {
    var handshake = LeafHandshake(mode: .off, wantsTLS: !byHub)
    let first = handshake.received(info(required: byHub, available: !byHub))
    #expect(first == .startTLS && handshake.awaitsTLS && handshake.choice == nil)
    let second = handshake.secured()
    #expect(second == .connect && !handshake.awaitsTLS)
  }

  @Test("compression is agreed inside TLS")
  func compression() {
    var handshake = LeafHandshake(mode: .s2Fast)
    var hub = info(required: true)
    hub.compression = "s2_auto"
    _ = handshake.received(hub)
    let action = handshake.secured()
    guard case .requestCompression = action else {
      Issue.record("\(action)")
      return
    }
  }

  @Test("a second INFO in the clear is from somebody in between")
  func injected() {
    var handshake = LeafHandshake(mode: .off)
    _ = handshake.received(info(required: true))
    let action = handshake.received(info())
    #expect(action == .fail(.protocolViolation))
  }

  @Test("a hub that offers no TLS is not spoken to in the clear where TLS is configured")
  func notOffered() {
    var handshake = LeafHandshake(mode: .off, wantsTLS: true)
    let action = handshake.received(info())
    #expect(action == .fail(.tlsNotOffered))
    let again = handshake.received(info(required: true))
    #expect(again == .fail(.protocolViolation))
  }

  @Test("inside TLS from the beginning nothing is upgraded")
  func first() {
    var handshake = LeafHandshake(mode: .off, wantsTLS: true, isSecure: true)
    let action = handshake.received(info(required: true))
    #expect(action == .connect)
    let unasked = handshake.secured()
    #expect(unasked == .fail(.protocolViolation))
  }
}
