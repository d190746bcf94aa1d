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
    return (first >= 0x30 && first <= 0x39) || text == "-"
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
    var text = ""
    for row in rows {
      var line = ""
      for column in row.indices {
        let space = String(repeating: " ", count: widths[column] - row[column].utf8.count)
        line += right[column] ? space + row[column] : row[column] + space
        line += "  "
      }
      while line.utf8.last == 0x20 { line.removeLast() }
      text += line + "\n"
    }
    return text
  }
}
