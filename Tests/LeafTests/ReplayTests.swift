// All captured links of real servers, replayed against this server in the role of each end.
import Broker
import Bytes
import Compression
import Interest
import JSON
import Platform
import Testing
import Wire

@testable import Leaf

@Suite struct ReplayTests {
  struct Capture: CustomTestStringConvertible, Sendable {
    let folder: String
    /// Of the recorded hub and spoke.
    var hub = LeafCompressionMode.off
    var spoke = LeafCompressionMode.off
    var hubDomain: ByteString = ""
    var spokeDomain: ByteString = ""
    var denyImports: [ByteString] = []
    var denyExports: [ByteString] = []
    var testDescription: String { folder }
  }

  static let captures: [Capture] = [
    Capture(folder: "01_off_plain"),
    Capture(folder: "02_s2_fast", hub: .s2Fast, spoke: .s2Fast),
    Capture(folder: "03_s2_auto", hub: .s2Auto, spoke: .s2Auto),
    Capture(folder: "04_js_domains_source_mirror", hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "05_queues_reqreply_headers"),
    Capture(folder: "06_deny_import_export", denyImports: ["di.>", "dix"], denyExports: ["de.>"]),
    Capture(folder: "14_js_source_workqueue", hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "15_js_domain_client_access", hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "16_hub_2.10.26_spoke_2.15.1", hub: .s2Auto, spoke: .s2Auto, hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "16_hub_2.11.11_spoke_2.15.1", hub: .s2Auto, spoke: .s2Auto, hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "16_hub_2.12.8_spoke_2.15.1", hub: .s2Auto, spoke: .s2Auto, hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "16_hub_2.14.6_spoke_2.15.1", hub: .s2Auto, spoke: .s2Auto, hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "16_hub_2.15.1_spoke_2.10.26", hub: .s2Auto, spoke: .s2Auto, hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "16_hub_2.15.1_spoke_2.12.8", hub: .s2Auto, spoke: .s2Auto, hubDomain: "hub", spokeDomain: "edge"),
    Capture(folder: "20_stream_s2_best", hub: .s2Fast, spoke: .s2Fast),
    Capture(folder: "20_stream_s2_better", hub: .s2Fast, spoke: .s2Fast),
    Capture(folder: "20_stream_s2_fast", hub: .s2Fast, spoke: .s2Fast),
  ]

  @Test("as the hub, this server takes what the recorded spoke says and says what the recorded hub said", arguments: captures)
  func hub(_ capture: Capture) throws {
    let rig = AcceptRig { _, link in
      link.compression = capture.hub
      link.domain = capture.hubDomain
      link.jetStream = !capture.hubDomain.isEmpty
      link.payloadMax = 64 << 20
    }
    let replay = Replay(account: rig.hub.account)
    let (up, down) = (RecordedDirection(), RecordedDirection())
    var isCompressed = false
    let end = rig.dial()
    for chunk in try Vectors.chunks(capture.folder) {
      if chunk.dir == "S>H" {
        end.sendRaw(chunk.bytes)
        try up.operations(in: chunk.bytes) { operation in
          if operation.kind == .info, !isCompressed {
            isCompressed = true
            up.compress()
            down.compress()
            end.compress()
          }
          replay.willReceive(operation)
        }
      } else {
        try down.operations(in: chunk.bytes) { replay.cause($0) }
      }
      rig.run(20 * millisecond_ns)
      replay.heard(end.taken())
      if chunk.dir == "H>S" { replay.settle() }
    }
    #expect(isCompressed == (capture.spoke != .off))
    #expect(end.nonsense == nil && end.closed == nil)
    #expect(replay.missing == [])
    #expect(replay.surplus == [])
    #expect(replay.got.sorted() == replay.expected.sorted())
    #expect(rig.hub.accepted.first?.isEstablished == true)
  }

  @Test("as the spoke, this server takes what the recorded hub says and says what the recorded spoke said", arguments: captures)
  func spoke(_ capture: Capture) throws {
    let chunks = try Vectors.chunks(capture.folder)
    let rig = LeafRig { _ in }
    let replay = Replay(account: rig.account)
    let (up, down) = (RecordedDirection(), RecordedDirection())
    var isCompressed = false
    rig.dial { options in
      options.serverName = "spoke"
      options.compression = capture.spoke
      options.domain = capture.spokeDomain
      options.jetStream = !capture.spokeDomain.isEmpty
      options.denyImports = capture.denyImports
      options.denyExports = capture.denyExports
    }
    let end = rig.hub!
    for chunk in chunks {
      if chunk.dir == "H>S" {
        end.sendRaw(chunk.bytes)
        try down.operations(in: chunk.bytes) { replay.willReceive($0) }
      } else {
        try up.operations(in: chunk.bytes) { operation in
          if operation.kind == .info, !isCompressed {
            isCompressed = true
            up.compress()
            down.compress()
          }
          replay.cause(operation)
        }
      }
      rig.run(20 * millisecond_ns)
      replay.heard(end.taken())
      if chunk.dir == "S>H" { replay.settle() }
    }
    #expect(isCompressed == (capture.spoke != .off))
    #expect(end.nonsense == nil && rig.failure == nil)
    #expect(replay.missing == [])
    #expect(replay.surplus == [])
    #expect(replay.got.sorted() == replay.expected.sorted())
    #expect(rig.link?.isEstablished == true)
  }
}
