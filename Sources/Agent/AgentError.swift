// Why an agent cannot start, with what to do about it.
import Bytes
import Configuration
import LogStore
import Platform

/// Why an agent cannot start.
public enum AgentError: Error, Equatable {
  case address(String)
  case listen(String, NetworkError)
  case monitoring(String, NetworkError)
  case webSocket(String, NetworkError)
  case store(String, StoreError)
  case storeDirectory(DiskError)
  case stream(String)
  case forward(String)
  case uplink(String)
  case file(String, DiskError)
  /// The `tls` block at a place in the configuration.
  case tls(Location, TLSError)

  public var text: String { words.string }

  private var words: Words {
    switch self {
    case .address(let text): "cannot listen on \"\(text)\": not an address of this machine. Use an IPv4 or IPv6 address, 0.0.0.0 or ::"
    case .listen(let address, .addressInUse):
      "Error listening on \(address): address already in use. Is another server running? Choose another port with -p"
    case .listen(let address, .permission): "Error listening on \(address): permission denied. Ports below 1024 need privileges"
    case .listen(let address, let error): "Error listening on \(address): \(error)"
    case .monitoring(let address, .addressInUse):
      "Error listening for monitoring on \(address): address already in use. Choose another port with -m"
    case .monitoring(let address, let error): "Error listening for monitoring on \(address): \(error)"
    case .webSocket(let address, let error): "Error listening for WebSocket clients on \(address): \(error)"
    case .store(let directory, .locked):
      "the store in \(directory) is in use by another process. Stop it, or give this one its own store_dir"
    case .store(let directory, .readOnly):
      "cannot open the store in \(directory): permission denied. It must be writable for the user that petiole runs as, on a file system that is not mounted read-only"
    case .storeDirectory(let error) where error.kind == .permission || error.kind == .readOnly:
      "cannot use the store directory \(error.path): permission denied. It must be writable for the user that petiole runs as, on a file system that is not mounted read-only"
    case .storeDirectory(let error) where error.kind == .exists:
      "cannot use the store directory \(error.path): the storage directory is not a directory. Move that file away, or name another store_dir"
    case .store(let directory, let error): "cannot open the store in \(directory): \(error)"
    case .storeDirectory(let error): "cannot use the store directory \(error.path): \(error.operation) failed: \(error.kind)"
    case .stream(let text): "stream \(text)"
    case .forward(let text): "forward \(text)"
    case .uplink(let text): "uplink \(text)"
    case .tls(let location, let error): location.isNone ? "tls: \(error.text)" : "\(location.text): tls: \(error.text)"
    case .file(let path, let error): "cannot write \(path): \(error.kind)"
    }
  }
}
