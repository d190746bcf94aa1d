// Real files in a temporary directory.
import Bytes
import CLinux
import Testing

@testable import Platform

@Suite struct LinuxDiskTests {
  let loop = LinuxLoop()
  let disk: LinuxDisk
  let directory: String

  init() throws {
    disk = LinuxDisk(loop: loop)
    directory = "/tmp/petiole-disk-\(ProcessStatus.processID)-\(LinuxEntropy().next())/a/b"
    try disk.makeDirectory(directory)
  }

  private func contents(_ path: String) throws -> [UInt8] {
    let file = try disk.open(path, create: false)
    defer { disk.close(file) }
    var bytes = [UInt8](repeating: 0, count: try disk.size(file) + 10)
    let count = try bytes.withUnsafeMutableBytes { try disk.read(file, at: 0, into: $0) }
    return [UInt8](bytes[..<count])
  }

  @Test("a commit writes its chunks one after the other and reports in a later turn")
  func commit() throws {
    let path = directory + "/log"
    let file = try disk.open(path, create: true)
    let chunks = (0..<3000).map { index in [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: index % 17) }
    let expected = [UInt8](repeating: 0, count: 5) + chunks.flatMap { $0 }
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: expected.count)
    defer { memory.deallocate() }
    for index in 5..<expected.count { memory[index] = expected[index] }
    var views: [ByteView] = []
    var at = 5
    for chunk in chunks {
      views.append(ByteView(base: UnsafePointer(memory + at), count: chunk.count))
      at += chunk.count
    }
    for round in 0..<3 {
      var results: [CommitResult] = []
      disk.commit(file, at: 5, views) { results.append($0) }
      #expect(results.isEmpty)
      #expect(loop.run(timeout_ns: 10 * second_ns) { !results.isEmpty })
      #expect(results == [.durable], "round \(round)")
    }
    #expect(try contents(path) == expected)
    disk.close(file)
  }

  @Test("a commit to a bad descriptor fails and says where")
  func commitFails() throws {
    var result: CommitResult?
    [1, 2, 3].withView { view in
      disk.commit(FileHandle(number: 9999), at: 0, [view]) { result = $0 }
      _ = loop.run(timeout_ns: 10 * second_ns) { result != nil }
    }
    #expect(result == .failed(DiskError(.other(EBADF), operation: "write", path: "")))
  }

  @Test("a lock is held against a second opener until it is closed")
  func lock() throws {
    let path = directory + "/lock"
    let held = try disk.lock(path)
    #expect(throws: DiskError(.locked, operation: "lock", path: path)) { _ = try disk.lock(path) }
    disk.close(held)
    disk.close(try disk.lock(path))
  }

  @Test("files are made, listed, renamed, cut and removed")
  func files() throws {
    let path = directory + "/one"
    let file = try disk.open(path, create: true)
    #expect(throws: DiskError(.exists, operation: "create", path: path)) { _ = try disk.open(path, create: true) }
    try [UInt8]("hello world".utf8).withView { view throws(DiskError) in try disk.write(file, at: 3, view) }
    #expect(try disk.size(file) == 14)
    try disk.truncate(file, to: 8)
    try disk.sync(file)
    disk.close(file)
    try disk.rename(path, to: directory + "/two")
    try disk.syncDirectory(directory)
    #expect(try disk.list(directory) == ["two"])
    #expect(try contents(directory + "/two") == [0, 0, 0] + [UInt8]("hello".utf8))
    try disk.remove(directory + "/two")
    #expect(try disk.list(directory) == [])
    #expect(throws: DiskError(.notFound, operation: "open", path: path)) { _ = try disk.open(path, create: false) }
    #expect(try disk.freeSpace(directory) > 0)
    try disk.makeDirectory(directory)
  }
}
