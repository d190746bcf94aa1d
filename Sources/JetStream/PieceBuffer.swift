// Bytes that come in pieces and are taken apart in others.
import Bytes

/// What has come and is not used up yet.
struct PieceBuffer {
  private var bytes: [UInt8] = []
  private var start = 0

  mutating func add(_ piece: ByteView) {
    if start > 0 {
      bytes.removeFirst(start)
      start = 0
    }
    bytes.append(piece)
  }

  /// Calls `body` with what is there; it returns how much of it is used up.
  mutating func use<Failure: Error>(_ body: (ByteView) throws(Failure) -> Int) throws(Failure) -> Int {
    let used = try bytes.withView { whole throws(Failure) in try body(whole.dropFirst(start)) }
    start += used
    return used
  }
}
