// Reads a file as the parser wants it: whole, with a size limit. Tests give the parser a closure instead.
import Bytes
import CLinux

/// Why a configuration file could not be read.
public enum FileReadError: Error, Equatable, Sendable {
  case notFound
  case permission
  case isDirectory
  /// Larger than `ConfigurationLimits.fileBytesMax`.
  case tooLarge
  /// Another errno.
  case system(Int32)

  var text: Words {
    switch self {
    case .notFound: "no such file or directory"
    case .permission: "permission denied"
    case .isDirectory: "is a directory"
    case .tooLarge: "larger than \(ConfigurationLimits.fileBytesMax) bytes"
    case .system(let code): "error \(Int(code))"
    }
  }
}

public enum ConfigurationFile {
  /// Gives the bytes of the file at a path.
  public typealias Reader = (_ path: String) -> Result<[UInt8], FileReadError>
  /// Gives the text of an environment variable.
  public typealias Environment = (_ name: ByteString) -> [UInt8]?

  /// Reads the file at `path` from the file system, up to `ConfigurationLimits.fileBytesMax` bytes. Blocks: for use before the
  /// event loop runs and at a reload.
  public static func read(_ path: String) -> Result<[UInt8], FileReadError> {
    let file = linux_open(path, O_RDONLY | O_CLOEXEC, 0)
    guard file >= 0 else { return .failure(failure(linux_errno())) }
    defer { close(file) }
    var bytes: [UInt8] = []
    // One byte more than the limit tells a file that is too large from one that just fits.
    let capacity = 64 << 10
    let chunk = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    defer { chunk.deallocate() }
    while bytes.count <= ConfigurationLimits.fileBytesMax {
      let got = CLinux.read(file, chunk, capacity)
      if got == 0 { return .success(bytes) }
      if got < 0 {
        let code = linux_errno()
        if code == EINTR { continue }
        return .failure(failure(code))
      }
      bytes.append(contentsOf: UnsafeBufferPointer(start: chunk, count: got))
    }
    return .failure(.tooLarge)
  }

  /// The value of an environment variable of this process.
  public static func environment(_ name: ByteString) -> [UInt8]? {
    // getenv looks for the bytes up to a NUL, and "=" would match the head of another variable's text.
    guard !name.isEmpty, !name.bytes.contains(0), !name.bytes.contains(0x3D) else { return nil }
    return (name.bytes + [0]).withUnsafeBufferPointer { buffer -> [UInt8]? in
      buffer.withMemoryRebound(to: CChar.self) { text -> [UInt8]? in
        guard let value = getenv(text.baseAddress!) else { return nil }
        let length = strlen(value)
        return value.withMemoryRebound(to: UInt8.self, capacity: length + 1) {
          [UInt8](UnsafeBufferPointer(start: $0, count: length))
        }
      }
    }
  }

  private static func failure(_ code: Int32) -> FileReadError {
    switch code {
    case ENOENT, ENOTDIR: .notFound
    case EACCES, EPERM: .permission
    case EISDIR: .isDirectory
    default: .system(code)
    }
  }
}
