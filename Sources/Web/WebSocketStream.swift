// A WebSocket as a stream of bytes: NATS does not care where messages begin and end, so whatever is written in a turn leaves as binary
// frames, and the payloads of all frames that come are one stream. How the connection becomes a WebSocket is in WebSocketListener and
// WebSocketDialer.
import Bytes
import CLinux
import Platform

/// The bytes within a WebSocket (RFC 6455), at either end of it.
public final class WebSocketStream: LayeredStream {
  /// Why a WebSocket is closed (section 7.4.1).
  public enum Status {
    public static let normal: UInt16 = 1000
    public static let goingAway: UInt16 = 1001
    public static let protocolError: UInt16 = 1002
    public static let policyViolation: UInt16 = 1008
    public static let messageTooBig: UInt16 = 1009
    public static let internalError: UInt16 = 1011

    /// Whether a peer may say so.
    static func isValid(_ status: UInt16) -> Bool {
      switch status {
      case 1004...1006, 1015: false
      case 1000...1014, 3000...4999: true
      default: false
      }
    }
  }

  /// Frames are no longer, header included: one chunk of an output buffer, and below what any peer refuses.
  static let frameMax = 64 * 1024
  /// Browsers cope better with small frames, as nats-server has found.
  static let frameMaxForBrowsers = 4096
  /// With so much waiting to be written no more pongs are: only the last ping needs one (section 5.5.3), and who sends pings but reads
  /// nothing must not fill this side's memory.
  private static let pendingMaxForPongs = 64 * 1024

  private var reader: WebSocketReader
  /// Where masks come from; nil when this end's frames have none.
  private let masks: (any Entropy)?
  private let payloadMax: Int
  /// What the close frame will say. The owner sets it before it closes.
  public var closeStatus = Status.normal
  public var closeText: StaticString = ""
  /// The peer closed the WebSocket without a status, and gets none.
  private var closesWithoutStatus = false
  /// What the peer sent that is no WebSocket, if that was the end.
  public private(set) var violation: StaticString?

  /// The server's end. `masked`: the client masks its frames, as it must unless something else was agreed on.
  public init(server inner: ByteStream, masked: Bool, isBrowser: Bool) {
    reader = WebSocketReader(masking: masked ? .required : .optional)
    masks = nil
    payloadMax = (isBrowser ? Self.frameMaxForBrowsers : Self.frameMax) - WebSocketFrame.headerMax
    super.init(over: inner)
  }

  /// The client's end. Frames are masked unless `masks` is nil, which the server must have agreed to.
  public init(client inner: ByteStream, masks: (any Entropy)?) {
    reader = WebSocketReader(masking: .forbidden)
    self.masks = masks
    payloadMax = Self.frameMax - WebSocketFrame.headerMax
    super.init(over: inner)
  }

  /// The TLS around the WebSocket, if there is any.
  public var secureStream: TLSStream? { inner as? TLSStream }

  // MARK: Reading

  public override func unwrap(_ bytes: ByteView) -> Int {
    var index = 0
    while true {
      switch reader.next(bytes, at: &index) {
      case .payload(let count):
        let payload = bytes.slice(index, index + count)
        carried(count, expecting: bytes.count - index) { target in
          reader.unmask(payload, into: target)
          return count
        }
        index += count
      case .control(let opcode, let payload):
        if opcode == .ping {
          answer(ping: payload)
        } else if opcode == .close {
          peerCloses(payload)
          return bytes.count
        }
      case .incomplete: return index
      case .violation(let text):
        fail(text)
        return bytes.count
      }
    }
  }

  private func answer(ping payload: [UInt8]) {
    guard inner.output.count <= Self.pendingMaxForPongs else { return }
    payload.withView { append(.pong, $0) }
    inner.wantsFlush()
  }

  private func peerCloses(_ payload: [UInt8]) {
    if payload.count == 1 { return fail("a close frame of one byte") }
    if payload.isEmpty {
      closesWithoutStatus = true
    } else {
      closeStatus = UInt16(payload[0]) << 8 | UInt16(payload[1])
      closeText = ""
      guard Status.isValid(closeStatus) else { return fail("a close frame with a status that means nothing") }
    }
    endAfterInput(.peerClosed)
  }

  private func fail(_ text: StaticString) {
    violation = text
    closeStatus = Status.protocolError
    closeText = text
    endAfterInput(.failed(.malformed))
  }

  // MARK: Writing

  public override func wrap() {
    while !output.isEmpty, inner.output.count < Self.innerOutputMax {
      let count = min(output.count, payloadMax)
      append(.binary, count: count) { output.take(count, into: $0) }
    }
  }

  public override func farewell() {
    if closesWithoutStatus { return append(.close, ByteView()) }
    let text = ByteView(closeText)
    precondition(text.count <= WebSocketFrame.controlMax - 2, "a close frame's text is too long")
    var payload: [UInt8] = [UInt8(closeStatus >> 8), UInt8(truncatingIfNeeded: closeStatus)]
    payload.append(text)
    payload.withView { append(.close, $0) }
  }

  private func append(_ opcode: WebSocketOpcode, _ payload: ByteView) {
    append(opcode, count: payload.count) { memcpy($0, payload.base, payload.count) }
  }

  /// Appends a frame of `count` bytes, which `fill` writes.
  private func append(_ opcode: WebSocketOpcode, count: Int, _ fill: (UnsafeMutablePointer<UInt8>) -> Void) {
    let key = masks.map { UInt32(truncatingIfNeeded: $0.next()) }
    inner.output.reserve(WebSocketFrame.headerMax + count) { start in
      var cursor = ByteCursor(start)
      WebSocketFrame.putHeader(opcode, length: count, key: key, &cursor)
      fill(cursor.next)
      if let key { WebSocketFrame.mask(cursor.next, cursor.next, count: count, key: key, phase: 0) }
      return cursor.next - start + count
    }
  }
}
