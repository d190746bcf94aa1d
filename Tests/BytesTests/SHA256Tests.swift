import Testing

@testable import Bytes

@Suite struct SHA256Tests {
  @Test("short names are those that nats-server derives")
  func names() {
    // As seen in account ids, Nats-Stream-Source headers and consumer names of nats-server 2.15.1.
    #expect(SHA256.shortName(of: ByteView("$G")) == "szMpdrwD")
    #expect(SHA256.shortName(of: ByteView("$JS.edge.API")) == "n1VdnVvB")
    #expect(SHA256.shortName(of: ByteView("ECMD $G edge")) == "LoogMs7a")
    #expect(SHA256.shortName(of: ByteView("AGG $G hub")).withView { SHA256.shortName(of: $0) } == "q9rlDw6k")
  }

  @Test("the digest of texts around the size of a block is right")
  func digests() {
    #expect(SHA256.hash(ByteView()).prefix(4) == [0xe3, 0xb0, 0xc4, 0x42])
    #expect(SHA256.hash(ByteView("abc")).prefix(4) == [0xba, 0x78, 0x16, 0xbf])
    #expect([UInt8](repeating: 97, count: 55).withView { SHA256.hash($0) }.prefix(4) == [0x9f, 0x43, 0x90, 0xf8])
    #expect([UInt8](repeating: 97, count: 64).withView { SHA256.hash($0) }.prefix(4) == [0xff, 0xe0, 0x54, 0xfe])
  }
}

@Suite struct SHA1Tests {
  @Test("the digest of texts around the size of a block is right")
  func digests() {
    func start(_ text: [UInt8]) -> [UInt8] { Array(text.withView { SHA1.hash($0) }.prefix(4)) }
    #expect(SHA1.hash(ByteView("abc")).count == 20)
    #expect(start([]) == [0xda, 0x39, 0xa3, 0xee] && start([UInt8]("abc".utf8)) == [0xa9, 0x99, 0x3e, 0x36])
    for (count, expected) in [
      (55, [0xc1, 0xc8, 0xbb, 0xdc]), (56, [0xc2, 0xdb, 0x33, 0x0f]), (63, [0x03, 0xf0, 0x9f, 0x5b]), (64, [0x00, 0x98, 0xba, 0x82]),
      (119, [0xee, 0x97, 0x10, 0x65]), (120, [0xf3, 0x4c, 0x14, 0x88]), (1000, [0x29, 0x1e, 0x9a, 0x6c]),
    ] as [(Int, [UInt8])] { #expect(start([UInt8](repeating: 97, count: count)) == expected) }
  }
}
