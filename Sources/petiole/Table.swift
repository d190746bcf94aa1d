// A table for people: columns as wide as what they hold, numbers to the right.

struct Table {
  private var rows: [[String]]

  init(_ head: [String]) { rows = [head] }

  mutating func add(_ row: [String]) {
    precondition(row.count == rows[0].count, "a row has as many cells as the head")
    rows.append(row)
  }

  private static func isNumeric(_ text: String) -> Bool {
    guard let first = text.utf8.first else { return true }
    return (first >= 0x30 && first <= 0x39) || (first == 0x2D && text.utf8.count == 1)
  }

  var text: String {
    var widths = [Int](repeating: 0, count: rows[0].count)
    var right = [Bool](repeating: true, count: rows[0].count)
    for (number, row) in rows.enumerated() {
      for column in row.indices {
        widths[column] = max(widths[column], row[column].utf8.count)
        if number > 0, !Self.isNumeric(row[column]) { right[column] = false }
      }
    }
    // In bytes: the characters of a String would bring Unicode's tables into the program.
    var text: [UInt8] = []
    for row in rows {
      for column in row.indices {
        let space = repeatElement(UInt8(ascii: " "), count: widths[column] - row[column].utf8.count)
        if right[column] { text.append(contentsOf: space) }
        text.append(contentsOf: row[column].utf8)
        if !right[column] { text.append(contentsOf: space) }
        text.append(contentsOf: "  ".utf8)
      }
      while text.last == UInt8(ascii: " ") { text.removeLast() }
      text.append(UInt8(ascii: "\n"))
    }
    return String(decoding: text, as: UTF8.self)
  }
}
