// The text of `petiole --help`, made from the tables of commands and flags.
import Bytes

public enum Help {
  private static let groups: [(Flag.Group, StaticString)] = [
    (.configuration, "Configuration"), (.server, "Server"), (.jetStream, "JetStream"), (.observing, "Observing"),
    (.other, "Other"),
  ]

  /// Where the descriptions begin; the longest entry is two columns shorter.
  private static let column = 32

  public static var text: String {
    var output: [UInt8] = []
    output.append(
      literal: """
        petiole: the edge leaf-node agent for NATS

        Usage: petiole [command] [flags]

        Commands

        """)
    for row in CommandWord.table { line(ByteView(row.name), ByteView(row.doc), &output) }
    for (group, title) in groups {
      output.append(ASCII.lineFeed)
      output.append(literal: title)
      output.append(ASCII.lineFeed)
      var entries: [UInt8] = []
      for flag in Flag.table where flag.group == group {
        if !entries.isEmpty { entries.append(literal: ", ") }
        entries += entry(flag)
        if flag.doc.utf8CodeUnitCount == 0 { continue }
        ByteString(entries).withView { line($0, ByteView(flag.doc), &output) }
        entries = []
      }
    }
    output.append(
      literal: """

        Flags take one or two dashes, and their value after a space or '='. They win over the configuration file.
        The file is in nats-server's language; docs/configuration.md has every option.

        """)
    return String(decoding: output, as: UTF8.self)
  }

  private static func entry(_ flag: Flag) -> [UInt8] {
    var entry: [UInt8] = []
    for name in flag.names {
      if !entry.isEmpty { entry.append(literal: ", ") }
      entry.append(literal: name.utf8CodeUnitCount > 2 ? "--" : "-")
      entry.append(literal: name)
    }
    if !flag.isBoolean {
      entry.append(literal: " <")
      entry.append(literal: flag.value)
      entry.append(literal: ">")
    }
    return entry
  }

  private static func line(_ entry: ByteView, _ doc: ByteView, _ output: inout [UInt8]) {
    output.append(literal: "  ")
    output.append(entry)
    // An entry that is too long for its column gets at least two blanks.
    let blanks = max(2, column - 2 - entry.count)
    for _ in 0..<blanks { output.append(ASCII.space) }
    output.append(doc)
    output.append(ASCII.lineFeed)
  }
}
