// Doubles as Go's encoding/json writes them: the shortest digits that read back the same, exponents only for very large and small.
import Bytes

enum GoDouble {
  /// Appends `value`; null for what JSON has no text for.
  static func append(_ value: Double, to output: inout [UInt8]) {
    guard value.isFinite else {
      output.append(literal: "null")
      return
    }
    if value.sign == .minus { output.append(ASCII.minus) }
    guard value != 0 else {
      output.append(ASCII.zero)
      return
    }
    let (digits, point) = shortest(value.magnitude)
    if point < -5 || point > 21 {
      appendExponent(digits, exponent: point - 1, to: &output)
    } else if point <= 0 {
      output.append(literal: "0.")
      for _ in point..<0 { output.append(ASCII.zero) }
      output.append(contentsOf: digits)
    } else {
      for index in 0..<max(point, digits.count) {
        if index == point { output.append(ASCII.dot) }
        output.append(index < digits.count ? digits[index] : ASCII.zero)
      }
    }
  }

  private static func appendExponent(_ digits: [UInt8], exponent: Int, to output: inout [UInt8]) {
    output.append(digits[0])
    if digits.count > 1 {
      output.append(ASCII.dot)
      output.append(contentsOf: digits[1...])
    }
    output.append(0x65)
    output.append(exponent < 0 ? ASCII.minus : ASCII.plus)
    output.append(decimal: exponent.magnitude)
  }

  /// The significant digits of a positive value and where its decimal point is: 0.digits times ten to the power of `point`.
  private static func shortest(_ value: Double) -> (digits: [UInt8], point: Int) {
    var digits: [UInt8] = []
    var point: Int? = nil
    var exponent = 0
    var exponentIsNegative = false
    var inExponent = false
    for byte in value.description.utf8 {
      switch byte {
      case ASCII.dot: point = digits.count
      case 0x65, 0x45: inExponent = true
      case ASCII.minus: exponentIsNegative = true
      case ASCII.plus: break
      default:
        if inExponent { exponent = exponent * 10 + Int(byte - ASCII.zero) } else { digits.append(byte) }
      }
    }
    var place = (point ?? digits.count) + (exponentIsNegative ? -exponent : exponent)
    while digits.count > 1, digits.last == ASCII.zero { digits.removeLast() }
    let leading = digits.prefix { $0 == ASCII.zero }.count
    digits.removeFirst(leading)
    place -= leading
    return (digits, place)
  }
}
