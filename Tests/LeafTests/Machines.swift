// The state machines under test cannot be copied, which #expect would do with what it looks into; so they stand in classes here.
import Bytes

@testable import Leaf

final class Handshake {
  private var machine: LeafHandshake
  init(mode: LeafCompressionMode) { machine = LeafHandshake(mode: mode) }
  func received(_ info: LeafInfo) -> LeafHandshake.Action { machine.received(info) }
  var isEstablished: Bool { machine.isEstablished }
  var choice: LeafCompressionChoice? { machine.choice }
}

final class Acceptance {
  private var machine: LeafAcceptHandshake
  init(mode: LeafCompressionMode) { machine = LeafAcceptHandshake(mode: mode) }
  func receivedInfo(_ compression: ByteString?) -> LeafAcceptHandshake.Action { machine.receivedInfo(compression: compression) }
  func receivedConnect() -> LeafAcceptHandshake.Action { machine.receivedConnect() }
  var choice: LeafCompressionChoice? { machine.choice }
}

final class Forward {
  typealias Action = ForwardMachine.Action
  private var machine: ForwardMachine

  init(progress: ForwardProgress, last: UInt64, window: Int = ForwardMachine.windowDefault, setsAside: Bool = false) {
    machine = ForwardMachine(progress: progress, last: last, window: window, setsAside: setsAside)
  }

  var state: ForwardMachine.State { machine.state }
  var progress: ForwardProgress { machine.progress }
  var next: UInt64 { machine.next }
  var inFlightCount: Int { machine.inFlightCount }
  var maySend: Bool { machine.maySend }
  var delivered: UInt64 { machine.delivered }
  var duplicates: UInt64 { machine.duplicates }
  var refusals: ForwardRefusals { machine.refusals }
  var setAside: UInt64 { machine.setAside }
  var resent: UInt64 { machine.resent }
  func wants(_ sequence: UInt64) -> Bool { machine.wants(sequence) }

  func linkUp(now_ms: Int64) -> [Action] { machine.linkUp(now_ms: now_ms) }
  func linkDown() { machine.linkDown() }
  func foundStreams(_ streams: [(name: ByteString, last: UInt64)], takesBatches: Bool = false, now_ms: Int64) -> [Action] {
    machine.foundStreams(streams.map { ($0.name, $0.last, takesBatches) }, now_ms: now_ms)
  }
  func requestFailed(_ text: String, now_ms: Int64) -> [Action] { machine.requestFailed(text, now_ms: now_ms) }
  func progressSaved(now_ms: Int64) -> [Action] { machine.progressSaved(now_ms: now_ms) }
  func scanCreated(pending: UInt64, now_ms: Int64) -> [Action] { machine.scanCreated(pending: pending, now_ms: now_ms) }
  func notTaken(_ sequence: UInt64, subject: UInt64? = nil, _ text: String, _ kind: ForwardRefusal = .other, now_ms: Int64) -> [Action] {
    machine.notTaken(sequence, subject: subject ?? sequence, text, kind, now_ms: now_ms)
  }
  func isSetAside(_ sequence: UInt64, now_ms: Int64) -> [Action] { machine.isSetAside(sequence, now_ms: now_ms) }
  func notSetAside(_ sequence: UInt64, _ text: String, now_ms: Int64) -> [Action] { machine.notSetAside(sequence, text, now_ms: now_ms) }
  func scanned(_ sequence: UInt64?, pending: UInt64, endOfBatch: Bool, now_ms: Int64) -> [Action] {
    machine.scanned(sequence, pending: pending, endOfBatch: endOfBatch, now_ms: now_ms)
  }
  func maySend(subject: UInt64) -> Bool { machine.maySend(subject: subject) }
  /// Without a subject the message has one of its own.
  func sent(
    _ sequence: UInt64, subject: UInt64? = nil, size: Int, _ placement: ForwardPlacement = .alone, now_ms: Int64
  ) -> [Action] {
    machine.sent(sequence, subject: subject ?? sequence, size: size, placement, now_ms: now_ms)
  }
  func passed(_ sequence: UInt64) { machine.passed(sequence) }
  @discardableResult func exhausted(now_ms: Int64 = 0) -> [Action] { machine.exhausted(now_ms: now_ms) }
  func placement(waiting: UInt64, size: Int = 100) -> ForwardPlacement { machine.placement(size: size, waiting: waiting) }
  func closeBatch(now_ms: Int64) -> [Action] { machine.closeBatch(now_ms: now_ms) }
  func batchGoesOn(_ number: UInt64, now_ms: Int64) { machine.batchGoesOn(number, now_ms: now_ms) }
  func batchStored(_ number: UInt64, count: UInt64, hubSequence: UInt64, now_ms: Int64) -> [Action] {
    machine.batchStored(number, count: count, hubSequence: hubSequence, now_ms: now_ms)
  }
  func batchRefused(_ number: UInt64, isForGood: Bool = false, now_ms: Int64) -> [Action] {
    machine.batchRefused(number, isForGood: isForGood, now_ms: now_ms)
  }
  func acknowledged(_ sequence: UInt64, hubSequence: UInt64, duplicate: Bool, now_ms: Int64) -> [Action] {
    machine.acknowledged(sequence, hubSequence: hubSequence, duplicate: duplicate, now_ms: now_ms)
  }
  func refused(_ sequence: UInt64, _ text: String, _ kind: ForwardRefusal = .other, now_ms: Int64) -> [Action] {
    machine.refused(sequence, text, kind, now_ms: now_ms)
  }
  func wake(now_ms: Int64) -> [Action] { machine.wake(now_ms: now_ms) }
}
