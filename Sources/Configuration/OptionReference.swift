// The reference part of docs/configuration.md, made from the option tables. A test keeps the page and the tables the same.
import Bytes

enum OptionReference {
  static var markdown: String {
    var output = ""
    section("Top level", Options.table, &output)
    section("`jetstream`", JetStreamOptions.table, &output)
    section("`leafnodes`", LeafnodeOptions.table, &output)
    section("`leafnodes.remotes`, each entry", LeafRemote.table, &output)
    section("`streams`, each entry", StreamDeclaration.table, &output)
    section("`uplink`", UplinkOptions.table, &output)
    section("`uplink.clusters`, each entry", UplinkCluster.table, &output)
    section("`forward`, each entry", ForwardDeclaration.table, &output)
    return output
  }

  private static func section<Target>(_ title: String, _ table: [Option<Target>], _ output: inout String) {
    output += "### \(title)\n\n| option | value | default | |\n|---|---|---|---|\n"
    var refused: [String] = []
    for option in table {
      let name = "`\(ByteView(option.name).string)`"
      switch option.kind {
      case .unsupported: refused.append(name)
      case .absent: break
      default:
        let aliases = option.aliases.map { "`\(ByteView($0).string)`" }
        // A default that cannot be written into the file is told in words, which have blanks between them.
        let isLiteral = option.standard.utf8CodeUnitCount > 0 && ByteView(option.standard).firstIndex(of: ASCII.space) == nil
        let standard = isLiteral ? "`\(ByteView(option.standard).string)`" : ByteView(option.standard).string
        output += "| \(name)"
        if !aliases.isEmpty { output += " (\(aliases.joined(separator: ", ")))" }
        output += " | \(option.kind.typeName) | \(standard) | \(ByteView(option.doc).string) |\n"
      }
    }
    output += "\n"
    if !refused.isEmpty { output += "Options of nats-server that this version refuses: \(refused.joined(separator: ", ")).\n\n" }
  }
}
