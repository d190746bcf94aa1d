// Single ASCII characters: names for those the protocol uses, and their classes.

public enum ASCII {
  public static let tab: UInt8 = 0x09
  public static let lineFeed: UInt8 = 0x0A
  public static let formFeed: UInt8 = 0x0C
  public static let carriageReturn: UInt8 = 0x0D
  public static let space: UInt8 = 0x20
  public static let quote: UInt8 = 0x22
  public static let star: UInt8 = 0x2A
  public static let plus: UInt8 = 0x2B
  public static let minus: UInt8 = 0x2D
  public static let dot: UInt8 = 0x2E
  public static let slash: UInt8 = 0x2F
  public static let zero: UInt8 = 0x30
  public static let nine: UInt8 = 0x39
  public static let colon: UInt8 = 0x3A
  public static let greater: UInt8 = 0x3E
  public static let at: UInt8 = 0x40
  public static let backslash: UInt8 = 0x5C
  public static let bar: UInt8 = 0x7C

  @inline(__always) public static func isDigit(_ byte: UInt8) -> Bool { byte >= zero && byte <= nine }
  /// Space, tab, CR or LF.
  @inline(__always) public static func isBlank(_ byte: UInt8) -> Bool {
    byte == space || byte == tab || byte == carriageReturn || byte == lineFeed
  }
  @inline(__always) public static func isLetter(_ byte: UInt8) -> Bool {
    let lower = byte | 0x20
    return lower >= 0x61 && lower <= 0x7A
  }
  @inline(__always) public static func lowercased(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte }
  @inline(__always) public static func uppercased(_ byte: UInt8) -> UInt8 { byte >= 0x61 && byte <= 0x7A ? byte & 0xDF : byte }
  /// 0 to 15 for a hexadecimal digit of either case, else nil.
  public static func hexadecimalValue(_ byte: UInt8) -> UInt8? {
    if isDigit(byte) { return byte - zero }
    let lower = lowercased(byte)
    return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : nil
  }
}
