// The seam for storage. Linux's is in Linux/, the simulated one (lost pages, torn sectors, EIO, ENOSPC, bit flips, power cuts) in
// Simulated/.
import Bytes

/// A file that is open, as the disk numbers it.
public struct FileHandle: Hashable {
  public let number: Int32
  public init(number: Int32) { self.number = number }
}

/// Why a disk operation failed.
public struct DiskError: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable {
    case notFound, exists, permission, noSpace, readOnly, locked, notADirectory, inputOutput, tooLarge
    /// Any other errno.
    case other(Int32)
  }
  public let kind: Kind
  /// What was tried: "open", "write", "sync", …
  public let operation: StaticString
  public let path: String

  public init(_ kind: Kind, operation: StaticString, path: String) {
    self.kind = kind
    self.operation = operation
    self.path = path
  }

  public static func == (left: DiskError, right: DiskError) -> Bool {
    left.kind == right.kind && left.path == right.path && ByteView(left.operation) == ByteView(right.operation)
  }
}

/// How a batch that was given to `Disk.commit` ended.
public enum CommitResult: Equatable {
  /// The bytes are on the medium: written and synced.
  case durable
  /// The bytes are in the system's cache: they outlive the process, not the machine.
  case written
  /// Nothing is known about the bytes. The file must not be written or synced again (the kernel may have dropped the pages).
  case failed(DiskError)
}

/// Files, as the log store needs them. Only `commit`, `writeBehind` and `syncDirectory` with `done` work in the background; everything else completes
/// before it returns and is used at start, at segment changes and for reads.
public protocol Disk: AnyObject {
  /// Makes `path` and its missing parents; nothing happens when it is there.
  func makeDirectory(_ path: String) throws(DiskError)
  /// The names in a directory, without "." and "..", in no particular order.
  func list(_ path: String) throws(DiskError) -> [String]
  /// Takes an exclusive lock that lasts until the process ends or `close`; fails with `.locked` when another holds it.
  func lock(_ path: String) throws(DiskError) -> FileHandle
  /// Opens for reading and writing. `create` fails with `.exists` when it is there already.
  func open(_ path: String, create: Bool) throws(DiskError) -> FileHandle
  func close(_ file: FileHandle)
  func size(_ file: FileHandle) throws(DiskError) -> Int
  /// Reads up to `buffer.count` bytes at `offset`; fewer only at the end of the file.
  func read(_ file: FileHandle, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int
  /// Writes all of `bytes` at `offset`, into the cache only.
  func write(_ file: FileHandle, at offset: Int, _ bytes: ByteView) throws(DiskError)
  /// The whole of a file that belongs to others and is only read; one that is larger than `sizeMax` is an error.
  func readFile(_ path: String, sizeMax: Int) throws(DiskError) -> [UInt8]
  func truncate(_ file: FileHandle, to size: Int) throws(DiskError)
  /// Waits until the file's data is on the medium.
  func sync(_ file: FileHandle) throws(DiskError)
  /// Waits until the names in a directory are on the medium.
  func syncDirectory(_ path: String) throws(DiskError)
  func remove(_ path: String) throws(DiskError)
  func rename(_ from: String, to: String) throws(DiskError)
  /// Bytes that an unprivileged process can still write below `path`.
  func freeSpace(_ path: String) throws(DiskError) -> Int64
  /// Writes `chunks` one after the other at `offset` and makes them durable, in the background; then, for a file that is new, the names
  /// in `directory`. `done` is called in a later turn of the loop. The chunks must stay unchanged until then. At most one commit may be
  /// under way on a disk.
  func commit(
    _ file: FileHandle, at offset: Int, _ chunks: [ByteView], naming directory: String?, done: @escaping (CommitResult) -> Void)
  /// Makes the names in a directory durable, in the background. It counts as a commit.
  func syncDirectory(_ path: String, done: @escaping (CommitResult) -> Void)
  /// The same, but it need not reach the medium.
  func writeBehind(_ file: FileHandle, at offset: Int, _ chunks: [ByteView], done: @escaping (CommitResult) -> Void)
}

extension Disk {
  /// Commits to a file whose name is durable.
  public func commit(_ file: FileHandle, at offset: Int, _ chunks: [ByteView], done: @escaping (CommitResult) -> Void) {
    commit(file, at: offset, chunks, naming: nil, done: done)
  }

  /// Whoever knows no difference does more than is asked for.
  public func writeBehind(_ file: FileHandle, at offset: Int, _ chunks: [ByteView], done: @escaping (CommitResult) -> Void) {
    commit(file, at: offset, chunks, done: done)
  }
}

extension Disk {
  public func readFile(_ path: String, sizeMax: Int) throws(DiskError) -> [UInt8] {
    let file = try open(path, create: false)
    defer { close(file) }
    return try contents(of: file, path, sizeMax: sizeMax)
  }

  /// Reads an open file from its beginning.
  func contents(of file: FileHandle, _ path: String, sizeMax: Int) throws(DiskError) -> [UInt8] {
    let chunk = UnsafeMutableRawBufferPointer.allocate(byteCount: min(sizeMax + 1, 16 << 10), alignment: 8)
    defer { chunk.deallocate() }
    var bytes: [UInt8] = []
    while bytes.count <= sizeMax {
      let got = try read(file, at: bytes.count, into: chunk)
      if got == 0 { return bytes }
      bytes.append(contentsOf: chunk[..<got])
    }
    throw DiskError(.tooLarge, operation: "read", path: path)
  }
}
