// Reading of a link whose directions are compressed. Little that is compressed can become very much: a loop turn makes only so much of it,
// and the rest waits compressed for the next one, while nothing more is read.
import Bytes
import Compression
import Platform
import Wire

extension LeafLink {
  /// What a turn decompresses, but for the chunk that goes beyond it.
  private static let decompressedMax = 256 * 1024

  /// Takes all of `bytes`: what is too much for this turn is kept.
  func receiveCompressed(_ bytes: ByteView, _ decoder: LeafDecoder) {
    // What came before goes first.
    guard compressedInput.isEmpty else { return compressedInput.append(bytes) }
    let used = decompress(bytes, decoder)
    guard used < bytes.count, !isEnded else { return }
    compressedInput = bytes.dropFirst(used).bytes
    // Whoever is being judged is read again when that is done.
    if !isWaiting { goOnLater() }
  }

  /// Decompresses chunk by chunk, as far as this turn goes; operations that are whole within a chunk are handled in place. Returns how many
  /// of the compressed bytes were used.
  private func decompress(_ bytes: ByteView, _ decoder: LeafDecoder) -> Int {
    var rest = bytes
    var made = 0
    do throws(LeafDecoder.Failure) {
      while !isEnded, !isWaiting, made < Self.decompressedMax, let chunk = try decoder.next(&rest, scratch: scratch) {
        made += chunk.count
        if plainInput.isEmpty {
          let used = receivePlain(chunk)
          if used < chunk.count, !isEnded { plainInput.append(chunk.dropFirst(used)) }
        } else {
          plainInput.append(chunk)
          receivePlainInput()
        }
        // Before the link works nothing is longer than a control line, and a solicitor that is being judged has nothing more to say.
        if !isReady, plainInput.count > parser.lineMax { refuse(ProtocolViolation.controlLineTooLong) }
        if !isEnded, output.pending > options.pendingMax { end(.outputOverflow) }
      }
    } catch {
      host.log.error("leafnode \(remote) - compressed stream: \(error.text)")
      end(.compressionCorrupt)
    }
    return bytes.count - rest.count
  }

  private func receivePlainInput() {
    let used = plainInput.withView { receivePlain($0) }
    if used == plainInput.count || isEnded { plainInput = [] } else { plainInput.removeFirst(used) }
  }

  func pauseReading() { stream.setReading(false) }

  /// Goes on where reading stopped; what has come meanwhile follows.
  func resumeReading() {
    guard !isEnded, !isWaiting else { return }
    if !plainInput.isEmpty { receivePlainInput() }
    if let decoder, !compressedInput.isEmpty, !isEnded {
      let input = compressedInput
      compressedInput = []
      let used = input.withView { decompress($0, decoder) }
      if used < input.count, !isEnded { compressedInput = [UInt8](input[used...]) }
    }
    guard !isEnded, !isWaiting else { return }
    if compressedInput.isEmpty { stream.setReading(true) } else { goOnLater() }
  }

  /// The next turn goes on, whether or not anything comes from the network.
  private func goOnLater() {
    pauseReading()
    host.after(0, readTimer) { [unowned(unsafe) self] in self.resumeReading() }  // safe: cancelled in `end`
  }
}
