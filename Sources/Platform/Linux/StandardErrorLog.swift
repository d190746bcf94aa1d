// Log lines on standard error, in nats-server's form, or in the journal's where that reads them.
import Bytes
import CLinux

/// Where log lines of the running agent go.
///
/// `[pid] 2026/11/22 20:12:19.761988 [INF] text` in local time; `<6>text` when standard error goes to the systemd journal, which
/// adds time and process itself (sd-daemon(3)).
public enum StandardErrorLog {
  /// Longer lines are cut, so that one write stays one line.
  static let lineMax = 8192

  public static func make(level: LogLevel = .info, showsTime: Bool = true) -> Log {
    let journal = linux_stderr_is_journal() == 1
    let pid = ProcessStatus.processID
    return Log(level: level) { lineLevel, text in
      var time: [UInt8] = []
      if !journal, showsTime { time = localTime() }
      let line = line(lineLevel, text, journal: journal, pid: pid, time: time)
      line.withView { bytes in
        var written = 0
        while written < bytes.count {
          let result = CLinux.write(2, bytes.base + written, bytes.count - written)
          if result <= 0 { return }
          written += result
        }
      }
    }
  }

  /// One line with its line feed. Control characters would break lines or terminals: they show as "?".
  static func line(_ level: LogLevel, _ text: String, journal: Bool, pid: Int, time: [UInt8]) -> [UInt8] {
    var line: [UInt8] = []
    if journal {
      line.append(literal: "<")
      line.append(decimal: priority(level))
      line.append(literal: ">")
    } else {
      line.append(literal: "[")
      line.append(decimal: pid)
      line.append(literal: "] ")
      line.append(contentsOf: time)
      line.append(literal: " [")
      line.append(label(level))
      line.append(literal: "] ")
    }
    for byte in text.utf8 {
      if line.count >= lineMax - 1 { break }
      line.append(byte < 0x20 && byte != ASCII.tab || byte == 0x7F ? 0x3F : byte)
    }
    line.append(ASCII.lineFeed)
    return line
  }

  static func localTime() -> [UInt8] {
    withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { text in
      let start = text.bindMemory(to: CChar.self).baseAddress!
      let length = linux_log_time(start)
      return ByteView(UnsafeRawBufferPointer(start: start, count: Int(length))).bytes
    }
  }

  /// nats-server's three letters.
  private static func label(_ level: LogLevel) -> ByteView {
    switch level {
    case .fatal: ByteView("FTL")
    case .error: ByteView("ERR")
    case .warning: ByteView("WRN")
    case .info: ByteView("INF")
    case .debug: ByteView("DBG")
    case .trace: ByteView("TRC")
    }
  }

  /// syslog(3)'s priorities.
  private static func priority(_ level: LogLevel) -> Int {
    switch level {
    case .fatal: 2
    case .error: 3
    case .warning: 4
    case .info: 6
    case .debug, .trace: 7
    }
  }
}
