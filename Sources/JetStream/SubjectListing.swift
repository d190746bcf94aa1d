// The subjects of a stream in the order of their names, a page at a time (STREAM.INFO with subjects_filter, section 4.3): gone through over
// several turns of the loop, and never more of them held than what comes before the page's end.
import Bytes
import Interest
import Platform

/// A request for a page of subjects that is under way.
final class SubjectListing {
  /// A page, and how many subjects there are in all.
  typealias Page = (subjects: [(subject: ByteString, count: Int)], total: Int)

  private let stream: Stream
  private let filter: ByteString
  private let offset: Int
  private let limit: Int
  private let done: (Page) -> Void
  private var total = 0
  /// The first `offset + limit` subjects so far; the last of them on top of a heap.
  private var heap: [(subject: ByteString, count: Int)] = []
  private var next: UInt64? = 0
  /// From here on the heap is in order.
  private var ordered = 0
  private let timer = Timer()

  /// Subjects that are looked at in one turn: a millisecond's worth.
  private static let turnSubjects = 8192

  /// `done` gets the page: at once when that is little work.
  init(_ stream: Stream, filter: ByteString, offset: Int, limit: Int, done: @escaping (Page) -> Void) {
    self.stream = stream
    self.filter = filter
    self.offset = max(offset, 0)
    self.limit = limit
    self.done = done
  }

  func run() {
    if filter.withView({ Subject.isLiteral($0) }) {
      if let state = filter.withView({ stream.subjects[$0] }) { take(filter, state.count) }
      return finish()
    }
    var left = Self.turnSubjects
    while let start = next, !stream.isDeleted {
      guard left > 0 else { return stream.engine.host.after(0, timer) { [self] in run() } }
      next = filter.withView { filter in
        stream.log.subjectPage(at: start) { subject, count in
          left -= 1
          if Subject.matches(subject, filter) { take(subject, count) }
        }
      }
    }
    finish()
  }

  private var most: Int { min(offset, Int.max - limit) + limit }

  private func take(_ subject: ByteString, _ count: Int) { subject.withView { take($0, count) } }

  private func take(_ subject: ByteView, _ count: Int) {
    total += 1
    if heap.count < most {
      heap.append((ByteString(subject), count))
      rise()
    } else if heap[0].subject.withView({ subject < $0 }) {
      heap[0] = (ByteString(subject), count)
      sink(0, heap.count)
    }
  }

  private func rise() {
    var at = heap.count - 1
    while at > 0, heap[(at - 1) / 2].subject < heap[at].subject {
      heap.swapAt(at, (at - 1) / 2)
      at = (at - 1) / 2
    }
  }

  private func sink(_ start: Int, _ end: Int) {
    var at = start
    while true {
      var largest = at
      for child in 2 * at + 1...2 * at + 2 where child < end && heap[largest].subject < heap[child].subject { largest = child }
      if largest == at { return }
      heap.swapAt(at, largest)
      at = largest
    }
  }

  private func finish() {
    ordered = heap.count
    order()
  }

  /// Brings the page in order, the last first, some subjects in each turn; what is before the page need not be.
  private func order() {
    var left = Self.turnSubjects
    while ordered > max(offset, 1) {
      guard left > 0 else { return stream.engine.host.after(0, timer) { [self] in order() } }
      left -= 1
      ordered -= 1
      heap.swapAt(0, ordered)
      sink(0, ordered)
    }
    done((Array(heap.dropFirst(offset)), total))
  }
}
