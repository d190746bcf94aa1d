// The leaf protocol, both directions: leafnode-protocol.md section 11, and every captured stream of real servers.
import Bytes
import Testing
import Wire

@Suite struct LeafParserTests {
  static let everything = [
    "INFO {\"a\":1} \r\n", "CONNECT {\"name\":\"spoke\"}\r\n", "PING\r\n", "PONG\r\n", "LS+ a.b\r\n", "LS+ q.foo G1 3\r\n", "LS- a.b\r\n",
    "LS- q.foo G1\r\n", "LMSG a 2\r\nhi\r\n", "LMSG a r 2\r\nhi\r\n", "LMSG a + r G1 G2 2\r\nhi\r\n", "LMSG a | G1 2\r\nhi\r\n",
    "HMSG a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HMSG a r 12 12\r\nNATS/1.0\r\n\r\n\r\n", "HMSG a + r G1 G2 12 13\r\nNATS/1.0\r\n\r\nx\r\n",
    "HMSG a | G1 12 12\r\nNATS/1.0\r\n\r\n\r\n", "LMSG a + r 2\r\nhi\r\n", "+OK\r\n", "-ERR 'Stale Connection'\r\n",
  ]
  static let described = [
    "info|{\"a\":1}", "connect|{\"name\":\"spoke\"}", "ping", "pong", "subscribe|a.b||0", "subscribe|q.foo|G1|3", "unsubscribe|a.b|",
    "unsubscribe|q.foo|G1", "message|a|||-|hi", "message|a|r||-|hi", "message|a|r|G1 G2|-|hi", "message|a||G1|-|hi",
    "message|a|||12|NATS/1.0\r\n\r\nhi", "message|a|r||12|NATS/1.0\r\n\r\n", "message|a|r|G1 G2|12|NATS/1.0\r\n\r\nx",
    "message|a||G1|12|NATS/1.0\r\n\r\n", "message|a|r||-|hi", "ignored", "error|Stale Connection",
  ]

  @Test("every operation is read the same in one piece, byte by byte and in pieces of any size", arguments: [Int.max / 2, 1, 2, 3, 7, 16])
  func sizes(_ size: Int) {
    #expect(converse(Self.everything.joined(), leafParser(), size: size) == Conversation(operations: Self.described))
  }

  @Test(
    "verbs are known in any case, runs of blanks and tabs separate fields, and a bare line feed ends a line", arguments: [1, Int.max / 2])
  func lenience(_ size: Int) {
    let conversation = converse(
      "ls+\ta\nLs- \t a \r\nlMsG  a \t |  G1\t 2 \r\nhi\r\nhmsg\ta  0 1\nx\r\npiNG\ninfo\t{}\n-err 'x'\n", leafParser(), size: size)
    #expect(
      conversation
        == Conversation(operations: [
          "subscribe|a||0", "unsubscribe|a|", "message|a||G1|-|hi", "message|a|||0|x", "ping", "info|{}", "error|x",
        ]))
  }

  @Test("three arguments of LMSG are subject, reply and size, even when the reply looks like an indicator")
  func indicatorAsReply() {
    let conversation = converse("LMSG a | 1\r\nx\r\nLMSG a + 1\r\nx\r\nHMSG a | 0 1\r\nx\r\n", leafParser())
    #expect(conversation.operations == ["message|a||||-|x", "message|a|+||-|x", "message|a||||0|x"])
  }

  @Test("queue groups are told one by one")
  func queueNames() {
    var operation = LeafOperation()
    let parser = LeafParser(payloadMax: 100)
    var names: [String] = []
    _ = ByteString("LMSG a |  G1 \t G2  g3 0\r\n\r\n").withView { bytes in
      let outcome = parser.parse(bytes, into: &operation)
      operation.forEachQueue { names.append($0.string) }
      return outcome
    }
    #expect(names == ["G1", "G2", "g3"])
    let many = (0..<500).map { "group\($0)" }
    names = []
    _ = ByteString("LMSG a + r \(many.joined(separator: " ")) 0\r\n\r\n").withView { bytes in
      let outcome = parser.parse(bytes, into: &operation)
      operation.forEachQueue { names.append($0.string) }
      return outcome
    }
    #expect(names == many)
  }

  @Test(
    "what has the wrong number or form of arguments is malformed",
    arguments: [
      "LS+ \r\n", "LS+\r\n", "LS+ a b\r\n", "LS+ a b 1 2\r\n", "LS+ a b x\r\n", "LS+ a b -1\r\n", "LS- \r\n", "LS- a b 1\r\n",
      "LS- a b c d e f g h i j\r\n", "LMSG a\r\n", "LMSG \r\n", "LMSG 2\r\nhi\r\n", "LMSG a x\r\n", "LMSG a -1\r\n",
      "LMSG a 1234567890\r\n",
      "LMSG a r q 2\r\nhi\r\n", "LMSG a r G1 G2 2\r\nhi\r\n", "HMSG a 2\r\nhi\r\n", "HMSG 12 12\r\n",
      "HMSG a 14 12\r\n", "HMSG a x 12\r\n", "HMSG a r q 12 12\r\n", "HMSG a 12 x\r\n",
    ])
  func malformed(_ text: String) {
    #expect(converse(text, leafParser()) == Conversation(violation: .malformedArguments))
    #expect(converse(text, leafParser(), size: 1) == Conversation(violation: .malformedArguments))
  }

  @Test(
    "what is no operation of the leaf protocol is refused",
    arguments: [
      "FOO\r\n", "\r\n", "LS* a\r\n", "LSMSG a 1\r\n", "PUB a 1\r\nx\r\n", "SUB a 1\r\n", "LS+x a\r\n", "-ERRX\r\n", "LMSG a 2\r\nhixx\r\n",
      "INF\r\n",
    ])
  func unknown(_ text: String) {
    #expect(converse(text, leafParser()) == Conversation(violation: .unknownOperation))
    #expect(converse(text, leafParser(), size: 1) == Conversation(violation: .unknownOperation))
  }

  @Test("a weight of zero is read")
  func zeroWeight() { #expect(converse("LS+ a q 0\r\n", leafParser()).operations == ["subscribe|a|q|0"]) }

  @Test("a weight that nobody can have is believed up to a limit")
  func absurdWeight() {
    #expect(
      converse("LS+ a q 16777216\r\nLS+ a q 999999999\r\n", leafParser()).operations == [
        "subscribe|a|q|16777216", "subscribe|a|q|16777216",
      ])
  }

  @Test("an error's quotes are taken off, if there are two")
  func errorText() {
    #expect(
      converse("-ERR 'a'\r\n-ERR a\r\n-ERR '\r\n-ERR ''\r\n-ERR \r\n-ERR\r\n", leafParser()).operations
        == ["error|a", "error|a", "error|'", "error|", "error|", "error|"])
  }

  @Test(
    "limits: a line of 64 KiB passes, more does not; a payload above the limit is refused before it is read",
    arguments: [1000, Int.max / 2])
  func limits(_ size: Int) {
    let line = "INFO " + String(repeating: "x", count: 64 * 1024)
    #expect(converse(line + "\r\n", leafParser(), size: size).operations.count == 1)
    #expect(converse(line + "xxxxxxxxxxxxxxx\r\n", leafParser(), size: size).violation == .controlLineTooLong)
    #expect(converse(line + line, leafParser(), size: size).violation == .controlLineTooLong)
    #expect(converse("LMSG a 101\r\n", leafParser(payloadMax: 100), size: size).violation == .payloadTooLarge)
    #expect(converse("HMSG a 5 101\r\n", leafParser(payloadMax: 100), size: size).violation == .payloadTooLarge)
  }

  @Test("every captured stream is the leaf protocol from end to end, in pieces of any size")
  func captures() throws {
    let streams = try Vectors.leafStreams()
    #expect(streams.count >= 40)
    var random = Seeded(state: 4)
    for path in streams {
      let bytes = try Vectors.bytes(path)
      let whole = converse(bytes, leafParser()) { Int.max / 2 }
      #expect(whole.violation == nil && whole.left == 0 && whole.operations.count > 3, "\(path)")
      for size in bytes.count < 20_000 ? [1, 13, 1460] : [1460, 40_000] {
        #expect(converse(bytes, leafParser()) { size } == whole, "\(path) in pieces of \(size)")
      }
      #expect(converse(bytes, leafParser()) { Int.random(in: 1...9000, using: &random) } == whole, "\(path)")
    }
  }

  @Test("garbage never crashes, and what was said of fewer bytes holds for more")
  func garbage() {
    var random = Seeded(state: 5)
    let parser = leafParser(controlLineMax: 40, payloadMax: 30)
    for round in 0..<6000 {
      let bytes =
        round % 2 == 0
        ? (0..<Int.random(in: 1...70, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
        : nearlyProtocol(Self.everything, &random)
      let contradiction = contradiction(bytes, parser)
      #expect(contradiction == nil, "round \(round)")
      let whole = converse(bytes, parser) { Int.max / 2 }
      #expect(converse(bytes, parser) { Int.random(in: 1...9, using: &random) } == whole, "round \(round)")
    }
  }
}
