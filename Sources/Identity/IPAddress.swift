// The text of IP addresses, as bytes.
import Bytes
import CLinux

enum IPAddress {
  /// Longer texts are no addresses.
  private static let textMax = 64

  /// 4 or 16 bytes in network order, or nil.
  static func parse(_ text: ByteView) -> [UInt8]? {
    guard text.count < textMax, text.firstIndex(of: 0) == nil else { return nil }
    var terminated = text.bytes
    terminated.append(0)
    var address = linux_address()
    let isAddress = terminated.withUnsafeBufferPointer { buffer in
      buffer.withMemoryRebound(to: CChar.self) { linux_address_parse($0.baseAddress!, &address) }
    }
    guard isAddress == 1 else { return nil }
    return withUnsafeBytes(of: address.bytes) { [UInt8]($0.prefix(Int(address.size))) }
  }
}
