// The set of removed sequences against a plain Set.
import Testing

@testable import LogStore

@Suite struct SequenceSetTests {
  @Test("random changes leave the set equal to a plain one") func matchesModel() {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<20 {
      var set = SequenceSet()
      var model: Set<UInt64> = []
      for _ in 0..<600 {
        let first = UInt64.random(in: 1...2000, using: &random)
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5:
          let last = first + UInt64.random(in: 0...3, using: &random)
          set.insert(first, last)
          model.formUnion(first...last)
        case 5..<9:
          #expect(set.remove(first) == (model.remove(first) != nil))
        default:
          let below = UInt64.random(in: 0...100, using: &random)
          set.removeBelow(below)
          model = model.filter { $0 >= below }
        }
      }
      #expect(set.count == model.count)
      for sequence in UInt64(0)...2010 {
        #expect(set.contains(sequence) == model.contains(sequence))
      }
      var next: UInt64 = 500
      while model.contains(next) { next += 1 }
      #expect(set.nextAbsent(500) == next)
      var previous: UInt64 = 500
      while model.contains(previous) { previous -= 1 }
      #expect(set.previousAbsent(500) == previous)
      #expect(set.count(300, 900) == model.count { $0 >= 300 && $0 <= 900 })
    }
  }

  @Test("ranges of more sequences than 32 bits count are counted") func hugeRanges() {
    var set = SequenceSet()
    set.insert(10, 10 + (1 << 40))
    set.insert(11 + (1 << 40), 12 + (1 << 40))
    #expect(set.count == 3 + (1 << 40))
    #expect(set.count(5, 1 << 33) == (1 << 33) - 9)
    set.remove(1 << 32)
    set.removeBelow(1 << 34)
    #expect(set.count == 13 + (1 << 40) - (1 << 34))
  }
}
