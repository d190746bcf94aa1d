// What a stream knows of each of its subjects: how many messages, the first and the last.
import Bytes
import Interest

/// One subject of a stream.
struct SubjectState {
  /// Not after the first message of the subject; exact unless `firstIsOld`.
  var first: UInt64
  var last: UInt64
  var count: Int
  /// The message that was first is gone and nobody looked for the next yet.
  var firstIsOld = false
  /// Likewise for the last.
  var lastIsOld = false
}

/// Subjects of the messages in a stream.
struct SubjectTable {
  private(set) var states = ByteMap<SubjectState>()

  var count: Int { states.count }

  subscript(subject: ByteView) -> SubjectState? { states[subject] }

  /// A message was stored; returns how many its subject has now.
  @inline(__always) mutating func added(_ subject: ByteView, _ sequence: UInt64) -> Int {
    var count = 0
    let found = states.update(subject) { state in
      state.last = sequence
      state.lastIsOld = false
      state.count += 1
      count = state.count
    }
    if found { return count }
    states.set(ByteString(subject), SubjectState(first: sequence, last: sequence, count: 1))
    return 1
  }

  /// A message is gone.
  mutating func removed(_ subject: ByteView, _ sequence: UInt64) {
    var isEmpty = false
    states.update(subject) { state in
      state.count -= 1
      isEmpty = state.count == 0
      if state.count == 1, !state.firstIsOld, !state.lastIsOld {
        // Of two, the other is left.
        if sequence == state.first { state.first = state.last } else if sequence == state.last { state.last = state.first }
        return
      }
      if !state.firstIsOld, sequence == state.first {
        state.first = sequence + 1
        state.firstIsOld = true
      }
      if sequence == state.last { state.lastIsOld = true }
    }
    if isEmpty { states.remove(subject) }
  }

  mutating func set(_ subject: ByteView, _ change: (inout SubjectState) -> Void) { states.update(subject, change) }

  mutating func removeAll() { states.removeAll() }

  /// Calls `body` with each subject that `filter` matches.
  func forEach(matching filter: ByteView, _ body: (ByteString, SubjectState) -> Void) {
    if Subject.isLiteral(filter) {
      if let state = states[filter] { body(ByteString(filter), state) }
      return
    }
    let all = filter.equals(">")
    states.forEach { subject, state in
      if all || subject.withView({ Subject.matches($0, filter) }) { body(subject, state) }
    }
  }
}
