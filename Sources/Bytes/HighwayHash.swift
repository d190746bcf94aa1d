// HighwayHash with 64 bits of result, the keyed checksum in the files of nats-server's stores (arXiv 1612.06257).

/// A hash of bytes that come in pieces.
public struct HighwayHash {
  private typealias Lanes = SIMD4<UInt64>

  private var v0: Lanes
  private var v1: Lanes
  private var mul0 = Lanes(0xdbe6_d5d5_fe4c_ce2f, 0xa409_3822_299f_31d0, 0x1319_8a2e_0370_7344, 0x243f_6a88_85a3_08d3)
  private var mul1 = Lanes(0x3bd3_9e10_cb0e_f593, 0xc0ac_f169_b5f1_8a8c, 0xbe54_66cf_34e9_0c6c, 0x4528_21e6_38d0_1377)
  /// What does not fill a packet of 32 bytes yet.
  private var rest = SIMD32<UInt8>(repeating: 0)
  private var restCount = 0

  /// `key` has 32 bytes.
  public init(key: [UInt8]) {
    precondition(key.count == 32, "the key of HighwayHash has 32 bytes")
    let lanes = key.withView { HighwayHash.lanes($0.base) }
    v0 = mul0 ^ lanes
    v1 = mul1 ^ HighwayHash.halvesSwapped(lanes)
  }

  public mutating func add(_ bytes: ByteView) {
    var left = bytes
    if restCount > 0 {
      while restCount < 32, !left.isEmpty {
        rest[restCount] = left[0]
        restCount += 1
        left = left.dropFirst(1)
      }
      guard restCount == 32 else { return }
      update(unsafeBitCast(rest, to: Lanes.self))
      restCount = 0
    }
    while left.count >= 32 {
      update(HighwayHash.lanes(left.base))
      left = left.dropFirst(32)
    }
    for index in 0..<left.count { rest[index] = left[index] }
    restCount = left.count
  }

  /// The hash of all that was added.
  public func finish() -> UInt64 {
    var copy = self
    if restCount > 0 { copy.updateWithRest() }
    for _ in 0..<4 {
      let v = copy.v0
      copy.update(HighwayHash.halvesSwapped(Lanes(v[2], v[3], v[0], v[1])))
    }
    return copy.v0[0] &+ copy.v1[0] &+ copy.mul0[0] &+ copy.mul1[0]
  }

  private static func lanes(_ base: UnsafePointer<UInt8>) -> Lanes {
    // Safe: whoever calls has 32 bytes there. All machines that this runs on are little-endian, as the hash is.
    UnsafeRawPointer(base).loadUnaligned(as: Lanes.self)
  }

  private static func halvesSwapped(_ lanes: Lanes) -> Lanes { lanes &>> 32 | lanes &<< 32 }

  private mutating func update(_ lanes: Lanes) {
    let low = Lanes(repeating: 0xFFFF_FFFF)
    v1 &+= mul0 &+ lanes
    mul0 ^= (v1 & low) &* (v0 &>> 32)
    v0 &+= mul1
    mul1 ^= (v0 & low) &* (v1 &>> 32)
    v0 &+= HighwayHash.zippered(v1)
    v1 &+= HighwayHash.zippered(v0)
  }

  /// Mixes the bytes of each pair of lanes.
  private static func zippered(_ lanes: Lanes) -> Lanes {
    let (first, second) = (zippered(lanes[0], lanes[1]), zippered(lanes[2], lanes[3]))
    return Lanes(first.0, first.1, second.0, second.1)
  }

  private static func zippered(_ even: UInt64, _ odd: UInt64) -> (UInt64, UInt64) {
    (
      ((even & 0xff00_0000) | (odd & 0xff_0000_0000)) >> 24 | ((even & 0xff00_0000_0000) | (odd & 0xff_0000_0000_0000)) >> 16
        | (even & 0xff_0000) | (even & 0xff00) << 32 | (odd & 0xff00_0000_0000_0000) >> 8 | even << 56,
      ((odd & 0xff00_0000) | (even & 0xff_0000_0000)) >> 24 | (odd & 0xff_0000) | (odd & 0xff00_0000_0000) >> 16 | (odd & 0xff00) << 24
        | (even & 0xff_0000_0000_0000) >> 8 | (odd & 0xff) << 48 | (even & 0xff00_0000_0000_0000)
    )
  }

  private mutating func updateWithRest() {
    let count = UInt64(restCount)
    v0 &+= Lanes(repeating: count << 32 &+ count)
    // Each half of each lane turns by the count.
    let low = Lanes(repeating: 0xFFFF_FFFF)
    let (lower, upper) = (v1 & low, v1 &>> 32)
    let back = 32 - count
    v1 = ((lower &<< count | lower &>> back) & low) | (upper &<< count | upper &>> back) &<< 32
    var packet = SIMD32<UInt8>(repeating: 0)
    let whole = restCount & ~3
    for index in 0..<whole { packet[index] = rest[index] }
    let odd = restCount & 3
    if restCount & 16 != 0 {
      for index in 0..<4 { packet[28 + index] = rest[whole + odd - 4 + index] }
    } else if odd != 0 {
      packet[16] = rest[whole]
      packet[17] = rest[whole + odd >> 1]
      packet[18] = rest[whole + odd - 1]
    }
    update(unsafeBitCast(packet, to: Lanes.self))
  }
}
