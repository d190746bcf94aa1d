// `compression` of leaf links, in every way that nats-server takes it: a mode, true or false, or a map with the mode and thresholds.
import Bytes

/// How leaf links are compressed.
public struct LeafCompression: Equatable, Sendable {
  public enum Mode: Equatable, Sendable { case notSupported, off, accept, s2Auto, s2Fast, s2Better, s2Best, lz4 }

  /// One for each way to send: stored, fast, better, best.
  static let thresholdsMax = 4

  public var mode: Mode
  /// Of `s2_auto`: up to which round trip each way is used, the cheapest first; 0 leaves one out. Empty: the usual ones.
  public var rttThresholds_ns: [Int64]

  public init(_ mode: Mode, rttThresholds_ns: [Int64] = []) {
    self.mode = mode
    self.rttThresholds_ns = rttThresholds_ns
  }

  static let doc: StaticString = """
    How the link is compressed: `off`, `accept` (as the hub does), `s2_fast`, `s2_better`, `s2_best`, or `s2_auto`, which chooses by the \
    round trip. `{ mode: s2_auto, rtt_thresholds: ["10ms", "50ms", "100ms"] }` says up to which round trip it stores, is fast, and is \
    better; beyond the last it is best. `lz4`, with another petiole at the other end, also makes small messages small; with \
    nats-server it is `s2_auto`.
    """
}

extension LeafCompression.Mode {
  /// nats-server's words. Without any, the mode is the usual one.
  init?(named name: ByteView) {
    if name.isEmpty || Self.isOneOf("s2_auto auto on enabled true", name) {
      self = .s2Auto
    } else if Self.isOneOf("off disabled false", name) {
      self = .off
    } else if name.equalsIgnoringCase("accept") {
      self = .accept
    } else if Self.isOneOf("s2_fast fast", name) {
      self = .s2Fast
    } else if Self.isOneOf("s2_better better", name) {
      self = .s2Better
    } else if Self.isOneOf("s2_best best", name) {
      self = .s2Best
    } else if name.equalsIgnoringCase("lz4") {
      self = .lz4
    } else if name.equalsIgnoringCase("not supported") || name.equalsIgnoringCase("not_supported") {
      self = .notSupported
    } else {
      return nil
    }
  }

  private static func isOneOf(_ words: StaticString, _ name: ByteView) -> Bool { RefusedOptions.contains(words, name) }
}

extension OptionDecoder {
  mutating func compression(_ value: ConfigurationValue, field: ByteString) -> LeafCompression? {
    switch value.content {
    case .boolean(let flag): return LeafCompression(flag ? .s2Auto : .off)
    case .string(let word): return mode(word, at: value.location).map { LeafCompression($0) }
    case .map(let map): return compression(map)
    default:
      error(at: value.location, "field \"\(field)\" should be a boolean or a structure, got \(OptionDecoder.typeName(value))")
      return nil
    }
  }

  private mutating func mode(_ word: ByteString, at location: Location) -> LeafCompression.Mode? {
    if let mode = word.withView({ LeafCompression.Mode(named: $0) }) { return mode }
    error(at: location, "unsupported compression mode \"\(word)\"")
    return nil
  }

  private mutating func compression(_ map: ConfigurationMap) -> LeafCompression? {
    var compression = LeafCompression(.s2Auto)
    var isWrong = false
    for entry in map.entries {
      if entry.key.withView({ $0.equalsIgnoringCase("mode") }) {
        // `on` without quotes is a boolean, which nats-server refuses here; what it means is clear.
        if case .boolean(let flag) = entry.value.content {
          compression.mode = flag ? .s2Auto : .off
        } else if let word = string(entry.value, field: entry.key), let mode = mode(word, at: entry.value.location) {
          compression.mode = mode
        } else {
          isWrong = true
        }
      } else if entry.key.withView({ RefusedOptions.contains("rtt_thresholds thresholds rtts rtt", $0) }) {
        if let thresholds_ns = thresholds(entry) { compression.rttThresholds_ns = thresholds_ns } else { isWrong = true }
      } else if !entry.isReferenced {
        error(at: entry.keyLocation, "unknown field \"\(entry.key)\"")
      }
    }
    return isWrong ? nil : compression
  }

  /// Ascending durations, with zeros anywhere between; the last ones are not zero.
  private mutating func thresholds(_ entry: ConfigurationEntry) -> [Int64]? {
    guard case .array(let elements) = entry.value.content else {
      wrongType(entry.value, "[]interface {}", field: entry.key)
      return nil
    }
    var thresholds_ns: [Int64] = []
    var greatest_ns: Int64 = 0
    for element in elements {
      guard let length_ns = duration(element, field: entry.key) else { return nil }
      let threshold_ns = max(length_ns, 0)
      guard threshold_ns == 0 || threshold_ns >= greatest_ns else {
        error(at: element.location, "RTT threshold values should be in ascending order")
        return nil
      }
      greatest_ns = max(greatest_ns, threshold_ns)
      thresholds_ns.append(threshold_ns)
    }
    while thresholds_ns.last == 0 { thresholds_ns.removeLast() }
    if thresholds_ns.count > LeafCompression.thresholdsMax {
      error(at: entry.value.location, "compression should have no more than \(LeafCompression.thresholdsMax) RTT thresholds")
      return nil
    }
    if thresholds_ns.isEmpty, !elements.isEmpty {
      error(at: entry.value.location, "compression requires at least one RTT threshold")
      return nil
    }
    return thresholds_ns
  }
}
