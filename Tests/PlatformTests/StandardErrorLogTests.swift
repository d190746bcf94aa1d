import Testing

@testable import Platform

@Suite struct StandardErrorLogTests {
  private func line(_ level: LogLevel, _ text: String, journal: Bool) -> String {
    String(
      decoding: StandardErrorLog.line(level, text, journal: journal, pid: 42, time: [UInt8]("2026/11/22 20:12:19.761988".utf8)),
      as: UTF8.self)
  }

  @Test("a line has nats-server's form, or the journal's priority without time and process")
  func forms() {
    #expect(line(.info, "Server is ready", journal: false) == "[42] 2026/11/22 20:12:19.761988 [INF] Server is ready\n")
    #expect(line(.warning, "x", journal: true) == "<4>x\n")
    #expect(line(.fatal, "x", journal: true) == "<2>x\n")
  }

  @Test("a line from outside stays one line, without control characters and without end")
  func hostile() {
    #expect(line(.error, "a\nb\u{1B}[31m\tc", journal: true) == "<3>a?b?[31m\tc\n")
    #expect(line(.error, String(repeating: "x", count: 100_000), journal: false).utf8.count == StandardErrorLog.lineMax)
  }

  @Test("local time has nats-server's form")
  func time() {
    let time = String(decoding: StandardErrorLog.localTime(), as: UTF8.self)
    #expect(time.count == 26 && time.dropFirst(4).first == "/" && time.dropFirst(19).first == ".")
  }
}
