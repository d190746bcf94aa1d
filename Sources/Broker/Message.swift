// A message on its way through the router: views into whoever published it.
import Bytes

/// A message being routed. All views are valid during the call that hands it over; whoever keeps it copies.
public struct Message {
  /// What interest is matched against.
  public var subject: ByteView
  /// Where an answer goes; empty when none is wanted.
  public var reply = ByteView()
  /// The header block, empty when there is none.
  public var headers = ByteView()
  public var payload = ByteView()
  /// The subject that subscribers see, where it is not the one that is matched: a stored message on its way to a consumer's
  /// deliver subject or a pull's inbox. Empty when it is the same.
  public var presentedSubject = ByteView()

  @inline(__always) public init(
    subject: ByteView, reply: ByteView = ByteView(), headers: ByteView = ByteView(), payload: ByteView = ByteView(),
    presentedSubject: ByteView = ByteView()
  ) {
    self.subject = subject
    self.reply = reply
    self.headers = headers
    self.payload = payload
    self.presentedSubject = presentedSubject
  }

  @inline(__always) public var size: Int { headers.count + payload.count }
  /// The subject as subscribers see it.
  @inline(__always) public var shownSubject: ByteView { presentedSubject.isEmpty ? subject : presentedSubject }
}
