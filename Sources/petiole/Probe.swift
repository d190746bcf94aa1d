// `petiole probe`: measures the clusters of the uplink once, without an agent.
import Agent
import Bytes
import Configuration
import JSON
import Leaf
import Platform
import Uplink

enum Probe {
  static func run(_ arguments: Arguments) -> Int32 {
    let loaded = LoadedOptions.load(arguments)
    for problem in loaded.problems where problem.severity == .error { Terminal.error("petiole: \(problem.message)\n") }
    guard loaded.isUsable else { return 1 }
    guard let uplink = loaded.options.uplink else {
      Terminal.error("petiole: no clusters to probe: the configuration has no `uplink` block (give one with -c FILE)\n")
      return 1
    }
    let (loop, host) = LinuxLoop.makeHost(log: Log(level: .fatal) { _, _ in })
    let clusters = Options.clusters(uplink)
    let survey = ClusterSurvey(host: host, clusters: clusters)
    survey.start()
    _ = loop.run(timeout_ns: ClusterSurvey.timeout_ns * Int64(ClusterSurvey.samples + 1)) { survey.isDone }
    if arguments.wantsJSON { Terminal.print(json(survey)) } else { Terminal.print(table(survey)) }
    return survey.results.contains { $0.samples_us.isEmpty == false } ? 0 : 1
  }

  private static func milliseconds(_ us: Int64) -> String { ("\(us / 1000).\(us / 100 % 10) ms" as Words).string }

  private static func table(_ survey: ClusterSurvey) -> String {
    var table = Table(["cluster", "min", "avg", "jitter", "answers", "note"])
    for result in survey.results {
      if let least = result.min_us {
        table.add([
          result.name.string, milliseconds(least), milliseconds(result.average_us), milliseconds(result.jitter_us),
          ("\(result.samples_us.count)/\(ClusterSurvey.samples)" as Words).string, result.failure ?? "",
        ])
      } else {
        table.add([result.name.string, "-", "-", "-", "0/\(ClusterSurvey.samples)", result.failure ?? "no answer"])
      }
    }
    return table.text
  }

  private static func json(_ survey: ClusterSurvey) -> String {
    var json = JSONWriter(indent: true)
    json.beginObject()
    json.beginArray("clusters")
    for result in survey.results {
      json.beginObject()
      json.field("name", result.name)
      if let least = result.min_us {
        json.field("rtt_min_us", least)
        json.field("rtt_avg_us", result.average_us)
        json.field("jitter_us", result.jitter_us)
      }
      json.field("samples", ClusterSurvey.samples)
      json.field("answers", result.samples_us.count)
      if let failure = result.failure { json.field("error", failure) }
      json.endObject()
    }
    json.endArray()
    json.endObject()
    return ByteString(json.finish()).string + "\n"
  }
}
