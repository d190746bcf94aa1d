// The reference part of docs/configuration.md, made from the option tables. A test keeps the page and the tables the same.
import Bytes
import Identity

enum OptionReference {
  static var markdown: String {
    var output = ""
    section("Top level", Options.table, &output, refused: Options.refused)
    section("`tls`", TLSOptions.listenTable, &output, refused: TLSOptions.refused)
    section(
      "`tls` of `uplink`, of its clusters, and of `leafnodes.remotes`", TLSOptions.dialTable, &output, refused: TLSOptions.dialRefused)
    section("`authorization`", AuthorizationOptions.table, &output, refused: AuthorizationOptions.refused)
    section("`users`, each entry", UserDeclaration.table, &output, refused: UserDeclaration.refused)
    section("`permissions`", Permissions.table, &output)
    section("`publish` and `subscribe`", Permissions.Lists.table(queues: true), &output)
    section("`allow_responses`", Permissions.Responses.table, &output)
    section("`accounts`, each entry", AccountDeclaration.table, &output, refused: AccountDeclaration.refused)
    section("`accounts.limits`", AccountLimits.table, &output)
    section("`accounts.jetstream`", JetStreamLimits.table, &output)
    section("`accounts.exports`, each entry", ExportDeclaration.table, &output, refused: ExportDeclaration.refused)
    section("`accounts.imports`, each entry", ImportDeclaration.table, &output, refused: ImportDeclaration.refused)
    section("`jetstream`", JetStreamOptions.table, &output, refused: JetStreamOptions.refused)
    section("`websocket`", WebSocketOptions.table, &output, refused: WebSocketOptions.refused)
    section("`leafnodes`", LeafnodeOptions.table, &output, refused: LeafnodeOptions.refused)
    section("`leafnodes.authorization`", LeafAuthorizationOptions.table, &output, refused: LeafAuthorizationOptions.refused)
    section("`leafnodes.authorization.users`, each entry", LeafUserDeclaration.table, &output)
    section("`leafnodes.remotes`, each entry", LeafRemote.table, &output, refused: LeafRemote.refused)
    section("`proxy`, of a remote and of the uplink", ProxyOptions.table, &output)
    section("`uplink`", UplinkOptions.table, &output)
    section("`uplink.clusters`, each entry", UplinkCluster.table, &output)
    section("`forward`, each entry", ForwardDeclaration.table, &output)
    return output
  }

  private static func section<Target>(
    _ title: String, _ table: [Option<Target>], _ output: inout String, refused: RefusedOptions = RefusedOptions()
  ) {
    output += "### \(title)\n\n| option | value | default | |\n|---|---|---|---|\n"
    for option in table {
      let aliases = option.aliases.map { "`\(ByteView($0).string)`" }
      // A default that cannot be written into the file is told in words, which have blanks between them.
      let isLiteral = option.standard.utf8CodeUnitCount > 0 && ByteView(option.standard).firstIndex(of: ASCII.space) == nil
      let standard = isLiteral ? "`\(ByteView(option.standard).string)`" : ByteView(option.standard).string
      output += "| `\(ByteView(option.name).string)`"
      if !aliases.isEmpty { output += " (\(aliases.joined(separator: ", ")))" }
      output += " | \(option.kind.typeName) | \(standard) | \(ByteView(option.doc).string) |\n"
    }
    output += "\n"
    let names = RefusedOptions.names(refused.unsupported).map { "`\($0.string)`" }
    if !names.isEmpty { output += "Options of nats-server that this version refuses: \(names.joined(separator: ", ")).\n\n" }
  }
}
