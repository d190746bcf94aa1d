// The subscriptions of one client by sid: a short array for most, a hash table for those with many.
import Bytes

struct SubscriptionTable {
  /// Up to so many are searched one by one.
  private static let scanMax = 16

  private var few: [Subscription] = []
  private var many: ByteMap<Subscription>?

  var count: Int { many?.count ?? few.count }

  subscript(_ sid: ByteView) -> Subscription? {
    if let many { return many[sid] }
    for subscription in few where subscription.sid == sid { return subscription }
    return nil
  }

  mutating func add(_ subscription: Subscription) {
    if many != nil {
      many!.set(subscription.sid, subscription)
    } else if few.count < Self.scanMax {
      few.append(subscription)
    } else {
      var map = ByteMap<Subscription>()
      for old in few { map.set(old.sid, old) }
      map.set(subscription.sid, subscription)
      many = map
      few = []
    }
  }

  mutating func remove(_ subscription: Subscription) {
    if many != nil {
      many!.remove(subscription.sid)
    } else if let index = few.firstIndex(where: { $0 === subscription }) {
      few.remove(at: index)
    }
  }

  func forEach(_ body: (Subscription) -> Void) {
    if let many {
      many.forEach { _, subscription in body(subscription) }
    } else {
      for subscription in few { body(subscription) }
    }
  }

  mutating func removeAll() {
    few = []
    many = nil
  }
}
