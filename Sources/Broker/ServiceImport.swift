// Requests that pass from an importing account to the exporting one, and how their answers find back.
import Bytes
import Identity
import Interest
import JSON
import Platform

/// One service that an account imports.
final class ServiceImport {
  let rule: ImportRule
  /// Whether it outlives a change of the rules.
  var stays = true
  let pairing: SubjectPairing
  let response: ExportRule.Response
  let threshold_ns: Int64
  unowned(unsafe) let importer: Account  // safe: the broker keeps accounts
  unowned(unsafe) let exporter: Account  // likewise
  private let sharing: SharingContext
  private var subscription: Subscription?
  private let waiting: WaitingReplies

  init(_ rule: ImportRule, pairing: SubjectPairing, export: ExportRule, importer: Account, exporter: Account, sharing: SharingContext) {
    self.rule = rule
    self.pairing = pairing
    response = export.response
    threshold_ns = export.threshold_ns
    self.importer = importer
    self.exporter = exporter
    self.sharing = sharing
    waiting = WaitingReplies(exporter)
  }

  func isLike(_ rule: ImportRule, _ subject: SharedSubject) -> Bool {
    rule == self.rule && subject.pairing.exportedPattern == pairing.exportedPattern
      && subject.pairing.localPattern == pairing.localPattern && subject.export.response == response
      && subject.export.threshold_ns == threshold_ns
  }

  func start() {
    let subscription = Subscription(subject: pairing.localPattern, endpoint: importer.services, origin: .shared) {
      [unowned(unsafe) self] message, source in request(message, source)  // safe: unsubscribed in `stop`
    }
    self.subscription = subscription
    importer.add(subscription)
  }

  func stop() {
    if let subscription { importer.remove(subscription) }
    subscription = nil
  }

  /// Passes a request on. Returns whether anybody in the exporting account took it.
  private func request(_ message: Message, _ source: Endpoint) -> Bool {
    guard message.reply.count <= WaitingReplies.subjectMax, let subject = pairing.exported(of: message.subject) else { return false }
    var headers: [UInt8] = []
    sharing.writeRequester(source, importer, shares: rule.sharesRequester, over: message.headers, to: &headers)
    var reply = ByteString()
    let isTracked = !message.reply.isEmpty && !exporter.understandsAck(message.reply)
    if isTracked {
      reply = exporter.responses.expect(ByteString(message.reply), for: importer, kind: response, within_ns: threshold_ns)
      waiting.add(reply)
    } else if !message.reply.isEmpty {
      reply = ByteString(message.reply)
    }
    let taken = sharing.pass {
      subject.withView { subject in
        reply.withView { reply in
          headers.withView { headers in
            exporter.route(Message(subject: subject, reply: reply, headers: headers, payload: message.payload), from: source)
          }
        }
      }
    }
    if !taken, isTracked { exporter.responses.forget(reply) }
    return taken
  }
}

/// Reply subjects that one side has under way in another account, oldest first. Beyond a number the oldest give way: who asks what nobody
/// answers must not fill the memory.
final class WaitingReplies {
  static let countMax = 8192
  /// Subjects of inboxes are a tenth as long; what is kept is bounded in bytes too.
  static let subjectMax = 1024

  unowned(unsafe) let responder: Account  // safe: the broker keeps accounts
  private var subjects: [ByteString] = []
  private var oldest = 0

  init(_ responder: Account) { self.responder = responder }

  func add(_ subject: ByteString) {
    let responses = responder.responses
    subjects.append(subject)
    while oldest < subjects.count, !responses.expects(subjects[oldest]) { oldest += 1 }
    let isLong = subjects.count - oldest > 2 * Self.countMax
    guard isLong || oldest > 1024 else { return }
    subjects = isLong ? subjects[oldest...].filter { responses.expects($0) } : Array(subjects[oldest...])
    oldest = 0
    // Down to the number at once: then this is seldom, whatever is asked.
    guard subjects.count > Self.countMax else { return }
    for subject in subjects.prefix(subjects.count - Self.countMax) { responses.forget(subject) }
    subjects.removeFirst(subjects.count - Self.countMax)
  }
}

/// Answers that an account owes to others: each under a reply subject of its own (`_R_.…`), which the responder sees.
public final class ServiceResponses {
  private struct Expected {
    unowned(unsafe) let importer: Account  // safe: the broker keeps accounts
    let reply: ByteString
    let kind: ExportRule.Response
    let within_ns: Int64
    var since_ns: Int64
  }

  private static let suffixLength = 12
  private static let prefixLength = 6

  unowned(unsafe) private let account: Account  // safe: the account owns it
  private let sharing: SharingContext
  private var expected = ByteMap<Expected>()
  /// What answers ask in their turn, by the account that is asked.
  private var asked: [WaitingReplies] = []
  private var prefix = ByteString()
  private let timer = Timer()
  /// Late ones are looked for no more often: each look is at all of them.
  private static let look_ns = second_ns / 10

  init(account: Account, sharing: SharingContext) {
    self.account = account
    self.sharing = sharing
  }

  /// Makes the reply subject for a request whose answers go to `reply` in `importer`.
  func expect(_ reply: ByteString, for importer: Account, kind: ExportRule.Response, within_ns: Int64) -> ByteString {
    if prefix.isEmpty {
      prefix = ByteString([UInt8]("_R_.".utf8) + sharing.host.entropy.name(Self.prefixLength) + [ASCII.dot])
      account.add(
        Subscription(subject: prefix + ">", endpoint: account.services, origin: .shared) { [unowned(unsafe) self] message, source in
          respond(message, source)  // safe: the account owns both
        })
    }
    let subject = ByteString(prefix.bytes + sharing.host.entropy.name(Self.suffixLength))
    let now_ns = sharing.host.clock.monotonic_ns
    expected.set(subject, Expected(importer: importer, reply: reply, kind: kind, within_ns: within_ns, since_ns: now_ns))
    watch(at: now_ns + within_ns)
    return subject
  }

  func forget(_ subject: ByteString) { expected.remove(subject) }

  var count: Int { expected.count }
  func expects(_ subject: ByteString) -> Bool { expected[subject] != nil }

  /// For an answer that asks something itself: it is answered the other way round.
  private func askBack(_ reply: ByteView, _ known: Expected) -> ByteString {
    guard reply.count <= WaitingReplies.subjectMax else { return ByteString() }
    if reply.isEmpty || known.importer.understandsAck(reply) { return ByteString(reply) }
    let subject = known.importer.responses.expect(ByteString(reply), for: account, kind: .single, within_ns: known.within_ns)
    let waiting: WaitingReplies
    if let old = asked.first(where: { $0.responder === known.importer }) {
      waiting = old
    } else {
      waiting = WaitingReplies(known.importer)
      asked.append(waiting)
    }
    waiting.add(subject)
    return subject
  }

  /// Passes an answer back. Returns whether anybody took it.
  private func respond(_ message: Message, _ source: Endpoint) -> Bool {
    guard let known = expected[message.subject] else { return false }
    let subject = ByteString(message.subject)
    let reply = askBack(message.reply, known)
    let taken = sharing.pass {
      known.reply.withView { subject in
        reply.withView { reply in
          known.importer.route(Message(subject: subject, reply: reply, headers: message.headers, payload: message.payload), from: source)
        }
      }
    }
    let isLast = known.kind == .single || message.size == 0
    if !taken || isLast {
      expected.remove(subject)
    } else {
      let now_ns = sharing.host.clock.monotonic_ns
      expected.update(message.subject) { $0.since_ns = now_ns }
    }
    return taken
  }

  // MARK: Time

  private func watch(at deadline_ns: Int64) {
    if timer.isScheduled, timer.deadline_ns <= deadline_ns { return }
    sharing.host.timers.schedule(timer, at: deadline_ns) { [unowned(unsafe) self] in expire() }  // safe: cancelled in `stop`
  }

  private func expire() {
    let now_ns = sharing.host.clock.monotonic_ns
    var late: [ByteString] = []
    var next_ns = Int64.max
    expected.forEach { subject, waiting in
      let deadline_ns = waiting.since_ns + waiting.within_ns
      if deadline_ns <= now_ns { late.append(subject) } else { next_ns = min(next_ns, deadline_ns) }
    }
    for subject in late { expected.remove(subject) }
    if next_ns < Int64.max { watch(at: max(next_ns, now_ns + Self.look_ns)) }
  }

  func stop() { sharing.host.timers.cancel(timer) }
}

extension Account {
  /// Whether a reply subject from another account is an ack subject, which names its stream and should arrive as it is, and can: where it
  /// would be taken for the ack of a message of this account's own JetStream, it is an answer like others, unless this account imports it.
  fileprivate func understandsAck(_ reply: ByteView) -> Bool {
    guard reply.hasPrefix("$JS.ACK.") else { return false }
    let takers = interest.match(reply).plain.filter { $0.kind == .internal }
    return takers.isEmpty || takers.contains { $0.origin == .shared }
  }
}
