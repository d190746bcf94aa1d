// How hard a sender tries. Receivers do not care: every level is the same format.

/// What an encoder does with a chunk.
public enum CompressionLevel: Equatable, Sendable {
  /// Frames the bytes as they are (`s2_uncompressed`): for links where bandwidth is no concern.
  case uncompressed
  /// One hash table, one candidate a position (`s2_fast`).
  case fast
  /// Two hash tables, for long matches and for short ones (`s2_better`).
  case better
  /// Chains of candidates, of which the one that saves most is taken (`s2_best`).
  case best
}
