// Where messages of each subject are, against a list of the messages.
import Bytes
import Testing

@testable import Interest

@Suite("SubjectHistory") struct SubjectHistoryTests {
  @Test("the next message of a subject is found, whatever came and went", arguments: 0..<4)
  func model(seed: Int) {
    var random = TestRandom(seed: UInt64(seed))
    var history = SubjectHistory(seed: UInt64(seed))
    var live: [UInt64: String] = [:]
    var sequence: UInt64 = 0
    var wrong = 0
    for step in 0..<6_000 {
      sequence += [1, 1, 1, 2, 70_000, 1 << 33].randomElement(using: &random)!
      let subject = "s.\(Int.random(in: 0..<40, using: &random))"
      ByteString(subject).withView { history.add($0, sequence) }
      live[sequence] = subject
      if live.count > 200, let gone = live.keys.randomElement(using: &random), let old = live.removeValue(forKey: gone) {
        ByteString(old).withView { history.remove($0) { live[$0] != nil } }
      }
      guard step % 20 == 0 else { continue }
      let from = UInt64.random(in: 0...sequence + 1, using: &random)
      let found = ByteString(subject).withView { view in
        history.next(view, atOrAfter: from) { candidate in
          if let other = live[candidate], other != subject { wrong += 1 }
          return live[candidate] == subject
        }
      }
      #expect(found == live.filter { $0.key >= from && $0.value == subject }.keys.min())
    }
    #expect(wrong < 3 && history.last == sequence)
    history.removeAll()
    #expect(ByteView("s.1").count == 3 && history.next(ByteView("s.1"), atOrAfter: 0) { _ in true } == nil)
  }

  @Test("messages that went take no room")
  func memory() {
    var history = SubjectHistory(seed: 1)
    for sequence in UInt64(1)...20_000 {
      ByteString("s.\(sequence % 100)").withView { history.add($0, sequence) }
    }
    let before = history.bytes
    #expect(before < 20_000 * 6)
    for sequence in UInt64(20_001)...60_000 {
      ByteString("s.\(sequence % 100)").withView { subject in
        history.add(subject, sequence)
        history.remove(subject) { $0 > sequence - 20_000 }
      }
    }
    #expect(history.bytes < before * 3)
  }
}
