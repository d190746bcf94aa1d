// What all leaf links of a server share.
import Broker
import Bytes
import Compression
import Platform

/// One per server.
public final class LeafShared {
  /// The links that work, dialled and accepted, in the order in which they came.
  public private(set) var links: [LeafLink] = []
  /// Tables of the compressor: too large to have one for each link.
  public let scratch = S2Scratch()
  private var held: [HeldSubjects] = []

  /// What forwarders keep from the links of an account.
  public func held(in account: Account) -> HeldSubjects {
    if let known = held.first(where: { $0.account === account }) { return known }
    let made = HeldSubjects(account)
    held.append(made)
    return made
  }

  public init() {}

  func add(_ link: LeafLink) { links.append(link) }
  func remove(_ link: LeafLink) { links.removeAll { $0 === link } }

  /// A mark (`$LDS.…`) for a new link. One that comes back to any link of the same account means that the other end is reachable by two
  /// ways (leafnode-protocol.md section 9.5). Each link has a mark of its own, so that one which a hub has not forgotten yet is no loop.
  static func newLoopMark(_ entropy: any Entropy) -> ByteString { ByteString([UInt8]("$LDS.".utf8) + entropy.name(22)) }

  func isLoopMark(_ subject: ByteView, of account: Account) -> Bool {
    links.contains { $0.account === account && $0.loopSubject == subject }
  }
}

/// What forwarders carry and what therefore does not go over the links of their account as well.
public final class HeldSubjects {
  public let account: Account
  /// Not live to the hub.
  public var outbound: [ByteString] = []
  /// Not back from the hub, because it would be forwarded to it again.
  public var inbound: [ByteString] = []

  init(_ account: Account) { self.account = account }
}
