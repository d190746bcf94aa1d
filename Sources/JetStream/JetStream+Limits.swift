// Limits of an account's JetStream: what its streams and consumers may ask for, and what they may hold.
import Bytes
import Identity

extension JetStream {
  /// What the account's streams and consumers may use: all have one replica here.
  var limits: JetStreamLimits? {
    if grant.tiers.isEmpty { return grant.limits }
    return grant.tiers.first { $0.name.equals("R1") }?.limits
  }

  func applicableLimits() throws(APIError) -> JetStreamLimits {
    guard let limits else { throw APIError(400, 10120, "no JetStream default or applicable tiered limit present") }
    return limits
  }

  /// Whether the account and the server have room for a stream, as far as it says how large it may become (section 4.2).
  func checkAccountLimits(_ config: StreamConfig, replacing old: StreamConfig?) throws(APIError) {
    let limits = try applicableLimits()
    if old == nil, limits.streamsMax > 0, streamCount >= limits.streamsMax {
      throw APIError(400, 10027, "maximum number of streams reached")
    }
    if limits.consumersMax > 0, config.maxConsumers > limits.consumersMax {
      throw APIError(400, 10026, "maximum consumers limit reached")
    }
    let isMemory = config.storage == .memory
    // Whoever does not say takes something at least.
    let wanted = config.maxBytes > 0 ? config.maxBytes : 1
    let before = old.map { $0.maxBytes > 0 ? $0.maxBytes : 0 } ?? 0
    if old != nil, wanted <= max(before, 1) { return }
    let account = isMemory ? limits.memoryMax_bytes : limits.storeMax_bytes
    let server = isMemory ? options.maxMemory : options.maxStore
    let ofAccount = isMemory ? reserved.memory : reserved.storage
    let ofServer = isMemory ? self.server.reserved.memory : self.server.reserved.storage
    let fits = Self.fits(wanted, account, ofAccount - before) && Self.fits(wanted, server, ofServer - before)
    if fits { return }
    throw isMemory
      ? APIError(500, 10028, "insufficient memory resources available") : APIError(500, 10047, "insufficient storage resources available")
  }

  private static func fits(_ wanted: Int64, _ limit: Int64, _ reserved: Int64) -> Bool {
    limit < 0 || (reserved <= limit && wanted <= limit - reserved)
  }

  /// Whether a stream says how large it may become, where it must, and asks for no more than one stream may.
  func checkMaxBytes(_ config: StreamConfig) throws(APIError) {
    let limits = try applicableLimits()
    if limits.requiresMaxBytes, config.maxBytes <= 0 {
      throw APIError(400, 10113, "account requires a stream config to have max bytes set")
    }
    let most = config.storage == .memory ? limits.memoryStreamMax_bytes : limits.storeStreamMax_bytes
    if most > 0, config.maxBytes > most { throw APIError(400, 10122, "stream max bytes exceeds account limit max stream bytes") }
  }

  /// Whether the account may hold a message of `size` accounted bytes more. The sum over its streams is made anew only when what was
  /// left of it the last time is used up, as if nothing had been removed since.
  func hasRoom(for size: Int, isFile: Bool) -> Bool {
    guard let limits else { return false }
    let limit = isFile ? limits.storeMax_bytes : limits.memoryMax_bytes
    guard limit >= 0 else { return true }
    if isFile {
      if storeRoom_bytes < size { storeRoom_bytes = limit - usage.storage }
      guard storeRoom_bytes >= size else { return false }
      storeRoom_bytes -= Int64(size)
      return true
    }
    return Int64(memoryUse.bytes) + Int64(size) <= limit
  }

  /// Other limits are in force.
  public func limit(to new: JetStreamGrant) {
    grant = new
    storeRoom_bytes = 0
  }
}
