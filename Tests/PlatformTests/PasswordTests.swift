import Bytes
import CLinux
import Glibc
import Testing

@testable import Platform

@Suite struct PasswordCheckTests {
  // Published vectors of bcrypt (Openwall's crypt_blowfish).
  static let vectors: [(password: ByteString, hash: ByteString)] = [
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U*", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    ("", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
    (
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
      "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui"
    ),
  ]

  private func matches(_ password: ByteString, _ hash: ByteString) -> Bool {
    let (loop, host) = LinuxLoop.makeHost(log: Log(level: .fatal) { _, _ in })
    var result: PasswordAnswer?
    _ = host.passwords.check(password, against: hash, from: []) { result = $0 }
    #expect(result == nil, "told in a later turn")
    #expect(loop.run(timeout_ns: 20 * second_ns) { result != nil })
    return result == .matches
  }

  @Test("published hashes match their passwords and no others") func vectors() {
    for (password, hash) in Self.vectors {
      #expect(matches(password, hash))
      #expect(!matches(ByteString("x") + password, hash))
    }
  }

  @Test("hashes of random passwords are libxcrypt's") func differential() {
    var random = SystemRandomNumberGenerator()
    let digits = Array("./ABCXYZabcxyz019".utf8)
    for round in 0..<60 {
      let password = (0..<(round < 40 ? Int.random(in: 0...80, using: &random) : 70 + round - 40)).map { _ in
        UInt8.random(in: 1...255, using: &random)
      }
      // The last character of a salt has two bits only.
      let salt = (0..<21).map { _ in digits.randomElement(using: &random)! } + [UInt8](".Oeu".utf8).shuffled().prefix(1)
      let setting = [UInt8]("$2y$04$".utf8) + salt + [0]
      let hash = (password + [0]).withUnsafeBufferPointer { key in
        setting.withUnsafeBufferPointer { setting in
          key.withMemoryRebound(to: CChar.self) { key in
            setting.withMemoryRebound(to: CChar.self) { String(cString: crypt(key.baseAddress!, $0.baseAddress!)) }
          }
        }
      }
      #expect(password.withUnsafeBytes { linux_password_matches($0.baseAddress ?? UnsafeRawPointer(bitPattern: 1)!, $0.count, hash) } == 1)
      #expect(linux_password_matches("x", 1, hash) == (password == [0x78] ? 1 : 0))
    }
  }

  @Test("all letters of the prefix are the same algorithm") func prefixes() {
    for letter: UInt8 in [0x61, 0x62, 0x78, 0x79] {
      var hash = Self.vectors[0].hash.bytes
      hash[2] = letter
      #expect(matches("U*U", ByteString(hash)))
    }
  }

  @Test("a password with a NUL byte is not its own head") func nul() {
    #expect(!matches(ByteString([0x55, 0x2A, 0x55, 0, 0x78]), Self.vectors[0].hash))
    #expect(!matches(ByteString([0]), Self.vectors[2].hash))
  }

  @Test("checks wait for each other, and cancelled ones are not told") func manyAtOnce() {
    let (loop, host) = LinuxLoop.makeHost(log: Log(level: .fatal) { _, _ in })
    var told = 0
    var checks: [PasswordCheck] = []
    for index in 0..<10 {
      checks.append(
        host.passwords.check("U*U", against: Self.vectors[0].hash, from: [10, 0, 0, UInt8(index)]) { answer in
          #expect(answer == .matches)
          #expect(index % 3 != 0)
          told += 1
        })
    }
    for index in stride(from: 0, to: 10, by: 3) { checks[index].cancel() }
    #expect(loop.run(timeout_ns: 20 * second_ns) { told == 6 })
  }

  @Test("one address that asks without end does not keep another waiting for all of that") func fairness() {
    let (loop, host) = LinuxLoop.makeHost(log: Log(level: .fatal) { _, _ in })
    var flood = 0
    var before: Int?
    for _ in 0..<60 {
      _ = host.passwords.check("wrong", against: Self.vectors[0].hash, from: [10, 0, 0, 1]) { _ in flood += 1 }
    }
    _ = host.passwords.check("U*U", against: Self.vectors[0].hash, from: [10, 0, 0, 2]) { answer in
      #expect(answer == .matches)
      before = flood
    }
    #expect(loop.run(timeout_ns: 20 * second_ns) { before != nil })
    // Those that were on a thread already, and the one whose turn it was.
    #expect((before ?? .max) <= LinuxPasswords.threadsMax + 2)
  }
}

@Suite struct PasswordQueueTests {
  private func question(_ source: UInt8, _ name: String = "", _ done: @escaping (PasswordAnswer) -> Void = { _ in })
    -> PasswordQueue.Question
  {
    PasswordQueue.Question(password: ByteString(name), hash: "", source: ByteString([source]), check: PasswordCheck(done: done))
  }

  @Test("sources take turns, each in its own order") func turns() {
    var queue = PasswordQueue()
    func add(_ question: PasswordQueue.Question) -> PasswordQueue.Question? { queue.add(question) }
    for (source, name) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (3, "c2")] as [(UInt8, String)] {
      #expect(add(question(source, name)) == nil)
    }
    var order: [String] = []
    while let next = queue.next() { order.append(next.password.string) }
    #expect(order == ["a1", "b1", "c1", "a2", "c2", "a3"] && queue.count == 0)
  }

  @Test("a source has so much room, and others have theirs") func sourceBound() {
    var queue = PasswordQueue()
    func add(_ question: PasswordQueue.Question) -> PasswordQueue.Question? { queue.add(question) }
    for _ in 0..<PasswordQueue.sourceMax { #expect(add(question(1)) == nil) }
    #expect(add(question(1, "late"))?.password == "late")
    #expect(add(question(2, "other")) == nil && queue.count == PasswordQueue.sourceMax + 1)
  }

  @Test("where all is full, the source with the most gives way, never one that asks less than the new one") func totalBound() {
    var queue = PasswordQueue()
    func add(_ question: PasswordQueue.Question) -> PasswordQueue.Question? { queue.add(question) }
    for index in 0..<PasswordQueue.totalMax { #expect(add(question(UInt8(index / 100), "\(index)")) == nil) }
    // Ten sources with a hundred each, one with what is left.
    #expect(add(question(200, "new"))?.password == "999")
    #expect(queue.count == PasswordQueue.totalMax)
    var one = PasswordQueue()
    for index in 0..<PasswordQueue.totalMax {
      let source = ByteString([UInt8(index >> 8), UInt8(index & 255)])
      _ = one.add(PasswordQueue.Question(password: "", hash: "", source: source, check: PasswordCheck { _ in }))
    }
    let refused = one.add(question(7, "new"))
    #expect(refused?.password == "new")
  }

  @Test("who does not wait any more takes no room") func cancelled() {
    var queue = PasswordQueue()
    func add(_ question: PasswordQueue.Question) -> PasswordQueue.Question? { queue.add(question) }
    let gone = question(1, "gone")
    _ = add(gone)
    _ = add(question(1, "there"))
    gone.check.cancel()
    let next = queue.next()
    let last = queue.next()
    #expect(next?.password == "there" && last == nil && queue.count == 0)
  }

  @Test("all addresses of one global network of IPv6 share a turn; local ones have their own") func sources() {
    let net: [UInt8] = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1]
    let one = PasswordQueue.source(of: net + [UInt8](repeating: 1, count: 8))
    #expect(one == PasswordQueue.source(of: net + [UInt8](repeating: 2, count: 8)))
    for local: [UInt8] in [[0xfe, 0x80], [0xfd, 1]] {
      let head = local + [UInt8](repeating: 0, count: 6)
      #expect(
        PasswordQueue.source(of: head + [UInt8](repeating: 1, count: 8)) != PasswordQueue.source(of: head + [UInt8](repeating: 2, count: 8))
      )
    }
    #expect(PasswordQueue.source(of: [10, 0, 0, 1]) != PasswordQueue.source(of: [10, 0, 0, 2]))
  }
}
