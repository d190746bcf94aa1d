// A fast keyed hash for tables whose keys come from the network.
import CLinux

/// A 64-bit hash of bytes, keyed so that a peer cannot choose colliding subjects. Not cryptographic, not stable across versions:
/// never sent. What is stored in the order of hashes (a checkpoint's subjects, with their seed) is checked when it is read.
public enum ByteHash {
  @inline(__always) private static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
    let product = left.multipliedFullWidth(by: right)
    return product.high ^ product.low
  }

  @inline(__always) private static func load8(_ pointer: UnsafePointer<UInt8>) -> UInt64 {
    UnsafeRawPointer(pointer).loadUnaligned(as: UInt64.self)
  }

  public static func hash(_ view: ByteView, seed: UInt64) -> UInt64 {
    var state = seed ^ 0xA076_1D64_78BD_642F
    var next = view.base
    var left = view.count
    while left >= 16 {
      state = mix(load8(next) ^ 0xE703_7ED1_A0B4_28DB, load8(next + 8) ^ state)
      next += 16
      left -= 16
    }
    var low: UInt64 = 0
    var high: UInt64 = 0
    if left >= 8 {
      low = load8(next)
      next += 8
      left -= 8
      for index in 0..<left { high |= UInt64(next[index]) << UInt64(index * 8) }
    } else {
      for index in 0..<left { low |= UInt64(next[index]) << UInt64(index * 8) }
    }
    return mix(
      state ^ UInt64(truncatingIfNeeded: view.count) ^ 0x8EBC_6AF0_9C88_C6E3,
      mix(low ^ 0x5899_65CC_7537_4CC3, high ^ state ^ 0x1D8E_4E27_C47D_124F))
  }

  /// The seed of this process.
  public static let seed: UInt64 = {
    var value: UInt64 = 0
    withUnsafeMutableBytes(of: &value) { linux_random($0.baseAddress!, 8) }
    return value
  }()
}
