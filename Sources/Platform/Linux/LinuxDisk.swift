// Files by the kernel. Commits run on the committer thread (CLinux/committer.c), everything else at once.
import Bytes
import CLinux

/// Files by the kernel.
public final class LinuxDisk: Disk, EventSource {
  private static let fileMode: UInt32 = 0o640
  private static let directoryMode: UInt32 = 0o750

  private let loop: LinuxLoop
  /// Added to every commit before its sync, for measurements against slow flash.
  private let syncDelay_ns: Int64
  /// Started with the first commit, so that an agent without durable streams has no second thread.
  private var committer: OpaquePointer?
  private var wake: Int32 = -1
  private var underWay: ((CommitResult) -> Void)?
  private var vector: [iovec] = []
  /// Paths of open files, for error messages.
  private var paths: [Int32: String] = [:]

  public init(loop: LinuxLoop, syncDelay_ns: Int64 = 0) {
    self.loop = loop
    self.syncDelay_ns = syncDelay_ns
  }

  deinit {
    if let committer { linux_committer_stop(committer) }
    if wake >= 0 { _ = CLinux.close(wake) }
  }

  private func failure(_ operation: StaticString, _ path: String) -> DiskError {
    DiskError(errno: linux_errno(), operation: operation, path: path)
  }

  private func failure(_ operation: StaticString, _ file: FileHandle) -> DiskError { failure(operation, paths[file.number] ?? "") }

  public func readFile(_ path: String, sizeMax: Int) throws(DiskError) -> [UInt8] {
    // Without waiting for the other end of a pipe, which would hold up everything.
    let fd = path.withCString { linux_open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0) }
    if fd < 0 { throw failure("open", path) }
    paths[fd] = path
    let file = FileHandle(number: fd)
    defer { close(file) }
    return try contents(of: file, path, sizeMax: sizeMax)
  }

  public func makeDirectory(_ path: String) throws(DiskError) {
    if path.isEmpty || path.withCString({ linux_is_directory($0) }) == 1 { return }
    let bytes = [UInt8](path.utf8)
    if let slash = bytes.lastIndex(of: ASCII.slash), slash > 0 {
      try makeDirectory(String(decoding: bytes[0..<slash], as: UTF8.self))
    }
    if path.withCString({ mkdir($0, Self.directoryMode) }) != 0 {
      let error = failure("mkdir", path)
      // Another may have made it meanwhile, or the path ends with a slash.
      if error.kind == .exists, path.withCString({ linux_is_directory($0) }) == 1 { return }
      throw error
    }
  }

  public func list(_ path: String) throws(DiskError) -> [String] {
    guard let directory = path.withCString({ linux_directory_open($0) }) else { throw failure("list", path) }
    defer { linux_directory_close(directory) }
    var names: [String] = []
    while let name = linux_directory_next(directory) { names.append(String(cString: name)) }
    return names
  }

  public func lock(_ path: String) throws(DiskError) -> FileHandle {
    let fd = path.withCString { linux_open($0, O_RDWR | O_CREAT | O_CLOEXEC, Self.fileMode) }
    if fd < 0 { throw failure("lock", path) }
    if flock(fd, LOCK_EX | LOCK_NB) != 0 {
      let error = failure("lock", path)
      _ = CLinux.close(fd)
      throw error
    }
    paths[fd] = path
    return FileHandle(number: fd)
  }

  public func open(_ path: String, create: Bool) throws(DiskError) -> FileHandle {
    let flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0)
    let fd = path.withCString { linux_open($0, flags, Self.fileMode) }
    if fd < 0 { throw failure(create ? "create" : "open", path) }
    paths[fd] = path
    return FileHandle(number: fd)
  }

  public func close(_ file: FileHandle) {
    paths[file.number] = nil
    _ = CLinux.close(file.number)
  }

  public func size(_ file: FileHandle) throws(DiskError) -> Int {
    let size = linux_file_size(file.number)
    if size < 0 { throw failure("size", file) }
    // A file that no Int can measure is none of ours.
    return Int(clamping: size)
  }

  public func read(_ file: FileHandle, at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
    guard let base = buffer.baseAddress else { return 0 }
    var done = 0
    while done < buffer.count {
      let got = Int(linux_pread(file.number, base + done, buffer.count - done, Int64(offset + done)))
      if got < 0 {
        if linux_errno() == EINTR { continue }
        throw failure("read", file)
      }
      if got == 0 { break }
      done += got
    }
    return done
  }

  public func write(_ file: FileHandle, at offset: Int, _ bytes: ByteView) throws(DiskError) {
    var done = 0
    while done < bytes.count {
      let written = Int(linux_pwrite(file.number, bytes.base + done, bytes.count - done, Int64(offset + done)))
      if written < 0 {
        if linux_errno() == EINTR { continue }
        throw failure("write", file)
      }
      if written == 0 { throw DiskError(.inputOutput, operation: "write", path: paths[file.number] ?? "") }
      done += written
    }
  }

  public func truncate(_ file: FileHandle, to size: Int) throws(DiskError) {
    if linux_ftruncate(file.number, Int64(size)) != 0 { throw failure("truncate", file) }
  }

  public func sync(_ file: FileHandle) throws(DiskError) {
    if fdatasync(file.number) != 0 { throw failure("sync", file) }
  }

  public func syncDirectory(_ path: String) throws(DiskError) {
    let fd = path.withCString { linux_open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
    if fd < 0 { throw failure("sync", path) }
    defer { _ = CLinux.close(fd) }
    if fsync(fd) != 0 { throw failure("sync", path) }
  }

  public func remove(_ path: String) throws(DiskError) {
    if path.withCString({ CLinux.remove($0) }) != 0 { throw failure("remove", path) }
  }

  public func rename(_ from: String, to: String) throws(DiskError) {
    let result = from.withCString { old in to.withCString { new in CLinux.rename(old, new) } }
    if result != 0 { throw failure("rename", from) }
  }

  public func freeSpace(_ path: String) throws(DiskError) -> Int64 {
    let free_bytes = path.withCString { linux_free_space($0) }
    if free_bytes < 0 { throw failure("statvfs", path) }
    return free_bytes
  }

  // MARK: Commits

  public func commit(
    _ file: FileHandle, at offset: Int, _ chunks: [ByteView], naming directory: String?, done: @escaping (CommitResult) -> Void
  ) {
    submit(file, offset, chunks, syncs: true, directory, done)
  }

  public func syncDirectory(_ path: String, done: @escaping (CommitResult) -> Void) { submit(nil, 0, [], syncs: true, path, done) }

  public func writeBehind(_ file: FileHandle, at offset: Int, _ chunks: [ByteView], done: @escaping (CommitResult) -> Void) {
    submit(file, offset, chunks, syncs: false, nil, done)
  }

  private func submit(
    _ file: FileHandle?, _ offset: Int, _ chunks: [ByteView], syncs: Bool, _ directory: String?, _ done: @escaping (CommitResult) -> Void
  ) {
    precondition(underWay == nil, "a commit is under way on this disk")
    let path = file.map { paths[$0.number] ?? "" } ?? directory ?? ""
    guard let committer = startCommitter() else {
      loop.nextTurn { done(.failed(DiskError(.other(EAGAIN), operation: "commit", path: path))) }
      return
    }
    if let directory {
      naming = directory.withCString { linux_open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) }
      if naming < 0 {
        let error = failure("sync", directory)
        loop.nextTurn { done(.failed(error)) }
        return
      }
    }
    committing = path
    isSyncing = syncs
    underWay = done
    vector.removeAll(keepingCapacity: true)
    for chunk in chunks where chunk.count > 0 {
      vector.append(iovec(iov_base: UnsafeMutableRawPointer(mutating: chunk.base), iov_len: chunk.count))
    }
    let count = Int32(vector.count)
    vector.withUnsafeBufferPointer {
      linux_committer_submit(committer, file?.number ?? -1, $0.baseAddress, count, Int64(offset), syncs ? 1 : 0, naming)
    }
    if vector.capacity > 4096 { vector = [] }
  }

  private var committing = ""
  /// The directory whose names the commit under way makes durable, or -1.
  private var naming: Int32 = -1
  private var isSyncing = false

  private func startCommitter() -> OpaquePointer? {
    if let committer { return committer }
    if wake < 0 {
      wake = linux_eventfd()
      if wake < 0 || !loop.watch(wake, Epoll.input, self) { return nil }
    }
    committer = linux_committer_start(wake, syncDelay_ns)
    return committer
  }

  func ready(_ events: UInt32) {
    linux_eventfd_clear(wake)
    guard let committer, let done = underWay else { return }
    var failedInSync: Int32 = 0
    let error = linux_committer_result(committer, &failedInSync)
    if error < 0 { return }
    underWay = nil
    if naming >= 0 { _ = CLinux.close(naming) }
    naming = -1
    if error == 0 {
      done(isSyncing ? .durable : .written)
    } else {
      done(.failed(DiskError(errno: error, operation: failedInSync != 0 ? "sync" : "write", path: committing)))
    }
  }
}
