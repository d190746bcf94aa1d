// The option tables of `accounts`: users, limits, JetStream, exports and imports of each.
import Bytes
import Identity

/// An entry of `accounts`.
public struct AccountDeclaration: Equatable, Sendable {
  public var location = Location.none
  public var rule: AccountRule
  public var users: [UserRule] = []
  /// Of users that have none of their own.
  public var defaultPermissions: Permissions?
  /// Where each of the imports stands.
  var importLocations: [Location] = []

  public init(name: ByteString, location: Location = .none) {
    rule = AccountRule(name: name)
    self.location = location
  }
}

extension AccountDeclaration {
  static var table: [Option<AccountDeclaration>] {
    [
      Option(
        "users", kind: .custom(type: "array of maps") { decoder, account, entry in account.users = decoder.users(entry) },
        doc: "The account's users."),
      Option(
        "default_permissions", kind: .permissions { $0.defaultPermissions = $1 }, doc: "Permissions of users that have none of their own."),
      Option(
        "jetstream",
        kind: .custom(type: "`enabled`, `disabled`, true, false or a map") { decoder, account, entry in
          switch entry.value.content {
          case .boolean(let flag): account.rule.jetStream = flag ? JetStreamGrant() : nil
          case .string(let word):
            switch ByteString(word.bytes.map { ASCII.lowercased($0) }) {
            case "enabled", "enable": account.rule.jetStream = JetStreamGrant()
            case "disabled", "disable": account.rule.jetStream = nil
            default:
              decoder.error(at: entry.value.location, "Expected 'enabled' or 'disabled' for string value, got '\(word)'")
            }
          case .map(let map):
            var grant = JetStreamGrant()
            decoder.decode(map, by: JetStreamLimits.table, refused: JetStreamLimits.refused, into: &grant.limits)
            account.rule.jetStream = grant
          default:
            decoder.error(
              at: entry.value.location, "Expected map, bool or string to define JetStream, got \(OptionDecoder.typeName(entry.value))")
          }
        }, standard: "disabled", doc: "Whether the account has JetStream, and with which limits."),
      Option(
        "exports",
        kind: .custom(type: "array of maps") { decoder, account, entry in
          for (map, location) in decoder.maps(entry.value, field: entry.key) ?? [] {
            if let rule = decoder.export(map, location) { account.rule.exports.append(rule) }
          }
        }, doc: "What other accounts may import."),
      Option(
        "imports",
        kind: .custom(type: "array of maps") { decoder, account, entry in
          for (map, location) in decoder.maps(entry.value, field: entry.key) ?? [] {
            guard let rule = decoder.importRule(map, location) else { continue }
            account.rule.imports.append(rule)
            account.importLocations.append(location)
          }
        }, doc: "What the account takes from others."),
      Option(
        "limits",
        kind: .custom(type: "map") { decoder, account, entry in
          guard let map = decoder.map(entry.value, field: entry.key) else { return }
          decoder.decode(map, by: AccountLimits.table, into: &account.rule.limits)
        }, doc: "What the account's connections may use."),
    ]
  }

  static var refused: RefusedOptions { RefusedOptions(unsupported: "nkey mappings maps msg_trace trace_dest") }
}

extension AccountLimits {
  static var table: [Option<AccountLimits>] {
    let int32 = Int64(Int32.max)
    return [
      Option(
        "max_connections", "max_conn", kind: .integer(-1...int32) { $0.connectionsMax = Int($1) }, standard: "-1",
        doc: "Clients and leaf links at a time; -1 is no limit."),
      Option(
        "max_subscriptions", "max_subs", kind: .integer(-1...int32) { $0.subscriptionsMax = Int($1) }, standard: "-1",
        doc: "Subscriptions of one connection."),
      Option(
        "max_payload", "max_pay", kind: .size(-1...int32) { $0.payloadMax = Int($1) }, standard: "-1",
        doc: "The largest message, header and body; not more than the server's."),
      Option(
        "max_leafnodes", "max_leafs", kind: .integer(-1...int32) { $0.leafnodesMax = Int($1) }, standard: "-1",
        doc: "Leaf links at a time."),
    ]
  }
}

extension JetStreamLimits {
  static var table: [Option<JetStreamLimits>] {
    let int32 = Int64(Int32.max)
    return [
      Option(
        "max_memory", "max_mem", "mem", "memory", kind: .size(-1...Int64.max) { $0.memoryMax_bytes = $1 }, standard: "-1",
        doc: "What memory streams may hold; -1 is no limit but the server's."),
      Option(
        "max_store", "max_file", "max_disk", "store", "disk", kind: .size(-1...Int64.max) { $0.storeMax_bytes = $1 }, standard: "-1",
        doc: "What file streams may hold."),
      Option(
        "max_streams", "streams", kind: .integer(-1...int32) { $0.streamsMax = Int($1) }, standard: "-1",
        doc: "How many streams there may be."),
      Option(
        "max_consumers", "consumers", kind: .integer(-1...int32) { $0.consumersMax = Int($1) }, standard: "-1",
        doc: "Consumers of one stream."),
      Option(
        "max_bytes_required", "max_stream_bytes", "max_bytes", kind: .boolean { $0.requiresMaxBytes = $1 }, standard: "false",
        doc: "Whether each stream must say how large it may become."),
      Option(
        "memory_max_stream_bytes", "mem_max_stream_bytes", kind: .size(-1...Int64.max) { $0.memoryStreamMax_bytes = $1 }, standard: "-1",
        doc: "What one memory stream may ask for."),
      Option(
        "store_max_stream_bytes", "disk_max_stream_bytes", kind: .size(-1...Int64.max) { $0.storeStreamMax_bytes = $1 }, standard: "-1",
        doc: "What one file stream may ask for."),
      Option(
        "max_ack_pending", kind: .integer(-1...int32) { $0.ackPendingMax = Int($1) }, standard: "-1",
        doc: "The largest `max_ack_pending` of a consumer."),
    ]
  }

  static var refused: RefusedOptions {
    RefusedOptions(absent: "cluster_traffic", reason: Options.noCluster)
  }
}

/// An export as it is read.
struct ExportDeclaration {
  var stream: ByteString?
  var service: ByteString?
  var accounts: [ByteString]?
  var response: ExportRule.Response?
  var threshold_ns: Int64?
  var tokenPosition = 0

  static var table: [Option<ExportDeclaration>] {
    [
      Option("stream", kind: .subject { $0.stream = $1 }, doc: "Messages on this subject may be imported."),
      Option("service", kind: .subject { $0.service = $1 }, doc: "Requests on this subject may be sent from other accounts."),
      Option(
        "accounts",
        kind: .custom(type: "array of strings") { decoder, export, entry in
          export.accounts = (decoder.strings(entry.value, field: entry.key) ?? []).map { $0.text }
        }, standard: "all accounts", doc: "Who may import it."),
      Option(
        "response_type", "response",
        kind: .custom(type: "`single`, `stream` or `chunked`") { decoder, export, entry in
          guard let word = decoder.string(entry.value, field: entry.key) else { return }
          switch ByteString(word.bytes.map { ASCII.lowercased($0) }) {
          case "single", "singleton": export.response = .single
          case "stream": export.response = .stream
          case "chunk", "chunked": export.response = .chunked
          default: decoder.error(at: entry.value.location, "Unknown response type: \"\(word)\"")
          }
        }, standard: "single", doc: "How many answers a request has: one, any number, or until an empty one."),
      Option(
        "response_threshold", "threshold", "response_max_time", "response_time",
        kind: .duration(1_000_000...86_400_000_000_000) { $0.threshold_ns = $1 }, standard: "\"2m\"",
        doc: "How long an answer is waited for."),
      Option(
        "account_token_position", kind: .integer(0...255) { $0.tokenPosition = Int($1) }, standard: "0",
        doc: "Which token of the subject must be the importing account's name; 0 for none."),
    ]
  }

  static var refused: RefusedOptions { RefusedOptions(unsupported: "latency allow_trace") }
}

/// The account and the subject that are imported.
struct ImportOrigin {
  var account = ByteString()
  var subject = ByteString()

  static var table: [Option<ImportOrigin>] {
    [
      Option("account", kind: .string { $0.account = $1 }, doc: "The account that exports it."),
      Option("subject", kind: .subject { $0.subject = $1 }, doc: "The subject there."),
    ]
  }
}

/// An import as it is read.
struct ImportDeclaration {
  var stream: ImportOrigin?
  var service: ImportOrigin?
  var to: ByteString?
  var prefix: ByteString?
  var shares = false

  static var table: [Option<ImportDeclaration>] {
    [
      Option("stream", kind: .origin { $0.stream = $1 }, doc: "Messages: a map of the exporting `account` and the `subject` there."),
      Option("service", kind: .origin { $0.service = $1 }, doc: "Requests: a map of the exporting `account` and the `subject` there."),
      Option(
        "to", kind: .subject { $0.to = $1 }, standard: "the same subject",
        doc: "The subject in this account; `$1` stands for the first wildcard of the exported one."),
      Option("prefix", kind: .subject { $0.prefix = $1 }, doc: "For messages: what is put in front of their subjects in this account."),
      Option(
        "share", kind: .boolean { $0.shares = $1 }, standard: "false", doc: "For requests: whether the exporter learns which client asks."),
    ]
  }

  static var refused: RefusedOptions { RefusedOptions(unsupported: "allow_trace") }
}

extension OptionKind {
  static func subject(_ set: @escaping (inout Target, ByteString) -> Void) -> OptionKind {
    .custom(type: "string") { decoder, target, entry in
      if let subject = decoder.subject(entry) { set(&target, subject) }
    }
  }

  fileprivate static func origin(_ set: @escaping (inout Target, ImportOrigin) -> Void) -> OptionKind {
    .custom(type: "map") { decoder, target, entry in
      guard let map = decoder.map(entry.value, field: entry.key) else { return }
      var origin = ImportOrigin()
      decoder.decode(map, by: ImportOrigin.table, into: &origin)
      if origin.account.isEmpty || origin.subject.isEmpty {
        decoder.error(at: entry.value.location, "Expect an account name and a subject")
      } else {
        set(&target, origin)
      }
    }
  }
}

extension OptionDecoder {
  /// `accounts`: a map from names to accounts, or names alone.
  mutating func accounts(_ entry: ConfigurationEntry) -> [AccountDeclaration] {
    var all: [AccountDeclaration] = []
    if case .array = entry.value.content {
      for (name, location) in strings(entry.value, field: entry.key) ?? [] {
        check(accountName: name, location, among: all)
        all.append(AccountDeclaration(name: name, location: location))
      }
      return all
    }
    guard let map = map(entry.value, field: entry.key) else { return [] }
    for named in map.entries {
      guard case .map(let body) = named.value.content else {
        if !named.isReferenced { error(at: named.value.location, "Expected map entries for accounts") }
        continue
      }
      check(accountName: named.key, named.keyLocation, among: all)
      var account = AccountDeclaration(name: named.key, location: named.keyLocation)
      decode(body, by: AccountDeclaration.table, refused: AccountDeclaration.refused, into: &account)
      all.append(account)
    }
    return all
  }

  private mutating func check(accountName name: ByteString, _ location: Location, among others: [AccountDeclaration]) {
    if name == AccessRules.globalAccount {
      error(at: location, "\"\(name)\" is a Reserved Account")
    } else if name.isEmpty || name.count > 255 || name.bytes.contains(where: { $0 <= ASCII.space || $0 == ASCII.slash || $0 == 0x7F }) {
      // Streams are kept under their account's name.
      error(at: location, "an account's name has 1 to 255 characters, none of them a blank or \"/\", not \"\(name)\"")
    } else if others.contains(where: { $0.rule.name == name }) {
      error(at: location, "Duplicate Account Entry: \(name)")
    }
  }

  fileprivate mutating func export(_ map: ConfigurationMap, _ location: Location) -> ExportRule? {
    var export = ExportDeclaration()
    let before = problems.count
    decode(map, by: ExportDeclaration.table, refused: ExportDeclaration.refused, into: &export)
    guard problems.count == before else { return nil }
    if export.stream != nil, export.service != nil {
      error(at: location, "an export is a stream or a service, not both")
    } else if let subject = export.stream {
      if export.response != nil || export.threshold_ns != nil { error(at: location, "Detected response directive on non-service") }
      var rule = ExportRule(.stream, subject)
      rule.accounts = export.accounts
      rule.accountTokenPosition = export.tokenPosition
      return checked(rule, location)
    } else if let subject = export.service {
      var rule = ExportRule(.service, subject)
      rule.accounts = export.accounts
      rule.accountTokenPosition = export.tokenPosition
      rule.response = export.response ?? .single
      rule.threshold_ns = export.threshold_ns ?? ExportRule.thresholdDefault_ns
      return checked(rule, location)
    } else {
      error(at: location, "an export needs a stream or a service")
    }
    return nil
  }

  private mutating func checked(_ rule: ExportRule, _ location: Location) -> ExportRule? {
    guard rule.accountTokenPosition > 0 else { return rule }
    var position = 0
    var isStar = false
    rule.subject.withView { subject in
      var start = 0
      while start <= subject.count {
        let end = subject.firstIndex(of: ASCII.dot, from: start) ?? subject.count
        position += 1
        if position == rule.accountTokenPosition { isStar = subject.slice(start, end).equals("*") }
        start = end + 1
      }
    }
    guard isStar else {
      error(at: location, "Error adding service export \"\(rule.subject)\": account_token_position is not that of a *")
      return nil
    }
    return rule
  }

  fileprivate mutating func importRule(_ map: ConfigurationMap, _ location: Location) -> ImportRule? {
    var read = ImportDeclaration()
    let before = problems.count
    decode(map, by: ImportDeclaration.table, refused: ImportDeclaration.refused, into: &read)
    guard problems.count == before else { return nil }
    if read.stream != nil, read.service != nil {
      error(at: location, "an import is a stream or a service, not both")
    } else if let origin = read.stream {
      if read.prefix != nil, read.to != nil { error(at: location, "Stream import can not have a 'prefix' and a 'to' property") }
      var local = read.to ?? origin.subject
      if let prefix = read.prefix {
        if prefix.bytes.contains(where: { $0 == ASCII.star || $0 == ASCII.greater }) {
          error(at: location, "stream import prefix can not contain wildcard tokens")
        }
        local = prefix + "." + origin.subject
      }
      return ImportRule(.stream, account: origin.account, subject: origin.subject, localSubject: local)
    } else if let origin = read.service {
      var rule = ImportRule(.service, account: origin.account, subject: origin.subject, localSubject: read.to ?? origin.subject)
      rule.sharesRequester = read.shares
      return rule
    } else {
      error(at: location, "an import needs a stream or a service")
    }
    return nil
  }
}
