// What the process tells its service manager, and what signals tell the process.
import Bytes
import CLinux
import Testing

@testable import Platform

@Suite struct ServiceTests {
  /// A datagram socket bound to `path`, as systemd has one.
  private func bound(_ path: String) -> Int32 {
    let fd = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = [UInt8](path.utf8)
    withUnsafeMutableBytes(of: &address.sun_path) { target in
      for index in bytes.indices { target[index] = index == 0 && bytes[0] == ASCII.at ? 0 : bytes[index] }
    }
    let size = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
    let result = withUnsafePointer(to: &address) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(fd, $0, size) } }
    #expect(result == 0)
    return fd
  }

  @Test("a state reaches a service manager's socket by path and by abstract name", arguments: ["/tmp/petiole-notify-", "@petiole-notify-"])
  func notify(prefix: String) {
    let path = prefix + String(LinuxEntropy().next())
    let fd = bound(path)
    defer { _ = CLinux.close(fd) }
    #expect(ServiceNotify.send("READY=1\nSTATUS=fine", to: path))
    var bytes = [UInt8](repeating: 0, count: 100)
    let count = bytes.withUnsafeMutableBytes { recv(fd, $0.baseAddress, $0.count, 0) }
    #expect(String(decoding: bytes[0..<count], as: UTF8.self) == "READY=1\nSTATUS=fine")
    if prefix.utf8.first == ASCII.slash { _ = path.withCString { unlink($0) } }
  }

  @Test("a socket that is not there, or no socket's name, is reported and harmless")
  func nobody() {
    for path in ["", "relative", "/tmp/petiole-no-such-socket", "/" + String(repeating: "x", count: 200)] {
      #expect(!ServiceNotify.send("READY=1", to: path))
    }
  }

  @Test("signals arrive as events of the loop")
  func signals() throws {
    let loop = LinuxLoop()
    var arrived: [LinuxSignals.Signal] = []
    try #require(LinuxSignals(loop: loop) { arrived.append($0) } != nil)
    // To this thread only, which has them blocked; other threads of the test process do not.
    for number in [SIGHUP, SIGUSR1, SIGTERM] { raise(number) }
    #expect(loop.run(timeout_ns: 5 * second_ns) { arrived.count == 3 })
    #expect(arrived.contains(.hangUp) && arrived.contains(.user1) && arrived.contains(.terminate))
  }

  @Test("the process knows its memory, processor time and limits")
  func facts() {
    #expect(ProcessStatus.residentMemory_bytes > 1_000_000)
    #expect(ProcessStatus.cpu_ns > 0)
    #expect(ProcessStatus.processors >= 1)
    #expect(ProcessStatus.raiseFileLimit() ?? 0 >= 256)
  }
}
