// Division that rounds down, also below zero: for times before 1970.

extension Int64 {
  @inline(__always) public func floorDivided(by divisor: Int64) -> Int64 {
    let quotient = self / divisor
    return self % divisor < 0 ? quotient - 1 : quotient
  }

  /// From 0 up to but not including `divisor`.
  @inline(__always) public func floorModulo(_ divisor: Int64) -> Int64 { self - floorDivided(by: divisor) * divisor }
}
