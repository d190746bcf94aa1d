// Password checks on the spot: for the simulation, where only simulated time passes, and for commands that serve nobody.
import Bytes
import CLinux

final class InlinePasswords: PasswordChecker {
  /// Tells a result, later.
  private let later: (@escaping () -> Void) -> Void

  init(later: @escaping (@escaping () -> Void) -> Void) { self.later = later }

  func check(
    _ password: ByteString, against hash: ByteString, from address: [UInt8], done: @escaping (PasswordAnswer) -> Void
  ) -> PasswordCheck {
    let check = PasswordCheck(done: done)
    let terminated = hash.bytes + [0]
    let matches = password.withView { password in
      terminated.withUnsafeBufferPointer { hash in
        hash.withMemoryRebound(to: CChar.self) { linux_password_matches(password.base, password.count, $0.baseAddress!) }
      }
    }
    later { check.finish(matches == 1 ? .matches : .differs) }
    return check
  }
}
