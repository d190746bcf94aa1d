// The operations of the leaf protocol as this side says them (leafnode-protocol.md section 11).
import Broker
import Bytes
import Platform

extension LeafOutput {
  func append(literal: StaticString) { append(ByteView(literal)) }
  func append(_ bytes: [UInt8]) { bytes.withView { append($0) } }
  func append(_ string: ByteString) { string.withView { append($0) } }

  /// Part of an operation, or one; it ends with a line feed.
  private func append(_ part: ByteView) {
    guard part.count > 0 else { return }
    target(.ordinary).append(part)
    added(part.count, .ordinary, ends: part[part.count - 1] == ASCII.lineFeed)
  }

  func ping() {
    keepalive("PING\r\n")
    pingWaits()
  }
  /// One answers all PINGs that came since the last flush: many may come in few compressed bytes.
  func pong() {
    guard !hasPong else { return }
    hasPong = true
    keepalive("PONG\r\n")
  }

  private func keepalive(_ operation: StaticString) {
    target(.urgent).append(literal: operation)
    added(operation.utf8CodeUnitCount, .urgent)
  }

  func interest(_ subject: ByteString, _ queue: ByteString?, _ change: LeafInterest.Change) {
    let out = target(.ordinary)
    let before = out.count
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
    added(out.count - before, .ordinary)
  }

  /// `LMSG` or, with headers, `HMSG`. Without `headers` the block is left out.
  func message(_ message: Message, queues: [ByteString], headers: Bool, lane: Lane) {
    let headerBlock = headers ? message.headers : ByteView()
    let size = headerBlock.count + message.payload.count
    // A delivery whose subject is not the routing subject carries it behind the reply (section 13.4).
    let suffix = message.reply.isEmpty ? ByteView() : message.presentedSubject
    var room = 64 + message.subject.count + message.reply.count + suffix.count + size
    for queue in queues { room += queue.count + 1 }
    let subject = message.subject
    let reply = message.reply
    let payload = message.payload
    var written = 0
    target(lane).reserve(room) { start in
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
      written = cursor.next - start
      return written
    }
    added(written, lane)
  }
}
