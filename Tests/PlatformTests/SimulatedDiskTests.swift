// The simulated disk keeps what was synced, loses what was not, and fails as flash and Linux do.
import Bytes
import Testing

@testable import Platform

@Suite struct SimulatedDiskTests {
  let simulation = Simulation(seed: 21)
  let machine: SimulatedMachine
  var disk: SimulatedDisk { machine.disk }

  init() throws {
    machine = simulation.machine("gateway")
    try machine.disk.makeDirectory("/data/log")
  }

  private func write(_ file: FileHandle, at offset: Int, _ bytes: [UInt8]) throws(DiskError) {
    try bytes.withView { view throws(DiskError) in try disk.write(file, at: offset, view) }
  }

  /// Commits and waits for the end.
  private func commit(_ file: FileHandle, at offset: Int, _ bytes: [UInt8]) -> CommitResult? {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, bytes.count))
    defer { memory.deallocate() }
    for index in bytes.indices { memory[index] = bytes[index] }
    var result: CommitResult?
    disk.commit(file, at: offset, [ByteView(base: UnsafePointer(memory), count: bytes.count)]) { result = $0 }
    #expect(result == nil)
    _ = simulation.run(timeout_ns: second_ns) { result != nil }
    return result
  }

  @Test("a commit takes time and survives a power cut; what was only written does not")
  func durability() throws {
    let file = try disk.open("/data/log/a", create: true)
    try disk.syncDirectory("/data/log")
    let start_ns = simulation.now_ns
    #expect(commit(file, at: 0, [1, 2, 3]) == .durable)
    #expect(simulation.now_ns - start_ns >= disk.commitLatency_ns)
    try write(file, at: 3, [4, 5, 6])
    #expect(disk.content("/data/log/a") == [1, 2, 3, 4, 5, 6])
    #expect(disk.unsyncedPages == [UnsyncedPage(path: "/data/log/a", page: 0)])
    machine.powerCut(.everything)
    #expect(disk.content("/data/log/a") == [1, 2, 3])
  }

  @Test("a killed process loses nothing that it wrote, its locks are free and its handles void")
  func kill() throws {
    let lock = try disk.lock("/data/lock")
    #expect(throws: DiskError(.locked, operation: "lock", path: "/data/lock")) { _ = try disk.lock("/data/lock") }
    let file = try disk.open("/data/log/a", create: true)
    try write(file, at: 0, [1, 2, 3])
    machine.kill()
    machine.start()
    #expect(disk.content("/data/log/a") == [1, 2, 3])
    #expect(throws: DiskError.self) { _ = try disk.size(file) }
    disk.close(lock)
    disk.close(try disk.lock("/data/lock"))
  }

  @Test("a name whose directory was not synced is lost with the power, also of a file that was synced")
  func names() throws {
    let file = try disk.open("/data/log/a", create: true)
    try write(file, at: 0, [1])
    try disk.sync(file)
    machine.powerCut(.everything)
    #expect(disk.paths == [])
    machine.start()
    let other = try disk.open("/data/log/b", create: true)
    try write(other, at: 0, [2])
    try disk.sync(other)
    try disk.syncDirectory("/data/log")
    try disk.rename("/data/log/b", to: "/data/log/c")
    #expect(disk.paths == ["/data/log/c"])
    #expect(Set(try disk.list("/data")) == ["log"])
    machine.powerCut(.everything)
    #expect(disk.paths == ["/data/log/b"])
    #expect(disk.content("/data/log/b") == [2])
  }

  @Test("a power cut loses any pages and tears them at sectors, and every page has its old or its new content by sectors")
  func tearing() throws {
    var wholes = 0
    var mixtures = 0
    var tornPages = 0
    for seed in UInt64(0)..<60 {
      let simulation = Simulation(seed: seed)
      let machine = simulation.machine("x")
      try machine.disk.makeDirectory("/d")
      let file = try machine.disk.open("/d/f", create: true)
      try machine.disk.syncDirectory("/d")
      let pages = 8
      func fill(_ value: UInt8) throws {
        try [UInt8](repeating: value, count: pages * 4096).withView { view throws(DiskError) in try machine.disk.write(file, at: 0, view) }
      }
      try fill(1)
      try machine.disk.sync(file)
      try fill(2)
      machine.powerCut()
      let content = machine.disk.content("/d/f")!
      #expect(content.count == pages * 4096)
      var kinds = Set<UInt8>()
      for sector in 0..<(pages * 8) {
        let values = Set(content[(sector * 512)..<(sector * 512 + 512)])
        #expect(values.count == 1)
        kinds.formUnion(values)
      }
      for page in 0..<pages where Set(content[(page * 4096)..<(page * 4096 + 4096)]).count == 2 { tornPages += 1 }
      if kinds.count == 1 { wholes += 1 } else { mixtures += 1 }
    }
    #expect(wholes > 5 && mixtures > 5 && tornPages > 5)
  }

  @Test("after a failed sync the pages are clean and never reach the medium, as in Linux", arguments: [false, true])
  func failedSync(evicts: Bool) throws {
    let file = try disk.open("/data/log/a", create: true)
    try write(file, at: 0, [1, 1, 1])
    try disk.sync(file)
    try disk.syncDirectory("/data/log")
    var faults = DiskFaults()
    faults.failingSyncs = [1]
    faults.failedSyncEvicts = evicts
    disk.faults = faults
    #expect(commit(file, at: 0, [2, 2, 2]) == .failed(DiskError(.inputOutput, operation: "sync", path: "/data/log/a")))
    #expect(disk.content("/data/log/a") == (evicts ? [1, 1, 1] : [2, 2, 2]))
    try disk.sync(file)
    machine.powerCut(.nothing)
    #expect(disk.content("/data/log/a") == [1, 1, 1])
  }

  @Test("the n-th write fails, and a full disk refuses growth but not rewriting")
  func failedWrites() throws {
    let file = try disk.open("/data/log/a", create: true)
    disk.faults.failingWrites = [2]
    try write(file, at: 0, [1])
    #expect(throws: DiskError(.inputOutput, operation: "write", path: "/data/log/a")) { try write(file, at: 1, [2]) }
    try write(file, at: 1, [3])
    #expect(disk.content("/data/log/a") == [1, 3])
    disk.capacity = 2 * 4096
    try write(file, at: 4096, [4])
    #expect(try disk.freeSpace("/data") == 0)
    #expect(throws: DiskError(.noSpace, operation: "write", path: "/data/log/a")) { try write(file, at: 8192, [5]) }
    #expect(commit(file, at: 8192, [5]) == .failed(DiskError(.noSpace, operation: "write", path: "/data/log/a")))
    try write(file, at: 0, [6])
    #expect(throws: DiskError(.noSpace, operation: "create", path: "/data/log/b")) { _ = try disk.open("/data/log/b", create: true) }
    try disk.truncate(file, to: 100)
    #expect(try disk.freeSpace("/data") == 4096)
  }

  @Test("a path means the same with doubled slashes and with one at its end")
  func paths() throws {
    try disk.makeDirectory("/var//lib/petiole/")
    _ = try disk.open("/var/lib/petiole//meta", create: true)
    #expect(disk.paths == ["/var/lib/petiole/meta"])
    #expect(try disk.list("/var/lib/petiole/") == ["meta"])
  }

  @Test("flipped bits stay, and a damaged sector cannot be read")
  func damage() throws {
    let file = try disk.open("/data/log/a", create: true)
    try write(file, at: 0, [UInt8](repeating: 0, count: 2000))
    disk.flipBit("/data/log/a", offset: 3, bit: 7)
    disk.damageSector("/data/log/a", offset: 1030)
    var bytes = [UInt8](repeating: 0, count: 1024)
    #expect(try bytes.withUnsafeMutableBytes { try disk.read(file, at: 0, into: $0) } == 1024)
    #expect(bytes[3] == 0x80)
    #expect(throws: DiskError(.inputOutput, operation: "read", path: "/data/log/a")) {
      _ = try bytes.withUnsafeMutableBytes { try disk.read(file, at: 1000, into: $0) }
    }
  }

  @Test("the disk can be rebuilt after every operation of a run, and what was acknowledged is always there")
  func crashPoints() throws {
    disk.startRecording()
    let file = try disk.open("/data/log/a", create: true)
    try disk.syncDirectory("/data/log")
    var acknowledged: [(operations: Int, size: Int)] = []
    var size = 0
    for round in 1...12 {
      let bytes = [UInt8](repeating: UInt8(round), count: 700 * round)
      #expect(commit(file, at: size, bytes) == .durable)
      size += bytes.count
      acknowledged.append((disk.operationCount, size))
    }
    let expected = disk.content("/data/log/a")!
    for count in 0...disk.operationCount {
      let kept = acknowledged.last { $0.operations <= count }?.size ?? 0
      for seed in UInt64(0)..<5 {
        let losses: [PowerLoss] = [.everything, .nothing, .seeded(seed), .keeping(names: true) { $0.page % 2 == 0 }]
        for loss in losses {
          let crashed = disk.image(afterOperations: count, loss: loss)
          let content = crashed.content("/data/log/a") ?? []
          #expect(content.count >= kept && content.prefix(kept) == expected.prefix(kept), "after \(count) operations")
          #expect(crashed.unsyncedPages.isEmpty)
        }
      }
    }
    #expect(disk.unsyncedPages(afterOperations: disk.operationCount).isEmpty)
    let middle = disk.unsyncedPages(afterOperations: acknowledged[3].operations + 1)
    #expect(!middle.isEmpty)
    // An image goes on living in another machine.
    let other = simulation.machine("other", disk: disk.image(afterOperations: disk.operationCount, loss: .everything))
    let again = try other.host.disk.open("/data/log/a", create: false)
    #expect(try other.host.disk.size(again) == size)
  }

  @Test("a power cut in the middle of a commit reports nothing to the dead process")
  func cutDuringCommit() throws {
    var told = 0
    for round in 0..<20 {
      let file = try disk.open("/data/log/\(round)", create: true)
      [UInt8](repeating: 1, count: 10_000).withView { view in
        disk.commit(file, at: 0, [view]) { _ in told += 1 }
        simulation.run(for: Int64(round) * 100_000)
        machine.powerCut()
      }
      machine.start()
      simulation.run(for: second_ns)
      try disk.makeDirectory("/data/log")
    }
    #expect(told == 0)
  }
}
