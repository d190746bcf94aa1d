// Password checks that wait for their turn, so that who asks much does not keep others waiting. Who computes them is not here.
import Bytes

/// Questions in one line for each source; the lines take turns.
struct PasswordQueue {
  /// A question takes a connection that waits, and the processor a tenth of a second to a second: who has more waiting is not served
  /// sooner by asking for more. Devices behind one address may all come back at once.
  static let sourceMax = 128
  static let totalMax = 1024

  struct Question {
    let password: ByteString
    let hash: ByteString
    let source: ByteString
    let check: PasswordCheck
  }

  private struct Line {
    let source: ByteString
    var questions: [Question]
  }

  /// Whose turn is next stands first.
  private var lines: [Line] = []
  private(set) var count = 0

  /// Who shares a line: an address, or the network of a global one of IPv6, of which somebody mostly has all addresses.
  static func source(of address: [UInt8]) -> ByteString {
    guard address.count == 16 else { return ByteString(address) }
    let isUniqueLocal = address[0] & 0xFE == 0xFC
    let isLinkLocal = address[0] == 0xFE && address[1] & 0xC0 == 0x80
    return ByteString(isUniqueLocal || isLinkLocal ? address : Array(address[..<8]))
  }

  /// Takes a question. Where there is no room for one more, returns the one that has to go: the last one of the longest line.
  mutating func add(_ question: Question) -> Question? {
    dropCancelled()
    guard let index = lines.firstIndex(where: { $0.source == question.source }) else {
      lines.append(Line(source: question.source, questions: [question]))
      return makeRoom()
    }
    guard lines[index].questions.count < Self.sourceMax else { return question }
    lines[index].questions.append(question)
    return makeRoom()
  }

  private mutating func makeRoom() -> Question? {
    count += 1
    guard count > Self.totalMax else { return nil }
    var longest = 0
    // The last of those that are as long: nobody who has waited gives way to somebody who asks as much.
    for index in lines.indices where lines[index].questions.count >= lines[longest].questions.count { longest = index }
    count -= 1
    let removed = lines[longest].questions.removeLast()
    if lines[longest].questions.isEmpty { lines.remove(at: longest) }
    return removed
  }

  /// The next one in turn.
  mutating func next() -> Question? {
    dropCancelled()
    guard !lines.isEmpty else { return nil }
    var line = lines.removeFirst()
    let question = line.questions.removeFirst()
    if !line.questions.isEmpty { lines.append(line) }
    count -= 1
    return question
  }

  private mutating func dropCancelled() {
    for index in lines.indices { lines[index].questions.removeAll { $0.check.isCancelled } }
    lines.removeAll { $0.questions.isEmpty }
    count = lines.reduce(0) { $0 + $1.questions.count }
  }
}
