// From errno to the errors of the seams, and addresses to C and back.
import Bytes
import CLinux

extension NetworkError {
  init(errno code: Int32) {
    switch code {
    case EADDRINUSE: self = .addressInUse
    case EADDRNOTAVAIL: self = .addressNotAvailable
    case EACCES, EPERM: self = .permission
    case ECONNREFUSED: self = .refused
    case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EAFNOSUPPORT: self = .unreachable
    case ETIMEDOUT: self = .timedOut
    case ECONNRESET, EPIPE, ECONNABORTED: self = .reset
    case EMFILE, ENFILE: self = .tooManyFiles
    default: self = .other(code)
    }
  }
}

extension DiskError {
  init(errno code: Int32, operation: StaticString, path: String) {
    let kind: Kind
    switch code {
    case ENOENT: kind = .notFound
    case EEXIST: kind = .exists
    case EACCES, EPERM: kind = .permission
    case ENOSPC, EDQUOT: kind = .noSpace
    case EROFS: kind = .readOnly
    case EWOULDBLOCK: kind = .locked
    case ENOTDIR: kind = .notADirectory
    case EIO: kind = .inputOutput
    default: kind = .other(code)
    }
    self.init(kind, operation: operation, path: path)
  }
}

extension SocketAddress {
  init(_ raw: linux_address) {
    let bytes = withUnsafeBytes(of: raw.bytes) { [UInt8]($0.prefix(Int(raw.size))) }
    self.init(address: bytes, port: raw.port)
  }

  var raw: linux_address {
    var raw = linux_address()
    raw.size = Int32(address.count)
    raw.port = port
    withUnsafeMutableBytes(of: &raw.bytes) { target in
      for index in 0..<address.count { target[index] = address[index] }
    }
    return raw
  }

  /// Whether it stands for every address of the machine.
  public var isWildcard: Bool { address.allSatisfy { $0 == 0 } }
}
