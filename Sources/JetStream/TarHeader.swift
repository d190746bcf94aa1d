// The headers of a tar archive (POSIX.1-2001 pax), as much as Go's archive/tar writes: file names and sizes, pax records for long names.
import Bytes

/// The header block of one file in a tar archive.
struct TarHeader: Equatable {
  enum Kind: Equatable { case file, extended, other }

  static let blockBytes = 512

  let name: ByteString
  let size: Int
  let kind: Kind

  /// Reads a block of `blockBytes` that is not all zero.
  init(_ block: ByteView) throws(BackupError) {
    guard let sum = TarHeader.octal(block.slice(148, 156)), sum == TarHeader.sum(block) else { throw BackupError("tar: damaged header") }
    guard let size = TarHeader.octal(block.slice(124, 136)) else { throw BackupError("tar: a file has no size") }
    self.size = size
    switch block[156] {
    case ASCII.zero, 0: kind = .file
    case 0x78: kind = .extended  // x
    default: kind = .other
    }
    let name = TarHeader.text(block.slice(0, 100))
    let prefix = TarHeader.text(block.slice(345, 500))
    let isPosix = block.slice(257, 263).equals("ustar\0")
    self.name = isPosix && !prefix.isEmpty ? prefix + ByteString("/") + name : name
  }

  /// The bytes between a file's end and the next header.
  var padding: Int { (TarHeader.blockBytes - size % TarHeader.blockBytes) % TarHeader.blockBytes }

  static func isZero(_ block: ByteView) -> Bool {
    for index in 0..<block.count where block[index] != 0 { return false }
    return true
  }

  /// The path in the records of an extended header, nil when there is none. A size there is of a file that is too large anyway.
  static func path(ofRecords records: ByteView) throws(BackupError) -> ByteString? {
    var rest = records
    var path: ByteString?
    while !rest.isEmpty {
      // "<length of the record> <key>=<value>\n"
      guard let blank = rest.firstIndex(of: ASCII.space), let length = rest.prefix(blank).decimalInt(), length > blank + 1,
        length <= rest.count, rest[length - 1] == ASCII.lineFeed
      else { throw BackupError("tar: damaged extended header") }
      let record = rest.slice(blank + 1, length - 1)
      if record.hasPrefix("path=") { path = ByteString(record.dropFirst(5)) }
      if record.hasPrefix("size=") { throw BackupError("tar: a file is too large") }
      rest = rest.dropFirst(length)
    }
    return path
  }

  /// Octal digits up to a NUL or a blank. Eleven fit: 8 GB, which no file here has.
  private static func octal(_ field: ByteView) -> Int? {
    var value = 0
    for index in 0..<field.count {
      if field[index] == 0 || field[index] == ASCII.space { return index > 0 ? value : nil }
      guard field[index] >= ASCII.zero, field[index] < ASCII.zero + 8, value < 1 << 27 else { return nil }
      value = value << 3 | Int(field[index] - ASCII.zero)
    }
    return value
  }

  /// All bytes, those of the checksum as blanks.
  private static func sum(_ block: ByteView) -> Int {
    var sum = 0
    for index in 0..<block.count { sum += 148 <= index && index < 156 ? Int(ASCII.space) : Int(block[index]) }
    return sum
  }

  private static func text(_ field: ByteView) -> ByteString {
    ByteString(field.prefix(field.firstIndex(of: 0) ?? field.count))
  }
}
