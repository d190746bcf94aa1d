// What must hold between options, after the file and the command line are merged.
import Bytes

extension Options {
  /// Payloads above this are allowed but discouraged, as in nats-server.
  static let payloadDiscouraged_bytes = 8 << 20

  /// What is wrong between the options; `places` tells where each top-level one was given.
  public func validate(places: [OptionPlace] = []) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    func place(_ name: StaticString) -> Location {
      places.last { ByteView($0.name) == ByteView(name) }?.location ?? .none
    }
    func error(_ location: Location, _ text: Words) { problems.append(ConfigurationProblem(at: location, text)) }
    if payload_bytes > pending_bytes {
      error(
        place("max_payload").orElse(place("max_pending")),
        "max_payload (\(payload_bytes)) cannot be higher than max_pending (\(pending_bytes))")
    }
    if payload_bytes > Options.payloadDiscouraged_bytes {
      problems.append(
        ConfigurationProblem(
          .warning, at: place("max_payload"), "max_payload (\(payload_bytes)) is above 8 MB, which is discouraged: it delays everybody else"
        ))
    }
    if lameDuckGracePeriod_ns >= lameDuckDuration_ns {
      error(
        place("lame_duck_grace_period").orElse(place("lame_duck_duration")),
        "lame_duck_grace_period (\(GoDuration.format(lameDuckGracePeriod_ns))) must be shorter than lame_duck_duration (\(GoDuration.format(lameDuckDuration_ns)))"
      )
    }
    if webSocket.isListening, !webSocket.hasNoTLS, webSocket.tls == nil {
      error(place("websocket"), "websocket requires TLS configuration: a tls block, or no_tls: true where it is not wanted")
    }
    problems += tlsProblems(place) + accessProblems(place)
    problems += linkProblems() + streamProblems() + uplinkProblems() + forwardProblems()
    return problems
  }

  /// Links of accounts that there are not.
  private func linkProblems() -> [ConfigurationProblem] {
    let known = accountNames
    var problems: [ConfigurationProblem] = []
    func check(_ account: ByteString, _ location: Location) {
      guard !known.contains(account) else { return }
      problems.append(ConfigurationProblem(at: location, "cannot find local account \"\(account)\" specified for the link"))
    }
    for remote in leafnodes.remotes { check(remote.account, remote.location) }
    if let uplink { check(uplink.account, uplink.location) }
    return problems
  }

  private func tlsProblems(_ place: (StaticString) -> Location) -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    if let tls {
      if tls.certificateFile == nil || tls.keyFile == nil, tls.location.isNone {
        problems.append(ConfigurationProblem(at: .none, "TLS for clients needs a certificate and its key: --tlscert and --tlskey"))
      }
    } else {
      if allowsNonTLS {
        problems.append(ConfigurationProblem(.warning, at: place("allow_non_tls"), "allow_non_tls does nothing without a tls block"))
      }
      if isMonitoringSecure, http != nil {
        problems.append(
          ConfigurationProblem(
            at: place("https").orElse(place("https_port")), "https needs a tls block: the certificate in it is what monitoring shows"))
      }
    }
    return problems
  }

  private func streamProblems() -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    func error(_ stream: StreamDeclaration, _ text: Words) { problems.append(ConfigurationProblem(at: stream.location, text)) }
    if !jetStream.isEnabled, let first = streams.first { error(first, "streams need JetStream: add \"jetstream: enabled\"") }
    let accounts = jetStreamAccounts
    for (index, stream) in streams.enumerated() {
      if streams[..<index].contains(where: { $0.name == stream.name && $0.account == stream.account }) {
        error(stream, "stream \"\(stream.name)\" is declared twice")
      }
      if jetStream.isEnabled, !accounts.contains(where: { $0.name == stream.account }) {
        error(stream, "stream \"\(stream.name)\": account \"\(stream.account)\" has no JetStream: say which has with account")
      }
    }
    return problems
  }

  private func uplinkProblems() -> [ConfigurationProblem] {
    guard let uplink else { return [] }
    var problems: [ConfigurationProblem] = []
    func error(_ location: Location, _ text: Words) { problems.append(ConfigurationProblem(at: location, text)) }
    if uplink.clusters.isEmpty { error(uplink.location, "uplink needs clusters") }
    if uplink.clusters.count > UplinkOptions.clustersMax {
      error(uplink.location, "uplink can have at most \(UplinkOptions.clustersMax) clusters, not \(uplink.clusters.count)")
    }
    if let remote = leafnodes.remotes.first(where: { $0.account == uplink.account }) {
      problems.append(
        ConfigurationProblem(
          .warning, at: remote.location,
          "leafnodes.remotes and uplink both link account \"\(uplink.account)\": if both lead to one backbone, messages arrive twice"))
    }
    for (index, cluster) in uplink.clusters.enumerated() {
      if cluster.name.isEmpty { error(cluster.location, "a cluster of the uplink needs a name") }
      if cluster.urls.isEmpty { error(cluster.location, "cluster \"\(cluster.name)\" needs urls") }
      let earlier = uplink.clusters[..<index]
      if !cluster.name.isEmpty, earlier.contains(where: { $0.name == cluster.name }) {
        error(cluster.location, "cluster \"\(cluster.name)\" is there twice")
      }
      if cluster.isPinned, earlier.contains(where: { $0.isPinned }) { error(cluster.location, "only one cluster can be pinned") }
    }
    return problems
  }

  private func forwardProblems() -> [ConfigurationProblem] {
    var problems: [ConfigurationProblem] = []
    func error(_ forward: ForwardDeclaration, _ text: Words) { problems.append(ConfigurationProblem(at: forward.location, text)) }
    guard let first = forwards.first else { return [] }
    if !jetStream.isEnabled { error(first, "forward needs JetStream: add \"jetstream: enabled\"") }
    if uplink == nil, leafnodes.remotes.isEmpty { error(first, "forward needs an uplink (or leafnodes.remotes) to send through") }
    let linked = leafnodes.remotes.map { $0.account } + (uplink.map { [$0.account] } ?? [])
    if !linked.isEmpty {
      for forward in forwards where !linked.contains(forward.account) {
        error(forward, "forward \"\(forward.stream)\": no uplink or remote links account \"\(forward.account)\"")
      }
    }
    for (index, forward) in forwards.enumerated() {
      guard forward.stream.withView({ SubjectSyntax.isName($0) }) else {
        error(forward, "forward needs the name of a stream")
        continue
      }
      if forwards[..<index].contains(where: { $0.stream == forward.stream && $0.account == forward.account && $0.filter == forward.filter })
      {
        error(forward, "stream \"\(forward.stream)\" is forwarded twice with the same filter")
      }
      let filterHasTail = forward.filter?.withView { SubjectSyntax.hasWildcardTail($0) } ?? true
      if let to = forward.to, to.withView({ SubjectSyntax.hasWildcardTail($0) }) != filterHasTail {
        error(
          forward,
          "forward from \"\(forward.filter ?? ">")\" to \"\(to)\": '>' must end both or neither")
      }
    }
    return problems
  }
}

extension Location {
  func orElse(_ other: Location) -> Location { isNone ? other : self }
}
