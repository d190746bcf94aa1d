// Prometheus' text format (version 0.0.4): families of samples. What is measured is in Monitor+Metrics.
import Bytes
import Platform

/// Puts a page of metrics together.
struct MetricsWriter {
  enum Kind { case counter, gauge }

  enum Value {
    case whole(Int64)
    /// Nanoseconds; shown as seconds, as Prometheus wants its times.
    case time_ns(Int64)

    static func number<Number: FixedWidthInteger>(_ value: Number) -> Value { .whole(Int64(clamping: value)) }
  }

  struct Label {
    let name: StaticString
    let value: ByteString
    init(_ name: StaticString, _ value: ByteString) {
      self.name = name
      self.value = value
    }
  }

  private(set) var bytes: [UInt8] = []
  private var name: StaticString = ""

  /// Begins a family: its samples follow. `name` is what stands behind `petiole_`.
  @inline(never) mutating func family(_ name: StaticString, _ kind: Kind, _ help: StaticString) {
    self.name = name
    bytes.append(literal: "# HELP petiole_")
    bytes.append(literal: name)
    bytes.append(literal: " ")
    bytes.append(literal: help)
    bytes.append(literal: "\n# TYPE petiole_")
    bytes.append(literal: name)
    bytes.append(literal: kind == .counter ? " counter\n" : " gauge\n")
  }

  /// One sample of the family.
  @inline(never) mutating func sample(_ labels: [Label] = [], _ value: Value) {
    bytes.append(literal: "petiole_")
    bytes.append(literal: name)
    for (index, label) in labels.enumerated() {
      bytes.append(literal: index == 0 ? "{" : ",")
      bytes.append(literal: label.name)
      bytes.append(literal: "=\"")
      escape(label.value)
      bytes.append(literal: "\"")
    }
    bytes.append(literal: labels.isEmpty ? " " : "} ")
    switch value {
    case .whole(let number): bytes.append(decimal: number)
    case .time_ns(let time_ns): append(seconds: time_ns)
    }
    bytes.append(literal: "\n")
  }

  /// A family of one sample without labels.
  mutating func single(_ name: StaticString, _ kind: Kind, _ help: StaticString, _ value: Value) {
    family(name, kind, help)
    sample([], value)
  }

  private mutating func escape(_ text: ByteString) {
    for byte in text.bytes {
      switch byte {
      case UInt8(ascii: "\\"): bytes.append(literal: "\\\\")
      case UInt8(ascii: "\""): bytes.append(literal: "\\\"")
      case ASCII.lineFeed: bytes.append(literal: "\\n")
      default: bytes.append(byte)
      }
    }
  }

  private mutating func append(seconds time_ns: Int64) {
    let magnitude = time_ns.magnitude
    if time_ns < 0 { bytes.append(literal: "-") }
    bytes.append(decimal: magnitude / UInt64(second_ns))
    var digit = UInt64(second_ns) / 10
    var rest = magnitude % UInt64(second_ns)
    if rest > 0 { bytes.append(literal: ".") }
    while rest > 0 {
      bytes.append(ASCII.zero + UInt8(rest / digit))
      rest %= digit
      digit /= 10
    }
  }
}
