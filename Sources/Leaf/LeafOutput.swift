// What a leaf link sends: operations of the leaf protocol, plain or compressed at the end of each loop turn.
import Broker
import Bytes
import Compression
import Platform

/// The sending half of a leaf link. Before compression is agreed everything goes to the stream as it is; afterwards it is collected
/// and leaves as S2 at the end of the turn.
final class LeafOutput {
  /// Where it goes; replaced once when TLS begins.
  var stream: ByteStream
  /// What waits to be compressed; nil on a plain link.
  private var plain: OutputBuffer?
  private var encoder: S2StreamEncoder?
  private let scratch: S2Scratch
  /// How much to compress; may change at any time.
  var level = CompressionLevel.uncompressed {
    didSet { encoder?.level = level }
  }
  /// Bytes before compression.
  private(set) var plainBytes = 0

  init(stream: ByteStream, scratch: S2Scratch) {
    self.stream = stream
    self.scratch = scratch
  }

  var pending: Int { stream.output.count + (plain?.count ?? 0) }

  private var target: OutputBuffer { plain ?? stream.output }

  /// From now on everything is compressed.
  func compress(_ level: CompressionLevel) {
    precondition(plain == nil, "a link switches to compression once")
    self.level = level
    plain = OutputBuffer()
    encoder = S2StreamEncoder(level: level)
  }

  func append(literal: StaticString) {
    target.append(literal: literal)
    stream.wantsFlush()
  }
  func append(_ bytes: [UInt8]) {
    target.append(bytes)
    stream.wantsFlush()
  }
  func append(_ string: ByteString) {
    target.append(string)
    stream.wantsFlush()
  }

  /// The last plain bytes are on their way before the switch.
  func flushPlain() { stream.wantsFlush() }

  /// Compresses what was collected in this turn.
  func flush() {
    guard let plain, encoder != nil, plain.count > 0 else { return }
    plainBytes += plain.count
    plain.forEachPiece(limit: Int.max) { piece in
      encoder!.add(piece, scratch: scratch) { stream.output.append($0) }
    }
    encoder!.finish(scratch: scratch) { stream.output.append($0) }
    plain.removeAll()
    stream.wantsFlush()
  }

  func interest(_ subject: ByteString, _ queue: ByteString?, _ change: LeafInterest.Change) {
    let out = target
    switch change {
    case .none: return
    case .add(let weight):
      out.append(literal: "LS+ ")
      out.append(subject)
      if let queue {
        out.append(literal: " ")
        out.append(queue)
        out.append(literal: " ")
        Decimal.withDigits(of: weight) { out.append($0) }
      }
    case .remove:
      out.append(literal: "LS- ")
      out.append(subject)
      if let queue {
        out.append(literal: " ")
        out.append(queue)
      }
    }
    out.append(literal: "\r\n")
    stream.wantsFlush()
  }

  /// `LMSG` or, with headers, `HMSG` (leafnode-protocol.md section 11). Without `headers` the block is left out.
  func message(_ message: Message, queues: [ByteString], headers: Bool) {
    let headerBlock = headers ? message.headers : ByteView()
    let size = headerBlock.count + message.payload.count
    // A delivery whose subject is not the routing subject carries it behind the reply (section 13.4).
    let suffix = message.reply.isEmpty ? ByteView() : message.presentedSubject
    var room = 64 + message.subject.count + message.reply.count + suffix.count + size
    for queue in queues { room += queue.count + 1 }
    let subject = message.subject
    let reply = message.reply
    let payload = message.payload
    target.reserve(room) { start in
      var cursor = ByteCursor(start)
      cursor.put(literal: headerBlock.isEmpty ? "LMSG " : "HMSG ")
      cursor.put(subject)
      cursor.put(ASCII.space)
      if !queues.isEmpty {
        cursor.put(reply.isEmpty ? ASCII.bar : ASCII.plus)
        cursor.put(ASCII.space)
      }
      if !reply.isEmpty {
        cursor.put(reply)
        if !suffix.isEmpty {
          cursor.put(ASCII.at)
          cursor.put(suffix)
        }
        cursor.put(ASCII.space)
      }
      for queue in queues {
        cursor.put(queue)
        cursor.put(ASCII.space)
      }
      if !headerBlock.isEmpty {
        cursor.put(decimal: headerBlock.count)
        cursor.put(ASCII.space)
      }
      cursor.put(decimal: size)
      cursor.lineEnd()
      if !headerBlock.isEmpty { cursor.put(headerBlock) }
      if !payload.isEmpty { cursor.put(payload) }
      cursor.lineEnd()
      return cursor.next - start
    }
    stream.wantsFlush()
  }
}
