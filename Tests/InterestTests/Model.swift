// The plain models that the tests compare with: a matcher that splits strings, and random subjects that collide often.
import Bytes

struct TestRandom: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed &* 2 &+ 1 }
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    let mixed = (state ^ state >> 33) &* 0xFF51_AFD7_ED55_8CCD
    return mixed ^ mixed >> 29
  }
}

enum Model {
  static func tokens(_ subject: String) -> [String] { subject.split(separator: ".", omittingEmptySubsequences: false).map { String($0) } }

  static func matches(_ literal: String, _ pattern: String) -> Bool {
    let (subject, wanted) = (tokens(literal), tokens(pattern))
    if subject.contains("") { return false }
    for (index, token) in wanted.enumerated() {
      if token == ">", index == wanted.count - 1 { return subject.count > index }
      guard index < subject.count, token == "*" || token == subject[index] else { return false }
    }
    return subject.count == wanted.count
  }

  /// Every literal of up to `depth` tokens over `words`.
  static func literals(words: [String], depth: Int) -> [String] {
    var all: [String] = []
    var last = [""]
    for _ in 0..<depth {
      last = last.flatMap { head in words.map { head.isEmpty ? $0 : head + "." + $0 } }
      all += last
    }
    return all
  }

  static func pattern(_ random: inout TestRandom, words: [String], depth: Int) -> String {
    let count = Int.random(in: 1...depth, using: &random)
    var parts: [String] = []
    for index in 0..<count {
      switch Int.random(in: 0..<8, using: &random) {
      case 0, 1: parts.append("*")
      case 2 where index == count - 1: parts.append(">")
      default: parts.append(words.randomElement(using: &random)!)
      }
    }
    return parts.joined(separator: ".")
  }
}

final class Subscriber {
  let name: Int
  init(_ name: Int) { self.name = name }
}
