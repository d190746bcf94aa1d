import Bytes
import Testing

@testable import Interest

@Suite struct SubjectPairingTests {
  private func exported(_ pairing: SubjectPairing?, _ subject: ByteString) -> ByteString? { subject.withView { pairing?.exported(of: $0) } }
  private func local(_ pairing: SubjectPairing?, _ subject: ByteString) -> ByteString? { subject.withView { pairing?.local(of: $0) } }

  @Test("wildcards keep their values, in the order that the local subject says") func bothWays() {
    let pairing = SubjectPairing(exported: "svc.*.mid.*.>", local: "my.$2.x.$1.>")
    #expect(pairing?.localPattern == "my.*.x.*.>")
    #expect(exported(pairing, "my.b.x.a.c.d") == "svc.a.mid.b.c.d")
    #expect(local(pairing, "svc.a.mid.b.c.d") == "my.b.x.a.c.d")
    // Patterns too.
    #expect(exported(pairing, "my.b.x.*.>") == "svc.*.mid.b.>")
    #expect(exported(pairing, "my.b.y.a.c") == nil)
    #expect(exported(pairing, "my.b.x.a") == nil)
    let prefix = SubjectPairing(exported: "s.*", local: "from.s.*")
    #expect(local(prefix, "s.1") == "from.s.1" && exported(prefix, "from.s.*") == "s.*" && local(prefix, "s.1.2") == nil)
    let same = SubjectPairing(exported: "a.>", local: "a.>")
    #expect(local(same, "a.b") == "a.b" && exported(same, "a.*") == "a.*")
    // Nothing but what the pattern matches has a counterpart, where both are the same too.
    #expect(local(same, "b.b") == nil && local(same, "a") == nil && exported(same, "b.*") == nil && exported(same, ">") == nil)
    let whole = SubjectPairing(exported: ">", local: "in.>")
    #expect(local(whole, "a.b") == "in.a.b" && exported(whole, "in.a.b") == "a.b")
  }

  @Test("patterns that do not fit are refused") func misfits() {
    for (exported, local): (ByteString, ByteString) in [
      ("a.*", "b"), ("a.*", "b.*.*"), ("a.*.*", "b.$1.$1"), ("a.>", "b"), ("a", "b.>"), ("a.*", "b.$2"), ("a..b", "c"), ("a", "b.*"),
    ] {
      #expect(SubjectPairing(exported: exported, local: local) == nil)
    }
    let constant = SubjectPairing(exported: "req", local: "x.*", isConstant: true)
    #expect(exported(constant, "x.1") == "req")
  }

  @Test("an intersection matches what both match, and nothing else") func intersections() {
    var random = SystemRandomNumberGenerator()
    func pattern() -> ByteString {
      var tokens = (0..<Int.random(in: 1...4, using: &random)).map { _ in ["a", "b", "*"].randomElement(using: &random)! }
      if Int.random(in: 0...2, using: &random) == 0 { tokens.append(">") }
      return ByteString(tokens.joined(separator: "."))
    }
    var literals: [ByteString] = []
    func extend(_ head: String, _ depth: Int) {
      for token in ["a", "b", "c"] {
        let text = head.isEmpty ? token : head + "." + token
        literals.append(ByteString(text))
        if depth < 5 { extend(text, depth + 1) }
      }
    }
    extend("", 1)
    for _ in 0..<400 {
      let one = pattern()
      let other = pattern()
      let both = one.withView { one in other.withView { Subject.intersection(one, $0) } }
      #expect((both != nil) == Subject.overlap(one, other))
      for literal in literals {
        let expected = Subject.matches(literal, one) && Subject.matches(literal, other)
        #expect((both.map { Subject.matches(literal, $0) } ?? false) == expected)
      }
    }
  }
}
