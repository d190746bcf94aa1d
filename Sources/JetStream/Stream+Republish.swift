// What a stream does to subjects: the transform of what comes in, and republishing what was stored (sections 9.5, 9.6).
import Broker
import Bytes
import Interest
import LogStore
import Platform
import Wire

extension StreamConfig {
  /// A pair of subjects, as in `subject_transform` and in a source's `subject_transforms`.
  public struct Transform: Equatable, Sendable {
    public var source = ByteString()
    public var destination = ByteString()
    public init() {}

    /// The transform that the pair describes. Throws what is wrong with it.
    func parsed(random: @escaping (UInt32) -> UInt32 = { _ in 0 }) throws(SubjectTransformError) -> SubjectTransform {
      try SubjectTransform(source: source, destination: destination, random: random)
    }

    mutating func visit(_ fields: inout ConfigFields) {
      fields.text("src", &source, .always)
      fields.text("dest", &destination, .always)
    }
  }

  /// `republish`.
  public struct Republish: Equatable, Sendable {
    public var source = ByteString()
    public var destination = ByteString()
    public var headersOnly = false
    public init() {}

    func parsed(random: @escaping (UInt32) -> UInt32 = { _ in 0 }) throws(SubjectTransformError) -> SubjectTransform {
      try SubjectTransform(source: source, destination: destination, random: random)
    }

    mutating func visit(_ fields: inout ConfigFields) {
      fields.text("src", &source)
      fields.text("dest", &destination, .always)
      fields.flag("headers_only", &headersOnly)
    }
  }

  /// Checks 18 and 19 of section 4.2.
  mutating func checkTransforms(pedantic: Bool) throws(APIError) {
    if let transform = subjectTransform {
      do throws(SubjectTransformError) { _ = try transform.parsed() } catch {
        if case .invalidSource = error { throw APIError(400, 10155, text: "stream transform source: " + error.text) }
        throw APIError(400, 10156, text: "stream transform: " + error.text)
      }
    }
    guard var republish else { return }
    if republish.source.isEmpty {
      if pedantic { throw .pedantic("republish source can not be empty") }
      republish.source = ">"
    }
    // Everything to where it is stored: no circle when that is somewhere else.
    if republish.source == ">", republish.destination == ">", let transform = subjectTransform, subjects == [transform.source] {
      if pedantic { throw .pedantic("implicit republish based on subject transform") }
      republish.source = transform.destination
      republish.destination = transform.destination
    }
    for subject in subjects where Subject.overlap(republish.destination, subject) {
      throw .invalidConfig("stream configuration for republish destination forms a cycle")
    }
    do throws(SubjectTransformError) { _ = try republish.parsed() } catch {
      throw .invalidConfig(
        text: "stream configuration for republish with transform from '" + republish.source.string + "' to '"
          + republish.destination.string + "' not valid")
    }
    self.republish = republish
  }
}

extension Stream {
  /// Reads the transforms of a configuration that was checked.
  func chooseTransforms() {
    let entropy = engine.host.entropy
    let random: (UInt32) -> UInt32 = { UInt32(truncatingIfNeeded: entropy.below(Int($0))) }
    transform = nil
    republisher = nil
    if let pair = config.subjectTransform { transform = try? pair.parsed(random: random) }
    if let pair = config.republish { republisher = try? pair.parsed(random: random) }
  }

  /// Takes a message under the subject that the transform makes of its own; one that the transform's source does not match keeps it.
  func receiveTransformed(_ message: Message) {
    guard let subject = transform?.apply(message.subject) else { return accept(message) }
    var moved = message
    subject.withView { subject in
      moved.subject = subject
      accept(moved)
    }
  }

  enum RepublishTarget {
    /// Where to, with the sequence of the subject's last message before it (0 for none); nil for nowhere.
    case known((subject: ByteString, last: UInt64)?)
    /// The last message was removed, and the one before it is not found yet.
    case unknown
  }

  /// Where a message of this subject is republished.
  func republishTarget(_ subject: ByteView) -> RepublishTarget {
    guard let target = republisher?.apply(subject), Subject.isValidToPublish(target) else { return .known(nil) }
    switch lastForCheck(of: subject) {
    case .none, .failed: return .known((target, 0))
    case .found(let last): return .known((target, last))
    case .unfinished: return .unknown
    }
  }

  /// Publishes a message again when it is on the medium.
  func republish(
    to target: (subject: ByteString, last: UInt64), _ message: LogMessage, position: UInt64
  ) {
    var headers = HeaderBuilder(continuing: message.headers)
    headers.add("Nats-Stream", name)
    headers.add("Nats-Subject", message.subject)
    headers.add("Nats-Sequence", decimal: message.sequence)
    headers.add("Nats-Time-Stamp", RFC3339.format(message.timestamp_ns))
    headers.add("Nats-Last-Sequence", decimal: target.last)
    let headersOnly = config.republish?.headersOnly ?? false
    if headersOnly { headers.add("Nats-Msg-Size", decimal: message.payload.count) }
    let block = headers.block
    let payload = headersOnly ? [] : message.payload.bytes
    let account = engine.account
    engine.store.whenDurable(position) { account.publish(to: target.subject, payload, headers: block) }
  }
}
