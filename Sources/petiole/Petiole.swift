// The program: reads the command line and hands over to the command.
import Agent
import Bytes
import CLinux
import Configuration
import Platform

@main struct Petiole {
  static func main() {
    let arguments: Arguments
    do throws(ArgumentProblem) {
      arguments = try Arguments(parsing: Array(commandLine().dropFirst()))
    } catch {
      Terminal.error("petiole: \(error.text)\n\n\(Help.text)")
      exit(1)
    }
    switch arguments.command {
    case .help: Terminal.print(Help.text)
    case .version: Terminal.print("petiole: v\(Agent.release.string)\n")
    case .check: exit(check(arguments))
    case .serve: exit(Serve.run(arguments))
    case .status: exit(Status.run(arguments))
    case .probe: exit(Probe.run(arguments))
    case .store: exit(Store.run(arguments))
    }
  }

  /// The words of the command line.
  private static func commandLine() -> [ByteString] {
    (0..<linux_argument_count()).map { index in
      let word = UnsafeRawBufferPointer(start: linux_argument(index), count: strlen(linux_argument(index)))
      return ByteString([UInt8](word))
    }
  }

  /// `petiole check`: says what is wrong with a configuration. 0 when nothing is, 1 otherwise (also for mere warnings, as nats-server).
  private static func check(_ arguments: Arguments) -> Int32 {
    let loaded = Agent.load(arguments)
    for problem in loaded.problems { Terminal.error("petiole: \(problem.message)\n") }
    guard loaded.problems.isEmpty else { return 1 }
    do throws(AgentError) {
      try loaded.options.checkTLS()
    } catch {
      Terminal.error("petiole: \(error.text)\n")
      return 1
    }
    let name = arguments.configurationPath ?? "(no file: defaults and command line)"
    Terminal.print("petiole: configuration file \(name) is valid\n")
    return 0
  }
}

/// Standard output and standard error.
enum Terminal {
  static func print(_ text: String) { write(1, text) }
  static func error(_ text: String) { write(2, text) }

  /// Whether people see standard output, and colours are welcome (no-color.org).
  static var isInteractive: Bool { isatty(1) == 1 }
  static var hasColour: Bool { isInteractive && (ProcessStatus.environment("NO_COLOR") ?? "").isEmpty }

  private static func write(_ file: Int32, _ text: String) {
    let bytes = [UInt8](text.utf8)
    bytes.withView { view in
      var done = 0
      while done < view.count {
        let result = CLinux.write(file, view.base + done, view.count - done)
        if result <= 0 { return }
        done += result
      }
    }
  }
}
