// Finding the control line at the front of the bytes, and the verb at its front. Shared by the client and the leaf parser.
import Bytes

enum ControlLine {
  /// The line's length without its end, and with it. The end is LF, or CR LF.
  @inline(__always) static func find(_ bytes: ByteView) -> (length: Int, consumed: Int)? {
    guard let end = bytes.firstIndex(of: ASCII.lineFeed) else { return nil }
    let length = end > 0 && bytes.base[end - 1] == ASCII.carriageReturn ? end - 1 : end
    return (length, end + 1)
  }

  /// Whether bytes without a line end can still become a line that begins with one of `verbs`. A verb that ends in a blank stands for
  /// one that needs a blank or the line's end behind it. What is refused here is refused with more bytes, too.
  static func canBecome(_ bytes: ByteView, _ verbs: [StaticString]) -> Bool {
    for verb in verbs {
      let view = ByteView(verb)
      let needsBlank = view[view.count - 1] == ASCII.space
      let letters = needsBlank ? view.prefix(view.count - 1) : view
      let common = min(letters.count, bytes.count)
      guard bytes.prefix(common).equalsIgnoringCase(letters.prefix(common)) else { continue }
      if !needsBlank || bytes.count <= letters.count || ASCII.isBlank(bytes[letters.count]) { return true }
    }
    return false
  }

  /// The arguments behind a verb of `length` letters: nothing, or a blank and more. nil when other letters follow the verb.
  @inline(__always) static func arguments(_ line: ByteView, after length: Int) -> ByteView? {
    if line.count == length { return ByteView() }
    let next = line.base[length]
    return next == ASCII.space || next == ASCII.tab ? line.dropFirst(length + 1) : nil
  }

  /// A payload size of 1 to 9 digits.
  @inline(__always) static func size(_ field: ByteView) -> Int? {
    guard field.count > 0, field.count <= 9 else { return nil }
    var value = 0
    for index in 0..<field.count {
      let digit = field.base[index] &- ASCII.zero
      guard digit <= 9 else { return nil }
      value = value &* 10 &+ Int(digit)
    }
    return value
  }
}
