// CRC-32C (Castagnoli), as S2 and the log store use it.
import CLinux

public enum CRC32C {
  /// The checksum of `view`, continued from `crc` (0 to begin).
  @inline(__always) public static func checksum(_ view: ByteView, continuing crc: UInt32 = 0) -> UInt32 {
    linux_crc32c(crc, view.base, view.count)
  }
}
