// The seam for passwords that are stored as bcrypt hashes: to check one takes a processor long enough that the loop must not wait for it.
import Bytes

/// What came of a check.
public enum PasswordAnswer {
  case matches, differs
  /// It was not looked at: too many wait already.
  case noRoom
}

/// A check that is under way or waits for its turn.
public final class PasswordCheck {
  private var done: ((PasswordAnswer) -> Void)?

  public init(done: @escaping (PasswordAnswer) -> Void) { self.done = done }

  /// Nobody wants to know any more.
  public func cancel() { done = nil }

  /// Tells the answer, unless cancelled.
  public func finish(_ answer: PasswordAnswer) {
    let done = self.done
    self.done = nil
    done?(answer)
  }

  public var isCancelled: Bool { done == nil }
}

/// Checks passwords against hashes.
public protocol PasswordChecker: AnyObject {
  /// Whether `hash` (bcrypt, 60 characters) is one of `password`, which came from `address`. `done` is called once, in a later turn,
  /// unless cancelled.
  func check(
    _ password: ByteString, against hash: ByteString, from address: [UInt8], done: @escaping (PasswordAnswer) -> Void
  ) -> PasswordCheck
}
