// $JS.API.DIRECT.GET (section 10.2): the message itself as the answer, or a status.
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

extension JetStream {
  func directGet(_ request: APIRequest) {
    // Nobody to answer.
    guard !request.reply.isEmpty else { return }
    guard let name = request.token(2), let stream = directSource(name) else { return noResponders(request) }
    if let level = request.headers.value("Nats-Required-Api-Level"), !JetStream.isLevelSupported(level) {
      return status(request, "412 Required Api Level")
    }
    var wanted = GetRequest()
    if let subject = request.rest(from: 3) {
      if !request.body.isEmpty {
        // Unknown fields are passed over here even in strict mode, as nats-server does.
        guard let decoded = try? GetRequest.decode(request.body, strict: false) else {
          return status(request, "408 Malformed Request")
        }
        guard decoded.isEmpty, decoded.batch == 0, decoded.upToSequence == 0, decoded.upToTime_ns == nil else {
          return status(request, "408 Bad Request")
        }
        wanted.noHeaders = decoded.noHeaders
      }
      wanted.lastBySubject = ByteString(subject)
    } else {
      if request.isEmptyRequest { return status(request, "408 Empty Request") }
      guard let decoded = try? GetRequest.decode(request.body, strict: false) else {
        return status(request, "408 Malformed Request")
      }
      wanted = decoded
      if wanted.isEmpty { return status(request, "408 Empty Request") }
      if wanted.isContradictory { return status(request, "408 Bad Request") }
    }
    if !wanted.multiLast.isEmpty {
      directMultiLast(stream, wanted, request)
    } else if wanted.batch != 0 {
      directBatch(stream, wanted, request)
    } else {
      let reply = request.replySubject
      MessageSearch.find(wanted, in: stream) { [unowned(unsafe) self] sequence in  // the engine lives as long as its host
        let isSent = reply.withView { reply in sequence.map { send(stream, $0, reply, wanted) } ?? false }
        if !isSent { status(reply, "404 Message Not Found") }
      }
    }
  }

  /// The stream that answers direct gets for `name`: that stream itself, or a mirror of it.
  private func directSource(_ name: ByteView) -> Stream? {
    if let stream = table[name] { return stream.config.allowDirect ? stream : nil }
    var found: Stream?
    table.forEach { _, stream in
      if let mirror = stream.config.mirror, mirror.name == name, stream.answersForOrigin { found = stream }
    }
    return found
  }

  /// Sends one message; `pending` and `last` are what the messages of a batch say beside it.
  fileprivate func send(
    _ stream: Stream, _ sequence: UInt64, _ reply: ByteView, _ wanted: GetRequest, pending: Int? = nil, last: UInt64 = 0,
    size: ((Int) -> Void)? = nil
  ) -> Bool {
    let outcome = stream.read(sequence) { message in
      size?(message.subject.count + message.headers.count + message.payload.count)
      if wanted.noHeaders {
        account.publish(Message(subject: reply, payload: message.payload))
        return
      }
      var headers = HeaderBuilder(continuing: message.headers)
      headers.add("Nats-Stream", stream.name)
      headers.add("Nats-Subject", message.subject)
      headers.add("Nats-Sequence", decimal: message.sequence)
      headers.add("Nats-Time-Stamp", RFC3339.format(message.timestamp_ns))
      if let pending {
        headers.add("Nats-Num-Pending", decimal: pending)
        headers.add("Nats-Last-Sequence", decimal: last)
      }
      _ = headers.block.withView { account.publish(Message(subject: reply, headers: $0, payload: message.payload)) }
    }
    return outcome.isFound
  }

  private func directBatch(_ stream: Stream, _ wanted: GetRequest, _ request: APIRequest) {
    let filters =
      wanted.nextBySubject.isEmpty || wanted.nextBySubject.withView { stream.isCovered(by: $0) } ? [] : [wanted.nextBySubject]
    var next = max(wanted.sequence, stream.firstSequence)
    if let time_ns = wanted.startTime_ns {
      guard let first = try? stream.sequence(atOrAfter: time_ns) else { return status(request, "404 Message Not Found") }
      next = first
    }
    DirectBatch(self, stream, wanted, filters, request, next: next).count()
  }

  /// Most subjects that one multi_last request may ask for.
  private static let multiLastMax = 1024

  private func directMultiLast(_ stream: Stream, _ wanted: GetRequest, _ request: APIRequest) {
    var upTo = wanted.upToSequence > 0 ? wanted.upToSequence : stream.lastSequence
    if let time_ns = wanted.upToTime_ns {
      guard let behind = time_ns < Int64.max ? try? stream.sequence(atOrAfter: time_ns + 1) : nil else {
        return multiLast(stream, wanted, request, upTo: stream.lastSequence)
      }
      upTo = behind - 1
    }
    multiLast(stream, wanted, request, upTo: upTo)
  }

  private func multiLast(_ stream: Stream, _ wanted: GetRequest, _ request: APIRequest, upTo: UInt64) {
    guard let lasts = LastMessages(stream, matching: wanted.multiLast, upTo: upTo, limit: JetStream.multiLastMax) else {
      return status(request, "413 Too Many Results")
    }
    // Without headers nobody could tell the subjects apart: nats-server does not leave them away here.
    var wanted = wanted
    wanted.noHeaders = false
    DirectBatch(self, stream, wanted, [], request, next: stream.firstSequence).find(lasts)
  }

  fileprivate func end(_ reply: ByteString, pending: Int, last: UInt64, upTo: UInt64?) {
    var headers = HeaderBuilder(status: "204 EOB")
    headers.add("Nats-Num-Pending", decimal: pending)
    headers.add("Nats-Last-Sequence", decimal: last)
    if let upTo { headers.add("Nats-UpTo-Sequence", decimal: upTo) }
    account.publish(to: reply, [], headers: headers.block)
  }

  /// Answers with nothing but a status line.
  func status(_ request: APIRequest, _ text: StaticString) { status(request.replySubject, text) }

  fileprivate func status(_ reply: ByteString, _ text: StaticString) {
    account.publish(to: reply, [], headers: HeaderBuilder(status: text).block)
  }

  /// Answers as the router does for a subject that nobody listens to: the request's subject belongs to a stream or consumer that is
  /// not there (section 1.1).
  public func noResponders(_ request: APIRequest) {
    guard !request.reply.isEmpty else { return }
    var headers = HeaderBuilder(status: "503")
    headers.add("Nats-Subject", request.message.subject)
    account.publish(to: request.replySubject, [], headers: headers.block)
  }
}

extension GetRequest {
  /// After so many bytes an answer ends: nats-server's max_pending where the request does not say.
  fileprivate var bytesMax: Int { maxBytes > 0 ? maxBytes : 64 << 20 }
}

/// A batch of messages on its way to who asked; a long one goes on in later turns, while somebody listens.
private final class DirectBatch {
  private unowned(unsafe) let engine: JetStream  // safe: it outlives what its host runs
  private let stream: Stream
  private let wanted: GetRequest
  private let filters: [ByteString]
  private let reply: ByteString
  private var next: UInt64
  private var pending = 0
  /// What is said at the end when the messages do not say it themselves.
  private var pendingAtBegin = 0
  private var counting: PendingCount?
  private var sent = 0
  private var bytes = 0
  private var last: UInt64 = 0
  private let timer = Timer()
  /// From then on it ends when nobody listens (monotonic): interest from a leaf link may come after the request.
  private let mustBeWantedFrom_ns: Int64
  /// Of a multi_last request: the last message of each subject, as they are found, and up to where they count.
  private var lasts: LastMessages?
  private var upTo: UInt64?
  /// Of a multi_last request: what is sent, ascending.
  private var chosen: [UInt64] = []

  /// As nats-server's: how long interest may take.
  private static let grace_ns = 2 * second_ns
  /// Messages that are searched through before others get their turn: a few milliseconds' worth.
  private static let searchMax = 4096

  init(
    _ engine: JetStream, _ stream: Stream, _ wanted: GetRequest, _ filters: [ByteString], _ request: APIRequest, next: UInt64
  ) {
    self.engine = engine
    self.stream = stream
    self.wanted = wanted
    self.filters = filters
    reply = request.replySubject
    self.next = next
    mustBeWantedFrom_ns = engine.host.clock.monotonic_ns + (request.source.kind == .leaf ? Self.grace_ns : 0)
  }

  private var isDeserted: Bool {
    engine.host.clock.monotonic_ns >= mustBeWantedFrom_ns && !reply.withView { engine.account.interest.hasInterest(in: $0) }
  }

  private func later(_ action: @escaping () -> Void) { engine.host.after(0, timer, action) }

  /// Counts what there is, and sends it.
  func count() {
    var counting = counting ?? PendingCount(stream.log, matching: filters, from: next)
    var left = engine.readShare(Self.searchMax)
    let before = left
    let progress = counting.goOn(stream.log, left: &left)
    engine.hasRead(before - left)
    if progress == .unfinished {
      guard !isDeserted, !stream.isDeleted else { return }
      self.counting = counting
      return later { [self] in count() }
    }
    pending = max(counting.count, 0)
    pendingAtBegin = pending
    guard pending > 0 else { return engine.status(reply, "404 Message Not Found") }
    run()
  }

  /// Finds the last messages of subjects, and sends them.
  func find(_ subjects: LastMessages) {
    upTo = subjects.upTo
    var lasts = subjects
    var left = engine.readShare(Self.searchMax)
    let before = left
    let progress = lasts.goOn(stream, left: &left)
    engine.hasRead(before - left)
    guard progress == .unfinished else { return choose(lasts.found) }
    guard !isDeserted, !stream.isDeleted else { return }
    self.lasts = lasts
    later { [self] in if let lasts = self.lasts { find(lasts) } }
  }

  /// `found` is ascending.
  private func choose(_ found: [UInt64]) {
    chosen = found.filter { $0 >= wanted.sequence }
    pending = chosen.count
    if chosen.isEmpty { return engine.status(reply, "404 No Results") }
    run()
  }

  func run() {
    let host = engine.host
    let end_ns = host.clock.monotonic_ns + Stream.stepMax_ns
    let batch = upTo != nil && wanted.batch <= 0 ? Int.max : wanted.batch
    if isDeserted { return }
    var left = engine.readShare(Self.searchMax)
    let before = left
    while sent < batch, pending > 0, bytes < wanted.bytesMax, sendNext(&left) {
      guard host.clock.monotonic_ns < end_ns, left > 0 else {
        engine.hasRead(before - left)
        return later { [self] in run() }
      }
    }
    engine.hasRead(before - left)
    engine.end(reply, pending: wanted.noHeaders ? pendingAtBegin : pending, last: last, upTo: upTo)
  }

  /// Sends the next message, reading `left` at most to find it. False when there is none; without one and with nothing left it may be
  /// further on.
  private func sendNext(_ left: inout Int) -> Bool {
    guard !stream.isDeleted else { return false }
    var found: UInt64?
    if upTo != nil {
      found = chosen[chosen.count - pending]
    } else {
      var reached: UInt64 = 0
      let through = stream.lastSequence
      let outcome = stream.next(from: next, through: through, matching: filters, left: &left, reached: &reached) { found = $0.sequence }
      if outcome == .none, reached < through {
        next = reached + 1
        left = 0
        return true
      }
    }
    guard let sequence = found else { return false }
    pending -= 1
    let isSent = reply.withView { reply in
      engine.send(stream, sequence, reply, wanted, pending: pending, last: last, size: { self.bytes += $0 })
    }
    // One of the chosen may be gone meanwhile.
    guard isSent else { return upTo != nil }
    last = sequence
    next = sequence + 1
    sent += 1
    return true
  }
}
