// The handshake of TLS on a connection whose next words are not the leaf protocol's, but HTTP's.
import Bytes
import Platform

/// Waits until a stream is inside TLS, and lets go of it.
final class LeafTLSOpening: ByteStreamDelegate {
  private let stream: TLSStream
  /// Called once, unless cancelled: whoever gets the stream must set its delegate, or close it.
  private var done: ((Result<TLSStream, LeafFailure>) -> Void)?

  init(_ stream: TLSStream, done: @escaping (Result<TLSStream, LeafFailure>) -> Void) {
    self.stream = stream
    self.done = done
    stream.delegate = self
    stream.start()
  }

  /// Gives up: the stream is closed, `done` is not called any more.
  func cancel() {
    done = nil
    stream.close()
  }

  func secured(_ stream: ByteStream) { finish(.success(self.stream)) }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int { bytes.count }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    stream.delegate = nil
    switch reason {
    case .tls(let error): finish(.failure(.tls(error)))
    case .failed(let error): finish(.failure(.network(error)))
    case .peerClosed, .closedHere, .outputOverflow, .writeDeadline: finish(.failure(.closedByPeer))
    }
  }

  private func finish(_ result: Result<TLSStream, LeafFailure>) {
    let done = self.done
    self.done = nil
    done?(result)
  }
}
