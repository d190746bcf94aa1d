// What a stream tells its consumers, and whom it asks for the consumer part of the API. Consumers themselves are in Consumer's files.
import Bytes
import JSON

/// A consumer as its stream sees it. All calls come from the loop's thread, within a turn.
public protocol StreamConsumer: AnyObject {
  var name: ByteString { get }
  /// Whether it is an internal one that counts nowhere (mirrors and sources of others).
  var isDirect: Bool { get }
  /// Whether it gets messages of this subject.
  func isInterested(in subject: ByteView) -> Bool
  /// `stream.lastDeliverable` moved on.
  func messagesArrived()
  /// One message is gone (deleted, or replaced by the limit per subject).
  func messageRemoved(_ sequence: UInt64, subject: ByteView)
  /// All messages up to `sequence` are gone (limits, age, purge).
  func messagesRemoved(through sequence: UInt64)
  /// A purge ended: what is pending has to be counted again.
  func streamPurged()
  /// The stream's configuration changed.
  func streamUpdated()
  /// Whether its configuration is beyond limits that the stream is to have.
  func violates(_ limits: StreamConfig.ConsumerLimits) -> Bool
  /// The wall clock was set.
  func clockJumped()
  /// The stream is gone: end, and forget what is stored. Not called when the process stops.
  func streamDeleted()
  /// Whether the consumer is not done with a message of the stream: it delivers such subjects, and this one is yet to be delivered, waits
  /// for its ack, or was given up after its last delivery.
  func needs(_ sequence: UInt64, subject: ByteView) -> Bool
  /// It is not done with anything behind this sequence.
  var doneThrough: UInt64 { get }
  /// Whether it gets all messages, whatever their subject.
  var wantsEverything: Bool { get }
  /// Appends the members of ConsumerInfo to an object that is open; an internal one has none.
  func appendInfo(to json: inout JSONWriter)
}

extension StreamConsumer {
  public func needs(_ sequence: UInt64, subject: ByteView) -> Bool { false }
  public var doneThrough: UInt64 { .max }
  public var wantsEverything: Bool { false }
  public func clockJumped() {}
  public func violates(_ limits: StreamConfig.ConsumerLimits) -> Bool { false }
  public func appendInfo(to json: inout JSONWriter) {}
}

/// Whoever answers `$JS.API.CONSUMER.>`.
public protocol ConsumerAPI: AnyObject {
  /// Handles one request (also MSG.NEXT). It counts itself through `JetStream.answer`.
  func handleConsumerRequest(_ request: APIRequest)
  /// A stream was found in the store at the start: its consumers may be looked for.
  func streamRecovered(_ stream: Stream)
  /// The consumers of a stream for its backup: JSON objects with `config` and `state`.
  func snapshot(of stream: Stream) throws(APIError) -> [(name: ByteString, record: [UInt8])]
  /// Makes a consumer of what a backup says.
  func restore(_ saved: ConsumerBackup, of stream: Stream) throws(APIError)
  /// All streams were.
  func allRecovered()
}
