// CRC-16 as XMODEM has it (polynomial 0x1021, begun with zero): guards the text of keys against slips of the pen.

public enum CRC16 {
  public static func checksum(_ view: ByteView) -> UInt16 {
    var crc: UInt16 = 0
    for index in 0..<view.count {
      crc ^= UInt16(view[index]) << 8
      for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
    }
    return crc
  }
}
