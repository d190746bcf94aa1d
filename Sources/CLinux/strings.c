// Copying and comparing short pieces of memory, for the shipping build only. A broker copies a few dozen bytes millions of times a
// second; musl's x86-64 memcpy begins each copy with a `rep` instruction, which costs more than the copy, and its memcmp goes byte
// by byte on every architecture. (Its ARM memcpy is Arm's own and stays.)
#include "CLinux.h"

#ifdef PETIOLE_EMBEDDED
#define NAME(function) function
#else
// The ordinary build keeps its C library's; tests reach ours by these names.
#define NAME(function) linux_fast_##function
#endif

typedef uint8_t block __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t word64 __attribute__((aligned(1), may_alias));
typedef uint32_t word32 __attribute__((aligned(1), may_alias));
typedef uint16_t word16 __attribute__((aligned(1), may_alias));

#ifdef __x86_64__
// Reads a piece from both ends before it writes, so that overlapping ones of up to 32 bytes move as well.
#define ENDS(type)                                                                                 \
  do {                                                                                             \
    type first = *(const type *)from, last = *(const type *)(from + size - sizeof(type));          \
    *(type *)to = first;                                                                           \
    *(type *)(to + size - sizeof(type)) = last;                                                    \
  } while (0)

__attribute__((no_builtin)) void *NAME(memmove)(void *target, const void *source, size_t size) {
  char *to = target;
  const char *from = source;
  if (size <= 16) {
    if (size >= 8)
      ENDS(word64);
    else if (size >= 4)
      ENDS(word32);
    else if (size >= 2)
      ENDS(word16);
    else if (size == 1)
      *to = *from;
    return target;
  }
  if (size <= 32) {
    ENDS(block);
    return target;
  }
  const block *in = (const block *)from;
  block *out = (block *)to;
  block tail0 = *(const block *)(from + size - 32), tail1 = *(const block *)(from + size - 16);
  if (size <= 64) {
    block head0 = in[0], head1 = in[1];
    out[0] = head0;
    out[1] = head1;
  } else if ((uintptr_t)to - (uintptr_t)from >= size) { // ahead of the source or apart from it
    if (size >= 1024) {
      const char *rest = from;
      char *next = to;
      size_t count = size;
      __asm__ volatile("rep movsb" : "+D"(next), "+S"(rest), "+c"(count) : : "memory");
      return target;
    }
    for (size_t left = size - 32;; left -= 32, in += 2, out += 2) {
      block one = in[0], two = in[1];
      out[0] = one;
      out[1] = two;
      if (left <= 32) break;
    }
  } else { // from the end, for the target lies behind the source and within it
    block head0 = in[0], head1 = in[1];
    size_t left = size;
    for (; left > 64; left -= 32) {
      block one = *(const block *)(from + left - 32), two = *(const block *)(from + left - 16);
      *(block *)(to + left - 32) = one;
      *(block *)(to + left - 16) = two;
    }
    block one = *(const block *)(from + left - 32), two = *(const block *)(from + left - 16);
    out[0] = head0;
    out[1] = head1;
    *(block *)(to + left - 32) = one;
    *(block *)(to + left - 16) = two;
    return target;
  }
  *(block *)(to + size - 32) = tail0;
  *(block *)(to + size - 16) = tail1;
  return target;
}

__attribute__((no_builtin)) void *NAME(memcpy)(void *restrict target, const void *restrict source, size_t size) {
  return NAME(memmove)(target, source, size);
}
#endif

__attribute__((no_builtin)) int NAME(memcmp)(const void *left, const void *right, size_t size) {
  const uint8_t *a = left, *b = right;
  for (; size >= 8; a += 8, b += 8, size -= 8) {
    uint64_t one = *(const word64 *)a, two = *(const word64 *)b;
    if (one != two) {
      one = __builtin_bswap64(one);
      two = __builtin_bswap64(two);
      return one < two ? -1 : 1;
    }
  }
  for (; size > 0; a++, b++, size--)
    if (*a != *b) return *a - *b;
  return 0;
}
