// $JS.API.STREAM.CREATE and UPDATE (sections 4.2, 4.4), and the streams that the configuration declares.
import Bytes
import JSON

extension JetStream {
  func createStream(_ request: APIRequest, _ name: ByteView) {
    do throws(APIError) {
      try checkLevel(request)
      let decoded = try StreamConfig.decode(request.body, strict: options.strict)
      var config = decoded.config
      guard config.name.withView({ $0 == name }) else { throw .nameMismatch }
      let stream = try createOrMatch(&config, pedantic: decoded.pedantic)
      var response = APIResponse("stream_create")
      stream.writeInfo(to: &response.json, Stream.InfoParts())
      response.json.field("did_create", true)
      answerWhenDurable(request, response.finish())
    } catch { fail(request, "stream_create", error) }
  }

  /// Creates the stream, or finds one with the same configuration. The checks are in the order of section 4.2.
  func createOrMatch(_ config: inout StreamConfig, pedantic: Bool) throws(APIError) -> Stream {
    for byte in config.name.bytes where byte == ASCII.slash || byte == ASCII.backslash { throw .pathSeparator }
    if config.sealed { throw .invalidConfig("stream configuration for create can not be sealed") }
    if config.mirrorDirect, config.mirror == nil { throw .invalidConfig("stream has no mirror but does have mirror direct") }
    let existing = table[config.name]
    if existing == nil { try checkAccountLimits(config, replacing: nil) }
    try config.check(pedantic: pedantic)
    try checkMaxBytes(config)
    try checkOrigins(&config, pedantic: pedantic)
    if config.replicas > 1 { throw .replicas }
    config.stampMetadata()
    if let existing {
      guard existing.config == config else { throw .nameInUse }
      return existing
    }
    if overlaps(config.subjects, except: config.name) { throw .subjectsOverlap }
    let stream = try create(config)
    advise(.create, stream.name)
    return stream
  }

  func updateStream(_ request: APIRequest, _ name: ByteView) {
    do throws(APIError) {
      try checkLevel(request)
      let decoded = try StreamConfig.decode(request.body, strict: options.strict)
      var config = decoded.config
      try config.check(pedantic: decoded.pedantic)
      guard config.name.withView({ $0 == name }) else { throw .nameMismatch }
      guard let stream = table[name] else { throw .streamNotFound }
      try change(stream, to: &config)
      var response = APIResponse("stream_update")
      var parts = Stream.InfoParts()
      parts.domain = true
      stream.writeInfo(to: &response.json, parts)
      answerWhenDurable(request, response.finish())
    } catch { fail(request, "stream_update", error) }
  }

  private func change(_ stream: Stream, to config: inout StreamConfig) throws(APIError) {
    try checkOrigins(&config, pedantic: false)
    try checkMaxBytes(config)
    try stream.config.checkUpdate(to: &config)
    try stream.checkConsumers(config.consumerLimits)
    try checkAccountLimits(config, replacing: stream.config)
    if overlaps(config.subjects, except: stream.name) { throw .subjectsOverlap }
    config.stampMetadata()
    if config != stream.config { update(stream, config) }
  }

  /// Creates the declared streams that are not there, and updates those that are different. Streams are never deleted. Returns what
  /// could not be done.
  public func declare(streams: [StreamConfig]) -> [(name: ByteString, error: APIError)] {
    var failures: [(name: ByteString, error: APIError)] = []
    for declared in streams {
      var config = declared
      do throws(APIError) {
        if let stream = table[config.name] {
          try config.check(pedantic: false)
          try change(stream, to: &config)
        } else {
          _ = try createOrMatch(&config, pedantic: false)
        }
      } catch { failures.append((declared.name, error)) }
    }
    return failures
  }
}
