// The index of a stream's subjects, against a list of its messages.
import Bytes
import Testing

@testable import Interest

@Suite("SubjectIndex") struct SubjectIndexTests {
  @Test("a subject's ends and count follow what is added")
  func adding() {
    let index = SubjectIndex(seed: 1)
    #expect(index.add(ByteView("a.b"), 1) == 1)
    #expect(index.add(ByteView("a.c"), 2) == 1)
    #expect(index.add(ByteView("a.b"), 5) == 2)
    #expect(index.subjectCount == 2 && index[ByteView("a")] == nil)
    #expect(index[ByteView("a.b")] == .init(count: 2, first: 1, firstIsOld: false, last: 5, lastIsOld: false))
    #expect(index.remove(ByteView("x"), 1) == nil)
  }

  @Test("an end that was removed is a bound until somebody says what it is")
  func lazyEnds() {
    let index = SubjectIndex(seed: 1)
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

  @Test("the subjects of a page are spread over its slots, so that each is found within a few steps")
  func spread() {
    let page = SubjectPage(depth: 0)
    for number in 0..<4000 {
      let subject = ByteString("bench.s000\(1000 + number)")
      subject.withView { page.insert($0, ByteHash.hash($0, seed: 1), .init(first: Bound(exactly: 1), last: Bound(exactly: 1), count: 1)) }
    }
    var (run, longest) = (0, 0)
    for slot in page.slots + page.slots {
      run = slot == 0 ? 0 : run + 1
      longest = max(longest, run)
    }
    #expect(longest < 500)
  }

  @Test("an index that changes all the time answers as the messages do")
  func againstModel() {
    let words = ["a", "b", "c"]
    for seed in 0..<4 {
      var random = TestRandom(seed: UInt64(seed))
      let index = SubjectIndex(seed: UInt64(seed))
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

  private func add(_ index: SubjectIndex, _ number: Int) {
    ByteString("sensors.plant7.t\(number)").withView { _ = index.add($0, UInt64(number + 1)) }
  }

  private func remove(_ index: SubjectIndex, _ number: Int) {
    ByteString("sensors.plant7.t\(number)").withView { _ = index.remove($0, UInt64(number + 1)) }
  }

  @Test("a hundred thousand subjects take 64 bytes each at most, and those that come and go leave nothing behind")
  func memory() {
    let index = SubjectIndex(seed: 1)
    let count = 100_000
    for number in 0..<count { add(index, number) }
    #expect(index.bytes / count <= 64, "\(index.bytes / count) bytes a subject")
    let before = index.bytes
    for number in 0..<count * 2 {
      remove(index, number)
      add(index, number + count)
    }
    #expect(index.bytes < before * 2, "\(before) \(index.bytes)")
    #expect(index.subjectCount == count)
    var seen = 0
    index.forEach(matching: ByteView("sensors.*.>")) { _, _ in seen += 1 }
    #expect(seen == count)
    for number in count * 2..<count * 3 { remove(index, number) }
    #expect(index.isEmpty && index.bytes == 0)
  }

  @Test("a subject of any length is kept")
  func lengths() {
    let index = SubjectIndex(seed: 1)
    let subjects = [0, 1, 254, 255, 256, 65_530, 65_536, 200_000, 3].map { ByteString([UInt8](repeating: 0x61, count: $0)) }
    for (sequence, subject) in subjects.enumerated() { subject.withView { _ = index.add($0, UInt64(sequence + 1)) } }
    for (sequence, subject) in subjects.enumerated() {
      #expect(subject.withView { index[$0]?.last } == UInt64(sequence + 1))
    }
    var lengths: [Int] = []
    index.forEach(matching: ByteView(">")) { subject, _ in lengths.append(subject.count) }
    #expect(lengths.sorted() == subjects.map(\.count).sorted())
  }

  @Test("first and last may lie as far apart as sequences go")
  func farApart() {
    let index = SubjectIndex(seed: 1)
    let last: UInt64 = 1 << 61
    for (subject, sequences) in [("a", [5, 6]), ("b", [1, last]), ("c", [last, last + 3])] as [(StaticString, [UInt64])] {
      for sequence in sequences { index.add(ByteView(subject), sequence) }
    }
    #expect(index[ByteView("a")] == .init(count: 2, first: 5, firstIsOld: false, last: 6, lastIsOld: false))
    #expect(index[ByteView("b")] == .init(count: 2, first: 1, firstIsOld: false, last: last, lastIsOld: false))
    #expect(index[ByteView("c")] == .init(count: 2, first: last, firstIsOld: false, last: last + 3, lastIsOld: false))
    index.add(ByteView("b"), last + 7)
    index.remove(ByteView("b"), last + 7)
    #expect(index[ByteView("b")] == .init(count: 2, first: 1, firstIsOld: false, last: last + 6, lastIsOld: true))
  }

  /// What happened to a stream, in the order of its log.
  private enum Change {
    case add(String, UInt64)
    case remove(String, UInt64)

    func apply(to index: SubjectIndex, at position: UInt64) {
      switch self {
      case .add(let subject, let sequence): ByteString(subject).withView { _ = index.add($0, sequence, at: position) }
      case .remove(let subject, let sequence): ByteString(subject).withView { _ = index.remove($0, sequence, at: position) }
      }
    }
  }

  private func contents(_ index: SubjectIndex) -> [String: SubjectIndex.State] {
    var all: [String: SubjectIndex.State] = [:]
    index.forEach(matching: ByteView(">")) { all[$0.string] = $1 }
    #expect(all.count == index.subjectCount)
    return all
  }

  @Test("an index that is written down page by page while it changes is there again with what the log says after", arguments: 0..<4)
  func restored(seed: Int) throws {
    var random = TestRandom(seed: UInt64(seed))
    let index = SubjectIndex(seed: 9, pageSubjectsMax: 512)
    var log: [Change] = []
    var live: [(subject: String, sequence: UInt64)] = []
    func change() {
      if live.count < 12_000, Int.random(in: 0..<5, using: &random) > 0 {
        let sequence = UInt64(log.count + 1)
        let subject = "s.\(Int.random(in: 0..<9_000, using: &random))"
        live.append((subject, sequence))
        log.append(.add(subject, sequence))
      } else if let at = live.indices.randomElement(using: &random) {
        live.swapAt(at, live.count - 1)
        let gone = live.removeLast()
        log.append(.remove(gone.subject, gone.sequence))
      }
      log[log.count - 1].apply(to: index, at: .max)
    }
    for _ in 0..<9_000 { change() }
    let begin = log.count
    let copy = SubjectIndex(seed: 9, pageSubjectsMax: 512)
    var start: UInt64? = 0
    var pages = 0
    while let at = start {
      #expect(index.hasPage(at: at))
      start = index.writePage(at: at) { depth, subjects, textBytes in
        #expect(copy.restorePage(depth: depth, subjects: subjects, textBytes: textBytes, countedThrough: UInt64(log.count)))
      } _: { subject, count, first, last in
        #expect(copy.restore(subject, count: count, first: first, last: last))
        #expect(!copy.restore(subject, count: count, first: first, last: last))
      }
      pages += 1
      // Enough that pages are divided, before and behind the one that comes next.
      for _ in 0..<400 { change() }
    }
    #expect(pages > 1 && copy.isRestored)
    for at in begin..<log.count { log[at].apply(to: copy, at: UInt64(at)) }
    copy.countEverything()
    #expect(contents(copy) == contents(index))
    // And goes on like it.
    for _ in 0..<2_000 {
      change()
      log[log.count - 1].apply(to: copy, at: .max)
    }
    #expect(contents(copy) == contents(index))
  }

  @Test("pages that cannot be those of an index are refused")
  func badPages() {
    func page(_ index: SubjectIndex, _ depth: Int, subjects: Int = 1) -> Bool {
      index.restorePage(depth: depth, subjects: subjects, textBytes: 10, countedThrough: 1)
    }
    let index = SubjectIndex(seed: 1)
    #expect(!page(index, -1) && !page(index, 21) && !page(index, 0, subjects: 1 << 20))
    #expect(!index.restore(ByteView("a"), count: 1, first: 1, last: 1))
    #expect(page(index, 2) && !page(index, 1) && page(index, 2) && !index.isRestored)
    #expect(!index.restore(ByteView("a"), count: 0, first: 1, last: 1))
    #expect(page(index, 1) && index.isRestored && !page(index, 1))
    // A subject of which the hash belongs to another page.
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    let taken = words.filter { word in ByteString(word).withView { index.restore($0, count: 1, first: 1, last: 1) } }
    #expect(!taken.isEmpty && taken.count < words.count)
  }
}
