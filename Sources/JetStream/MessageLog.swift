// Where a stream keeps its messages: the one shape that file and memory storage share. MemoryLog is in its own file.
import Bytes
import Interest
import LogStore

/// A message as a log hands it out. Its views are valid during the call that received it.
public struct LogMessage {
  public let sequence: UInt64
  public let timestamp_ns: Int64
  public let subject: ByteView
  /// The header block, empty when there is none.
  public let headers: ByteView
  public let payload: ByteView

  @inline(__always) init(sequence: UInt64, timestamp_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView) {
    self.sequence = sequence
    self.timestamp_ns = timestamp_ns
    self.subject = subject
    self.headers = headers
    self.payload = payload
  }
}

/// What came of reading a message.
public enum ReadOutcome: Equatable {
  case found
  /// There is no such message.
  case none
  /// The record of this message is damaged on the medium; others can be read.
  case damaged(UInt64)
  /// The disk could not be read now. It says nothing about whether the message is there.
  case failed

  public var isFound: Bool { self == .found }
}

/// The messages of one stream in the order of their sequences, with gaps where messages were removed.
public protocol MessageLog: AnyObject {
  /// The sequence of the first message; `lastSequence` + 1 when there is none.
  var firstSequence: UInt64 { get }
  /// The last sequence that was ever given, also when its message is gone.
  var lastSequence: UInt64 { get }
  var count: Int { get }
  /// As nats-server accounts them for this kind of storage (section 4.3).
  var bytes: Int64 { get }
  /// When the last message came, also when it is gone; 0 when there never was one.
  var lastTimestamp_ns: Int64 { get }
  /// Removed messages between the first and the last.
  var deletedCount: UInt64 { get }
  /// Whether a message is acknowledged when it is on the disk, not when it was taken.
  var isDurable: Bool { get set }

  /// Different subjects of the messages.
  var subjectCount: Int { get }
  /// How many messages the subject of the last appended one had then.
  var appendedSubjectCount: Int { get }
  func subject(_ subject: ByteView) -> SubjectIndex.State?
  /// Calls `body` with each subject that `filter` matches.
  func forEachSubject(matching filter: ByteView, _ body: (ByteView, SubjectIndex.State) -> Void)
  /// Calls `body` with the subjects of a bounded part of all, the first at `start` 0. Returns where the next begins; nil after the last.
  func subjectPage(at start: UInt64, _ body: (_ subject: ByteView, _ count: Int) -> Void) -> UInt64?
  /// Whether it is remembered where the messages of each subject are, so that `next` need not read others.
  var keepsHistory: Bool { get set }
  /// The first message of a literal subject at or after `sequence`. What is not remembered is looked at, `left` messages at most, which is
  /// counted down: with nil and nothing left there may be one further on. With nil and something left there is none, or the disk
  /// could not be read.
  func next(_ subject: ByteView, atOrAfter sequence: UInt64, left: inout Int) -> UInt64?
  /// Somebody searched: these are the real first and last message of `subject`.
  func settle(_ subject: ByteView, first: UInt64?, last: UInt64?)

  /// The last message of `subject`, which is not known, is at or before `sequence`.
  func bound(_ subject: ByteView, lastAtMost sequence: UInt64)

  /// Appends; returns the position to wait for (0 in memory).
  func append(
    sequence: UInt64, timestamp_ns: Int64, subject: ByteView, headers: ByteView, payload: ByteView
  ) throws(StoreError) -> UInt64
  /// Removes one message; false when it is not there.
  func remove(_ sequence: UInt64) -> Bool
  /// Removes one message and overwrites it on the medium; false when it is not there. `done` is told whether it could be.
  func erase(_ sequence: UInt64, done: @escaping (Bool) -> Void) -> Bool
  /// Removes all messages up to `sequence`.
  func removeThrough(_ sequence: UInt64)
  /// Sets where an empty log begins.
  func begin(at sequence: UInt64)
  /// Lets a log with messages go on at a sequence behind the next one: those between count as removed.
  func skip(before sequence: UInt64)
  func contains(_ sequence: UInt64) -> Bool
  /// The first message at or after `sequence`.
  func nextSequence(atOrAfter sequence: UInt64) -> UInt64?
  /// The last message at or before `sequence`.
  func previousSequence(atOrBefore sequence: UInt64) -> UInt64?
  /// The message that has `before` others before it; nil when there are not so many.
  func sequence(behind before: Int) -> UInt64?
  /// Messages at or after `sequence`, counted without reading them.
  func count(from sequence: UInt64) -> Int
  /// Calls `body` with one message.
  @discardableResult
  func read(_ sequence: UInt64, _ body: (LogMessage) -> Void) -> ReadOutcome
  /// Calls `body` with each message from `sequence` on until it returns false. Damaged ones are left out. False when the disk could not
  /// be read and messages may be missing.
  @discardableResult
  func scan(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool
  /// The same, but messages without headers may be left out.
  @discardableResult
  func scanHeaders(from sequence: UInt64, _ body: (LogMessage) -> Bool) -> Bool
  /// The first message that came at or after a time.
  func sequence(atOrAfter time_ns: Int64) throws(StoreError) -> UInt64?
  /// The removed sequences between the first and the last, at most `limit`.
  func deletedSequences(limit: Int) -> [UInt64]
  /// When space is short: the last of this stream's sequences in the oldest part that can be given back as a whole.
  var oldestPartLastSequence: UInt64? { get }
}
