// What monitoring looks at.
import Broker
import Bytes
import JetStream
import Leaf
import LogStore
import Platform
import Uplink

/// The agent, as monitoring sees it.
public protocol MonitorSource: AnyObject {
  var host: Host { get }
  var broker: Broker { get }
  /// JetStream of each account that has it.
  var jetStreams: [JetStream] { get }
  /// What they have in common; nil: there is no JetStream.
  var jetStreamOptions: JetStream.Options? { get }
  var store: LogStore? { get }
  var uplink: UplinkSupervisor? { get }
  /// The leaf links that work, dialled and accepted.
  var links: [LeafLink] { get }
  var leafListener: LeafListener? { get }
  var forwarders: [Forwarder] { get }
  var startedWall_ns: Int64 { get }
  var startedMonotonic_ns: Int64 { get }
}
