// Finding the message that a get asks for, over several turns of the loop where that takes reading. The requests are in API+Message and
// API+DirectGet.
import Bytes
import Interest
import Platform

/// A get that is under way.
final class MessageSearch {
  private let stream: Stream
  private let filters: [ByteString]
  /// Where the search for the next of a subject goes on.
  private var next: UInt64 = 0
  /// Of a get of the last.
  private var candidates: LastCandidates?
  private let done: (UInt64?) -> Void
  private let timer = Timer()

  private static let readMax = 4096

  private init(_ stream: Stream, _ filters: [ByteString], _ done: @escaping (UInt64?) -> Void) {
    self.stream = stream
    self.filters = filters
    self.done = done
  }

  /// Calls `done` with the sequence that `request` means, or nil: at once when that is little work, in a later turn otherwise.
  static func find(_ request: GetRequest, in stream: Stream, done: @escaping (UInt64?) -> Void) {
    if !request.lastBySubject.isEmpty {
      if request.lastBySubject.equals(">") { return done(stream.log.previousSequence(atOrBefore: stream.lastSequence)) }
      let search = MessageSearch(stream, [], done)
      search.candidates = request.lastBySubject.withView { LastCandidates(stream, matching: $0) }
      return search.run()
    }
    var start = request.sequence
    if let time_ns = request.startTime_ns {
      guard let first = try? stream.sequence(atOrAfter: time_ns) else { return done(nil) }
      start = first
    }
    if !request.nextBySubject.isEmpty {
      start = max(start, stream.firstSequence)
      if request.nextBySubject.withView({ stream.isCovered(by: $0) }) { return done(stream.nextSequence(atOrAfter: start)) }
      let search = MessageSearch(stream, [request.nextBySubject], done)
      search.next = start
      // Where no subject is known there is nothing to read.
      guard stream.mayHave(search.filters, from: start) else { return done(nil) }
      return search.run()
    }
    if request.startTime_ns != nil { return done(start) }
    done(stream.contains(start) ? start : nil)
  }

  private func run() {
    guard !stream.isDeleted else { return done(nil) }
    let engine = stream.engine
    var left = engine.readShare(Self.readMax)
    let before = left
    var found: UInt64?
    let isThrough = filters.isEmpty ? findLast(&found, &left) : findNext(&found, &left)
    engine.hasRead(before - left)
    guard isThrough else { return engine.host.after(0, timer) { [self] in run() } }
    done(found)
  }

  private func findLast(_ found: inout UInt64?, _ left: inout Int) -> Bool {
    while let subject = candidates?.next {
      let last = subject.withView { stream.last(of: $0, left: &left) }
      if last == .unfinished { return false }
      // What the disk cannot give now is not found.
      if last == .failed { return true }
      candidates?.take(last)
    }
    if case .found(let sequence)? = candidates?.last { found = sequence }
    return true
  }

  private func findNext(_ found: inout UInt64?, _ left: inout Int) -> Bool {
    guard left > 0 else { return false }
    var reached: UInt64 = 0
    var match: UInt64?
    let through = stream.lastSequence
    let outcome = stream.next(from: next, through: through, matching: filters, left: &left, reached: &reached) { match = $0.sequence }
    found = match
    guard outcome == .none, reached < through else { return true }
    next = reached + 1
    return false
  }
}
