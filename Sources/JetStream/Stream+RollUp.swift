// Roll-ups (section 6.1): a message takes the place of those before it, of its subject or of the whole stream. The message and what goes at
// once are one batch of the log. What has to wait for later turns of the loop is written down with them, under
// `rollup/<account>/<stream>/<sequence>` → the subject (empty: the whole stream), and goes also after a crash.
import Broker
import Bytes
import Interest
import LogStore

extension Stream {
  private var rollUpPrefix: ByteString { ByteString("rollup/") + engine.account.name + ByteString("/") + name + ByteString("/") }

  /// The message `sequence` of `subject` takes the place of those before it.
  func rollUp(_ rollup: PublishPlan.Rollup, _ subject: ByteView, before sequence: UInt64) {
    switch rollup {
    case .none: return
    case .all: rollUp(ByteString(), from: log.firstSequence, before: sequence, limit: Int.max)
    case .subject:
      var first = sequence
      var count = 0
      // A subject with wildcards in it stands for all that it matches.
      subjects.forEach(matching: subject) { _, state in
        first = min(first, state.first)
        count += Int(state.count)
      }
      guard first < sequence else { return }
      // The new one, if it was stored, is counted too.
      if log.contains(sequence) { count -= 1 }
      rollUp(ByteString(subject), from: first, before: sequence, limit: count)
    }
  }

  private func rollUp(_ filter: ByteString, from first: UInt64, before sequence: UInt64, limit: Int) {
    guard sequence > 0 else { return }
    var key = rollUpPrefix.bytes
    key.append(decimal: sequence)
    let mark = ByteString(key)
    let purge = Purge(self, filter: filter, from: first, through: sequence - 1, limit: limit) { [self] _ in
      if isFile, !isDeleted { engine.store.removeMetadata(mark) }
    }
    purge.run()
    if isFile, !purge.isDone { engine.store.setMetadata(mark, filter.bytes) }
  }

  private var rollUpMarks: [(mark: ByteString, sequence: UInt64)] {
    var marks: [(mark: ByteString, sequence: UInt64)] = []
    rollUpPrefix.withView { prefix in
      engine.store.metadata.forEach { key, _ in
        key.withView { view in
          guard view.hasPrefix(prefix), let sequence = view.dropFirst(prefix.count).decimal() else { return }
          marks.append((key, sequence))
        }
      }
    }
    marks.order { $0.sequence < $1.sequence }
    return marks
  }

  /// Goes on with those that a crash interrupted.
  func resumeRollUps() {
    guard isFile else { return }
    for (mark, sequence) in rollUpMarks {
      guard let filter = engine.store.metadata[mark] else { continue }
      rollUp(ByteString(filter), from: log.firstSequence, before: sequence, limit: Int.max)
    }
  }

  /// The stream is gone.
  func forgetRollUps() {
    guard isFile else { return }
    for (mark, _) in rollUpMarks { engine.store.removeMetadata(mark) }
  }
}
