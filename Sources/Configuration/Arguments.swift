// The command line: which command, and what it changes about the options of the file. What the flags are is in Flag.swift.
//
// Not getopt_long_only: it takes unique beginnings of names (`--conf`, and `-se` for two things) and cannot be told not to,
// has no booleans with a value (`-js=false`, which nats-server takes), writes its own messages, and keeps its place in globals.
import Bytes

/// What the agent is asked to do.
public enum Command: Equatable, Sendable {
  /// Run the agent.
  case serve
  /// Read the configuration and say what is wrong with it.
  case check
  /// Show what a running agent says about itself.
  case status
  /// Measure the backbone clusters once.
  case probe
  /// Look at a store's files, or repair them.
  case store
  case version
  case help
}

/// Why a command line cannot be understood. nats-server shows the usage below it.
public struct ArgumentProblem: Error, Equatable, Sendable {
  public let what: ByteString
  public var text: String { what.string }
  init(_ text: Words) { what = text.text }
}

/// A parsed command line.
public struct Arguments {
  /// A change to the options that wins over the file's.
  struct Override {
    /// The option of the file that it replaces.
    let option: StaticString
    let apply: (inout Options) -> Void
  }

  public var command = Command.serve
  public var configurationPath: String?
  /// Output for programs (`--json`).
  public var wantsJSON = false
  /// The words after the command, which only `store` takes.
  public private(set) var operands: [ByteString] = []
  private(set) var overrides: [Override] = []

  public init() {}

  /// Parses the words after the program's name. Flags begin with `-` or `--`; their value follows after a space or `=`. The
  /// command may stand before, between or after them.
  public init(parsing words: [ByteString]) throws(ArgumentProblem) {
    var index = 0
    var word: ByteString?
    var isFlags = true
    while index < words.count {
      let argument = words[index]
      index += 1
      guard isFlags, argument.count > 1, argument.bytes[0] == ASCII.minus else {
        if let word {
          guard word.equals("store") else { throw ArgumentProblem("unrecognized argument: \"\(argument)\"") }
          operands.append(argument)
        } else {
          word = argument
        }
        continue
      }
      if argument.equals("--") {
        isFlags = false
        continue
      }
      let body = [UInt8](argument.bytes[(argument.bytes[1] == ASCII.minus ? 2 : 1)...])
      let equals = body.firstIndex(of: 0x3D)
      let name = ByteString([UInt8](body[..<(equals ?? body.count)]))
      var value = equals.map { ByteString([UInt8](body[($0 + 1)...])) }
      guard let flag = Flag.table.first(where: { $0.names.contains { name.equals($0) } }) else {
        if Flag.unsupported.contains(where: { name.equals($0) }) {
          throw ArgumentProblem("not supported by this version of petiole: -\(name)")
        }
        if name.isEmpty || name.bytes[0] == ASCII.minus { throw ArgumentProblem("bad flag syntax: \(argument)") }
        throw ArgumentProblem("flag provided but not defined: -\(name)")
      }
      if value == nil, !flag.isBoolean {
        guard index < words.count else { throw ArgumentProblem("flag needs an argument: -\(name)") }
        value = words[index]
        index += 1
      }
      guard flag.set(&self, value ?? "true") else {
        throw ArgumentProblem("invalid value \"\((value ?? ""))\" for flag -\(name): \(flag.expectation)")
      }
    }
    if let word { try choose(word) }
  }

  /// A command given as a word; the flags -h, -v and -t say the same and win.
  private mutating func choose(_ word: ByteString) throws(ArgumentProblem) {
    guard let row = CommandWord.table.first(where: { word.equals($0.name) }) else {
      throw ArgumentProblem("unrecognized command: \"\(word)\"")
    }
    if command == .serve { command = row.command }
  }

  mutating func change(_ option: StaticString, _ apply: @escaping (inout Options) -> Void) {
    overrides.append(Override(option: option, apply: apply))
  }
}

/// A command as it is written, and its line of the help.
struct CommandWord {
  let name: StaticString
  let command: Command
  let doc: StaticString

  static var table: [CommandWord] {
    [
      CommandWord(name: "serve", command: .serve, doc: "run the agent (also without any command)"),
      CommandWord(name: "check", command: .check, doc: "read the configuration, say what is wrong with it, and stop"),
      CommandWord(name: "status", command: .status, doc: "show clusters, backlog and streams of the running agent"),
      CommandWord(name: "probe", command: .probe, doc: "measure the backbone clusters once"),
      CommandWord(name: "store", command: .store, doc: "verify, inspect or repair the store in a directory (no agent may use it)"),
      CommandWord(name: "version", command: .version, doc: "print the version"),
      CommandWord(name: "help", command: .help, doc: "print this text"),
    ]
  }
}
