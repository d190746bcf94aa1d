// Which seeds the random tests run, and how far they are. From the environment:
//
//   PETIOLE_SEED=1234           only this seed
//   PETIOLE_SEEDS=10000         so many seeds instead of as many as CI runs
//   PETIOLE_PROGRESS=/dev/tty   where to show how many are through
import CLinux
import Synchronization

public enum SeedRuns {
  /// Tests run side by side: so many parts keep several cores busy to the end.
  private static let parts = 8

  private static func number(_ name: String) -> UInt64? { getenv(name).flatMap { UInt64(String(cString: $0)) } }

  /// The seed that was asked for alone.
  public static var only: UInt64? { number("PETIOLE_SEED") }

  /// How many seeds there are, where CI runs `count`.
  public static func count(_ count: Int) -> Int { only == nil ? number("PETIOLE_SEEDS").map { Int($0) } ?? count : 1 }

  /// The seeds in several parts; CI runs `count` of them.
  public static func seeds(_ count: Int) -> [[UInt64]] {
    if let only { return [[only]] }
    let count = self.count(count)
    return (0..<parts).map { part in (1...max(1, count)).filter { $0 % parts == part }.map { UInt64($0) } }.filter { !$0.isEmpty }
  }

  /// Runs one part of `of` seeds and shows how many of all parts are through. `body` returns what went wrong.
  public static func run(_ title: String, _ seeds: [UInt64], of count: Int, _ body: (UInt64) -> String?, failed: (String) -> Void) {
    for seed in seeds {
      let failure = body(seed)
      if let failure { failed("\(failure)\nrun it again with PETIOLE_SEED=\(seed)") }
      show(title, of: self.count(count), failed: failure != nil)
    }
  }

  private struct Count {
    var done = 0
    var failed = 0
  }
  private static let counts = Mutex<[String: Count]>([:])

  private static func show(_ title: String, of count: Int, failed: Bool) {
    let line = counts.withLock { counts in
      counts[title, default: Count()].done += 1
      if failed { counts[title]!.failed += 1 }
      return counts.sorted { $0.key < $1.key }.map { title, count in
        "\(title): \(count.done)" + (count.failed > 0 ? ", \(count.failed) failed" : "")
      }.joined(separator: " · ")
    }
    guard let path = getenv("PETIOLE_PROGRESS"), let file = fopen(path, "a") else { return }
    defer { fclose(file) }
    fputs("\r\u{1B}[K\(line) of \(count)", file)
  }
}
