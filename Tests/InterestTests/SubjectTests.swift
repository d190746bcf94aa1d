// The rules of subjects, against tables and against a matcher that splits strings.
import Bytes
import Testing

@testable import Interest

@Suite("Subject") struct SubjectTests {
  @Test("a subscription subject has no empty token, no blank, and `>` only at the end")
  func validity() {
    for subject in ["a", "a.b", "*", ">", "a.*", "a.>", "*.*.>", "a*", "a>.b", ">a.b", "**", ">>.x", "ü.☃", "a.\u{0B}b", "\u{0}"] {
      #expect(Subject.isValid(ByteString(subject)), "\(subject)")
    }
    for subject in ["", ".", "a.", ".a", "a..b", ">.a", "a.>.b", "a b", "a\t", "a\r", "\n", "a.\u{0C}", ">.>"] {
      #expect(!Subject.isValid(ByteString(subject)), "\(subject)")
    }
  }

  @Test("a wildcard is a whole token")
  func literals() {
    for subject in ["a", "a.b*", ">x", "**", "a.>>"] { #expect(Subject.isLiteral(ByteString(subject)), "\(subject)") }
    for subject in ["*", "a.*", "*.a", "a.>", ">"] { #expect(!Subject.isLiteral(ByteString(subject)), "\(subject)") }
    #expect(Subject.isValidToPublish("a.b"))
    #expect(!Subject.isValidToPublish("a.*"))
    #expect(!Subject.isValidToPublish("a..b"))
  }

  @Test("a published subject is literal even where it looks like a pattern, and matches nothing with an empty token")
  func literalWildcards() {
    #expect(Subject.matches("a.*", "a.*"))
    #expect(!Subject.matches("a.*", "a.b"))
    #expect(Subject.matches("a.>", "a.*"))
    #expect(!Subject.matches("a.", "a.*"))
    #expect(!Subject.matches("a.", ">"))
    #expect(!Subject.matches("a..b", "a.>"))
    #expect(!Subject.matches("a", "a.>"))
  }

  @Test("matching, coverage and overlap agree with every literal there is")
  func againstModel() {
    var random = TestRandom(seed: 7)
    let words = ["a", "b", "*x"]
    let literals = Model.literals(words: words, depth: 4)
    for _ in 0..<250 {
      let one = Model.pattern(&random, words: words, depth: 3)
      let other = Model.pattern(&random, words: words, depth: 3)
      let left = literals.filter { Model.matches($0, one) }
      let right = literals.filter { Model.matches($0, other) }
      for literal in literals.shuffled(using: &random).prefix(12) {
        #expect(Subject.matches(ByteString(literal), ByteString(one)) == Model.matches(literal, one), "\(literal) \(one)")
      }
      let both = Set(left).intersection(right)
      #expect(Subject.overlap(ByteString(one), ByteString(other)) == !both.isEmpty, "\(one) \(other)")
      // The words are three of infinitely many, so `a.*` is not a subset although `*` can only be three words here: none of the
      // patterns enumerates them, hence inclusion over the literals is inclusion.
      #expect(Subject.isSubset(ByteString(one), of: ByteString(other)) == (both.count == left.count), "\(one) \(other)")
    }
  }

  @Test("tokens are views in order")
  func tokens() {
    let subject: ByteString = "a..bc."
    subject.withView { view in
      var tokens = Subject.Tokens(view)
      var all: [String] = []
      while let token = tokens.next() { all.append(token.string) }
      #expect(all == ["a", "", "bc", ""])
      #expect(Subject.tokenCount(view) == 4)
      #expect(Subject.tokenCount(view.prefix(1)) == 1)
    }
    for (pattern, length) in [("a.b", 3), ("a.*", 2), ("*", 0), ("a.b.>", 4), ("a.b*.c", 6)] {
      #expect(ByteString(pattern).withView { Subject.literalPrefixLength($0) } == length, "\(pattern)")
    }
  }
}
