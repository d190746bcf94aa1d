// A connection of the simulation without any protocol: bytes as they are on the wire.
import Bytes
import Platform

final class Wire: ByteStreamDelegate {
  let stream: ByteStream
  private(set) var bytes: [UInt8] = []
  private(set) var isClosed = false
  private var taken = 0

  init(_ stream: ByteStream) {
    self.stream = stream
    stream.delegate = self
  }

  func received(_ bytes: ByteView, on stream: ByteStream) -> Int {
    self.bytes.append(bytes)
    return bytes.count
  }

  func closed(_ stream: ByteStream, reason: CloseReason) {
    isClosed = true
    stream.delegate = nil
  }

  func send(_ bytes: [UInt8]) {
    if stream.isClosed { return }
    stream.output.append(bytes)
    stream.wantsFlush()
  }

  /// What came since it was last asked.
  func take() -> [UInt8] {
    defer { taken = bytes.count }
    return Array(bytes[taken...])
  }
}

extension AcceptRig {
  /// Connects, and says nothing.
  func wire(port: UInt16 = 7422) -> Wire {
    var wire: Wire!
    let address = SocketAddress(address: hub.machine.address, port: port)
    _ = simulation.machine("wire").host.network.connect(address, timeout_ns: second_ns) { result in
      guard case .success(let stream) = result else { preconditionFailure("the hub does not listen") }
      wire = Wire(stream)
    }
    run()
    return wire
  }
}
