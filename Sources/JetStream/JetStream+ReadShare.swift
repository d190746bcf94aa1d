// How much may be read in one turn of the loop to count and to search, by everybody together: so that many consumers that count, or many
// requests that search, do not hold up the others.
import Platform

extension JetStream {
  /// So many messages are read in one turn to count and to search, by all who do.
  private static let readsPerTurn = 8192

  /// How many of `wanted` messages may be read in this turn.
  func readShare(_ wanted: Int) -> Int {
    if readsLeft == nil {
      readsLeft = JetStream.readsPerTurn
      host.turn.defer { [unowned(unsafe) self] in readsLeft = nil }  // it lives as long as its host
    }
    return min(wanted, readsLeft ?? 0)
  }

  func hasRead(_ count: Int) { readsLeft = max((readsLeft ?? 0) - count, 0) }
}
