// Platform's errors in words. Embedded Swift cannot print an enum by its cases' names.
import Bytes

extension NetworkError: CustomStringConvertible {
  public var description: String { words.string }

  private var words: Words {
    switch self {
    case .addressInUse: "address already in use"
    case .addressNotAvailable: "address not available on this machine"
    case .permission: "permission denied"
    case .refused: "connection refused"
    case .unreachable: "network unreachable"
    case .timedOut: "timed out"
    case .reset: "connection reset"
    case .nameNotFound(let name): "no such host \(name)"
    case .nameServerFailed(let name): "no name server answers for \(name)"
    case .tooManyFiles: "too many open files"
    case .malformed: "the peer sent what cannot be read"
    case .other(let number): "error \(number)"
    }
  }
}

extension DiskError.Kind: CustomStringConvertible {
  public var description: String { words.string }

  private var words: Words {
    switch self {
    case .notFound: "not found"
    case .exists: "is there already"
    case .permission: "permission denied"
    case .noSpace: "no space left on the device"
    case .readOnly: "read-only file system"
    case .locked: "locked by another process"
    case .notADirectory: "not a directory"
    case .inputOutput: "input/output error"
    case .tooLarge: "too large"
    case .other(let number): "error \(number)"
    }
  }
}

extension DiskError: CustomStringConvertible {
  public var description: String { ("\(operation) \(path): \(kind)" as Words).string }
}
