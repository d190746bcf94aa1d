// The checks of mirrors and sources (section 4.2, numbers 12 to 15): those that need only the configuration, and those that look at
// the account's other streams.
import Broker
import Bytes
import Interest
import JSON

extension StreamConfig {
  /// Number 12 without what other streams say.
  func checkMirror() throws(APIError) {
    guard let mirror else { return }
    if firstSequence > 0 { throw APIError(400, 10143, "stream mirrors can not have first sequence configured") }
    if !subjects.isEmpty { throw APIError(400, 10034, "stream mirrors can not contain subjects") }
    if !sources.isEmpty { throw APIError(400, 10031, "stream mirrors can not also contain other sources") }
    if allowMessageCounter { throw APIError(400, 10173, "stream mirrors can not also calculate counters") }
    if allowAtomic { throw APIError(400, 10198, "stream mirrors can not also use atomic publishing") }
    if allowBatched { throw APIError(400, 10209, "stream mirrors can not also use batch publishing") }
    if allowSchedules { throw APIError(400, 10186, "stream mirrors can not also schedule messages") }
    if !mirror.isConsumerValid { throw APIError(400, 10213, "stream mirror consumer config is invalid") }
    if !mirror.filter.isEmpty, !mirror.transforms.isEmpty {
      throw APIError(400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter")
    }
    if subjectDeleteMarkerTTL_ns > 0 { throw .invalidConfig("subject delete markers forbidden on mirrors") }
    try mirror.checkTransforms(badSource: 10151, badDestination: 10154, what: "mirror transform")
    for (index, transform) in mirror.transforms.enumerated() {
      for other in mirror.transforms[..<index] where Subject.overlap(transform.pattern, other.pattern) {
        throw APIError(400, 10152, "mirror subject filters can not overlap")
      }
    }
    if mirror.external == nil, !StreamSource.isValidName(mirror.name) {
      throw APIError(400, 10142, "mirrored stream name is invalid")
    }
    try mirror.checkPrefixes()
  }

  /// Number 13 without what other streams say.
  func checkSources() throws(APIError) {
    guard !sources.isEmpty else { return }
    if allowSchedules { throw APIError(400, 10187, "stream source can not also schedule messages") }
    var seen: [ByteString] = []
    var consumers: [ByteString] = []
    for source in sources {
      if !StreamSource.isValidName(source.name) { throw APIError(400, 10141, "sourced stream name is invalid") }
      let name = source.indexName
      if seen.contains(name) { throw APIError(400, 10140, "duplicate source configuration detected") }
      seen.append(name)
      if !source.filter.isEmpty, !source.transforms.isEmpty {
        throw APIError(400, 10144, "source with multiple subject transforms cannot also have a single subject filter")
      }
      try source.checkTransforms(badSource: 10145, badDestination: 10146, what: "source transform")
      for (index, transform) in source.transforms.enumerated() {
        for (place, other) in source.transforms.enumerated()
        where place != index && Subject.isSubset(transform.pattern, of: other.pattern) {
          throw APIError(400, 10147, "source filters can not overlap")
        }
      }
      guard let consumer = source.consumer else { continue }
      if !source.isConsumerValid { throw APIError(400, 10215, "stream source consumer config is invalid") }
      let key = source.apiPrefix + source.name + ByteString(" ") + consumer.name
      if consumers.contains(key) { throw APIError(400, 10216, "duplicate stream source consumer detected") }
      consumers.append(key)
    }
    for source in sources { try source.checkPrefixes() }
  }
}

extension StreamConfig.Transform {
  /// What it filters.
  var pattern: ByteString { source.isEmpty ? ">" : source }
}

extension StreamSource {
  static func isValidName(_ name: ByteString) -> Bool {
    !name.isEmpty && name.bytes.allSatisfy { !StreamConfig.isForbiddenInName($0) }
  }

  fileprivate var isConsumerValid: Bool {
    guard let consumer else { return true }
    return StreamSource.isValidName(consumer.name) && Subject.isValidToPublish(consumer.deliverSubject) && startSequence == 0
      && startTime_ns == nil && filter.isEmpty
  }

  fileprivate func checkTransforms(badSource: Int, badDestination: Int, what: StaticString) throws(APIError) {
    for transform in transforms {
      do throws(SubjectTransformError) {
        _ = try transform.parsed()
      } catch {
        let text = ByteView(what).string
        if case .invalidSource = error { throw APIError(400, badSource, text: text + " source: " + error.text) }
        throw APIError(400, badDestination, text: text + ": " + error.text)
      }
    }
  }

  /// Number 14, but for what the deliver prefix overlaps with.
  fileprivate func checkPrefixes() throws(APIError) {
    guard let external else { return }
    if !external.deliver.isEmpty, !Subject.isValidToPublish(external.deliver) {
      throw APIError(400, 10024, text: "stream external delivery prefix " + external.deliver.string + " must not contain wildcards")
    }
    guard !external.api.isEmpty else { return }
    if !Subject.isValidToPublish(external.api) {
      throw .invalidConfig(text: "stream external api prefix \"" + external.api.string + "\" must be a valid subject without wildcards")
    }
    if external.api.equals("$JS.API") {
      throw APIError(400, 10021, "stream external api prefix $JS.API must not overlap with $JS.API")
    }
  }
}

extension JetStream {
  /// What the account's other streams say to a checked mirror or sources: sizes, cycles, and whether a mirror answers direct gets.
  func checkOrigins(_ config: inout StreamConfig, pedantic: Bool) throws(APIError) {
    if let mirror = config.mirror, mirror.external == nil, let origin = table[mirror.name] {
      if config.isTooSmall(for: origin.config) {
        throw APIError(400, 10030, "stream mirror must have max message size >= source")
      }
      if pedantic, config.mirrorDirect != origin.config.allowDirect {
        throw .pedantic("origin stream has direct get set, mirror has it disabled")
      }
      config.mirrorDirect = origin.config.allowDirect
    }
    for source in config.sources where source.external == nil {
      if let origin = table[source.name], config.isTooSmall(for: origin.config) {
        throw APIError(400, 10046, "stream source must have max message size >= target")
      }
    }
    try checkDeliverPrefixes(config)
    try checkCycle(config)
  }

  /// A deliver prefix must not lead into an origin that is here.
  private func checkDeliverPrefixes(_ config: StreamConfig) throws(APIError) {
    let origins = config.mirror.map { [$0] } ?? config.sources
    for source in origins {
      guard let prefix = source.external?.deliver, !prefix.isEmpty else { continue }
      for other in origins where other.external == nil {
        for subject in table[other.name]?.config.subjects ?? []
        where Subject.overlap(subject, prefix + ByteString(".") + subject) {
          throw APIError(
            400, 10022,
            text: "stream external delivery prefix " + prefix.string + " overlaps with stream subject " + subject.string)
        }
      }
    }
  }

  /// A stream must not get back what it gave.
  private func checkCycle(_ config: StreamConfig) throws(APIError) {
    var toVisit = [config]
    var visited: [ByteString] = []
    while !toVisit.isEmpty {
      let next = toVisit.removeFirst()
      visited.append(next.name)
      for source in next.sources where source.external == nil {
        if visited.contains(source.name) {
          if source.filter.isEmpty || next.subjects.contains(where: { Subject.overlap($0, source.filter) }) {
            throw .invalidConfig("detected cycle")
          }
        } else if let origin = table[source.name], !toVisit.contains(where: { $0.name == source.name }) {
          toVisit.append(origin.config)
        }
      }
      guard let mirror = next.mirror, mirror.external == nil else { continue }
      if visited.contains(mirror.name) { throw .invalidConfig("detected cycle") }
      if let origin = table[mirror.name] { toVisit.append(origin.config) }
    }
  }
}

extension StreamConfig {
  fileprivate func isTooSmall(for origin: StreamConfig) -> Bool {
    maxMessageSize > 0 && origin.maxMessageSize > 0 && maxMessageSize < origin.maxMessageSize
  }
}
