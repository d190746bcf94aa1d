// The index of a stream's subjects, against a list of its messages.
import Bytes
import Testing

@testable import Interest

@Suite("SubjectIndex") struct SubjectIndexTests {
  @Test("a subject's ends and count follow what is added")
  func adding() {
    var index = SubjectIndex(seed: 1)
    #expect(index.add(ByteView("a.b"), 1) == 1)
    #expect(index.add(ByteView("a.c"), 2) == 1)
    #expect(index.add(ByteView("a.b"), 5) == 2)
    #expect(index.subjectCount == 2 && index[ByteView("a")] == nil)
    #expect(index[ByteView("a.b")] == .init(count: 2, first: 1, firstIsOld: false, last: 5, lastIsOld: false))
    #expect(index.remove(ByteView("x"), 1) == nil)
  }

  @Test("an end that was removed is a bound until somebody says what it is")
  func lazyEnds() {
    var index = SubjectIndex(seed: 1)
    let a = ByteView("a")
    for sequence in [1, 4, 6, 9] as [UInt64] { index.add(a, sequence) }
    #expect(index.remove(a, 9) == 3)
    #expect(index.remove(a, 1) == 2)
    #expect(index[a] == .init(count: 2, first: 2, firstIsOld: true, last: 8, lastIsOld: true))
    index.settle(a, first: 4)
    index.settle(a, last: 6)
    #expect(index[a] == .init(count: 2, first: 4, firstIsOld: false, last: 6, lastIsOld: false))
    index.remove(a, 4)
    #expect(index[a] == .init(count: 1, first: 6, firstIsOld: false, last: 6, lastIsOld: false))
    #expect(index.remove(a, 6) == 0)
    #expect(index.isEmpty)
  }

  @Test("an index that changes all the time answers as the messages do")
  func againstModel() {
    let words = ["a", "b", "c"]
    for seed in 0..<4 {
      var random = TestRandom(seed: UInt64(seed))
      var index = SubjectIndex(seed: UInt64(seed))
      var messages: [(sequence: UInt64, subject: String)] = []
      var next: UInt64 = 1
      for step in 0..<2500 {
        if messages.count < 80, Bool.random(using: &random) {
          let subject = (0..<Int.random(in: 1...3, using: &random)).map { _ in words.randomElement(using: &random)! }.joined(separator: ".")
          ByteString(subject).withView { _ = index.add($0, next) }
          messages.append((next, subject))
          next += UInt64.random(in: 1...3, using: &random)
        } else if !messages.isEmpty {
          let position = [0, messages.count - 1, Int.random(in: 0..<messages.count, using: &random)].randomElement(using: &random)!
          let gone = messages.remove(at: position)
          ByteString(gone.subject).withView { view in
            #expect(index.remove(view, gone.sequence) == messages.filter { $0.subject == gone.subject }.count)
          }
        }
        if step % 7 == 0 {
          let pattern = Model.pattern(&random, words: words, depth: 3)
          var seen: Set<String> = []
          ByteString(pattern).withView { view in
            index.forEach(matching: view) { subject, state in
              let text = subject.string
              seen.insert(text)
              let own = messages.filter { $0.subject == text }
              #expect(state.count == own.count)
              #expect(state.firstIsOld ? state.first <= own[0].sequence : state.first == own[0].sequence)
              #expect(state.lastIsOld ? state.last >= own.last!.sequence : state.last == own.last!.sequence)
            }
          }
          #expect(seen == Set(messages.filter { Model.matches($0.subject, pattern) }.map(\.subject)))
          if let subject = messages.randomElement(using: &random)?.subject {
            let own = messages.filter { $0.subject == subject }
            ByteString(subject).withView { index.settle($0, first: own[0].sequence, last: own.last!.sequence) }
          }
        }
        #expect(index.subjectCount == Set(messages.map(\.subject)).count)
      }
    }
  }

  private func add(_ index: inout SubjectIndex, _ number: Int) {
    ByteString("sensors.plant7.t\(number)").withView { _ = index.add($0, UInt64(number + 1)) }
  }

  private func remove(_ index: inout SubjectIndex, _ number: Int) {
    ByteString("sensors.plant7.t\(number)").withView { _ = index.remove($0, UInt64(number + 1)) }
  }

  @Test("a hundred thousand subjects take 64 bytes each at most, and those that come and go leave nothing behind")
  func memory() {
    var index = SubjectIndex(seed: 1)
    let count = 100_000
    for number in 0..<count { add(&index, number) }
    #expect(index.bytes / count <= 64, "\(index.bytes / count) bytes a subject")
    let before = index.bytes
    for number in 0..<count * 2 {
      remove(&index, number)
      add(&index, number + count)
    }
    #expect(index.bytes < before * 2, "\(before) \(index.bytes)")
    #expect(index.subjectCount == count)
    var seen = 0
    index.forEach(matching: ByteView("sensors.*.>")) { _, _ in seen += 1 }
    #expect(seen == count)
    for number in count * 2..<count * 3 { remove(&index, number) }
    #expect(index.isEmpty && index.bytes == 0)
  }

  @Test("a subject of any length is kept")
  func lengths() {
    var index = SubjectIndex(seed: 1)
    let subjects = [0, 1, 254, 255, 256, 65_530, 65_536, 200_000, 3].map { ByteString([UInt8](repeating: 0x61, count: $0)) }
    for (sequence, subject) in subjects.enumerated() { subject.withView { _ = index.add($0, UInt64(sequence + 1)) } }
    for (sequence, subject) in subjects.enumerated() {
      #expect(subject.withView { index[$0]?.last } == UInt64(sequence + 1))
    }
    var lengths: [Int] = []
    index.forEach(matching: ByteView(">")) { subject, _ in lengths.append(subject.count) }
    #expect(lengths == subjects.map(\.count))
  }
}
