// Where a stream gets its messages from besides its subjects: one entry of `sources`, or `mirror` (section 4.1). The checks are in
// StreamSource+Checks, following the origin in SourceFeed.
import Bytes
import JSON

/// The origin of a mirror or source.
public struct StreamSource: Equatable, Sendable {
  /// An origin in another account or domain.
  public struct External: Equatable, Sendable {
    /// What stands for `$JS.API` there.
    public var api = ByteString()
    /// What deliver subjects begin with; empty for the usual.
    public var deliver = ByteString()
    public init() {}
  }

  /// A consumer of the origin that is there already.
  public struct OriginConsumer: Equatable, Sendable {
    public var name = ByteString()
    public var deliverSubject = ByteString()
    public init() {}
  }

  public var name = ByteString()
  /// Where a copy that is empty begins: 0 and nil for the first message.
  public var startSequence: UInt64 = 0
  public var startTime_ns: Int64?
  public var filter = ByteString()
  /// The source of each is a filter too.
  public var transforms: [StreamConfig.Transform] = []
  public var external: External?
  public var consumer: OriginConsumer?

  public init() {}

  /// What tells the sources of a stream apart, as in `Nats-Stream-Source`: name, filters and destinations.
  var indexName: ByteString {
    var name = self.name
    if let external { name = name + ByteString(":") + external.api.shortHash }
    if let consumer { name = name + ByteString(":C=") + consumer.name.shortHash }
    var filters = filter.bytes
    var destinations: [UInt8] = []
    for (index, transform) in transforms.enumerated() {
      if index > 0 {
        filters.append(ASCII.formFeed)
        destinations.append(ASCII.formFeed)
      }
      filters.append(transform.source.isEmpty ? ">" : transform.source)
      destinations.append(transform.destination.isEmpty ? ">" : transform.destination)
    }
    if filters.isEmpty { filters = [ASCII.greater] }
    if destinations.isEmpty { destinations = [ASCII.greater] }
    return ByteString(name.bytes + [ASCII.space] + filters + [ASCII.space] + destinations)
  }

  /// The prefix of the API that the origin is asked through, with its dot.
  var apiPrefix: ByteString {
    guard let external, !external.api.isEmpty else { return "$JS.API." }
    return external.api.bytes.last == ASCII.dot ? external.api : external.api + ByteString(".")
  }

  mutating func visit(_ fields: inout ConfigFields) {
    fields.text("name", &name, .always)
    fields.number("opt_start_seq", &startSequence)
    fields.time("opt_start_time", &startTime_ns)
    fields.text("filter_subject", &filter)
    StreamSource.visit(&fields, &transforms)
    var external = external ?? External()
    var isGiven = self.external != nil
    fields.object("external", type: "server.ExternalStream", isShown: isGiven) {
      isGiven = true
    } fields: { fields in
      fields.text("api", &external.api, .always)
      fields.text("deliver", &external.deliver, .always)
    }
    self.external = isGiven ? external : nil
    var consumer = consumer ?? OriginConsumer()
    isGiven = self.consumer != nil
    fields.object("consumer", type: "server.StreamConsumerSource", isShown: isGiven) {
      isGiven = true
    } fields: { fields in
      fields.text("name", &consumer.name)
      fields.text("deliver_subject", &consumer.deliverSubject)
    }
    self.consumer = isGiven ? consumer : nil
  }

  private static func visit(_ fields: inout ConfigFields, _ transforms: inout [StreamConfig.Transform]) {
    var all = transforms
    fields.objects("subject_transforms", type: "[]server.SubjectTransformConfig", count: all.count) { count in
      all = Array(repeating: StreamConfig.Transform(), count: count)
    } fields: { index, fields in
      all[index].visit(&fields)
    }
    transforms = all
  }

  /// Writes what StreamInfo says of the origin beside its state.
  func writeOrigin(to json: inout JSONWriter) {
    json.fieldUnlessEmpty("filter_subject", filter)
    guard !transforms.isEmpty else { return }
    json.beginArray("subject_transforms")
    for transform in transforms {
      json.beginObject()
      json.field("src", transform.source)
      json.field("dest", transform.destination)
      json.endObject()
    }
    json.endArray()
  }
}

extension ByteString {
  /// The eight characters that stand for a long name (leafnode-protocol.md section 14.3).
  var shortHash: ByteString { withView { SHA256.shortName(of: $0) } }
}
