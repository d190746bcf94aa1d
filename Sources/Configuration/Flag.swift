// The flags of the command line, one row each: parsing and the help text both read them. The names are nats-server's.
import Bytes

struct Flag {
  enum Group { case configuration, server, jetStream, observing, other }

  let names: [StaticString]
  /// What stands for the value in the help; empty for a boolean flag, which takes a value only after `=`.
  let value: StaticString
  let group: Group
  /// Empty: the help shows it on the line of the next flag.
  let doc: StaticString
  /// Takes the value; false when it cannot be one.
  let set: (inout Arguments, ByteString) -> Bool

  var isBoolean: Bool { value.utf8CodeUnitCount == 0 }

  /// What the value must be, for a message.
  var expectation: Words { isBoolean ? "must be true or false" : "expected \(value)" }

  /// A flag whose value goes into the options as it is.
  private static func text(
    _ names: [StaticString], _ value: StaticString, _ group: Group, option: StaticString, doc: StaticString,
    _ set: @escaping (inout Options, ByteString) -> Void
  ) -> Flag {
    Flag(names: names, value: value, group: group, doc: doc) { arguments, text in
      if text.isEmpty || text.bytes.contains(0) { return false }
      arguments.change(option) { set(&$0, text) }
      return true
    }
  }

  /// A flag of the `authorization` block.
  private static func access(
    _ names: [StaticString], _ value: StaticString, doc: StaticString, _ set: @escaping (inout AuthorizationOptions, ByteString) -> Void
  ) -> Flag {
    text(names, value, .server, option: "authorization", doc: doc) { options, text in
      options.authorization.isGiven = true
      set(&options.authorization, text)
    }
  }

  private static func boolean(
    _ names: [StaticString], _ group: Group, option: StaticString, doc: StaticString, _ set: @escaping (inout Options, Bool) -> Void
  ) -> Flag {
    Flag(names: names, value: "", group: group, doc: doc) { arguments, text in
      guard let flag = truth(text) else { return false }
      arguments.change(option) { set(&$0, flag) }
      return true
    }
  }

  private static func port(
    _ names: [StaticString], _ group: Group, option: StaticString, doc: StaticString, _ set: @escaping (inout Options, Int) -> Void
  ) -> Flag {
    Flag(names: names, value: "port", group: group, doc: doc) { arguments, text in
      guard case .value(let number) = text.withView({ UnitNumber.parse($0) }), (-1...65535).contains(number) else { return false }
      arguments.change(option) { set(&$0, Int(number)) }
      return true
    }
  }

  private static func command(_ names: [StaticString], _ group: Group, _ command: Command, doc: StaticString) -> Flag {
    Flag(names: names, value: "", group: group, doc: doc) { arguments, text in
      guard let flag = truth(text) else { return false }
      // Asking for help wins over asking for the version, and that over everything that does something.
      let isWeaker = command == .check ? arguments.command == .serve : command == .help || arguments.command != .help
      if flag, isWeaker { arguments.command = command }
      return true
    }
  }

  /// The words that Go's flag package takes for a boolean.
  private static func truth(_ text: ByteString) -> Bool? {
    for word: StaticString in ["true", "1", "t", "T", "TRUE", "True"] where text.equals(word) { return true }
    for word: StaticString in ["false", "0", "f", "F", "FALSE", "False"] where text.equals(word) { return false }
    return nil
  }

  static var table: [Flag] {
    [
      Flag(names: ["json"], value: "", group: .observing, doc: "with status and probe: print JSON") { arguments, text in
        guard let flag = truth(text) else { return false }
        arguments.wantsJSON = flag
        return true
      },
      Flag(names: ["c", "config"], value: "file", group: .configuration, doc: "configuration file") { arguments, path in
        if path.isEmpty || path.bytes.contains(0) { return false }
        arguments.configurationPath = path.string
        return true
      },
      command(["t"], .configuration, .check, doc: "test the configuration and stop, like `check`"),
      text(["a", "addr", "net"], "host", .server, option: "host", doc: "address for clients (0.0.0.0)") { $0.host = $1 },
      port(["p", "port"], .server, option: "port", doc: "port for clients (4222), -1 for a free one") { $0.port = $1 },
      Flag(names: ["n", "name", "server_name"], value: "name", group: .server, doc: "server name") { arguments, name in
        if name.isEmpty || name.bytes.contains(where: { ASCII.isBlank($0) || $0 == 0 }) { return false }
        arguments.change("server_name") { $0.serverName = name }
        return true
      },
      Flag(names: ["client_advertise"], value: "host:port", group: .server, doc: "address that clients are told") { arguments, text in
        guard let address = HostPort.parsed(text, portDefault: 0) else { return false }
        arguments.change("client_advertise") { $0.clientAdvertise = address }
        return true
      },
      access(["user"], "name", doc: "") { $0.user = $1 },
      access(["pass"], "password", doc: "") { $0.password = $1 },
      access(["auth"], "token", doc: "what clients log in with (a file keeps it better)") { $0.token = $1 },
      boolean(["tls"], .server, option: "tls", doc: "serve clients with TLS, and require it") { options, flag in
        if flag { options.changeTLS { _ in } } else { options.tls = nil }
      },
      text(["tlscert"], "file", .server, option: "tls", doc: "") { options, path in
        options.changeTLS { $0.certificateFile = path }
      },
      text(["tlskey"], "file", .server, option: "tls", doc: "the certificate to show with those behind it, and its key") { options, path in
        options.changeTLS { $0.keyFile = path }
      },
      boolean(["tlsverify"], .server, option: "tls", doc: "require certificates of clients") { options, flag in
        options.changeTLS { $0.verifies = flag }
      },
      text(["tlscacert"], "file", .server, option: "tls", doc: "the authorities of clients' certificates") { options, path in
        options.changeTLS { $0.authorityFile = path }
      },
      boolean(["js", "jetstream"], .jetStream, option: "jetstream", doc: "enable JetStream") { $0.jetStream.isEnabled = $1 },
      text(["sd", "store_dir"], "dir", .jetStream, option: "store_dir", doc: "where JetStream keeps streams") {
        $0.jetStream.storeDirectory = $1
      },
      port(["m", "http_port"], .observing, option: "http", doc: "port for monitoring") { options, port in
        options.http = port == 0 ? nil : HostPort(host: options.http?.host ?? "", port: port)
      },
      port(["ms", "https_port"], .observing, option: "https", doc: "port for monitoring by HTTPS") { options, port in
        options.http = port == 0 ? nil : HostPort(host: options.http?.host ?? "", port: port)
        options.isMonitoringSecure = true
      },
      text(["P", "pid"], "file", .observing, option: "pid_file", doc: "write the process id to a file") { $0.pidFile = $1 },
      text(["ports_file_dir"], "dir", .observing, option: "ports_file_dir", doc: "write the ports listened on to a file there") {
        $0.portsFileDirectory = $1
      },
      boolean(["D", "debug"], .observing, option: "debug", doc: "log what connections do") { $0.debug = $1 },
      boolean(["V", "trace"], .observing, option: "trace", doc: "log every protocol line") { $0.trace = $1 },
      boolean(["DV"], .observing, option: "debug", doc: "both") {
        $0.debug = $1
        $0.trace = $1
      },
      boolean(["T", "logtime"], .observing, option: "logtime", doc: "times in the log (true)") { $0.logTime = $1 },
      command(["v", "version"], .other, .version, doc: "print the version"),
      command(["h", "help"], .other, .help, doc: "print this text"),
    ]
  }

  /// Flags of nats-server that this version refuses by name.
  static var unsupported: [StaticString] {
    [
      "sl", "signal", "l", "log", "logtime_utc", "s", "syslog", "r", "remote_syslog", "VV", "DVV", "log_size_limit",
      "max_traced_msg_len", "help_tls", "routes", "cluster",
      "cluster_name", "cluster_listen", "cluster_advertise", "no_advertise", "connect_retries", "profile",
    ]
  }
}
