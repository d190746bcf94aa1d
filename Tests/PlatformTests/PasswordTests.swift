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
    var result: Bool?
    _ = host.passwords.check(password, against: hash) { result = $0 }
    #expect(result == nil, "told in a later turn")
    #expect(loop.run(timeout_ns: 20 * second_ns) { result != nil })
    return result ?? false
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
        host.passwords.check("U*U", against: Self.vectors[0].hash) { matches in
          #expect(matches)
          #expect(index % 3 != 0)
          told += 1
        })
    }
    for index in stride(from: 0, to: 10, by: 3) { checks[index].cancel() }
    #expect(loop.run(timeout_ns: 20 * second_ns) { told == 6 })
  }
}
