// $JS.API.CONSUMER.CREATE and DURABLE.CREATE (sections 11.2 to 11.4, 11.7).
import Broker
import Bytes
import Identity
import Interest
import JSON
import LogStore
import Platform

extension ConsumerEngine {
  /// `CREATE.<stream>[.<consumer>[.<filter…>]]`
  func create(_ request: APIRequest) {
    let type: StaticString = "consumer_create"
    do throws(APIError) {
      var body = try ConsumerCreateRequest.decode(request.body, strict: jetStream.options.strict)
      try jetStream.checkLevel(request)
      guard let streamName = request.token(2) else { return }
      guard body.stream == streamName else { throw .nameMismatch }
      let name = request.token(3).map { ByteString($0) }
      if let name {
        try checkSeparators(name)
        if !body.config.durable.isEmpty, body.config.durable != name { throw .durableMismatch }
        if let filter = request.rest(from: 4) {
          if !body.config.filterList.isEmpty { throw .filtersInSubject }
          guard body.config.filter == filter else { throw .filterMismatch }
        }
        body.config.name = name
      } else {
        if !body.config.durable.isEmpty { throw .durableUnexpected }
        try checkSeparators(body.config.name)
      }
      try create(body, name, request, streamName)
    } catch { jetStream.fail(request, type, error) }
  }

  /// `DURABLE.CREATE.<stream>.<consumer>`
  func createDurable(_ request: APIRequest) {
    let type: StaticString = "consumer_create"
    do throws(APIError) {
      var body = try ConsumerCreateRequest.decode(request.body, strict: jetStream.options.strict)
      try jetStream.checkLevel(request)
      guard let streamName = request.token(3), let token = request.token(4) else { return }
      guard body.stream == streamName else { throw .nameMismatch }
      let name = ByteString(token)
      try checkSeparators(name)
      if body.config.durable.isEmpty { throw .durableMissing }
      if body.config.durable != name { throw .durableMismatch }
      if !body.config.name.isEmpty, body.config.name != name {
        throw APIError(400, 10132, "Consumer Durable and Name have to be equal if both are provided")
      }
      body.config.name = name
      try create(body, name, request, streamName)
    } catch { jetStream.fail(request, type, error) }
  }

  private func checkSeparators(_ name: ByteString) throws(APIError) {
    for byte in name.bytes where byte == ASCII.slash || byte == ASCII.backslash { throw .consumerPathSeparator }
  }

  private func create(
    _ body: ConsumerCreateRequest, _ name: ByteString?, _ request: APIRequest, _ streamName: ByteView
  ) throws(APIError) {
    if body.config.replicas > 1 { throw .replicas }
    guard let stream = jetStream.stream(streamName) else { throw .streamNotFound }
    served.asked(reply: request.reply)
    var (config, name) = (body.config, name)
    let headers = try adaptSourcing(&config, &name, stream, request)
    let consumer = try createOrUpdate(stream, name: name ?? config.name, config, action: body.action, pedantic: body.pedantic)
    if request.source.kind == .leaf { served.serves(consumer, over: request.source.id) }
    if consumer.isPaused { consumer.advisePause() }
    succeeds(consumer)
    // The answer is a picture from before the first delivery, which comes at the end of the turn or when all is counted.
    let kept = KeptRequest(request)
    consumer.whenCounted { [unowned(unsafe) self] in  // the engine lives as long as its consumers
      var response = APIResponse("consumer_create")
      consumer.writeInfo(to: &response.json, version: true)
      if consumer.isPersistent {
        jetStream.answerWhenDurable(kept, response.finish(), headers: headers)
      } else {
        jetStream.answer(kept, response.finish(), headers: headers)
      }
    }
  }

  /// Makes a consumer, or brings an existing one up to `requested`. An empty `name` asks for one of the server's choice.
  func createOrUpdate(
    _ stream: Stream, name: ByteString, _ requested: ConsumerConfig, action: ConsumerCreateRequest.Action, pedantic: Bool
  ) throws(APIError) -> Consumer {
    var config = requested
    let limits = try jetStream.applicableLimits()
    try config.setDefaults(stream: stream.config, account: limits, pedantic: pedantic)
    try config.check(name: name, stream: stream.config, account: limits)
    config.stampMetadata()
    if !name.isEmpty, let existing = existing(stream, name) {
      if stream.config.retention == .workqueue, !isPartition(config, of: stream, except: name) { throw .workqueueNotUnique }
      try update(existing, config, action: action)
      return existing
    }
    if action == .update { throw .consumerMissing }
    try checkCounts(stream)
    if stream.config.retention == .workqueue, !config.direct, !config.sourcing { try checkWorkqueue(stream, config) }
    let chosen = name.isEmpty ? freeName(stream) : name
    let first = try jetStream.firstSequence(config, stream)
    // Never older than its stream, even when the wall clock went back: recovery tells by that whose it is.
    let consumer = Consumer(
      engine: self, stream: stream, name: chosen, config: config, created_ns: max(host.clock.wall_ns, stream.created_ns),
      state: ConsumerState(first: first))
    if config.deliverPolicy == .lastPerSubject, stream.config.maxMessagesPerSubject != 1, stream.lastSequence > 0 {
      consumer.resumeAfter = stream.lastSequence
      consumer.select()
      var left = Consumer.countMax
      _ = consumer.goOnSelecting(left: &left)
    }
    consumer.writeNew()
    add(consumer)
    consumer.adviseCreated()
    return consumer
  }

  private func existing(_ stream: Stream, _ name: ByteString) -> Consumer? {
    ConsumerEngine.key(stream: stream.name, name: name).withView { consumer($0) }
  }

  private func freeName(_ stream: Stream) -> ByteString {
    var name = ByteString(host.entropy.name(8))
    while existing(stream, name) != nil { name = ByteString(host.entropy.name(8)) }
    return name
  }

  private func checkCounts(_ stream: Stream) throws(APIError) {
    let account = try jetStream.applicableLimits().consumersMax
    var limit = stream.config.maxConsumers
    if limit <= 0 || (account > 0 && account < limit) { limit = account }
    if limit > 0, stream.consumerCount >= limit { throw .consumersMaximum }
  }

  private func checkWorkqueue(_ stream: Stream, _ config: ConsumerConfig) throws(APIError) {
    if config.ackPolicy != .explicit, config.ackPolicy != .flowControl {
      throw APIError(400, 10098, "workqueue stream requires explicit ack")
    }
    if config.deliverPolicy != .all { throw APIError(400, 10101, "consumer must be deliver all on workqueue stream") }
    guard stream.consumerCount > 0 else { return }
    if config.filters.isEmpty { throw APIError(400, 10099, "multiple non-filtered consumers not allowed on workqueue stream") }
    if !isPartition(config, of: stream, except: ByteString()) { throw .workqueueNotUnique }
  }

  /// Whether no other consumer of a work queue gets messages that one with this configuration would get.
  private func isPartition(_ config: ConsumerConfig, of stream: Stream, except name: ByteString) -> Bool {
    for mine in config.filters {
      for other in consumers(of: stream) where other.name != name {
        if other.config.filters.isEmpty { return false }
        for theirs in other.config.filters where Subject.overlap(mine, theirs) { return false }
      }
    }
    return true
  }

  private func update(
    _ consumer: Consumer, _ requested: ConsumerConfig, action: ConsumerCreateRequest.Action
  ) throws(APIError) {
    var config = requested
    // A pause is changed by PAUSE only.
    config.pauseUntil_ns = consumer.config.pauseUntil_ns
    config.stampMetadata()
    guard config != consumer.config else { return }
    if action == .create { throw .consumerExists }
    try consumer.config.checkUpdate(to: config)
    if config.deliverSubject != consumer.config.deliverSubject, consumer.isBound { throw .consumerNameInUse }
    consumer.change(to: config)
    // A stream that sources goes on where it acknowledged.
    if config.sourcing { _ = try consumer.reset(to: 0) }
  }
}

extension Consumer {
  /// Takes over a configuration that was checked.
  func change(to new: ConsumerConfig) {
    let old = config
    config = new
    if new.filters != old.filters {
      chooseFilters()
      isCounted = false
      stream.interestLost(from: state.floor.stream + 1)
    }
    writeConfig()
    lastActivity_ns = host.clock.monotonic_ns
    settingsChanged()
    if new.deliverSubject != old.deliverSubject {
      state.refuseAll(maxDeliver: new.maxDeliver)
      push.wasBound = false
    }
    if new.deliverSubject != old.deliverSubject || new.deliverGroup != old.deliverGroup { bindingChanged() }
    // Waits may be shorter now; the timer finds out.
    schedule(at: host.clock.monotonic_ns)
    deliverSoon()
  }
}

extension JetStream {
  /// Where a consumer begins, or the error to answer: it must not begin somewhere else because of a failed read.
  func firstSequence(_ config: ConsumerConfig, _ stream: Stream) throws(APIError) -> UInt64 {
    do throws(StoreError) { return try config.firstSequence(in: stream) } catch { throw apiError(error) }
  }
}

extension ConsumerConfig {
  /// Where a new consumer of `stream` begins (section 11.7). Throws when it takes reading and the stream cannot be read.
  func firstSequence(in stream: Stream) throws(StoreError) -> UInt64 {
    let first = max(stream.firstSequence, 1)
    let behind = stream.lastSequence + 1
    switch deliverPolicy {
    case .all: return first
    case .new: return behind
    case .byStartSequence: return max(min(startSequence, StreamLog.sequenceMax), first)
    case .byStartTime: return try stream.sequence(atOrAfter: startTime_ns ?? 0) ?? behind
    case .lastPerSubject: return first
    case .last:
      var last: UInt64 = 0
      for filter in filters.isEmpty ? [ByteString(">")] : filters {
        switch filter.withView({ stream.lastForCheck(matching: $0) }) {
        case .found(let sequence): last = max(last, sequence)
        case .none: break
        // Whoever asks again later finds it.
        case .unfinished: throw .busy
        case .failed: throw .failed
        }
      }
      return last > 0 ? last : behind
    }
  }
}
