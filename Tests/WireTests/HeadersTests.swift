// Header blocks: looked up exactly, written exactly, and harmless when they are not well-formed.
import Bytes
import Testing
import Wire

@Suite struct HeadersTests {
  private func value(_ block: String, _ name: StaticString) -> String? { ByteString(block).withView { Headers($0).value(name)?.string } }
  private func all(_ block: String) -> [String] {
    var found: [String] = []
    ByteString(block).withView { view in
      Headers(view).forEach { name, value in
        found.append("\(name.string)=\(value.string)")
        return true
      }
    }
    return found
  }
  private func status(_ block: String) -> Int? { ByteString(block).withView { Headers($0).status } }
  private func statusText(_ block: String) -> String { ByteString(block).withView { Headers($0).statusText.string } }

  @Test("a name is looked up as it is written: case counts, a longer or shorter name is another")
  func exact() {
    let block = "NATS/1.0\r\nNats-Msg-Id: one\r\nNats-Msg-Id2: two\r\nnats-msg-id: three\r\nNats-Msg: four\r\n\r\n"
    #expect(value(block, "Nats-Msg-Id") == "one")
    #expect(value(block, "Nats-Msg-Id2") == "two")
    #expect(value(block, "nats-msg-id") == "three")
    #expect(value(block, "Nats-Msg") == "four")
    #expect(value(block, "NATS-MSG-ID") == nil)
    #expect(value(block, "Nats") == nil)
    #expect(value(block, "") == nil)
  }

  @Test("the first of several headers of a name counts, and a value's text is never taken for a name")
  func first() {
    let block = "NATS/1.0\r\nX: A: hidden\r\nA: 1\r\nA: 2\r\n\r\n"
    #expect(value(block, "A") == "1")
    #expect(value(block, "X") == "A: hidden")
    #expect(all(block) == ["X=A: hidden", "A=1", "A=2"])
  }

  @Test("blanks in front of a value are not part of it; an empty value is a value")
  func values() {
    let block = "NATS/1.0\r\nA:1\r\nB:    2 \r\nC:\r\nD: \r\nE: a:b:c\r\n\r\n"
    #expect(all(block) == ["A=1", "B=2 ", "C=", "D=", "E=a:b:c"])
  }

  @Test("the status is three digits behind the version, its text what follows")
  func statuses() {
    #expect(status("NATS/1.0 503\r\n\r\n") == 503)
    #expect(statusText("NATS/1.0 503\r\n\r\n") == "")
    #expect(status("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n") == 100)
    #expect(statusText("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\n\r\n") == "Idle Heartbeat")
    for block in [
      "", "NATS/1.0", "NATS/1.0\r\n\r\n", "NATS/1.0 \r\n", "NATS/1.0 50\r\n", "NATS/1.0 5030\r\n", "NATS/1.0 abc\r\n", "nats/1.0 503\r\n",
      "HTTP/1.0 503\r\n",
    ] {
      #expect(status(block) == nil, "\(block)")
      #expect(statusText(block) == "", "\(block)")
    }
  }

  @Test("blocks that are not well-formed have no such header, and hurt nobody")
  func hostile() {
    for block in [
      "", "\n", "\r\n", "zzzzz", "A: 1", "NATS/1.0", "NATS/1.0\r\nA: 1", "NATS/1.0\r\nno colon\r\n\r\n", "NATS/1.0\nA", "\n\n\n",
      ":\n:\n:\n",
    ] {
      #expect(value(block, "A") == nil, "\(block.debugDescription)")
    }
    #expect(all("NATS/1.0\n:\n: x\nA:1\n") == ["=", "=x", "A=1"])
    var random = Seeded(state: 6)
    for _ in 0..<3000 {
      var bytes: [UInt8] = []
      for _ in 0..<Int.random(in: 0...60, using: &random) {
        bytes.append(
          [0x0A, 0x0D, 0x3A, 0x20, 0x41, 0x35, UInt8.random(in: 0...255, using: &random)].randomElement(using: &random)!)
      }
      if Bool.random(using: &random) { bytes = [UInt8]("NATS/1.0 ".utf8) + bytes }
      bytes.withView { view in
        let headers = Headers(view)
        var total = 0
        headers.forEach { name, value in
          total += name.count + value.count + 1
          return true
        }
        #expect(total <= view.count)
        _ = headers.value("A")
        if let status = headers.status { #expect((0...999).contains(status)) }
        #expect(headers.statusText.count <= view.count)
        _ = HeaderBuilder(continuing: view).block
      }
    }
  }

  @Test("a built block is the protocol's, byte for byte")
  func building() {
    var builder = HeaderBuilder()
    builder.add("Nats-Stream", ByteString("ORDERS"))
    builder.add("Nats-Sequence", decimal: UInt64.max)
    builder.add("X", decimal: -5)
    #expect(
      String(decoding: builder.block, as: UTF8.self)
        == "NATS/1.0\r\nNats-Stream: ORDERS\r\nNats-Sequence: 18446744073709551615\r\nX: -5\r\n\r\n")
    #expect(String(decoding: HeaderBuilder(status: "404 No Messages").block, as: UTF8.self) == "NATS/1.0 404 No Messages\r\n\r\n")
    let made = ByteString("409 Exceeded").withView { HeaderBuilder(status: $0).block }
    #expect(String(decoding: made, as: UTF8.self) == "NATS/1.0 409 Exceeded\r\n\r\n")
  }

  @Test(
    "a continued block stays as it is, and of one that is broken the headers stay",
    arguments: [
      ("NATS/1.0 100 Idle\r\nB: 2\r\na:1\r\n C :  3 \r\n\r\n", "NATS/1.0 100 Idle\r\nB: 2\r\na:1\r\n C :  3 \r\n"),
      ("NATS/1.0\r\n\r\n", "NATS/1.0\r\n"), ("", "NATS/1.0\r\n"), ("\r\n\r\n", "NATS/1.0\r\n"), ("NATS/1.0", "NATS/1.0\r\n"),
      ("NATS/1.0 1\r\nA:1\r\nB", "NATS/1.0\r\nA: 1\r\n"), ("A: 1\r\nB:2\r\n\r\n", "NATS/1.0\r\nB: 2\r\n"),
    ])
  func continuing(old: String, kept: String) {
    var builder = ByteString(old).withView { HeaderBuilder(continuing: $0) }
    builder.add("X", ByteString("9"))
    #expect(String(decoding: builder.block, as: UTF8.self) == kept + "X: 9\r\n\r\n")
  }
}
