// The index of a stream's subjects, against a list of its messages.
import Bytes
import Testing

@testable import Interest

@Suite("SubjectIndex") struct SubjectIndexTests {
  private func never(_ subject: ByteView, _ from: UInt64) -> UInt64? {
    Issue.record("nothing was removed, yet there was a search for \(subject.string)")
    return nil
  }

  @Test("a subject's ends and count follow what is added")
  func adding() {
    var index = SubjectIndex(seed: 1)
    index.add("a.b", 1)
    index.add("a.c", 2)
    index.add("a.b", 5)
    #expect(index.subjectCount == 2 && index.count(ByteView("a.b")) == 2 && index.count(ByteView("a")) == 0)
    #expect(index.first(ByteView("a.b"), search: never) == 1 && index.last(ByteView("a.b"), search: never) == 5)
    #expect(index.last(ByteView("x"), search: never) == nil)
    #expect(index.lastMatching(ByteView("a.*"), search: never) == 5)
    #expect(index.summary(ByteView("a.*")) == .init(subjects: 2, messages: 3, firstBound: 1, lastBound: 5))
    #expect(index.summary(ByteView("b.>")) == .init())
    #expect(index.remove("x", 1) == nil)
  }

  @Test("an end that was removed is searched for once, when somebody asks")
  func lazyEnds() {
    var index = SubjectIndex(seed: 1)
    for sequence in [1, 4, 6, 9] as [UInt64] { index.add("a", sequence) }
    #expect(index.remove("a", 9) == 3)
    #expect(index.remove("a", 1) == 2)
    var asked: [UInt64] = []
    #expect(
      index.last(ByteView("a")) {
        asked.append($1)
        return 6
      } == 6)
    #expect(index.last(ByteView("a"), search: never) == 6)
    #expect(
      index.first(ByteView("a")) {
        asked.append($1)
        return 4
      } == 4)
    #expect(asked == [8, 2])
    index.remove("a", 4)
    #expect(index.first(ByteView("a"), search: never) == 6)
    #expect(index.remove("a", 6) == 0)
    #expect(index.isEmpty)
  }

  @Test("an index that changes all the time answers as the messages do")
  func againstModel() {
    let words = ["a", "b", "c"]
    for seed in 0..<4 {
      var random = TestRandom(seed: UInt64(seed))
      var index = SubjectIndex(seed: UInt64(seed))
      var messages: [(sequence: UInt64, subject: String)] = []
      func first(_ subject: ByteView, _ from: UInt64) -> UInt64? {
        messages.first { $0.sequence >= from && ByteString($0.subject) == subject }?.sequence
      }
      func last(_ subject: ByteView, _ from: UInt64) -> UInt64? {
        messages.last { $0.sequence <= from && ByteString($0.subject) == subject }?.sequence
      }
      var next: UInt64 = 1
      for step in 0..<2500 {
        if messages.count < 80, Bool.random(using: &random) {
          let subject = (0..<Int.random(in: 1...3, using: &random)).map { _ in words.randomElement(using: &random)! }.joined(separator: ".")
          index.add(ByteString(subject), next)
          messages.append((next, subject))
          next += UInt64.random(in: 1...3, using: &random)
        } else if !messages.isEmpty {
          let position = [0, messages.count - 1, Int.random(in: 0..<messages.count, using: &random)].randomElement(using: &random)!
          let gone = messages.remove(at: position)
          #expect(index.remove(ByteString(gone.subject), gone.sequence) == messages.filter { $0.subject == gone.subject }.count)
        }
        if step % 7 == 0 {
          let pattern = Model.pattern(&random, words: words, depth: 3)
          let wanted = messages.filter { Model.matches($0.subject, pattern) }
          ByteString(pattern).withView { view in
            let sum = index.summary(view)
            #expect(sum.subjects == Set(wanted.map(\.subject)).count && sum.messages == UInt64(wanted.count))
            #expect(sum.firstBound <= wanted.first?.sequence ?? 0 && sum.lastBound >= wanted.last?.sequence ?? 0)
            if step % 2 == 0 {
              #expect(index.lastMatching(view, search: last) == wanted.last?.sequence)
              #expect(index.firstMatching(view, search: first) == wanted.first?.sequence)
            }
          }
          if let subject = messages.randomElement(using: &random)?.subject {
            ByteString(subject).withView { view in
              #expect(index.count(view) == messages.filter { $0.subject == subject }.count)
              #expect(index.first(view, search: first) == messages.first { $0.subject == subject }?.sequence)
              #expect(index.last(view, search: last) == messages.last { $0.subject == subject }?.sequence)
            }
          }
        }
        #expect(index.subjectCount == Set(messages.map(\.subject)).count)
      }
    }
  }

  @Test("a hundred thousand subjects take 64 bytes each at most, and those that come and go leave nothing behind")
  func memory() {
    var index = SubjectIndex(seed: 1)
    let count = 100_000
    for number in 0..<count { index.add(ByteString("sensors.plant7.t\(number)"), UInt64(number + 1)) }
    #expect(index.bytes / count <= 64, "\(index.bytes / count) bytes a subject")
    let before = index.bytes
    for number in 0..<count * 2 {
      index.remove(ByteString("sensors.plant7.t\(number)"), UInt64(number + 1))
      index.add(ByteString("sensors.plant7.t\(number + count)"), UInt64(number + count + 1))
    }
    #expect(index.bytes < before * 2, "\(before) \(index.bytes)")
    #expect(index.subjectCount == count)
    var seen = 0
    index.forEachMatching(ByteView("sensors.*.>")) { _, _, _, _ in seen += 1 }
    #expect(seen == count)
    for number in count * 2..<count * 3 { ByteString("sensors.plant7.t\(number)").withView { index.removeAll(of: $0) } }
    #expect(index.isEmpty && index.bytes == 0)
  }

  @Test("a subject of any length is kept")
  func lengths() {
    var index = SubjectIndex(seed: 1)
    let subjects = [0, 1, 254, 255, 256, 65_530, 65_536, 200_000, 3].map { ByteString([UInt8](repeating: 0x61, count: $0)) }
    for (sequence, subject) in subjects.enumerated() { index.add(subject, UInt64(sequence + 1)) }
    for (sequence, subject) in subjects.enumerated() {
      #expect(subject.withView { index.last($0, search: never) } == UInt64(sequence + 1))
    }
    var lengths: [Int] = []
    index.forEachMatching(ByteView(">")) { subject, _, _, _ in lengths.append(subject.count) }
    #expect(lengths == subjects.map(\.count))
  }
}
