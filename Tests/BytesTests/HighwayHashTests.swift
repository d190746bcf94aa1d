// HighwayHash against the vectors of its reference implementation.
import Testing

@testable import Bytes

@Suite struct HighwayHashTests {
  static let key = [UInt8](0..<32)
  /// Of the first so many of the bytes 0, 1, 2 and so on.
  static let vectors: [UInt64] = [
    0x907A_56DE_22C2_6E53, 0x7EAB_43AA_C7CD_DD78, 0xB8D0_569A_B0B5_3D62, 0x5C6B_EFAB_8A46_3D80, 0xF205_A468_9300_7EDA,
    0x2B8A_1668_E4A9_4541,
    0xBD4C_CC32_5BEF_CA6F, 0x4D02_AE17_38F5_9482, 0xE120_5108_E55F_3171, 0x32D2_644E_C77A_1584, 0xF6E1_0ACD_B103_A90B,
    0xC3BB_F461_5B41_5C15,
    0x243C_C204_0063_FA9C, 0xA89A_58CE_65E6_41FF, 0x24B0_31A3_4845_5A23, 0x4079_3F86_A449_F33B, 0xCFAB_3489_F97E_B832,
    0x19FE_67D2_C8C5_C0E2,
    0x04DD_90A6_9C56_5CC2, 0x75D9_518E_2371_C504, 0x38AD_9B11_41D3_DD16, 0x0264_432C_CD8A_70E0, 0xA9DB_5A62_8868_3390,
    0xD7B0_5492_003F_028C,
    0x205F_615A_EA59_E51E, 0xEEE0_C896_2105_2884, 0x1BFC_1A93_A728_4F4F, 0x5121_75B5_B70D_A91D, 0xF71F_8976_A0A2_C639,
    0xAE09_3FEF_1F84_E3E7,
    0x22CA_92B0_1161_860F, 0x9FC7_007C_CF03_5A68, 0xA0C9_64D9_ECD5_80FC,
  ]

  @Test("the reference's vectors", arguments: vectors.indices)
  func reference(count: Int) {
    var hash = HighwayHash(key: Self.key)
    [UInt8](0..<UInt8(count)).withView { hash.add($0) }
    #expect(hash.finish() == Self.vectors[count])
  }

  @Test("how the bytes are cut does not matter, and asking changes nothing")
  func pieces() {
    let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) }
    for count in 0..<bytes.count {
      var whole = HighwayHash(key: Self.key)
      bytes[..<count].withContiguousStorageIfAvailable { whole.add(ByteView(UnsafeRawBufferPointer($0))) }
      var cut = HighwayHash(key: Self.key)
      var at = 0
      while at < count {
        let end = min(count, at + 1 + (at * 13 + count) % 45)
        [UInt8](bytes[at..<end]).withView { cut.add($0) }
        if at % 3 == 0 { _ = cut.finish() }
        at = end
      }
      #expect(whole.finish() == cut.finish())
    }
  }
}
