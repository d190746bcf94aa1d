// What the process can say about itself, for monitoring and at start.
import CLinux

/// Facts about the running process.
public enum ProcessStatus {
  /// Resident memory in bytes, 0 when the kernel does not say.
  public static var residentMemory_bytes: Int { max(0, Int(clamping: linux_rss_bytes())) }
  /// Processor time used so far by all threads, in nanoseconds.
  public static var cpu_ns: Int64 { linux_cpu_ns() }
  /// Processors that this process may run on.
  public static var processors: Int { Int(linux_processors()) }
  /// Lets go of code that only starting up needed; what is used again comes back by itself. Worth its cost once, after the start.
  public static func releaseCodePages() {
    linux_release_code_pages()
    linux_release_kept_memory()
  }
  public static var processID: Int { Int(getpid()) }

  /// Lets the process open as many files as its hard limit allows; returns that number, or nil when the kernel does not say.
  @discardableResult
  public static func raiseFileLimit() -> Int? {
    let limit = linux_raise_file_limit()
    return limit < 0 ? nil : Int(clamping: limit)
  }

  /// An environment variable, or nil.
  public static func environment(_ name: String) -> String? {
    guard let value = name.withCString({ getenv($0) }) else { return nil }
    return String(cString: value)
  }
}
