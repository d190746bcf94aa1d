// The shipping build's malloc and memory functions, which the ordinary build has under names of their own.
import CLinux
import Testing

@Suite("the shipping build's heap")
struct HeapTests {
  /// A small generator of our own, so that a failure names the seed that shows it again.
  struct Dice {
    var state: UInt64
    mutating func roll(_ sides: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % sides
    }
  }

  @Test("blocks of every size keep their bytes while others come and go", arguments: 1...8)
  func blocksKeepTheirBytes(seed: UInt64) {
    var dice = Dice(state: seed)
    var blocks: [(start: UnsafeMutableRawPointer, size: Int, fill: UInt8)] = []
    func check(_ block: (start: UnsafeMutableRawPointer, size: Int, fill: UInt8), upTo size: Int) {
      let bytes = UnsafeRawBufferPointer(start: block.start, count: min(block.size, size))
      #expect(bytes.allSatisfy { $0 == block.fill })
    }
    for _ in 0..<6000 {
      let size = [dice.roll(200), dice.roll(9000), dice.roll(9000), dice.roll(300_000)][dice.roll(4) & dice.roll(4)]
      let fill = UInt8(truncatingIfNeeded: dice.roll(256))
      switch dice.roll(5) {
      case 0, 1:
        let alignment = 16 << (dice.roll(2) * dice.roll(7))
        var start: UnsafeMutableRawPointer?
        #expect(linux_heap_posix_memalign(&start, alignment, size) == 0)
        #expect(UInt(bitPattern: start!) % UInt(alignment) == 0)
        start!.initializeMemory(as: UInt8.self, repeating: fill, count: size)
        blocks.append((start!, size, fill))
      case 2 where !blocks.isEmpty:
        let index = dice.roll(blocks.count)
        let block = blocks[index]
        let moved = linux_heap_realloc(block.start, size)!
        check((moved, block.size, block.fill), upTo: size)
        moved.initializeMemory(as: UInt8.self, repeating: fill, count: size)
        blocks[index] = (moved, size, fill)
      case 3, 4:
        guard !blocks.isEmpty else { continue }
        let block = blocks.remove(at: dice.roll(blocks.count))
        check(block, upTo: block.size)
        linux_heap_free(block.start)
      default: break
      }
    }
    for block in blocks {
      check(block, upTo: block.size)
      linux_heap_free(block.start)
    }
    linux_release_kept_memory()
  }

  @Test("cleared memory is zero though it was used before")
  func clearedMemoryIsZero() {
    for size in [1, 100, 5000, 70_000] {
      let used = linux_heap_malloc(size)!
      used.initializeMemory(as: UInt8.self, repeating: 0xaa, count: size)
      linux_heap_free(used)
      let cleared = linux_heap_calloc(1, size)!
      #expect(UnsafeRawBufferPointer(start: cleared, count: size).allSatisfy { $0 == 0 })
      linux_heap_free(cleared)
    }
  }

  @Test("a request that cannot be met gets nothing, and freeing nothing is allowed")
  func impossibleRequests() {
    #expect(linux_heap_malloc(Int.max) == nil)
    #expect(linux_heap_calloc(Int.max, 16) == nil)
    #expect(linux_heap_aligned_alloc(1 << 20, 16) == nil)
    var start: UnsafeMutableRawPointer?
    #expect(linux_heap_posix_memalign(&start, 24, 16) == EINVAL)
    linux_heap_free(nil)
    let empty = linux_heap_malloc(0)
    #expect(empty != nil)
    linux_heap_free(empty)
  }

  @Test("comparing gives the sign that the C library gives")
  func comparing() {
    var dice = Dice(state: 1)
    var left = [UInt8](repeating: 7, count: 300)
    for _ in 0..<4000 {
      var right = left
      if dice.roll(4) > 0 { right[dice.roll(300)] = UInt8(dice.roll(256)) }
      left[dice.roll(300)] = UInt8(dice.roll(256))
      let count = dice.roll(300)
      #expect(linux_fast_memcmp(left, right, count).signum() == memcmp(left, right, count).signum())
    }
  }

  #if arch(x86_64)
    @Test("moving gives what the C library gives, whatever overlaps")
    func moving() {
      var dice = Dice(state: 2)
      var ours = (0..<8192).map { _ in UInt8(dice.roll(256)) }
      for _ in 0..<20_000 {
        let size = dice.roll(3) > 0 ? dice.roll(200) : dice.roll(3000)
        let (from, to) = dice.roll(2) > 0 ? (3000 + dice.roll(64), 3000 + dice.roll(64)) : (dice.roll(5000), dice.roll(5000))
        var theirs = ours
        ours.withUnsafeMutableBytes { _ = linux_fast_memmove($0.baseAddress! + to, $0.baseAddress! + from, size) }
        theirs.withUnsafeMutableBytes { _ = memmove($0.baseAddress! + to, $0.baseAddress! + from, size) }
        #expect(ours == theirs)
      }
    }
  #endif
}
