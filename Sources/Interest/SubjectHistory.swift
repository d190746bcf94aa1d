// Where in a stream the messages of each subject are, so that the next one of a subject is found without reading others. Approximate, for a
// few bytes a message: whoever asks looks at the message itself. What is known of a subject as a whole is in SubjectIndex.
import Bytes

/// The sequences of messages, in parts by the hashes of their subjects. In a part, messages stand in their order, each with sixteen more bits of its
/// subject's hash: a search goes over the messages of a 256th of all subjects and meets a wrong one once in 65,536.
public struct SubjectHistory {
  /// A run of messages whose sequences lie less than 65,536 behind that of the first.
  private struct Block {
    let base: UInt64
    /// Where its messages begin.
    let start: Int
  }

  private struct Part {
    var blocks: [Block] = []
    /// Hash bits in the upper half, distance from the block's base in the lower.
    var messages: [UInt32] = []
    /// Messages that are gone from the stream.
    var gone = 0

    mutating func append(_ sequence: UInt64, tag: UInt32) {
      if let last = blocks.last, sequence - last.base <= 0xFFFF {
        grow()
        messages.append(tag << 16 | UInt32(truncatingIfNeeded: sequence - last.base))
      } else {
        blocks.append(Block(base: sequence, start: messages.count))
        grow()
        messages.append(tag << 16)
      }
    }

    /// By a quarter, not by doubling: what is never used is memory, too.
    private mutating func grow() {
      if messages.count == messages.capacity { messages.reserveCapacity(messages.count + max(8, messages.count / 4)) }
    }

    /// The block in which `sequence` would be; nil when it is before all.
    func block(_ sequence: UInt64) -> Int? {
      var low = 0
      var high = blocks.count
      while low < high {
        let middle = (low + high) / 2
        if blocks[middle].base <= sequence { low = middle + 1 } else { high = middle }
      }
      return low == 0 ? nil : low - 1
    }

    func end(_ block: Int) -> Int { block + 1 < blocks.count ? blocks[block + 1].start : messages.count }

    /// The first message of a block at or after `sequence`.
    func lowerBound(_ block: Int, _ sequence: UInt64) -> Int {
      let distance = sequence - blocks[block].base
      var low = blocks[block].start
      var high = end(block)
      while low < high {
        let middle = (low + high) / 2
        if UInt64(messages[middle] & 0xFFFF) < distance { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  private static let partBits: UInt64 = 8
  /// So many messages that are gone may always stay.
  private static let goneMin = 32

  private var parts: [Part] = []
  private let seed: UInt64
  /// All messages of the stream up to here were added.
  public private(set) var last: UInt64 = 0

  public init(seed: UInt64 = ByteHash.seed) { self.seed = seed }

  /// The bytes in use.
  public var bytes: Int {
    parts.reduce(parts.capacity * MemoryLayout<Part>.stride) {
      $0 + $1.messages.capacity * 4 + $1.blocks.capacity * MemoryLayout<Block>.stride
    }
  }

  @inline(__always) private static func part(_ hash: UInt64) -> Int { Int(truncatingIfNeeded: hash >> (64 - partBits)) }
  @inline(__always) private static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) & 0xFFFF }

  /// Adds a message. Sequences must ascend; those between are not of this stream any more.
  public mutating func add(_ subject: ByteView, _ sequence: UInt64) {
    precondition(sequence > last, "a stream's history grows at its end")
    if parts.isEmpty { parts = [Part](repeating: Part(), count: 1 << Int(Self.partBits)) }
    let hash = ByteHash.hash(subject, seed: seed)
    parts[Self.part(hash)].append(sequence, tag: Self.tag(hash))
    last = sequence
  }

  /// Nothing that would have to be added lies before `sequence`.
  public mutating func skip(through sequence: UInt64) { last = max(last, sequence) }

  /// A message of `subject` has left the stream. `isThere` tells whether one is in it.
  public mutating func remove(_ subject: ByteView, isThere: (UInt64) -> Bool) {
    guard !parts.isEmpty else { return }
    let number = Self.part(ByteHash.hash(subject, seed: seed))
    parts[number].gone += 1
    guard parts[number].gone > Self.goneMin, parts[number].gone * 2 > parts[number].messages.count else { return }
    let old = parts[number]
    var new = Part()
    for block in old.blocks.indices {
      for at in old.blocks[block].start..<old.end(block) {
        let sequence = old.blocks[block].base + UInt64(old.messages[at] & 0xFFFF)
        if isThere(sequence) { new.append(sequence, tag: old.messages[at] >> 16) }
      }
    }
    parts[number] = new
  }

  public mutating func removeAll() { parts = [] }

  /// The first message at or after `sequence` that may be one of `subject` and of which `accept` says that it is.
  public func next(_ subject: ByteView, atOrAfter sequence: UInt64, accept: (UInt64) -> Bool) -> UInt64? {
    guard !parts.isEmpty else { return nil }
    let hash = ByteHash.hash(subject, seed: seed)
    let part = parts[Self.part(hash)]
    let tag = Self.tag(hash)
    var block = part.block(sequence) ?? 0
    guard block < part.blocks.count else { return nil }
    var at = sequence > part.blocks[block].base ? part.lowerBound(block, sequence) : part.blocks[block].start
    while block < part.blocks.count {
      let end = part.end(block)
      while at < end {
        if part.messages[at] >> 16 == tag {
          let found = part.blocks[block].base + UInt64(part.messages[at] & 0xFFFF)
          if accept(found) { return found }
        }
        at += 1
      }
      block += 1
    }
    return nil
  }
}
