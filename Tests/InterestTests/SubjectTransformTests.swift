// Subject transforms against what nats-server 2.15.1 was seen to do with the same source, destination and subject.
import Bytes
import Testing

@testable import Interest

@Suite("SubjectTransform") struct SubjectTransformTests {
  private func make(_ source: String, _ destination: String) throws(SubjectTransformError) -> SubjectTransform {
    try SubjectTransform(source: ByteString(source), destination: ByteString(destination)) { $0 - 1 }
  }

  private func result(_ source: String, _ destination: String, _ subject: String) throws -> String? {
    try make(source, destination).apply(ByteString(subject))?.string
  }

  @Test(
    "destinations become what nats-server makes of them",
    arguments: [
      ("out.$1.$2", "in.a.b", "out.a.b"),
      ("out.{{wildcard(2)}}.{{wildcard(1)}}", "in.a.b", "out.b.a"),
      ("out.{{wildcard (1) }}", "in.a.b", "out.a"),
      ("out.{{ Wildcard( 2 ) }}", "in.a.b", "out.b"),
      ("out.$1", "in.a.b", "out.a"),
      ("out.$0.$1.$2", "in.a.b", "out.in.a.b"),
      ("out.$-1.$1", "in.a.b", "out.in.a"),
      ("out.$+1.$01", "in.a.b", "out.a.a"),
      ("out.{{wildcard(-1)}}.$1", "in.a.b", "out.in.a"),
      ("out.$.$1.$2", "in.a.b", "out.$.a.b"),
      ("out.$x.$1.$2", "in.a.b", "out.$x.a.b"),
      ("out.$1x.$2", "in.a.b", "out.$1x.b"),
      ("out.{{wildcard(1)}}x.$2", "in.a.b", "out.{{wildcard(1)}}x.b"),
      ("out.{{}}.$1", "in.a.b", "out.{{}}.a"),
      ("out.{{y.$1.y}}.{y}", "in.a.b", "out.{{y.a.y}}.{y}"),
      ("out.{{foo{{wildcard(1)}}", "in.a.b", "out.a"),
      ("out.{{wildcard(1)}}}}", "in.a.b", "out.a"),
      ("out.{{{wildcard(1)}}", "in.a.b", "out.a"),
      ("out.{{partition(10,1,2)}}.$1.$2", "in.a.b", "out.6.a.b"),
      ("out.{{partition(10,1,2)}}.$1.$2", "in.foo.bar", "out.0.foo.bar"),
      ("out.{{partition( 10 , 1 , 2 )}}", "in.a.b", "out.6"),
      ("out.{{partition(10,1)}}", "in.foo.bar", "out.3"),
      ("out.{{partition(10,1,2,1)}}", "in.a.b", "out.9"),
      ("out.{{partition(10,0)}}", "in.foo.b", "out.6"),
      ("out.{{partition(10)}}", "in.a.b", "out.5"),
      ("out.{{partition(10)}}", "in.foo.bar", "out.1"),
      ("out.{{partition(0)}}", "in.a.b", "out.0"),
      ("out.{{partition(-5)}}", "in.a.b", "out.6623055"),
      ("out.{{partition(2147483647)}}", "in.a.b", "out.6623055"),
      ("$1.$2.{{partition(3,2)}}", "in.a.b", "a.b.1"),
      ("out.{{split(1,-)}}.$2", "in.a-b-c.d", "out.a.b.c.d"),
      ("out.{{split(1,-)}}.$2", "in.-a-.d", "out.a.d"),
      ("out.{{split(1,-)}}.$2", "in.--.d", "out..d"),
      ("out.{{split(1,-)}}.$2", "in.a--b.d", "out.a.b.d"),
      ("out.{{split(1,--)}}.$2", "in.a--b-c.d", "out.a.b-c.d"),
      ("out.{{split(1,)}}.$2", "in.ab.d", "out.a.b.d"),
      ("out.{{split(1, )}}.$2", "in.aüb.c", "out.a.ü.b.c"),
      ("out.{{split(1,*)}}.$2", "in.a*b.d", "out.a.b.d"),
      ("out.{{split(1,.)}}.$2", "in.axb.d", "out.{{split(1,.)}}.d"),
      ("out.{{split(0,n)}}.$1", "in.a.b", "out.i.a"),
      ("out.{{splitfromleft(1,2)}}.$2", "in.abcd.x", "out.ab.cd.x"),
      ("out.{{splitFromLeft(1,2)}}.$2", "in.ab.x", "out.ab.x"),
      ("out.{{splitfromleft(1,2)}}.$2", "in.abc.x", "out.ab.c.x"),
      ("out.{{splitfromleft(1,0)}}.$2", "in.abcd.x", "out.abcd.x"),
      ("out.{{splitfromleft(1,-1)}}.$2", "in.abcd.x", "out.abcd.x"),
      ("out.{{SplitFromRight(1,2)}}.$2", "in.abc.x", "out.a.bc.x"),
      ("out.{{SplitFromRight(1,2)}}.$2", "in.a.x", "out.a.x"),
      ("out.{{splitfromright(1,-1)}}.$2", "in.abcd.x", "out.abcd.x"),
      ("out.{{slicefromleft(1,2)}}.$2", "in.abcde.x", "out.ab.cd.e.x"),
      ("out.{{slicefromleft(1,2)}}.$2", "in.abcd.x", "out.ab.cd.x"),
      ("out.{{slicefromleft(1,2)}}.$2", "in.ab.x", "out.ab.x"),
      ("out.{{sliceFromLeft(1,0)}}.$2", "in.abcde.x", "out.abcde.x"),
      ("out.{{slicefromright(1,2)}}.$2", "in.abcde.x", "out.a.bc.de.x"),
      ("out.{{slicefromright(1,2)}}.$2", "in.abcd.x", "out.ab.cd.x"),
      ("out.{{slicefromright(1,2)}}.$2", "in.a.x", "out.a.x"),
      ("out.{{left(1,2)}}.$2", "in.abcde.x", "out.ab.x"),
      ("out.{{left(1,2147483647)}}.$2", "in.abc.x", "out.abc.x"),
      ("out.{{left(1,0)}}.{{left(1,-1)}}", "in.abcde.x", "out.abcde.abcde"),
      ("out.{{right(1,2)}}.$2", "in.abcde.x", "out.de.x"),
      ("out.{{right(1,2)}}.$2", "in.a.x", "out.a.x"),
      ("out.{{random(1)}}.{{random(0)}}.{{random(-1)}}.{{random(+1)}}", "in.a.b", "out.0.0.0.0"),
      ("out.a*.>b.*x", "in.a.b", "out.a*.>b.*x"),
      ("", "in.a.b", "in.a.b"),
    ])
  func observed(destination: String, subject: String, expected: String) throws {
    #expect(try result("in.*.*", destination, subject) == expected)
  }

  @Test("what a source's `>` stood for passes through")
  func tails() throws {
    #expect(try result("in.>", "out.>", "in.a.b") == "out.a.b")
    #expect(try result("in.>", "out.>", "other") == nil)
    #expect(try result("in.*.>", "out.$1.>", "in.a.b.c") == "out.a.b.c")
    #expect(try result("in.*.>", "out.>", "in.a.b.c") == "out.b.c")
    #expect(try result("", "out.>", "in.a") == "out.in.a")
    #expect(try result("in.a", "out.b", "in.a") == "out.b")
    #expect(try result("in.>", "out.{{partition(10)}}.>", "in.a.b.c") == "out.0.a.b.c")
    #expect(try result("in.*.>", "out.{{partition(10)}}.>", "in.a.b.c") == "out.0.b.c")
    #expect(try result("in.a", "out.{{partition(10)}}.{{partition(10,1)}}", "in.a") == "out.9.9")
    #expect(try result("in.>", "out.$0.>", "in.a.b") == "out.in.a.b")
    #expect(try result("in.*", "out.{{random(7)}}", "in.a") == "out.6")
  }

  @Test(
    "errors are worded as nats-server words them",
    arguments: [
      ("in.*.*", "out.{{WILDCARD(1)}}", "invalid mapping destination: unknown function in {{WILDCARD(1)}}"),
      ("in.*.*", "out.$3.$1.$2", "invalid mapping destination: wildcard index out of range in $3: [3]"),
      ("in.*.*", "out.$99999999999", "invalid mapping destination: wildcard index out of range in $99999999999: [99999999999]"),
      (
        "in.*.*", "out.{{wildcard(1)}}{{wildcard(2)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(1)}}{{wildcard(2)}}"
      ),
      ("in.*.*", "out.{{wildcard()}}", "invalid mapping destination: not enough arguments passed to the function in {{wildcard()}}"),
      ("in.*.*", "out.{{wildcard(1,2)}}", "invalid mapping destination: too many arguments passed to the function in {{wildcard(1,2)}}"),
      (
        "in.*.*", "out.{{wildcard(a)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{wildcard(a)}}"
      ),
      ("in.*.*", "out.{{wildcard(3)}}", "invalid mapping destination: wildcard index out of range in {{wildcard(3)}}: [3]"),
      ("in.*.*", "out.{{wildcard}}", "invalid mapping destination: unknown function in {{wildcard}}"),
      ("in.*.*", "out.{{wildcard(1)x}}", "invalid mapping destination: unknown function in {{wildcard(1)x}}"),
      ("in.*.*", "out.{{split_from_left(1,2)}}", "invalid mapping destination: unknown function in {{split_from_left(1,2)}}"),
      ("in.*.*", "out.{{foo(1)}}.a..b", "invalid mapping destination: unknown function in {{foo(1)}}"),
      ("in.*.*", "out.{{partition(10,3,4)}}", "invalid mapping destination: wildcard index out of range in {{partition(10,3,4)}}: [3]"),
      (
        "in.*.*", "out.{{partition()}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{partition()}}"
      ),
      (
        "in.*.*", "out.{{partition(2147483648)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{partition(2147483648)}}"
      ),
      (
        "in.*.*", "out.{{partition(10,)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{partition(10,)}}"
      ),
      ("in.*.*", "out.{{split(1)}}", "invalid mapping destination: not enough arguments passed to the function in {{split(1)}}"),
      ("in.*.*", "out.{{split(1,-,-)}}", "invalid mapping destination: too many arguments passed to the function in {{split(1,-,-)}}"),
      ("in.*.*", "out.{{split(3,-)}}", "invalid mapping destination: wildcard index out of range in {{split(3,-)}}: [3]"),
      (
        "in.*.*", "out.{{split(1,x y)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{split(1,x y)}}"
      ),
      ("in.*.*", "out.{{left()}}", "invalid mapping destination: not enough arguments passed to the function in {{left()}}"),
      ("in.*.*", "out.{{left(,)}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{left(,)}}"),
      (
        "in.*.*", "out.{{left(1,99999999999)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{left(1,99999999999)}}"
      ),
      ("in.*.*", "out.{{random(1,2)}}", "invalid mapping destination: not enough arguments passed to the function in {{random(1,2)}}"),
      (
        "in.*.*", "out.{{random()}}", "invalid mapping destination: function argument is invalid or in the wrong format in {{random()}}"
      ),
      ("in.a", "out.$1", "invalid mapping destination: wildcard index out of range in $1"),
      ("in.a", "out.{{wildcard(0)}}", "invalid mapping destination: wildcard index out of range in {{wildcard(0)}}"),
      ("in.a", "out.{{left(1,2)}}", "invalid mapping destination: wildcard index out of range in {{left(1,2)}}"),
      ("in.>", "out.$1.>", "invalid mapping destination: wildcard index out of range in $1: [1]"),
      ("in.*.>", "out.$2.>", "invalid mapping destination: wildcard index out of range in $2: [2]"),
      ("in.*.>", "out.>.$1", "invalid mapping destination: invalid transform in $1"),
      ("in.*", "out.>.x y", "invalid mapping destination: invalid transform in x y"),
      ("in.*", "out.{{wildcard(x)}}.{{foo(1)}}", "invalid mapping destination: unknown function in {{foo(1)}}"),
      ("in.*", "out.{{wildcard(x)}}.a..b", "invalid mapping destination: invalid transform"),
      ("in.*", "out.*.{{wildcard(x)}}", "invalid subject"),
      ("in.*", "out.$2.*", "invalid subject"),
      (
        "in.*", "out.{{split(2,x y)}}",
        "invalid mapping destination: function argument is invalid or in the wrong format in {{split(2,x y)}}"
      ),
      ("in.>", "out.{{partition(10,1)}}.>", "invalid mapping destination: wildcard index out of range in {{partition(10,1)}}: [1]"),
      ("in.*", "out..a", "invalid mapping destination: invalid transform"),
      ("in.*", "out.a b", "invalid mapping destination: invalid transform"),
      ("in.*.*", "out.*.*", "invalid subject"),
      ("in.*.*", "out.>", "invalid subject"),
      ("in.>", "out", "invalid subject"),
      ("in.a", "out.>", "invalid subject"),
      ("in..a", "out.b", "invalid subject in..a"),
      ("in.>.a", "out.b", "invalid subject in.>.a"),
    ])
  func errors(source: String, destination: String, expected: String) {
    do {
      _ = try make(source, destination)
      Issue.record("\(destination) was taken")
    } catch { #expect(error.text == expected) }
  }

  @Test("a source without wildcards has no wildcard one")
  func literalSource() {
    #expect(throws: SubjectTransformError.indexOutOfRange(token: "$1", index: nil)) { _ = try make("in.a", "out.$1") }
    #expect(throws: SubjectTransformError.indexOutOfRange(token: "$1", index: 1)) { _ = try make("in.>", "out.$1.>") }
  }

  @Test("an import has to use every wildcard")
  func strict() throws {
    #expect(throws: SubjectTransformError.wildcardsLeft(destination: "x.$1")) {
      _ = try SubjectTransform(source: "a.*.*", destination: "x.$1", strict: true) { _ in 0 }
    }
    #expect(
      SubjectTransformError.wildcardsLeft(destination: "x.$1").text
        == "invalid mapping destination: not using all of the token wildcard(s) in x.$1")
    _ = try SubjectTransform(source: "a.*.*", destination: "x.$2.$1", strict: true) { _ in 0 }
  }

  @Test("a forward maps wildcards by rank, and knows where its subjects came from")
  func forward() throws {
    let site = try SubjectTransform(filter: "sensors.>", to: "site.0042.sensors.>")
    #expect(site.apply("sensors.a.b") == "site.0042.sensors.a.b")
    #expect(site.apply("other.a") == nil)
    #expect(site.destinationPattern == "site.0042.sensors.>")
    #expect(site.inverse?.apply("site.0042.sensors.a.b") == "sensors.a.b")
    #expect(site.yields(ByteView("site.0042.sensors.a")) && !site.yields(ByteView("site.0043.sensors.a")))
    let ranked = try SubjectTransform(filter: "a.*.*.>", to: "b.*.x.*.>")
    #expect(ranked.apply("a.1.2.3.4") == "b.1.x.2.3.4")
    #expect(ranked.destinationPattern == "b.*.x.*.>")
    #expect(ranked.inverse?.apply("b.1.x.2.3") == "a.1.2.3")
    let turned = try SubjectTransform(filter: "a.*.*", to: "b.$2.$1")
    #expect(turned.inverse?.apply("b.2.1") == "a.1.2")
    let twice = try SubjectTransform(filter: "a.*", to: "b.$1.$1")
    #expect(twice.yields(ByteView("b.x.x")) && !twice.yields(ByteView("b.x.y")))
    let lossy = try SubjectTransform(filter: "a.*.*", to: "b.{{left(1,1)}}.{{split(2,-)}}.c")
    #expect(lossy.inverse == nil && lossy.destinationPattern == "b.*.>")
    #expect(lossy.yields(ByteView("b.x.y.c")) && !lossy.yields(ByteView("c.x.y")))
    let all = try SubjectTransform(filter: "", to: ">")
    #expect(all.isIdentity && all.apply("a.b") == "a.b" && all.destinationPattern == ">")
    let same = try SubjectTransform(filter: "a.*", to: "")
    #expect(same.isIdentity && same.apply("a.b") == "a.b" && same.apply("b") == nil && same.destinationPattern == "a.*")
    #expect(throws: SubjectTransformError.self) { _ = try SubjectTransform(filter: "a.*", to: "b.{{random(3)}}") }
    #expect(throws: SubjectTransformError.self) { _ = try SubjectTransform(filter: "a.*", to: "b.*.*") }
    #expect(throws: SubjectTransformError.invalidSubject) { _ = try SubjectTransform(filter: "a.>", to: "b") }
  }

  @Test("whatever the configuration says, it is a transform or an error, and every result fits the destination pattern")
  func fuzz() {
    var random = TestRandom(seed: 11)
    let pieces = [
      "a", ".", ".", "*", ">", "$1", "$2", "$", "{{", "}}", "wildcard(1)", "Split(1,-)", "split(", "partition(3,1)", "partition(",
      "left(1,1)",
      "slicefromright(2,2)", "SplitFromLeft(1,1)", "random(3)", ",", " ", "-", "1", "(", ")", "\u{0}", "ü", "\t", "99999999999999999999",
    ]
    func text(_ count: Int) -> String {
      (0..<Int.random(in: 0...count, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
    }
    var made = 0
    for _ in 0..<20_000 {
      let source = Bool.random(using: &random) ? Model.pattern(&random, words: ["a", "b-c", "ü"], depth: 3) : text(4)
      var destination = text(6)
      if Bool.random(using: &random) {
        destination = (0..<Int.random(in: 1...3, using: &random)).map { _ in
          let piece = pieces.randomElement(using: &random)!
          return piece.contains("(") ? "{{\(piece)}}" : piece
        }.joined(separator: ".")
      }
      guard let transform = try? make(source, destination) else { continue }
      made += 1
      #expect(transform.destinationPattern.withView { Subject.isValid($0) }, "\(source) \(destination)")
      for literal in ["a.b-c.ü", "a", "b-c", "a.a", "--.b-c", "ü.ü"] {
        guard let result = transform.apply(ByteString(literal)), Subject.isValid(result) else { continue }
        #expect(Subject.matches(result, transform.destinationPattern), "\(source) \(destination) \(literal)")
        #expect(result.withView { transform.yields($0) }, "\(source) \(destination) \(literal)")
      }
    }
    #expect(made > 500)
  }
}
