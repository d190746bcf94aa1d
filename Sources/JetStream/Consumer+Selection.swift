// Deliver policy last_per_subject: the last message of every subject up to where the stream ended when the consumer began. Looked up over
// several turns of the loop where that takes reading; nothing is delivered meanwhile.
import Bytes

extension Consumer {
  /// Begins to look up the last message of every subject.
  func select() {
    selection = LastMessages(stream, matching: filters.isEmpty ? [ByteString(">")] : filters, upTo: resumeAfter)
    selected = []
    selectedNext = 0
    isCounted = false
  }

  /// Goes on looking, reading `left` messages at most, which is counted down.
  func goOnSelecting(left: inout Int) -> Progress {
    guard var looking = selection else { return .complete }
    selection = nil  // so that it is not copied when it changes
    let progress = looking.goOn(stream, left: &left)
    guard progress == .complete else {
      selection = looking
      return progress
    }
    selected = looking.found.filter { $0 >= state.next && stream.contains($0) }
    if state.delivered.consumer == 0, state.pendingCount == 0 {
      // Nothing before the first of them counts.
      let first = max(selected.first ?? resumeAfter, state.next)
      if first > state.next { state.reset(first: first) }
    }
    if selected.isEmpty { state.next = max(state.next, resumeAfter + 1) }
    return .complete
  }
}
