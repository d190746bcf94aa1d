// Hostile files and command lines: whatever the bytes, there is an answer and no crash, and every problem has its place.
import Bytes
import Testing

@testable import Configuration

/// A generator that repeats from its seed (splitmix64), so that a failing case can be replayed.
private struct Seeded: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

@Suite struct FuzzTests {
  static let corpus: [String] = [
    UplinkOptionsTests.design,
    "port: 4222\nhost = \"0.0.0.0\"; debug yes, trace: off # c\n// d\nmax_payload: 1MB\nping_interval: \"1m30s\"\n",
    "{\"port\": 1, \"jetstream\": {\"domain\": \"a\", \"max_mem\": \"1G\"}, \"streams\": [{\"name\": \"A\", \"max_age\": \"1h\"}]}",
    "A: [1, 2, {b: c}]\nB: $A\nX {Y: $B, Z: $HOME, W: $2a$10$x}\ninclude inc.conf; port: $P\n",
    "text: (\n  a block ( of ) text\n)\nd: 2006-01-02T15:04:05Z; f: -1.5, i: -9223372036854775808; e: 'raw \\q'; q: \"\\x41\\t\\\"\"\n",
    "leafnodes { remotes: [ { urls: [\"nats://u:p%40@[::1]:7422\", tls://h], compression: s2_auto, deny_imports: [\"a.>\", b.*] } ], reconnect: 5 }\n",
    "cluster { routes: [nats://a] }\nauthorization { users: [ {user: a, password: $2a$10$abc} ] }\nlisten: \"[::]:-1\"\nhttp: 127.0.0.1:8222\n",
    """
    accounts { A { users: [ {user: a, password: "$2a$04$M9geuSyk5HF3PmAvbcSFJesKqbUrz7479uCHutdt0/2kXc8xByPoq", permissions {
      publish { allow: ["a.*"], deny: b }, subscribe: ["c q"], allow_responses: {max: 2, expires: "1s"} } } ],
      exports: [ {stream: "s.>", accounts: [B]}, {service: "q.*", response_type: stream, account_token_position: 2} ],
      jetstream { max_mem: 1MB, max_store: -1 }, limits { max_payload: 1 } }
      B { imports: [ {stream: {account: A, subject: "s.a"}, to: "x.$1"}, {service: {account: A, subject: "q.B"}, share: true} ] } }
    system_account: B; no_auth_user: a; operator: "eyJh.b.c"; resolver: MEMORY; resolver_preload { ABC: "eyJ" }; trusted_keys: O
    """,
  ]
  static let pieces: [String] = [
    "{", "}", "[", "]", "(", "\n)\n", "\"", "'", "\\", "\\x", "$", "$A", "$LOOP", "#", "//", ",", ";", ":", "=", "\n", "\r\n", "\t",
    "include inc.conf", "include loop.conf\n",
    "\u{0}", "\u{7F}", "é", "-", "9223372036854775807", "e", "kib", "nats://", "@", "%", "true", "1.5", "2006-01-02T15:04:05Z",
  ]

  /// Parses, decodes and checks `bytes`; fails when a problem has no place or no text.
  private func feed(_ bytes: [UInt8], _ seed: UInt64) {
    let read: ConfigurationFile.Reader = { path in
      switch path {
      case "t.conf": .success(bytes)
      case "inc.conf": .success([UInt8]("P: 1\nmax_pending: 1GB".utf8))
      case "loop.conf": .success([UInt8]("a {include t.conf}".utf8))
      default: .failure(.notFound)
      }
    }
    let environment: ConfigurationFile.Environment = { name in
      if name.equals("HOME") { return [UInt8]("[1, \"x\", {y: $A}]".utf8) }
      return name.equals("LOOP") ? [UInt8]("$LOOP".utf8) : nil
    }
    var arguments = Arguments()
    arguments.configurationPath = "t.conf"
    let loaded = LoadedOptions.load(arguments, read: read, environment: environment)
    for problem in loaded.problems where problem.text.isEmpty || problem.location.isNone || problem.line < 1 || problem.column < 1 {
      Issue.record("seed \(seed): \(problem.message)")
    }
  }

  @Test("random bytes never crash the parser")
  func randomBytes() {
    for seed in 0..<3000 as Range<UInt64> {
      var generator = Seeded(state: seed)
      feed((0..<Int.random(in: 0..<200, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }, seed)
    }
  }

  @Test("random pieces of the grammar never crash the parser")
  func randomPieces() {
    for seed in 0..<5000 as Range<UInt64> {
      var generator = Seeded(state: seed)
      var text = ""
      for _ in 0..<Int.random(in: 0..<60, using: &generator) {
        text += Bool.random(using: &generator) ? Self.pieces.randomElement(using: &generator)! : "a "
      }
      feed([UInt8](text.utf8), seed)
    }
  }

  @Test("right files with bytes changed, cut, doubled and mixed never crash the parser or the decoder")
  func mutations() {
    for seed in 0..<10_000 as Range<UInt64> {
      var generator = Seeded(state: seed)
      var bytes = [UInt8](Self.corpus.randomElement(using: &generator)!.utf8)
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let at = Int.random(in: 0...bytes.count, using: &generator)
        let end = Int.random(in: at...min(bytes.count, at + 20), using: &generator)
        switch Int.random(in: 0..<6, using: &generator) {
        case 0: bytes.replaceSubrange(at..<end, with: [UInt8](Self.pieces.randomElement(using: &generator)!.utf8))
        case 1: bytes.removeSubrange(at..<end)
        case 2: bytes.insert(contentsOf: bytes[at..<end], at: at)
        case 3: bytes = [UInt8](bytes[..<at])
        case 4 where at < bytes.count: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        default: bytes.insert(contentsOf: [UInt8](Self.corpus.randomElement(using: &generator)!.utf8), at: at)
        }
      }
      feed(bytes, seed)
    }
  }

  @Test("every beginning of a right file is read or refused")
  func prefixes() {
    for text in Self.corpus {
      let bytes = [UInt8](text.utf8)
      for length in 0...bytes.count { feed([UInt8](bytes[..<length]), UInt64(length)) }
    }
  }

  @Test("random command lines and URLs never crash")
  func wordsAndURLs() {
    let words =
      Flag.table.flatMap { $0.names.map { "-" + $0.description } } + Self.pieces + ["check", "--", "-", "---", "=", "-p=", "--js=x", ""]
    for seed in 0..<3000 as Range<UInt64> {
      var generator = Seeded(state: seed)
      let line = (0..<Int.random(in: 0..<6, using: &generator)).map { _ in
        ByteString(
          words.randomElement(using: &generator)! + (Bool.random(using: &generator) ? "" : "=" + words.randomElement(using: &generator)!))
      }
      if let arguments = try? Arguments(parsing: line), arguments.configurationPath == nil { _ = LoadedOptions.load(arguments) }
      var url: [UInt8] = []
      for _ in 0..<Int.random(in: 0..<12, using: &generator) {
        let part = ["nats", "://", ":", "@", "[", "]", "::1", "%", "%41", "/", "?", "h", "1", "-", ".", "é"].randomElement(
          using: &generator)!
        url += [UInt8](part.utf8)
      }
      url.withView { view in
        if let parsed = try? ServerURL(parsing: view) { #expect((1...65535).contains(parsed.port) && !parsed.host.isEmpty) }
      }
      _ = ServerURL.redacted(ByteString(url))
    }
  }
}
