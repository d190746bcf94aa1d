// The feeds of a mirror or of a stream with sources: starting and ending them with the configuration, and their places in the origins
// after a restart. Following one origin is SourceFeed's.
//
// A mirror's place is its last sequence. A source's place is in the newest stored message with its `Nats-Stream-Source`; what is about
// to lose that message (limits, acks of a work queue, a purge) first writes the places down, in the same log and so never later than
// the loss: `sources/<account>/<stream>` → {"created":…,"through":…,"sources":[{"name":…,"seq":…,"at":…,"identity":…}]}, where `through`
// is the last sequence up to which all messages are reckoned in, and `at` the one here that told the place. A start looks at the messages
// behind `through` only.
import Broker
import Bytes
import Interest
import JSON
import LogStore
import Platform
import Wire

/// Looking for the sources' places in what is stored, a share in every turn.
final class SourceScan {
  static let share = 2048
  static let retry_ns = second_ns
  let timer = Timer()
  /// Where it goes on; nil when it is through.
  var next: UInt64?
}

extension Stream {
  /// The places are written down anew after so many messages, from sources or not: no start has to look at many more.
  private static let movesMax = 4096

  private var recordKey: ByteString { ByteString("sources/") + engine.account.name + ByteString("/") + name }

  // MARK: Feeds

  /// Brings the feeds up to the configuration. `isNew` for a stream that was just made.
  func startFeeds(isNew: Bool = false) {
    if isNew, isFile { engine.store.removeMetadata(recordKey) }  // of an earlier stream of the same name
    let wanted = config.mirror.map { [$0] } ?? config.sources
    guard !wanted.isEmpty || !feeds.isEmpty else { return }
    let isFirst = feeds.isEmpty
    var old = feeds
    var fresh: [SourceFeed] = []
    feeds = []
    for source in wanted {
      if let index = old.firstIndex(where: { $0.source == source }) {
        feeds.append(old.remove(at: index))
        continue
      }
      let feed = SourceFeed(stream: self, source: source, isMirror: config.mirror != nil)
      if let former = old.first(where: { $0.indexName == feed.indexName }) { feed.continue(former) }
      feeds.append(feed)
      fresh.append(feed)
    }
    for feed in old { feed.end(isDropped: true) }
    engine.originWatcher.watch(feeds: feeds, instead: old)
    guard !fresh.isEmpty else { return }
    if config.mirror != nil {
      for feed in fresh { feed.start() }
      return
    }
    let from = isFirst ? readRecord() + 1 : log.firstSequence
    sourceScan.next = min(from, sourceScan.next ?? from)
    lookForSources()
  }

  /// Ends the feeds with the stream; `isDropped` when it will not come back.
  func endFeeds(isDropped: Bool) {
    guard !feeds.isEmpty else { return }
    engine.host.timers.cancel(sourceScan.timer)
    for feed in feeds { feed.end(isDropped: isDropped) }
    engine.originWatcher.watch(feeds: [], instead: feeds)
    feeds = []
    if isDropped, isFile { engine.store.removeMetadata(recordKey) }
  }

  // MARK: Places

  /// Takes over what is written down; returns the sequence through which that reckons, 0 when nothing is.
  private func readRecord() -> UInt64 {
    guard isFile, let record = engine.store.metadata[recordKey], let value = try? JSON.parse(ByteString(record)),
      value["created"]?.int64 == created_ns, let through = value["through"]?.uint64, let places = value["sources"]?.array
    else { return 0 }
    for place in places {
      guard let name = place["name"]?.string, let sequence = place["seq"]?.uint64, sequence < StreamLog.sequenceMax else { continue }
      for feed in feeds where feed.indexName == name {
        feed.place(sequence, identity: place["identity"]?.string ?? ByteString(), carrier: 0)
        feed.noted = place["at"]?.uint64 ?? through
      }
    }
    // What the log lost of its end was not reckoned in after all.
    return min(through, log.lastSequence)
  }

  private func writeRecord(through: UInt64) {
    unrecordedMoves = 0
    for feed in feeds { feed.carrier = 0 }
    guard isFile else { return }
    var json = JSONWriter()
    json.beginObject()
    json.field("created", created_ns)
    // What is yet to be looked at is not reckoned in.
    json.field("through", min(through, max(sourceScan.next ?? UInt64.max, 1) - 1))
    json.beginArray("sources")
    for feed in feeds where feed.settled > 0 {
      json.beginObject()
      json.field("name", feed.indexName)
      json.field("seq", feed.settled)
      json.field("at", feed.noted)
      json.fieldUnlessEmpty("identity", feed.identity)
      json.endObject()
    }
    json.endArray()
    json.endObject()
    engine.store.setMetadata(recordKey, json.finish())
  }

  /// A source moved on, with a message that was stored and tells of it or without; or a message of another origin was stored.
  func sourceMoved() {
    unrecordedMoves += 1
    if unrecordedMoves >= Stream.movesMax, config.mirror == nil { writeRecord(through: log.lastSequence) }
  }

  /// Messages are about to go: if one tells a source's place, that is written down before.
  func sourcesLose(from first: UInt64, through last: UInt64) {
    guard config.mirror == nil else { return }
    // What was not looked at yet is looked at now, but no more than that: the rest of the stream may be long.
    if let next = sourceScan.next, last >= next {
      _ = log.scanHeaders(from: max(first, next)) { message in
        guard message.sequence <= last else { return false }
        look(at: message)
        return true
      }
    }
    for feed in feeds where feed.carrier >= first && feed.carrier <= last && feed.carrier > 0 {
      // In the middle of taking a message, that one is not reckoned in yet.
      return writeRecord(through: origin?.last ?? log.lastSequence)
    }
  }

  // MARK: Looking

  private func lookForSources() {
    engine.host.after(0, sourceScan.timer) { [unowned(unsafe) self] in
      guard lookAtShare() else {
        return engine.host.after(SourceScan.retry_ns, sourceScan.timer) { [unowned(unsafe) self] in lookForSources() }
      }
      if sourceScan.next != nil { lookForSources() }
    }
  }

  /// Looks at the next share of messages; the feeds start after the last. False when the disk could not be read.
  private func lookAtShare() -> Bool {
    guard let from = sourceScan.next else { return true }
    var left = SourceScan.share
    var next = from
    let isComplete = log.scan(from: from) { message in
      next = message.sequence + 1
      left -= 1
      look(at: message)
      return left > 0
    }
    guard isComplete else { return false }
    sourceScan.next = left > 0 ? nil : next
    if left > 0 { for feed in feeds { feed.startOnce() } }
    return true
  }

  private func look(at message: LogMessage) {
    if !message.headers.isEmpty, let mark = Headers(message.headers).value("Nats-Stream-Source") { note(mark, message.sequence) }
  }

  /// `<stream> <sequence> <filter> <destination>[ <subject>[ <identity>]]`
  private func note(_ mark: ByteView, _ sequence: UInt64) {
    var parts: [ByteView] = []
    var start = 0
    for index in 0...mark.count where index == mark.count || mark[index] == ASCII.space {
      parts.append(mark.slice(start, index))
      start = index + 1
    }
    guard parts.count >= 4, let place = parts[1].decimal(), place < StreamLog.sequenceMax else { return }
    let name = parts[0].bytes + [ASCII.space] + parts[2].bytes + [ASCII.space] + parts[3].bytes
    // What a later message said holds, whichever was looked at first.
    for feed in feeds where feed.noted < sequence && feed.indexName.bytes == name {
      feed.place(place, identity: parts.count > 5 ? ByteString(parts[5]) : ByteString(), carrier: sequence)
    }
  }

  // MARK: Seen from outside

  /// Whether a mirror has come so far that it may answer for its origin (as nats-server decides it).
  var answersForOrigin: Bool {
    guard config.mirrorDirect, let feed = feeds.first else { return false }
    return feed.isFollowing && feed.cursor.lag < 10
  }

  /// Writes `mirror` or `sources` of StreamInfo.
  func writeOrigins(to json: inout JSONWriter) {
    if config.mirror != nil {
      guard let feed = feeds.first else { return }
      json.beginObject("mirror")
      feed.writeInfo(to: &json)
      json.endObject()
    } else if !feeds.isEmpty {
      json.beginArray("sources")
      for feed in feeds {
        json.beginObject()
        feed.writeInfo(to: &json)
        json.endObject()
      }
      json.endArray()
    }
  }
}

extension SourceFeed {
  /// StreamSourceInfo (section 4.3).
  func writeInfo(to json: inout JSONWriter) {
    json.field("name", source.name)
    if let external = source.external {
      json.beginObject("external")
      json.field("api", external.api)
      json.field("deliver", external.deliver)
      json.endObject()
    }
    json.field("lag", cursor.lag)
    if !isMirror { json.fieldUnlessZero("seq", cursor.sequence) }
    json.field("active", lastHeard_ns.map { engine.host.clock.monotonic_ns - $0 } ?? -1)
    error?.write(to: &json)
    source.writeOrigin(to: &json)
  }
}

/// Tells feeds whose origin is behind a leaf link when the way there opens.
final class OriginWatcher: InterestObserver {
  private var feeds: [SourceFeed] = []
  private var isObserving = false

  func watch(feeds new: [SourceFeed], instead old: [SourceFeed]) {
    feeds.removeAll { feed in old.contains { $0 === feed } }
    for feed in new where feed.source.external != nil && !feeds.contains(where: { $0 === feed }) {
      feeds.append(feed)
      if !isObserving {
        isObserving = true
        feed.engine.account.observe(self)
      }
    }
  }

  func interestChanged(_ subscription: Subscription, added: Bool) {
    guard added, subscription.kind == .leaf else { return }
    for feed in feeds where Subject.matches(feed.requestSubject, subscription.subject) { feed.wayOpened() }
  }
}
