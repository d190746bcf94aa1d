// Password checks on short-lived threads (CLinux/passwords.c), their results on the event loop.
import Bytes
import CLinux

/// Runs a few checks at a time; more wait for their turn.
final class LinuxPasswords: PasswordChecker {
  /// Whoever sends many wrong passwords gets no more of the processor than this.
  static let threadsMax = 2

  private let loop: LinuxLoop
  private var running: [RunningCheck] = []
  private var waiting = PasswordQueue()

  init(loop: LinuxLoop) { self.loop = loop }

  func check(
    _ password: ByteString, against hash: ByteString, from address: [UInt8], done: @escaping (PasswordAnswer) -> Void
  ) -> PasswordCheck {
    let check = PasswordCheck(done: done)
    // A NUL would end the password early and let its head pass for the whole.
    if password.bytes.contains(0) {
      loop.nextTurn { check.finish(.differs) }
      return check
    }
    let source = PasswordQueue.source(of: address)
    if let refused = waiting.add(PasswordQueue.Question(password: password, hash: hash, source: source, check: check)) {
      loop.nextTurn { refused.check.finish(.noRoom) }
    }
    startWaiting()
    return check
  }

  private func startWaiting() {
    while running.count < Self.threadsMax, let question = waiting.next() {
      let terminated = question.hash.bytes + [0]
      let handle = question.password.withView { password in
        terminated.withUnsafeBufferPointer { hash in
          hash.withMemoryRebound(to: CChar.self) { linux_password_check_start(password.base, password.count, $0.baseAddress!) }
        }
      }
      guard let handle else {
        loop.nextTurn { question.check.finish(.noRoom) }
        continue
      }
      let started = RunningCheck(passwords: self, check: question.check, handle: handle)
      guard loop.watch(linux_password_check_fd(handle), Epoll.input, started) else {
        linux_password_check_end(handle)
        loop.nextTurn { question.check.finish(.noRoom) }
        continue
      }
      running.append(started)
    }
  }

  fileprivate func ended(_ check: RunningCheck) {
    loop.unwatch(linux_password_check_fd(check.handle))
    linux_password_check_end(check.handle)
    running.removeAll { $0 === check }
    startWaiting()
  }
}

/// A check on its thread.
private final class RunningCheck: EventSource {
  private let passwords: LinuxPasswords
  private let check: PasswordCheck
  let handle: OpaquePointer

  init(passwords: LinuxPasswords, check: PasswordCheck, handle: OpaquePointer) {
    self.passwords = passwords
    self.check = check
    self.handle = handle
  }

  func ready(_ events: UInt32) {
    let result = linux_password_check_result(handle)
    if result < 0 { return }
    passwords.ended(self)
    check.finish(result == 1 ? .matches : .differs)
  }
}
