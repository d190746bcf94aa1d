// The seam for passwords that are stored as bcrypt hashes: to check one takes a processor long enough that the loop must not wait for it.
import Bytes

/// A check that is under way or waits for its turn.
public final class PasswordCheck {
  fileprivate(set) var done: ((Bool) -> Void)?

  init(done: @escaping (Bool) -> Void) { self.done = done }

  /// Nobody wants to know any more.
  public func cancel() { done = nil }

  /// Tells the result, unless cancelled.
  func finish(_ matches: Bool) {
    let done = self.done
    self.done = nil
    done?(matches)
  }

  var isCancelled: Bool { done == nil }
}

/// Checks passwords against hashes.
public protocol PasswordChecker: AnyObject {
  /// Whether `hash` (bcrypt, 60 characters) is one of `password`. `done` is called once, in a later turn, unless cancelled.
  func check(_ password: ByteString, against hash: ByteString, done: @escaping (Bool) -> Void) -> PasswordCheck
}
