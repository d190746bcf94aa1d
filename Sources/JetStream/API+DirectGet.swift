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
        guard let decoded = try? GetRequest.decode(request.body, strict: options.strict) else {
          return status(request, "408 Malformed Request")
        }
        guard decoded.isEmpty, decoded.batch == 0 else { return status(request, "408 Bad Request") }
        wanted.noHeaders = decoded.noHeaders
      }
      wanted.lastBySubject = ByteString(subject)
    } else {
      if request.isEmptyRequest { return status(request, "408 Empty Request") }
      guard let decoded = try? GetRequest.decode(request.body, strict: options.strict) else {
        return status(request, "408 Malformed Request")
      }
      wanted = decoded
      if wanted.isEmpty, wanted.batch == 0 { return status(request, "408 Empty Request") }
      if wanted.isContradictory { return status(request, "408 Bad Request") }
    }
    if !wanted.multiLast.isEmpty {
      directMultiLast(stream, wanted, request)
    } else if wanted.batch > 0 {
      directBatch(stream, wanted, request)
    } else {
      guard let sequence = stream.find(wanted), send(stream, sequence, request.reply, wanted) else {
        return status(request, "404 Message Not Found")
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
      if wanted.noHeaders, pending == nil {
        account.publish(Message(subject: reply, payload: message.payload))
        return
      }
      var headers = wanted.noHeaders ? HeaderBuilder() : HeaderBuilder(continuing: message.headers)
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
    let pending = stream.pending(matching: filters, from: next)
    guard pending > 0 else { return status(request, "404 Message Not Found") }
    DirectBatch(self, stream, wanted, filters, reply: request.replySubject, next: next, pending: pending).run()
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
    let found = stream.lastSequences(matching: wanted.multiLast, upTo: upTo, limit: JetStream.multiLastMax)
    guard let found else { return status(request, "413 Too Many Results") }
    let sequences = found.filter { $0 >= wanted.sequence }
    guard !sequences.isEmpty else { return status(request, "404 No Results") }
    var pending = sequences.count
    var bytes = 0
    var last: UInt64 = 0
    for sequence in wanted.batch > 0 ? sequences.prefix(wanted.batch) : sequences[...] {
      pending -= 1
      guard send(stream, sequence, request.reply, wanted, pending: pending, last: last, size: { bytes += $0 }) else { continue }
      last = sequence
      if bytes >= wanted.bytesMax { break }
    }
    end(request.replySubject, pending: pending, last: last, upTo: upTo)
  }

  fileprivate func end(_ reply: ByteString, pending: Int, last: UInt64, upTo: UInt64?) {
    var headers = HeaderBuilder(status: "204 EOB")
    headers.add("Nats-Num-Pending", decimal: pending)
    headers.add("Nats-Last-Sequence", decimal: last)
    if let upTo { headers.add("Nats-UpTo-Sequence", decimal: upTo) }
    account.publish(to: reply, [], headers: headers.block)
  }

  /// Answers with nothing but a status line.
  func status(_ request: APIRequest, _ text: StaticString) {
    account.publish(to: request.replySubject, [], headers: HeaderBuilder(status: text).block)
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

/// A batch of messages on its way to who asked; a long one goes on in later turns.
private final class DirectBatch {
  private unowned(unsafe) let engine: JetStream  // safe: it outlives what its host runs
  private let stream: Stream
  private let wanted: GetRequest
  private let filters: [ByteString]
  private let reply: ByteString
  private var next: UInt64
  private var pending: Int
  private var sent = 0
  private var bytes = 0
  private var last: UInt64 = 0
  private let timer = Timer()

  init(
    _ engine: JetStream, _ stream: Stream, _ wanted: GetRequest, _ filters: [ByteString], reply: ByteString, next: UInt64, pending: Int
  ) {
    self.engine = engine
    self.stream = stream
    self.wanted = wanted
    self.filters = filters
    self.reply = reply
    self.next = next
    self.pending = pending
  }

  func run() {
    let host = engine.host
    let end_ns = host.clock.monotonic_ns + Stream.stepMax_ns
    while sent < wanted.batch, pending > 0, bytes < wanted.bytesMax, sendNext() {
      guard host.clock.monotonic_ns < end_ns else {
        host.after(0, timer) { [self] in run() }
        return
      }
    }
    engine.end(reply, pending: pending, last: last, upTo: nil)
  }

  private func sendNext() -> Bool {
    var found: UInt64?
    stream.next(from: next, through: stream.lastSequence, matching: filters) { found = $0.sequence }
    guard let sequence = found, !stream.isDeleted else { return false }
    pending -= 1
    let isSent = reply.withView { reply in
      engine.send(stream, sequence, reply, wanted, pending: pending, last: last, size: { self.bytes += $0 })
    }
    guard isSent else { return false }
    last = sequence
    next = sequence + 1
    sent += 1
    return true
  }
}

extension Stream {
  /// The last messages of the subjects that `filters` match, at or before `upTo`, ascending; nil when there are more than `limit`.
  func lastSequences(matching filters: [ByteString], upTo: UInt64, limit: Int) -> [UInt64]? {
    var wanted = ByteMap<UInt64>()
    for filter in filters {
      filter.withView { filter in
        subjects.forEach(matching: filter) { subject, state in
          if state.first <= upTo { wanted.set(ByteString(subject), 0) }
        }
      }
    }
    guard wanted.count <= limit else { return nil }
    if upTo >= lastSequence {
      return wanted.keys.compactMap { $0.withView { lastSequence(of: $0) } }.ordered()
    }
    scan(from: firstSequence) { message in
      guard message.sequence <= upTo else { return false }
      wanted.update(message.subject) { $0 = message.sequence }
      return true
    }
    var found: [UInt64] = []
    wanted.forEach { _, sequence in if sequence > 0 { found.append(sequence) } }
    return found.ordered()
  }
}
