// What two ends say of themselves in INFO and CONNECT, compared as far as it is determined by what they are and what they were told.
import Bytes
import JSON

@testable import Leaf

enum ReplayFacts {
  /// Members of INFO that no fact determines, or that are this server's own.
  private static let ownInInfo: Set<String> = [
    // Who this server is, how it was built, and where it listens.
    "server_id", "git_commit", "go", "host", "port", "ip", "leafnode_urls",
    // Made for each connection. (The nonce's length is checked.)
    "nonce", "client_id",
    // This server is as one of 2.10 here: it passes no traces on.
    "proto",
    // What only another of this server understands.
    "petiole_compression",
  ]
  /// Likewise of CONNECT.
  private static let ownInConnect: Set<String> = ["server_id", "protocol"]
  /// What an older server says otherwise.
  private static let ofRelease: Set<String> = ["version", "api_lvl"]

  /// Each member that differs and should not. `sameRelease`: the recorded server is of the release that this one says it is.
  static func differences(_ ours: String, _ theirs: String, sameRelease: Bool = true, except more: Set<String> = []) -> [String] {
    guard let own = fields(ours), let recorded = fields(theirs) else { return ["cannot be read: \(ours) or \(theirs)"] }
    let isInfo = theirs.hasPrefix("INFO ")
    guard ours.hasPrefix("INFO ") == isInfo else { return ["\(ours.prefix(8)) where \(theirs.prefix(8)) was recorded"] }
    var ignored = (isInfo ? ownInInfo : ownInConnect).union(more)
    if !sameRelease { ignored.formUnion(ofRelease) }
    var found: [String] = []
    var names: [String] = []
    for member in (own.object ?? []) + (recorded.object ?? []) where !names.contains(member.name.string) {
      names.append(member.name.string)
    }
    for name in names where !ignored.contains(name) {
      let (mine, theirs) = (member(name, of: own), member(name, of: recorded))
      if mine != theirs { found.append("\(name): \(shown(mine)) where \(shown(theirs)) was recorded") }
    }
    if isInfo, recorded["nonce"]?.string?.count != own["nonce"]?.string?.count { found.append("the nonce's length") }
    return found
  }

  private static func member(_ name: String, of value: JSONValue) -> JSONValue? {
    value.object?.first { $0.name == ByteString(name) }?.value
  }

  private static func shown(_ value: JSONValue?) -> String { value.map { "\($0)" } ?? "nothing" }
}

extension Replay {
  /// Every introduction against the recorded one in its place.
  func introductionDifferences(sameRelease: Bool, except more: Set<String> = []) -> [String] {
    guard introductions.count == recordedIntroductions.count else {
      return ["\(introductions.count) introductions where \(recordedIntroductions.count) were recorded"]
    }
    return zip(introductions, recordedIntroductions).flatMap {
      // The request to compress says nothing else in this server's words; a real one adds its empty members (section 3.3).
      isRequest($1)
        ? (fields($0)?["compression"] == fields($1)?["compression"] ? [] : ["another compression is asked for"])
        : ReplayFacts.differences($0, $1, sameRelease: sameRelease, except: more)
    }
  }

  private func isRequest(_ line: String) -> Bool { line.hasPrefix("INFO ") && fields(line)?["server_id"]?.string?.isEmpty != false }
}
