// The store's errors in words.
import Bytes
import Platform

extension StoreError: CustomStringConvertible {
  public var description: String { words.string }

  private var words: Words {
    switch self {
    case .locked(let path): "\(path) is in use by another process"
    case .readOnly(let path): "\(path) cannot be written"
    case .incompatible(let path, let version): "\(path) has format version \(version), which this program does not know"
    case .disk(let error): "\(error)"
    case .full: "no room for messages"
    case .failed: "the disk has failed"
    case .busy: "too much waits for the disk"
    case .tooLarge: "the message is too large"
    case .outOfOrder(let sequence, let last): "sequence \(sequence) is not above the last one, \(last)"
    case .damaged(let sequence): "message \(sequence) is damaged on the medium"
    }
  }
}
