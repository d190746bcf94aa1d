// What a configuration may cost at most. A file is written by a person, but may be broken, hostile or not a configuration at all.

public enum ConfigurationLimits {
  /// Bytes of one file: a thousand times what a real gateway needs, and small enough to be read at once.
  public static let fileBytesMax = 1 << 20
  /// Files included in one another; a file that includes itself is found by its name before this.
  public static let includeDepthMax = 16
  /// Files read for one configuration.
  public static let filesMax = 256
  /// Maps and arrays in one another, across includes: bounds the parser's recursion.
  public static let nestingDepthMax = 64
  /// Values in the whole tree, with referenced variables counted each time: bounds memory, and variables that multiply.
  public static let valuesMax = 100_000
  /// Environment variables that refer to one another.
  public static let environmentDepthMax = 16
}
