// The arguments of a control line: fields separated by runs of space or tab.
import Bytes

/// Up to eight fields of a control line, without allocation.
@usableFromInline struct Arguments {
  /// More fields than this are malformed in every operation that uses this type.
  @usableFromInline static let max = 8
  @usableFromInline var fields: InlineArray<8, ByteView> = InlineArray(repeating: ByteView())
  /// `max + 1` when there were more.
  @usableFromInline var count = 0

  @inline(__always) init(_ line: ByteView) {
    var index = 0
    let end = line.count
    while true {
      while index < end, line.base[index] == ASCII.space || line.base[index] == ASCII.tab { index += 1 }
      guard index < end else { return }
      let start = index
      while index < end, line.base[index] != ASCII.space, line.base[index] != ASCII.tab { index += 1 }
      guard count < Self.max else {
        count = Self.max + 1
        return
      }
      fields[count] = line.slice(start, index)
      count += 1
    }
  }

  @inline(__always) subscript(_ index: Int) -> ByteView { fields[index] }
}
