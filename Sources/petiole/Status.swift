// `petiole status`: what a running agent says about itself, for a person.
import Bytes
import Configuration
import JSON
import Platform

enum Status {
  static func run(_ arguments: Arguments) -> Int32 {
    let loaded = LoadedOptions.load(arguments)
    for problem in loaded.problems where problem.severity == .error { Terminal.error("petiole: \(problem.message)\n") }
    guard loaded.isUsable else { return 1 }
    let options = loaded.options
    let port = options.monitoring?.port ?? Options.monitoringPortDefault
    let configured = options.monitoring?.host ?? "127.0.0.1"
    // A listener on all addresses is asked on the loopback.
    let hostName = configured.isEmpty || configured == "0.0.0.0" || configured == "::" ? "127.0.0.1" : configured.string
    guard port > 0, let address = SocketAddress(literal: hostName, port: UInt16(clamping: port)) else {
      Terminal.error("petiole: no monitoring port to ask: give the agent's with -m PORT, or its configuration with -c FILE\n")
      return 1
    }
    let tls: TLSContext?
    do throws(TLSError) {
      tls = try context(options)
    } catch {
      Terminal.error("petiole: \(error.text.string)\n")
      return 1
    }
    if arguments.wantsJSON { return printJSON(address, tls) }
    switch (
      MonitoringClient.get(address, "/varz", tls: tls), MonitoringClient.get(address, "/uplinkz", tls: tls),
      MonitoringClient.get(address, "/jsz?streams=1", tls: tls)
    ) {
    case (.success(let varz), .success(let uplinkz), .success(let jsz)):
      Terminal.print(report(varz, uplinkz, jsz))
      return 0
    case (.failure(let failure), _, _), (_, .failure(let failure), _), (_, _, .failure(let failure)):
      Terminal.error(
        "petiole: cannot ask the agent at \(address): \(failure.text)\nIs it running, with `http` set? Give its monitoring port with -m PORT, or its configuration with -c FILE.\n"
      )
      return 1
    }
  }

  /// What the agent's HTTPS is asked with; nil for HTTP. The certificate must be the one of the configuration, whatever names it has.
  private static func context(_ options: Options) throws(TLSError) -> TLSContext? {
    guard options.isMonitoringSecure, let tls = options.tls else { return nil }
    var settings = TLSSettings()
    settings.authorityFile = tls.certificateFile
    return try TLSContext(.client, settings)
  }

  private static func printJSON(_ address: SocketAddress, _ tls: TLSContext?) -> Int32 {
    switch MonitoringClient.get(address, "/uplinkz", tls: tls) {
    case .failure(let failure):
      Terminal.error("petiole: cannot ask the agent at \(address): \(failure.text)\n")
      return 1
    case .success(let json):
      var writer = JSONWriter(indent: true)
      writer.value(json)
      Terminal.print(ByteString(writer.finish()).string + "\n")
      return 0
    }
  }

  // MARK: Report

  private static func report(_ varz: JSONValue, _ uplinkz: JSONValue, _ jsz: JSONValue) -> String {
    let head: Words = """
      petiole \(string(varz["petiole"]?["version"])) on \(string(varz["host"])):\(number(varz["port"])), \(string(varz["server_name"])), \
      up \(string(varz["uptime"])), \(size(varz["mem"])) of memory
      clients \(number(varz["connections"])), subscriptions \(number(varz["subscriptions"])), \
      messages in \(number(varz["in_msgs"])) out \(number(varz["out_msgs"]))

      """
    var text = head.string
    let clusters = uplinkz["clusters"]?.array ?? []
    if !clusters.isEmpty {
      text += ("\nUplink: \(string(uplinkz["state"])). \(string(uplinkz["decision"]))\n" as Words).string
      var table = Table(["cluster", "state", "rtt", "jitter", "tier", "note"])
      for cluster in clusters {
        let note = cluster["probe_error"]?.string ?? cluster["link_error"]?.string ?? ByteString()
        table.add([
          string(cluster["name"]), string(cluster["state"]), milliseconds(cluster["rtt_us"]), milliseconds(cluster["jitter_us"]),
          number(cluster["tier"]), note.string,
        ])
      }
      text += table.text
    }
    let forwards = uplinkz["forwards"]?.array ?? []
    if !forwards.isEmpty {
      text += "\n"
      var table = Table(["forward", "to", "state", "backlog", "in flight", "delivered", "note"])
      for forward in forwards {
        table.add([
          string(forward["stream"]), string(forward["hub_stream"]), string(forward["state"]), number(forward["backlog"]),
          number(forward["in_flight"]), number(forward["delivered"]), forward["error"]?.string?.string ?? "",
        ])
      }
      text += table.text
    }
    let streams = jsz["account_details"]?.array?.first?["stream_detail"]?.array ?? []
    if !streams.isEmpty {
      text += "\n"
      var table = Table(["stream", "messages", "size", "first", "last", "consumers"])
      for stream in streams {
        let state = stream["state"]
        table.add([
          string(stream["name"]), number(state?["messages"]), size(state?["bytes"]), number(state?["first_seq"]),
          number(state?["last_seq"]),
          number(state?["consumer_count"]),
        ])
      }
      text += table.text
    }
    return text
  }

  private static func string(_ value: JSONValue?) -> String { value?.string?.string ?? "-" }
  private static func number(_ value: JSONValue?) -> String { value?.number?.text.string ?? "-" }

  private static func milliseconds(_ value: JSONValue?) -> String {
    guard let us = value?.int64 else { return "-" }
    return ("\(us / 1000).\(us / 100 % 10) ms" as Words).string
  }

  private static func size(_ value: JSONValue?) -> String {
    guard let bytes = value?.int64 else { return "-" }
    if bytes < 10 << 10 { return ("\(bytes) B" as Words).string }
    if bytes < 10 << 20 { return ("\(bytes >> 10) kB" as Words).string }
    if bytes < 10 << 30 { return ("\(bytes >> 20) MB" as Words).string }
    return ("\(bytes >> 30) GB" as Words).string
  }
}
