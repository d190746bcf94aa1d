import Bytes
import Foundation
import JSON
import Testing

@testable import Identity

@Suite struct TokenTests {
  let issuer = seed(.operator, 1)
  let account = seed(.account, 2)
  let user = seed(.user, 3)

  @Test("a user's token is read with its permissions and limits") func user2() throws {
    let nats =
      #","subs":7,"payload":1024,"pub":{"allow":["a.>"],"deny":["a.x"]},"sub":{"deny":["s q"]},"resp":{"max":3,"ttl":1000},"#
      + #""src":["10.0.0.0/8"],"times":[{"start":"22:00:00","end":"06:00:00"}],"times_location":"Europe/Berlin","#
      + #""bearer_token":true,"allowed_connection_types":["standard","LEAFNODE"],"tags":["a:b"]"#
    let claims = userClaims(user, by: account, nats: nats, more: #","exp":1800000000,"nbf":1600000000"#)
    let token = try parse(token(claims, by: account))
    #expect(token.kind == .user && token.version == 2 && token.name == "edge-1" && token.tags == ["a:b"])
    #expect(token.isValid(at: 1_700_000_000) && token.isValid(at: 1_800_000_000))
    #expect(!token.isValid(at: 1_800_000_001) && !token.isValid(at: 1_599_999_999))
    let user = try UserClaims(token)
    #expect(user.permissions.publish == Permissions.Lists(allow: ["a.>"], deny: ["a.x"]))
    #expect(user.permissions.subscribe == Permissions.Lists(allow: nil, deny: ["s q"]))
    #expect(user.permissions.responses == Permissions.Responses(max: 3, expires_ns: 1000))
    #expect(user.isBearer && user.timeZone == "Europe/Berlin" && user.times.first?.start == 22 * 3600 && user.times.first?.end == 6 * 3600)
    #expect(user.allowedConnections == [.standard, .leafnode])
    #expect(user.networks.first?.contains([10, 200, 3, 4]) == true && user.networks.first?.contains([11, 0, 0, 1]) == false)
    #expect(!user.isUnset)
  }

  @Test("the last of two members counts") func duplicates() throws {
    let user = try UserClaims(parse(token(userClaims(user, by: account, nats: #","subs":7"#), by: account)))
    #expect(user.subscriptionsMax == 7 && user.payloadMax == -1)
  }

  @Test("the first version signs its claims alone, and says its type outside") func version1() throws {
    let claims = """
      {"iss":"\(account.publicKey.text.string)","sub":"\(user.publicKey.text.string)","type":"user","iat":5,"tags":["x:y"],"nats":{"pub":{},"sub":{"allow":["s"]},"src":"10.0.0.0/8, 192.168.0.0/16"}}
      """
    let token1 = try parse(token(claims, by: account, version: 1))
    #expect(token1.version == 1 && token1.tags == ["x:y"])
    let read = try UserClaims(token1)
    #expect(read.subscriptionsMax == -1 && read.payloadMax == -1 && read.networks.count == 2)
    #expect(read.permissions.publish.isEmpty && read.permissions.subscribe.allow == ["s"])
    // Signed as the second version does, it is not the first.
    let wrong = token(claims, by: account, version: 2)
    #expect(throws: TokenProblem.signature) { try parse(wrong) }
  }

  @Test("a captured credentials file of a real server's user is read, and its token verifies") func captured() throws {
    let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../Vectors/leafnode/10_auth_jwt/user.creds")
    let text = [UInt8](try Data(contentsOf: path))
    let file = try text.withView { view throws(CredentialsFile.Failure) in try CredentialsFile(parsing: view) }
    let token = try parse(file.token)
    #expect(token.subject == file.seed.publicKey && token.name == "edge1")
    #expect(try UserClaims(token).permissions.publish.deny == ["secret.>"])
  }

  @Test("a token of the wrong issuer, kind, signature or version is refused with its reason") func refusals() throws {
    let good = userClaims(user, by: account)
    func problem(_ text: ByteString) -> TokenProblem? {
      do throws(TokenProblem) {
        _ = try parse(text)
        return nil
      } catch { return error }
    }
    #expect(problem(token(good, by: account)) == nil)
    #expect(problem(token(good, by: seed(.account, 9))) == .signature)
    // A user cannot sign a user, and an operator cannot either.
    #expect(problem(token(userClaims(user, by: user), by: user)) == .issuer)
    #expect(problem(token(userClaims(user, by: issuer), by: issuer)) == .issuer)
    #expect(problem(token(good.replacing("\"version\":2", with: "\"version\":3"), by: account)) == .version)
    #expect(problem(token(good.replacing("\"type\":\"user\"", with: "\"type\":\"server\""), by: account)) == .kind)
    #expect(problem(token(good, by: account, header: #"{"typ":"JWT","alg":"none"}"#)) == .algorithm)
    #expect(problem(token(good, by: account, header: #"{"typ":"JWT","alg":"HS256"}"#)) == .algorithm)
    #expect(problem(token(good.replacing("\"iat\":1700000000", with: "\"iat\":\"x\""), by: account)) == .claims("iat"))
    #expect(problem("") == .malformed)
    #expect(problem("a.b") == .malformed)
    #expect(problem("a.b.c.d") == .malformed)
    #expect(problem(ByteString([UInt8](repeating: 0x41, count: Token.sizeMax + 1))) == .tooLarge)
  }

  @Test("a token with any changed bit is refused, or says the same") func everyBit() throws {
    let text = token(userClaims(user, by: account), by: account)
    for index in 0..<text.count {
      for bit in 0..<8 {
        var bytes = text.bytes
        bytes[index] ^= 1 << UInt8(bit)
        guard let changed = try? parse(ByteString(bytes)) else { continue }
        // Only the bits of the last character of a part that stand for nothing may change.
        #expect(changed.subject == user.publicKey && changed.issuer == account.publicKey)
      }
    }
  }

  @Test("random tokens never trap") func fuzz() {
    var random = SystemRandomNumberGenerator()
    let alphabet = [UInt8]("ABCabc019-_.={}\":,\\".utf8)
    for _ in 0..<20_000 {
      let length = Int.random(in: 0...200, using: &random)
      let bytes = (0..<length).map { _ in alphabet.randomElement(using: &random)! }
      #expect((try? parse(ByteString(bytes))) == nil)
      _ = try? bytes.withView { view throws(CredentialsFile.Failure) in try CredentialsFile(parsing: view) }
    }
  }

  @Test("random claims of every kind never trap") func fuzzClaims() {
    var random = SystemRandomNumberGenerator()
    let names = [
      "limits", "subs", "pub", "sub", "allow", "deny", "exports", "imports", "signing_keys", "revocations", "type", "kind", "key",
      "template",
      "resp", "src", "times", "start", "end", "subject", "account", "tiered_limits", "mem_storage", "system_account", "tags", "nats",
      "version",
    ]
    func value(_ depth: Int) -> String {
      switch Int.random(in: 0...(depth > 4 ? 4 : 6), using: &random) {
      case 0: return "null"
      case 1: return "true"
      case 2: return "\(Int64.random(in: -3...Int64.max, using: &random))"
      case 3:
        return
          "\"\(["stream", "service", "user", "account", "a.>", "10.0.0.0/8", "x y", "", "user_scope"].randomElement(using: &random)!)\""
      case 4: return "-1.5e3"
      case 5: return "[" + (0..<Int.random(in: 0...3, using: &random)).map { _ in value(depth + 1) }.joined(separator: ",") + "]"
      default:
        return "{"
          + (0..<Int.random(in: 0...4, using: &random)).map { _ in "\"\(names.randomElement(using: &random)!)\":\(value(depth + 1))" }
          .joined(separator: ",") + "}"
      }
    }
    for _ in 0..<3_000 {
      var nats = ""
      for name in names where name != "type" && name != "version" && Bool.random(using: &random) { nats += ",\"\(name)\":\(value(0))" }
      if let read = try? parse(token(userClaims(user, by: account, nats: nats), by: account)) { _ = try? UserClaims(read) }
      if let read = try? parse(token(accountClaims(account, by: issuer, nats: nats), by: issuer)) { _ = try? AccountClaims(read) }
    }
  }
}

@Suite struct ClaimsTests {
  let issuer = seed(.operator, 1)
  let account = seed(.account, 2)
  let signer = seed(.account, 4)
  let user = seed(.user, 3)

  @Test("an operator's signing keys may sign accounts; a strict operator's own key may not") func operators() throws {
    let other = seed(.operator, 5)
    func claims(_ more: String) -> String {
      "{\"iss\":\"\(issuer.publicKey.text.string)\",\"sub\":\"\(issuer.publicKey.text.string)\",\"nats\":{\"type\":\"operator\",\"version\":2,\"signing_keys\":[\"\(other.publicKey.text.string)\"]\(more)}}"
    }
    let open = try OperatorClaims(parse(token(claims(""), by: issuer)))
    #expect(open.accountIssuers == [other.publicKey.text, issuer.publicKey.text])
    let strict = try OperatorClaims(parse(token(claims(#","strict_signing_key_usage":true"#), by: issuer)))
    #expect(strict.accountIssuers == [other.publicKey.text])
    // An operator that a stranger signed is nobody's.
    let stranger =
      "{\"iss\":\"\(other.publicKey.text.string)\",\"sub\":\"\(issuer.publicKey.text.string)\",\"nats\":{\"type\":\"operator\",\"version\":2}}"
    let read = try parse(token(stranger, by: other))
    #expect(throws: TokenProblem.issuer) { try OperatorClaims(read) }
  }

  @Test("an account's limits, keys, revocations and sharing are read") func accounts() throws {
    let nats = """
      ,"limits":{"subs":10,"conn":2,"leaf":-1,"payload":512,"disallow_bearer":true,"mem_storage":1,"disk_storage":-1,"streams":3,"consumer":4},
      "signing_keys":["\(signer.publicKey.text.string)",{"kind":"user_scope","key":"\(seed(.account, 6).publicKey.text.string)","template":{"pub":{"allow":["x.{{name()}}"]},"subs":5}}],
      "revocations":{"*":10,"\(user.publicKey.text.string)":20},
      "exports":[{"type":"service","subject":"req.*","response_type":"Chunked","response_threshold":5000000000,"account_token_position":2},{"type":"stream","subject":"s.>","token_req":true,"revocations":{"*":3}}],
      "imports":[{"type":"stream","account":"A","subject":"s.>","to":"from.b"},{"type":"service","account":"A","subject":"ask","to":"req.1","share":true},{"type":"stream","account":"A","subject":"t.*","local_subject":"u.$1"}]
      """
    let read = try AccountClaims(parse(token(accountClaims(account, by: issuer, nats: nats), by: issuer)))
    #expect(
      read.limits.connectionsMax == 2 && read.limits.leafnodesMax == -1 && read.limits.subscriptionsMax == 10
        && read.limits.payloadMax == 512)
    #expect(read.refusesBearers)
    #expect(
      read.jetStream?.limits.memoryMax_bytes == 1 && read.jetStream?.limits.storeMax_bytes == -1 && read.jetStream?.limits.streamsMax == 3)
    #expect(read.jetStream?.limits.storeStreamMax_bytes == -1 && read.jetStream?.limits.ackPendingMax == -1)
    #expect(read.signingKeys.count == 2 && read.signingKeys[0].template == nil)
    #expect(
      read.signingKeys[1].template?.permissions.publish.allow == ["x.{{name()}}"] && read.signingKeys[1].template?.subscriptionsMax == 5)
    #expect(read.signingKeys[1].template?.payloadMax == -1)
    #expect(read.revocations.revoke(user.publicKey.text, issuedAt: 20) && !read.revocations.revoke(user.publicKey.text, issuedAt: 21))
    #expect(read.revocations.revoke("anybody", issuedAt: 10) && !read.revocations.revoke("anybody", issuedAt: 11))
    #expect(
      read.exports[0].response == .chunked && read.exports[0].threshold_ns == 5_000_000_000 && read.exports[0].accountTokenPosition == 2)
    #expect(read.exports[1].needsToken && read.exports[1].revocations == [Revocation(key: "*", time: 3)])
    #expect(read.imports.map { $0.subject } == ["s.>", "req.1", "t.*"])
    #expect(read.imports.map { $0.localSubject } == ["from.b.s.>", "ask", "u.$1"])
    #expect(read.imports[1].sharesRequester)
  }

  @Test("nobody waits longer than a day for an answer, and places and subjects that cannot be are refused") func hostileSharing() throws {
    func read(_ nats: String) throws -> AccountClaims {
      try AccountClaims(parse(token(accountClaims(account, by: issuer, nats: nats), by: issuer)))
    }
    func export(_ more: String) -> String { ",\"exports\":[{\"type\":\"service\",\(more)}]" }
    let long = try read(export("\"subject\":\"a\",\"response_threshold\":9223372036854775807"))
    #expect(long.exports[0].threshold_ns == 86_400_000_000_000)
    for nats in [
      export("\"subject\":\"a.*\",\"account_token_position\":256"),
      export("\"subject\":\"a.*\",\"account_token_position\":9000000000000000000"),
      export("\"subject\":\"a.*\",\"account_token_position\":-1"), export("\"subject\":\"a..b\""), export("\"subject\":\"\""),
      ",\"imports\":[{\"type\":\"stream\",\"account\":\"A\",\"subject\":\"a b\"}]",
      ",\"imports\":[{\"type\":\"stream\",\"account\":\"A\",\"subject\":\"a\",\"local_subject\":\".a\"}]",
      ",\"default_permissions\":{\"pub\":{\"deny\":[\"a..b\"]}}",
    ] {
      #expect(throws: TokenProblem.self, "\(nats)") { try read(nats) }
    }
  }

  @Test("a user whose permissions name what is no subject is refused: such a deny entry would deny nothing") func invalidSubjects() throws {
    func read(_ nats: String) throws -> UserClaims { try UserClaims(parse(token(userClaims(user, by: account, nats: nats), by: account))) }
    #expect(try read(",\"sub\":{\"deny\":[\"a.* q.*\"]}").permissions.subscribe.deny == ["a.* q.*"])
    for nats in [
      ",\"pub\":{\"deny\":[\"a..b\"]}", ",\"pub\":{\"deny\":[\"a q\"]}", ",\"pub\":{\"allow\":[\"\"]}", ",\"sub\":{\"deny\":[\"a q r\"]}",
      ",\"sub\":{\"allow\":[\"a.\"]}",
    ] {
      #expect(throws: TokenProblem.self, "\(nats)") { try read(nats) }
    }
  }

  @Test("a name or a tag with a wildcard fills no template") func wildTemplates() throws {
    let accountToken = try parse(token(accountClaims(account, by: issuer), by: issuer))
    for (tag, fine) in [("room:1", true), ("room:*", false), ("room:>", false), ("room:a.>", false)] {
      let userToken = try parse(token(userClaims(user, by: signer, nats: ",\"tags\":[\"\(tag)\"]"), by: signer))
      var permissions = Permissions()
      permissions.publish = Permissions.Lists(allow: ["x.{{tag(room)}}"])
      #expect((UserTemplate(user: userToken, account: accountToken).fill(permissions) != nil) == fine, "\(tag)")
    }
  }

  @Test("an account that says nothing of JetStream has none, and tiers are kept apart") func jetStream() throws {
    let plain = try AccountClaims(parse(token(accountClaims(account, by: issuer), by: issuer)))
    #expect(plain.jetStream == nil)
    let nats = #","limits":{"tiered_limits":{"R3":{"mem_storage":3},"R1":{"mem_storage":1,"disk_storage":2}}}"#
    let tiered = try AccountClaims(parse(token(accountClaims(account, by: issuer, nats: nats), by: issuer)))
    #expect(tiered.jetStream?.tiers.map { $0.name } == ["R1", "R3"] && tiered.jetStream?.tiers[0].limits.storeMax_bytes == 2)
  }

  @Test("what an account asks for and is not here is refused rather than ignored") func unsupported() throws {
    for nats in [#","mappings":{"a":[{"subject":"b"}]}"#, #","authorization":{"auth_users":["U"]}"#] {
      let read = try parse(token(accountClaims(account, by: issuer, nats: nats), by: issuer))
      #expect(throws: TokenProblem.self) { try AccountClaims(read) }
    }
  }

  @Test("templates are filled with names and every combination of tags") func templates() throws {
    let accountToken = try parse(token(accountClaims(account, by: issuer), by: issuer))
    let userToken = try parse(
      token(
        userClaims(user, by: signer, nats: ",\"tags\":[\"room:1\",\"room:2\"],\"issuer_account\":\"\(account.publicKey.text.string)\""),
        by: signer))
    let template = UserTemplate(user: userToken, account: accountToken)
    func publish(_ allow: [ByteString], deny: [ByteString] = []) -> Permissions.Lists? {
      var permissions = Permissions()
      permissions.publish = Permissions.Lists(allow: allow, deny: deny)
      return template.fill(permissions)?.publish
    }
    #expect(publish(["a.{{name()}}.{{ account-name() }}.>", "plain"])?.allow == ["a.edge-1.ACC.>", "plain"])
    #expect(publish(["{{subject()}}", "{{Account-Subject()}}"])?.allow == [user.publicKey.text, account.publicKey.text])
    #expect(
      publish(["x.{{tag(room)}}.{{account-tag(site)}}"])?.allow == ["x.1.north", "x.1.south", "x.2.north", "x.2.south"])
    // A tag that is not there allows nothing, but refuses the user where something is to be denied.
    #expect(publish(["x.{{tag(floor)}}"])?.allow == [])
    #expect(publish(["a"], deny: ["x.{{tag(floor)}}"]) == nil)
    #expect(publish(["{{shell()}}"]) == nil)
    // What does not end is no place.
    #expect(publish(["a.{{name()"])?.allow == ["a.{{name()"])
  }

  @Test("networks and their borders") func networks() {
    func network(_ text: ByteString) -> IPNetwork? { text.withView { IPNetwork($0) } }
    #expect(network("192.168.4.0/22")?.contains([192, 168, 7, 255]) == true)
    #expect(network("192.168.4.0/22")?.contains([192, 168, 8, 0]) == false)
    #expect(network("0.0.0.0/0")?.contains([1, 2, 3, 4]) == true)
    #expect(network("1.2.3.4/32")?.contains([1, 2, 3, 5]) == false)
    #expect(network("2001:db8::/33")?.contains([0x20, 1, 0x0D, 0xB8, 0x7F] + [UInt8](repeating: 1, count: 11)) == true)
    #expect(network("2001:db8::/33")?.contains([0x20, 1, 0x0D, 0xB8, 0x80] + [UInt8](repeating: 1, count: 11)) == false)
    for text: ByteString in ["", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3/8", "::/129", "1.2.3.4/", "/8", "1.2.3.4/0008"] {
      #expect(network(text) == nil)
    }
  }
}
