// Text of others, as messages and log lines show it.
import Testing

@testable import Bytes

@Suite struct GoQuotedTests {
  @Test("a log line stays one line and does nothing to a terminal, whatever is put into it")
  func oneLine() {
    #expect(GoQuoted.oneLine("a\nb\r\u{1B}[31m\u{7F}\0ä") == "a\\x0ab\\x0d\\x1b[31m\\x7f\\x00ä")
    #expect(GoQuoted.oneLine("nothing \"of\" that \\n") == "nothing \"of\" that \\n" && GoQuoted.oneLine("") == "")
  }

  @Test("quoted as Go's %q puts it")
  func quoted() {
    func quoted(_ text: ByteString) -> ByteString {
      var output: [UInt8] = []
      text.withView { GoQuoted.append($0, to: &output) }
      return ByteString(output)
    }
    #expect(quoted("a\"b\\c") == "\"a\\\"b\\\\c\"")
    #expect(quoted("\u{07}\u{08}\t\n\u{0B}\u{0C}\r\u{01}\u{7F}ä") == "\"\\a\\b\\t\\n\\v\\f\\r\\x01\\x7fä\"")
  }
}
