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
