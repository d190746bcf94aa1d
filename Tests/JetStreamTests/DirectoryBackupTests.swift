// Backups in the format of nats-server before 2.15: real ones come out whole, hostile ones are refused or read, never more.
import Bytes
import JSON
import Platform
import Testing

@testable import JetStream

@Suite struct DirectoryBackupTests {
  /// Feeds a tar archive in pieces; the sink has what came, and the error says why it ended early.
  private func read(_ tar: [UInt8], stream: String, entropy: SeededEntropy) -> (sink: CollectingSink, error: BackupError?, isWhole: Bool) {
    let sink = CollectingSink()
    let backup = DirectoryBackup(stream: ByteString(stream))
    var buffer = PieceBuffer()
    var at = 0
    do throws(BackupError) {
      while at < tar.count {
        let end = min(tar.count, at + 1 + entropy.below(entropy.oneIn(3) ? 40 : 20_000))
        [UInt8](tar[at..<end]).withView { buffer.add($0) }
        at = end
        while try buffer.use({ view throws(BackupError) in
          let used = try backup.next(view, sink)
          precondition(used >= 0 && used <= view.count, "used what is not there")
          return used
        }) > 0 {}
      }
    } catch { return (sink, error, false) }
    return (sink, nil, backup.hasEnd && backup.hasConfiguration)
  }

  @Test("backups of four versions bring every message, every gap and every consumer", arguments: OldBackup.all)
  func real(_ backup: OldBackup) throws {
    let (sink, error, isWhole) = read(backup.tar, stream: backup.name, entropy: SeededEntropy(seed: 1))
    #expect(error == nil && isWhole)
    let wanted = try #require(backup.contents["messages"]?.object)
    #expect(sink.messages.count == wanted.count)
    for member in wanted {
      let sequence = try #require(UInt64(member.name.string))
      #expect(sink.messages[sequence]?.digest == member.value.string?.string, "sequence \(sequence)")
    }
    #expect(sink.last == backup.contents["state"]?["last_seq"]?.uint64)
    let consumers = try #require(backup.contents["consumers"]?.object)
    #expect(sink.consumers.count == consumers.count)
    for consumer in sink.consumers {
      let wanted = try #require(consumers.last { $0.name == consumer.name }?.value)
      #expect(consumer.delivered.consumer == wanted["delivered"]?["consumer_seq"]?.uint64)
      #expect(consumer.delivered.stream == wanted["delivered"]?["stream_seq"]?.uint64)
      #expect(consumer.floor.consumer == wanted["ack_floor"]?["consumer_seq"]?.uint64)
      #expect(UInt64(consumer.pending.count) == wanted["num_ack_pending"]?.uint64)
      #expect(consumer.config.contains { $0.name == "ack_policy" })
    }
  }

  @Test("a backup of another stream is refused")
  func otherName() {
    let backup = OldBackup.named("EMPTY")[0]
    #expect(read(backup.tar, stream: "OTHER", entropy: SeededEntropy(seed: 1)).error == BackupError("stream names do not match"))
  }

  @Test("a backup that ends anywhere is not whole")
  func truncated() {
    let backup = OldBackup.named("PACKED")[3]
    // The archive ends with two empty blocks, of which the first says that it does.
    let end = backup.tar.count - 1024
    for length in stride(from: 0, through: end, by: 97) {
      #expect(!read([UInt8](backup.tar[..<length]), stream: backup.name, entropy: SeededEntropy(seed: UInt64(length))).isWhole)
    }
  }

  @Test("one flipped bit in a message is found, and said where")
  func flipped() throws {
    let backup = OldBackup.named("PACKED")[0]
    let block = try #require(backup.files.first { $0.name == "msgs/1.blk" })
    for offset in stride(from: 0, to: block.size, by: 31) {
      var tar = backup.tar
      tar[block.start + offset] ^= 1 << UInt8(offset % 8)
      let error = read(tar, stream: backup.name, entropy: SeededEntropy(seed: UInt64(offset))).error
      #expect(error?.text.hasPrefix("msgs/1.blk ") == true, "offset \(offset): \(error?.text.string ?? "nothing")")
    }
  }

  @Test("a backup that failed when it was made says so")
  func failed() throws {
    let backup = OldBackup.named("EMPTY")[0]
    let sum = try #require(backup.files.first { $0.name == "meta.sum" })
    var tar = backup.tar
    tar.replaceSubrange(sum.header..<sum.header + 10, with: [UInt8]("errors.txt".utf8))
    seal(header: sum.header, in: &tar)
    let error = read(tar, stream: backup.name, entropy: SeededEntropy(seed: 1)).error
    #expect(error?.text.hasPrefix("the backup failed when it was made: ") == true)
  }

  // MARK: Hostile bytes

  /// Makes a changed tar header right again.
  private func seal(header at: Int, in tar: inout [UInt8]) {
    for index in 148..<156 { tar[at + index] = 0x20 }
    var sum = 0
    for index in 0..<512 { sum += Int(tar[at + index]) }
    let digits = String(sum, radix: 8)
    let text = String(repeating: "0", count: 6 - digits.count) + digits
    tar.replaceSubrange(at + 148..<at + 155, with: [UInt8](text.utf8) + [0])
  }

  private func store(_ number: UInt64, at: Int, in bytes: inout [UInt8]) {
    for index in 0..<8 { bytes[at + index] = UInt8(truncatingIfNeeded: number >> UInt64(8 * index)) }
  }

  private func key(_ text: String) -> [UInt8] { [UInt8](text.utf8).withView { SHA256.hash($0) } }

  /// Changes some bytes of `range`, preferring values at the edges.
  private func change(_ tar: inout [UInt8], _ range: Range<Int>, _ entropy: SeededEntropy) {
    guard !range.isEmpty else { return }
    for _ in 0...entropy.below(3) {
      let at = range.lowerBound + entropy.below(range.count)
      switch entropy.below(4) {
      case 0: tar[at] = [0, 0xFF, 0x7F, 0x80, 1][entropy.below(5)]
      case 1: for index in at..<min(at + 1 + entropy.below(10), range.upperBound) { tar[index] = 0xFF }
      case 2: tar[at] ^= 1 << UInt8(entropy.below(8))
      default: tar[at] = UInt8(entropy.below(256))
      }
    }
  }

  /// One hostile version of a backup, with its checksums right again as far as `seed` says.
  private func mutation(_ backup: OldBackup, _ entropy: SeededEntropy) -> [UInt8] {
    var tar = backup.tar
    let files = backup.files
    let file = files[entropy.below(files.count)]
    switch entropy.below(6) {
    case 0: change(&tar, 0..<tar.count, entropy)
    case 1:
      change(&tar, file.header..<file.header + 512, entropy)
      seal(header: file.header, in: &tar)
    case 2:
      guard let index = files.first(where: { $0.name == "msgs/index.db" }), index.size > 10 else { break }
      change(&tar, index.start..<index.start + index.size - 8, entropy)
      var hash = HighwayHash(key: key(backup.name))
      [UInt8](tar[index.start..<index.start + index.size - 8]).withView { hash.add($0) }
      store(hash.finish(), at: index.start + index.size - 8, in: &tar)
    case 3:
      guard let block = files.first(where: { $0.name.hasSuffix(".blk") && $0.size > 30 }) else { break }
      // The head of the first record.
      change(&tar, block.start..<block.start + 22, entropy)
      let length = Int(tar[block.start]) | Int(tar[block.start + 1]) << 8
      let subject = Int(tar[block.start + 20]) | Int(tar[block.start + 21]) << 8
      guard length >= 30, length <= block.size, subject <= length - 30 else { break }
      let number = block.name.dropFirst(5).dropLast(4)
      var hash = HighwayHash(key: key("\(backup.name)-\(number)"))
      [UInt8](tar[block.start + 4..<block.start + 20]).withView { hash.add($0) }
      let headers = tar[block.start + 3] & 0x80 != 0 && subject <= length - 34 ? 4 : 0
      [UInt8](tar[block.start + 22..<block.start + 22 + subject]).withView { hash.add($0) }
      [UInt8](tar[block.start + 22 + subject + headers..<block.start + length - 8]).withView { hash.add($0) }
      store(hash.finish(), at: block.start + length - 8, in: &tar)
    case 4:
      guard let state = files.first(where: { $0.name.hasSuffix("o.dat") }) else { break }
      change(&tar, state.start..<state.start + state.size, entropy)
    default:
      let length = min(512 * (1 + entropy.below(4)), tar.count)
      let from = entropy.below(tar.count - length + 1)
      let piece = [UInt8](tar[from..<from + length])
      if entropy.oneIn(2) { tar.removeSubrange(from..<from + length) } else { tar.insert(contentsOf: piece, at: entropy.below(tar.count)) }
    }
    return tar
  }

  @Test("changed backups with right checksums are refused or read, and never crash the reader", arguments: ["PACKED", "EMPTY"])
  func mutations(name: String) {
    let backups = OldBackup.named(name)
    var refused = 0
    for seed in 0..<1000 {
      let entropy = SeededEntropy(seed: UInt64(seed))
      let (sink, error, _) = read(mutation(backups[seed % backups.count], entropy), stream: name, entropy: entropy)
      if let error {
        refused += 1
        #expect(!error.text.isEmpty)
      }
      #expect(sink.count <= 4000, "seed \(seed)")
      for consumer in sink.consumers { _ = ConsumerState(consumer, last: sink.last, deadline_ns: 0) }
    }
    // Most are noticed; those that are not changed what does not matter.
    #expect(refused > 250)
  }
}
