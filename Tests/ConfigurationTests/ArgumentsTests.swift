// The command line, and that it wins over the file.
import Bytes
import Testing

@testable import Configuration

@Suite struct ArgumentsTests {
  private func problem(_ words: ByteString...) -> String {
    do throws(ArgumentProblem) {
      _ = try Arguments(parsing: words)
      return ""
    } catch {
      return error.text
    }
  }

  private func read(_ words: ByteString...) throws -> Options {
    let loaded = LoadedOptions.load(try Arguments(parsing: words))
    #expect(loaded.problems == [])
    return loaded.options
  }

  @Test("flags take one or two dashes, and a value after a space or '='")
  func forms() throws {
    for words: [ByteString] in [["-p", "4333"], ["--p", "4333"], ["-p=4333"], ["--port=4333"], ["-port", "4333"], ["--port", "4333"]] {
      #expect(LoadedOptions.load(try Arguments(parsing: words)).options.port == 4333)
    }
    #expect(try read("-p", "-1").port == -1)
    #expect(try read("-js").jetStream.isEnabled)
    #expect(try read("--jetstream=true").jetStream.isEnabled)
    #expect(try !read("--jetstream=false").jetStream.isEnabled)
    #expect(try read("-sd=/data", "-js").jetStream.storeDirectory == "/data")
  }

  @Test("every flag changes its option")
  func flags() throws {
    for name: ByteString in ["-a", "--addr", "--net"] { #expect(try read(name, "localhost").host == "localhost") }
    for name: ByteString in ["-n", "--name", "--server_name"] { #expect(try read(name, "gw").serverName == "gw") }
    for name: ByteString in ["-sd", "--store_dir"] { #expect(try read(name, "/d").jetStream.storeDirectory == "/d") }
    for name: ByteString in ["-m", "--http_port"] { #expect(try read(name, "8222").monitoring == HostPort(host: "0.0.0.0", port: 8222)) }
    for name: ByteString in ["-P", "--pid"] { #expect(try read(name, "/p").pidFile == "/p") }
    #expect(try read("--ports_file_dir", "/d").portsFileDirectory == "/d")
    #expect(try read("--client_advertise", "gw:1").clientAdvertise == HostPort(host: "gw", port: 1))
    #expect(try read("-D").debug && !read("-D").trace)
    #expect(try read("-V").trace && !read("-V").debug)
    #expect(try read("-DV").trace && read("-DV").debug)
    #expect(try !read("-T=false").logTime)
    #expect(try Arguments(parsing: ["-c", "x.conf"]).configurationPath == "x.conf")
    #expect(try Arguments(parsing: ["--config=x.conf"]).configurationPath == "x.conf")
  }

  @Test("the command stands anywhere among the flags, and is serve without one")
  func commands() throws {
    #expect(try Arguments(parsing: []).command == .serve)
    #expect(try Arguments(parsing: ["serve", "-p", "1"]).command == .serve)
    #expect(try Arguments(parsing: ["check", "-c", "x"]).command == .check)
    #expect(try Arguments(parsing: ["-c", "x", "check"]).command == .check)
    #expect(try Arguments(parsing: ["status", "-m", "1"]).command == .status)
    #expect(try Arguments(parsing: ["probe"]).command == .probe)
    #expect(try Arguments(parsing: ["-t", "-c", "x"]).command == .check)
    for words: [ByteString] in [["-v"], ["--version"], ["version"], ["-t", "-v"], ["-v", "-t"]] {
      #expect(try Arguments(parsing: words).command == .version)
    }
    for words: [ByteString] in [["-h"], ["--help"], ["help"], ["-v", "-h"], ["-h", "-v"], ["serve", "-h"]] {
      #expect(try Arguments(parsing: words).command == .help)
    }
    #expect(try Arguments(parsing: ["--", "check"]).command == .check)
  }

  @Test("what cannot be understood is told in nats-server's words")
  func problems() {
    #expect(problem("-zzz") == "flag provided but not defined: -zzz")
    #expect(problem("--conf", "x") == "flag provided but not defined: -conf")
    #expect(problem("-p") == "flag needs an argument: -p")
    #expect(problem("-p", "x") == "invalid value \"x\" for flag -p: expected port")
    #expect(problem("-p", "70000") == "invalid value \"70000\" for flag -p: expected port")
    #expect(problem("-js=maybe") == "invalid value \"maybe\" for flag -js: must be true or false")
    #expect(problem("-c", "") == "invalid value \"\" for flag -c: expected file")
    #expect(problem("-n", "a b") == "invalid value \"a b\" for flag -n: expected name")
    #expect(problem("-sl", "reload") == "not supported by this version of petiole: -sl")
    #expect(problem("--routes=nats://x") == "not supported by this version of petiole: -routes")
    #expect(problem("frobnicate") == "unrecognized command: \"frobnicate\"")
    #expect(problem("check", "serve") == "unrecognized argument: \"serve\"")
    #expect(problem("---p") == "bad flag syntax: ---p")
    #expect(problem("-=1") == "bad flag syntax: -=1")
    #expect(problem("-") == "unrecognized command: \"-\"")
  }

  @Test("the command line wins over the file, also in the checks")
  func precedence() {
    let file = "listen: 10.0.0.1:4333\nhttp: 127.0.0.1:8222\ndebug: true\nserver_name: file\njetstream: true\nstore_dir: /file"
    let read = options(file, ["-p", "1", "-m", "2", "-D=false", "-n", "line", "--js=false", "-sd", "/line"])
    #expect(read.host == "10.0.0.1" && read.port == 1 && read.http == HostPort(host: "127.0.0.1", port: 2))
    #expect(!read.debug && read.serverName == "line" && !read.jetStream.isEnabled && read.jetStream.storeDirectory == "/line")
    #expect(options("streams: [{name: A}]", ["-js"]).streams.count == 1)
    #expect(options("port: 1", ["-m", "0"]).http == nil)
  }

  @Test("a file that is not there is told with its name")
  func missingFile() throws {
    let loaded = LoadedOptions.load(try Arguments(parsing: ["-c", "/nonexistent.conf"]))
    #expect(loaded.problems.map { $0.message } == ["open /nonexistent.conf: no such file or directory"])
    #expect(!loaded.isUsable)
  }

  @Test("the help names every flag and command and fits a terminal")
  func help() {
    let lines = Help.text.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count <= 50)
    for line in lines { #expect(line.count <= 110) }
    for flag in Flag.table {
      for name in flag.names { #expect(Help.text.contains("-\(ByteView(name).string)")) }
    }
    for row in CommandWord.table { #expect(Help.text.contains("  \(ByteView(row.name).string) ")) }
  }

  @Test("no flag or option has two meanings")
  func unique() {
    let flags = Flag.table.flatMap { $0.names.map { ByteString($0.description) } } + Flag.unsupported.map { ByteString($0.description) }
    #expect(Set(flags).count == flags.count)
    func check<Target>(_ table: [Option<Target>], _ refused: RefusedOptions = RefusedOptions()) {
      let names =
        table.flatMap { [$0.name] + $0.aliases }.map { ByteString($0.description) }
        + (RefusedOptions.names(refused.unsupported) + RefusedOptions.names(refused.absent)).map { ByteString($0) }
      #expect(Set(names).count == names.count)
    }
    check(Options.table, Options.refused)
    check(JetStreamOptions.table, JetStreamOptions.refused)
    check(LeafnodeOptions.table, LeafnodeOptions.refused)
    check(LeafRemote.table, LeafRemote.refused)
    check(UplinkOptions.table)
    check(UplinkCluster.table)
    check(ForwardDeclaration.table)
  }
}
