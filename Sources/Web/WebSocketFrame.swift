// The frames of RFC 6455 section 5: headers read and written, payloads masked. Pure. What the frames are for is in WebSocketStream.
import Bytes
import CLinux

/// What a frame is.
public enum WebSocketOpcode: UInt8 {
  case continuation = 0
  case text = 1
  case binary = 2
  case close = 8
  case ping = 9
  case pong = 10

  var isControl: Bool { rawValue >= 8 }
}

enum WebSocketFrame {
  /// Longest payload of a control frame (section 5.5).
  static let controlMax = 125
  /// Two bytes, a length of eight, a key of four.
  static let headerMax = 14

  /// Writes the header of a whole, uncompressed message of `length` bytes; with `key` its payload is masked.
  static func putHeader(_ opcode: WebSocketOpcode, length: Int, key: UInt32?, _ cursor: inout ByteCursor) {
    cursor.put(0x80 | opcode.rawValue)
    let masked: UInt8 = key == nil ? 0 : 0x80
    if length <= 125 {
      cursor.put(masked | UInt8(length))
    } else if length <= 0xFFFF {
      cursor.put(masked | 126)
      cursor.put(UInt8(truncatingIfNeeded: length >> 8))
      cursor.put(UInt8(truncatingIfNeeded: length))
    } else {
      cursor.put(masked | 127)
      for shift in stride(from: 56, through: 0, by: -8) { cursor.put(UInt8(truncatingIfNeeded: UInt64(length) >> UInt64(shift))) }
    }
    if let key { for shift in stride(from: UInt32(0), through: 24, by: 8) { cursor.put(UInt8(truncatingIfNeeded: key >> shift)) } }
  }

  /// Writes `source` masked to `target`, which may be the same place. The lowest byte of `key` is the first on the wire; `phase` of the
  /// payload's bytes went before.
  static func mask(_ source: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<UInt8>, count: Int, key: UInt32, phase: Int) {
    let turn = UInt32(phase & 3) * 8
    let turned = turn == 0 ? key : key >> turn | key << (32 - turn)
    let wide = (UInt64(turned) << 32 | UInt64(turned)).littleEndian
    let from = UnsafeRawPointer(source)
    let to = UnsafeMutableRawPointer(target)
    var index = 0
    while index + 8 <= count {
      to.storeBytes(of: from.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ wide, toByteOffset: index, as: UInt64.self)
      index += 8
    }
    while index < count {
      target[index] = source[index] ^ UInt8(truncatingIfNeeded: turned >> (UInt32(index & 3) * 8))
      index += 1
    }
  }
}

/// Takes a stream of frames apart, however it is cut into pieces.
struct WebSocketReader {
  /// Whether the peer's frames must be masked: a client's must, unless it was agreed that they need not; a server's must not.
  enum Masking {
    case required, optional, forbidden
  }

  enum Event {
    /// The next bytes of the input, so many, are payload of a message: take them with `unmask`.
    case payload(Int)
    /// A whole control frame, with its payload.
    case control(WebSocketOpcode, [UInt8])
    case incomplete
    /// Not what RFC 6455 allows; nothing behind it can be read.
    case violation(StaticString)
  }

  private let masking: Masking
  /// The header of the frame that is being read, as far as it has come.
  private var header = InlineArray<14, UInt8>(repeating: 0)
  private var headerCount = 0
  private var opcode = WebSocketOpcode.continuation
  /// Bytes of payload that are still to come; above 0 the header has been read.
  private var rest: UInt64 = 0
  private var key: UInt32 = 0
  /// How many bytes of the payload went before, as far as the four bytes of the key are concerned.
  private var phase = 0
  /// A message has begun whose last frame has not.
  private var isWithinMessage = false
  /// The payload of a control frame, as far as it has come.
  private var control: [UInt8] = []

  init(masking: Masking) { self.masking = masking }

  /// The next event of `bytes` from `index`, which moves over what was read. Behind a payload's bytes the caller moves it.
  mutating func next(_ bytes: ByteView, at index: inout Int) -> Event {
    while true {
      if rest == 0 {
        while headerCount < headerSize {
          if index == bytes.count { return .incomplete }
          header[headerCount] = bytes[index]
          headerCount += 1
          index += 1
          if headerCount == 2, let violation = checkHeader() { return .violation(violation) }
        }
        guard startPayload() else { return .violation("a frame's length has more than 63 bits") }
        if rest == 0 {
          if opcode.isControl { return .control(opcode, []) }
          continue
        }
      }
      let here = Int(min(rest, UInt64(bytes.count - index)))
      if here == 0 { return .incomplete }
      if !opcode.isControl { return .payload(here) }
      takeControl(bytes.slice(index, index + here))
      index += here
      if rest == 0 {
        defer { control = [] }
        return .control(opcode, control)
      }
    }
  }

  /// Copies payload that `next` announced to `target`, without its mask.
  mutating func unmask(_ payload: ByteView, into target: UnsafeMutablePointer<UInt8>) {
    if isMasked {
      WebSocketFrame.mask(payload.base, target, count: payload.count, key: key, phase: phase)
    } else {
      memcpy(target, payload.base, payload.count)
    }
    passed(payload.count)
  }

  private mutating func takeControl(_ payload: ByteView) {
    // At most 125 bytes; without a mask the key is 0.
    for index in 0..<payload.count {
      control.append(payload[index] ^ UInt8(truncatingIfNeeded: key >> (UInt32((phase + index) & 3) * 8)))
    }
    passed(payload.count)
  }

  private mutating func passed(_ count: Int) {
    phase = (phase + count) & 3
    rest -= UInt64(count)
  }

  // MARK: Headers

  private var isMasked: Bool { header[1] & 0x80 != 0 }
  private var shortLength: UInt8 { header[1] & 0x7F }
  private var lengthSize: Int { shortLength == 127 ? 8 : shortLength == 126 ? 2 : 0 }
  private var headerSize: Int { headerCount < 2 ? 2 : 2 + lengthSize + (isMasked ? 4 : 0) }

  /// What is wrong with a header's first two bytes.
  private mutating func checkHeader() -> StaticString? {
    let isFinal = header[0] & 0x80 != 0
    if header[0] & 0x30 != 0 { return "a reserved bit is set" }
    if header[0] & 0x40 != 0 { return "a compressed frame, which was not agreed on" }
    guard let opcode = WebSocketOpcode(rawValue: header[0] & 0x0F) else { return "unknown opcode" }
    self.opcode = opcode
    switch masking {
    case .required: if !isMasked { return "a frame without a mask" }
    case .forbidden: if isMasked { return "a masked frame from a server" }
    case .optional: break
    }
    if opcode.isControl {
      if Int(shortLength) > WebSocketFrame.controlMax { return "a control frame longer than 125 bytes" }
      return isFinal ? nil : "a control frame in pieces"
    }
    if opcode == .continuation {
      if !isWithinMessage { return "a continuation of nothing" }
    } else if isWithinMessage {
      return "a message within another"
    }
    isWithinMessage = !isFinal
    return nil
  }

  /// Reads the rest of the header, and begins the payload; false when the length has its highest bit set.
  private mutating func startPayload() -> Bool {
    headerCount = 0
    phase = 0
    rest = lengthSize == 0 ? UInt64(shortLength) : 0
    for index in 0..<lengthSize { rest = rest << 8 | UInt64(header[2 + index]) }
    key = 0
    if isMasked { for index in 0..<4 { key |= UInt32(header[2 + lengthSize + index]) << UInt32(8 * index) } }
    return rest <= UInt64(Int64.max)
  }
}
