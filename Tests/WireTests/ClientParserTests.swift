// The client protocol as the server reads it: client-protocol.md sections 1 to 3. What is told to the client is ClientConnection's.
import Bytes
import Testing
import Wire

@Suite struct ClientParserTests {
  static let everything = [
    "CONNECT {\"verbose\":false}\r\n", "PING\r\n", "PONG\r\n", "PUB a 2\r\nhi\r\n", "PUB a.b _INBOX.1 0\r\n\r\n",
    "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n", "SUB a 1\r\n", "SUB a.> group 17\r\n",
    "UNSUB 1\r\n", "UNSUB 17 5\r\n", "INFO {}\r\n", "+OK\r\n", "-ERR 'x'\r\n",
  ]
  static let described = [
    "connect|{\"verbose\":false}", "ping", "pong", "publish|a||-|hi", "publish|a.b|_INBOX.1|-|",
    "publish|a||12|NATS/1.0\r\n\r\nhi", "publish|a|r|12|NATS/1.0\r\n\r\n", "subscribe|a||1", "subscribe|a.>|group|17",
    "unsubscribe|1|0", "unsubscribe|17|5", "ignored", "ignored", "error",
  ]

  @Test("every operation is read the same in one piece, byte by byte and in pieces of any size", arguments: [Int.max / 2, 1, 2, 3, 7, 16])
  func sizes(_ size: Int) {
    let conversation = converse(Self.everything.joined(), clientParser(), size: size)
    #expect(conversation == Conversation(operations: Self.described))
  }

  @Test("random splits change nothing")
  func randomSplits() {
    let bytes = [UInt8]((Self.everything + Self.everything).joined().utf8)
    var random = Seeded(state: 1)
    for _ in 0..<200 {
      let conversation = converse(bytes, clientParser()) { Int.random(in: 1...40, using: &random) }
      #expect(conversation == Conversation(operations: Self.described + Self.described))
    }
  }

  @Test("a bare line feed ends a control line, but not a payload")
  func bareLineFeed() {
    let conversation = converse("CONNECT {}\nPING\nSUB a 1\nPUB a 2\nhi\r\n", clientParser())
    #expect(conversation == Conversation(operations: ["connect|{}", "ping", "subscribe|a||1", "publish|a||-|hi"]))
    #expect(converse("PUB a 2\nhi\nPING\r\n", clientParser()).violation == .unknownOperation)
  }

  @Test("verbs are known in any case")
  func anyCase() {
    let conversation = converse(
      "cOnNeCt {}\r\npInG\r\npOnG\r\nPuB a 1\r\nx\r\nhPuB a 0 1\r\nx\r\nsUb a 1\r\nuNsUb 1\r\niNfO {}\r\n+oK\r\n-eRr x\r\n", clientParser())
    #expect(
      conversation
        == Conversation(operations: [
          "connect|{}", "ping", "pong", "publish|a||-|x", "publish|a||0|x", "subscribe|a||1", "unsubscribe|1|0", "ignored", "ignored",
          "error",
        ]))
  }

  @Test("runs of blanks and tabs separate fields, and may stand at the end", arguments: [1, 3, Int.max / 2])
  func blanks(_ size: Int) {
    let conversation = converse(
      "SUB  a   1  \r\nPUB\ta\t1\r\nx\r\nSUB\t \ta\tq\t2\t\r\nHPUB\t a  r 0 \t1 \r\ny\r\nUNSUB \t1\t 2 \r\n", clientParser(), size: size)
    #expect(
      conversation
        == Conversation(operations: [
          "subscribe|a||1", "publish|a||-|x", "subscribe|a|q|2", "publish|a|r|0|y", "unsubscribe|1|2",
        ]))
  }

  @Test(
    "what is malformed is told apart from what is no operation",
    arguments: [
      ("PUB a\r\n", ProtocolViolation.malformedArguments), ("PUB a x\r\n", .malformedArguments), ("PUB a -1\r\n", .malformedArguments),
      ("PUB a b c 2\r\nhi\r\n", .malformedArguments), ("PUB  2\r\n\r\n", .malformedArguments), ("PUB \r\n", .malformedArguments),
      ("PUB a 0000000002\r\nhi\r\n", .malformedArguments), ("PUB a 99999999999999999999\r\n", .malformedArguments),
      ("PUB a 1 1 1 1 1 1 1 1 1 1 1 1\r\n", .malformedArguments), ("HPUB a 2\r\nhi\r\n", .malformedArguments),
      ("HPUB a 22 10\r\n", .malformedArguments), ("HPUB a x 10\r\n", .malformedArguments), ("HPUB a 1 x\r\n", .malformedArguments),
      ("HPUB a r s 1 1\r\n", .malformedArguments), ("SUB a\r\n", .malformedArguments), ("SUB a b c d\r\n", .malformedArguments),
      ("SUB \r\n", .malformedArguments), ("UNSUB \r\n", .malformedArguments), ("UNSUB 1 2 3\r\n", .malformedArguments),
      ("INFO\r\n", .malformedArguments), ("INFOX {}\r\n", .malformedArguments),
      ("PUB\r\n", .unknownOperation), ("HPUB\r\n", .unknownOperation), ("SUB\r\n", .unknownOperation), ("UNSUB\r\n", .unknownOperation),
      ("FOO\r\n", .unknownOperation), ("\r\n", .unknownOperation), ("\n", .unknownOperation), ("P\r\n", .unknownOperation),
      ("PUBX a 1\r\n", .unknownOperation), ("SUBX a 1\r\n", .unknownOperation), ("HPUBX a 1 1\r\n", .unknownOperation),
      ("UNSUBX 1\r\n", .unknownOperation), ("-ERRX\r\n", .unknownOperation), ("+NO\r\n", .unknownOperation), ("PIN\r\n", .unknownOperation),
      ("MSG a 1 2\r\nhi\r\n", .unknownOperation), ("RS+ a\r\n", .unknownOperation), ("LS+ a\r\n", .unknownOperation),
      ("GET / HTTP/1.1\r\n\r\n", .unknownOperation), ("PUB a 2\r\nhixx\r\n", .unknownOperation), ("PUB a 2\r\nhi\n\n", .unknownOperation),
      ("HPUB a 30 30\r\nNATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n", .unknownOperation),
    ])
  func malformed(_ text: String, _ violation: ProtocolViolation) {
    #expect(converse(text, clientParser()) == Conversation(violation: violation))
    #expect(converse(text, clientParser(), size: 1) == Conversation(violation: violation))
  }

  @Test("a number of deliveries that is none means now, as in nats-server")
  func unsubscribeWithoutNumber() {
    #expect(converse("UNSUB 1 x\r\nUNSUB 1 -5\r\n", clientParser()).operations == ["unsubscribe|1|0", "unsubscribe|1|0"])
  }

  @Test("letters behind PING, PONG and +OK are tolerated, and CONNECT needs no blank")
  func tolerated() {
    #expect(
      converse("PINGX\r\nPONG y\r\n+OKX\r\nCONNECT{}\r\nCONNECT\r\n", clientParser()).operations == [
        "ping", "pong", "ignored", "connect|{}", "connect|",
      ])
  }

  @Test("a garbage verb is refused at its first wrong letter, without waiting for the line's end")
  func earlyRefusal() {
    for text in ["X", "PX", "PUX", "PUBX", "GET", "CX", "\u{16}\u{03}\u{01}", " PING"] {
      #expect(converse(text, clientParser()).violation == .unknownOperation, "\(text)")
    }
    for text in ["P", "pu", "PUB", "PUB ", "PUB\t", "CONNECT", "CONNECT {", "+", "-ER", "UNSUB 1"] {
      #expect(converse(text, clientParser()) == Conversation(left: text.utf8.count), "\(text)")
    }
  }

  // MARK: Limits

  @Test("arguments up to the limit pass, one byte more is too long, however they arrive", arguments: [1, 64, Int.max / 2])
  func controlLine(_ size: Int) {
    let parser = clientParser(controlLineMax: 100)
    let connect = "CONNECT " + String(repeating: "x", count: 100)
    #expect(converse(connect + "\r\n", parser, size: size).operations.count == 1)
    #expect(converse(connect + "x\r\n", parser, size: size).violation == .controlLineTooLong)
    let sub = "SUB " + String(repeating: "a", count: 98) + " 1"
    #expect(converse(sub + "\r\n", parser, size: size).operations.count == 1)
    #expect(converse(sub + "1\r\n", parser, size: size).violation == .controlLineTooLong)
    let pub = "PUB " + String(repeating: "a", count: 98) + " 0"
    #expect(converse(pub + "\r\n\r\n", parser, size: size).operations.count == 1)
    #expect(converse(pub + "0\r\n\r\n", parser, size: size).violation == .controlLineTooLong)
    #expect(converse("UNSUB " + String(repeating: "1", count: 101) + "\r\n", parser, size: size).violation == .controlLineTooLong)
  }

  @Test("a line without end is refused when it is longer than any may be")
  func endlessLine() {
    let conversation = converse([UInt8]("PUB ".utf8) + [UInt8](repeating: 0x61, count: 10_000), clientParser()) { 1 }
    #expect(conversation.violation == .controlLineTooLong)
  }

  @Test("a payload at the limit passes; a larger one is refused before it is read")
  func payloadLimit() {
    let parser = clientParser(payloadMax: 100)
    let payload = String(repeating: "x", count: 100)
    #expect(converse("PUB a 100\r\n\(payload)\r\n", parser).operations == ["publish|a||-|\(payload)"])
    #expect(converse("PUB a 101\r\n", parser).violation == .payloadTooLarge)
    #expect(converse("HPUB a 12 101\r\n", parser).violation == .payloadTooLarge)
    #expect(converse("PUB a 999999999\r\n", parser).violation == .payloadTooLarge)
  }

  @Test("the parser says how much it needs, so that a large payload is not looked at again and again")
  func needed() {
    var operation = ClientOperation()
    let parser = ClientParser(controlLineMax: 4096, payloadMax: 1 << 20)
    let outcome = ByteString("PUB a 1000\r\nxyz").withView { parser.parse($0, into: &operation) }
    #expect(outcome == .incomplete(needed: 12 + 1000 + 2))
  }

  // MARK: Fuzz

  @Test("garbage never crashes, and what was said of fewer bytes holds for more")
  func garbage() {
    var random = Seeded(state: 2)
    let parser = clientParser(controlLineMax: 40, payloadMax: 30)
    for round in 0..<3000 {
      let bytes = (0..<Int.random(in: 1...70, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      let contradiction = contradiction(bytes, parser)
      #expect(contradiction == nil, "round \(round)")
    }
  }

  @Test("nearly right input never crashes, and what was said of fewer bytes holds for more")
  func nearlyRight() {
    var random = Seeded(state: 3)
    let parser = clientParser(controlLineMax: 40, payloadMax: 30)
    for round in 0..<6000 {
      let bytes = nearlyProtocol(Self.everything, &random)
      let contradiction = contradiction(bytes, parser)
      #expect(contradiction == nil, "round \(round)")
      let whole = converse(bytes, parser) { Int.max / 2 }
      let pieces = converse(bytes, parser) { Int.random(in: 1...9, using: &random) }
      #expect(whole == pieces, "round \(round)")
    }
  }
}
