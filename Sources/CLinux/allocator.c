// malloc for the shipping build: small, and without locks, because one thread owns every Swift object.
//
// Blocks of up to 8 KiB come in 33 sizes, each size from spans of 64 KiB that hold nothing else; a span starts at a multiple of its
// length, so a block's address tells where its span's header is. Larger blocks are mappings of their own with the same header, and
// some megabyte of freed ones is kept for the next that asks, because the kernel's page faults cost more than the copy into them.
//
// The first thread (the reactor) has a heap without a lock. All other threads together have one with a lock; they use it for what
// the C library allocates on their behalf. A thread other than the reactor must not free the reactor's memory: that aborts.
//
// Every header carries a mark, and a block freed twice or an address that is no block aborts as far as that can be seen.
#include "CLinux.h"
#include <pthread.h>
#include <sys/mman.h>

#ifdef PETIOLE_EMBEDDED
#define NAME(function) function
#else
// The ordinary build keeps its C library's malloc; tests reach ours by these names.
#define NAME(function) linux_heap_##function
#endif

enum {
  span_bytes = 64 * 1024,
  header_bytes = 64,
  small_max = 8 * 1024,
  class_count = 8 + 4 * 6 + 1, // index 0 is unused: 16, 32 … 128, then four steps for each doubling to 8 KiB
  // Freed spans and large blocks that stay mapped, for each heap. More would be memory that other programs miss.
  kept_bytes_max = 2 * 1024 * 1024,
  kept_count_max = 64,
  mark_small = 0x70657469,
  mark_large = 0x6f6c6521,
};

struct block {
  struct block *next;
};

struct heap;

struct span {
  uint32_t mark;
  uint32_t block_bytes;
  uint32_t used;
  uint32_t fresh; // offset of the first block that was never handed out
  size_t mapped_bytes;
  struct block *freed;
  struct heap *heap;
  struct span *next, *previous; // among spans of the size that have room, or among those kept
};
_Static_assert(sizeof(struct span) <= header_bytes, "a header leaves the first block aligned to 16");

struct heap {
  struct span *with_room[class_count];
  struct span *kept; // unused mappings, the newest first
  size_t kept_bytes;
  int kept_count;
};

static struct heap reactor_heap, others_heap;
static pthread_mutex_t others_lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int is_reactor;

__attribute__((constructor(101))) static void name_reactor(void) { is_reactor = 1; }

static inline int class_of(size_t size) {
  if (size <= 128) return (int)((size + 15) / 16) + (size == 0);
  int doubling = 63 - __builtin_clzll((unsigned long long)size - 1); // 7 for 129 … 256
  return 9 + (doubling - 7) * 4 + (int)(((size - 1) >> (doubling - 2)) & 3);
}

static inline uint32_t bytes_of(int class) {
  if (class <= 8) return (uint32_t)class * 16;
  uint32_t step = (uint32_t)(class - 9);
  return (5 + step % 4) << (5 + step / 4);
}

static void unlink_span(struct span **list, struct span *span) {
  if (span->previous)
    span->previous->next = span->next;
  else
    *list = span->next;
  if (span->next) span->next->previous = span->previous;
  span->next = span->previous = NULL;
}

static void link_span(struct span **list, struct span *span) {
  span->previous = NULL;
  span->next = *list;
  if (*list) (*list)->previous = span;
  *list = span;
}

// `bytes` of memory that start at a multiple of span_bytes.
static struct span *map(size_t bytes) {
  size_t asked = bytes + span_bytes;
  char *raw = mmap(NULL, asked, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return NULL;
  char *start = (char *)(((uintptr_t)raw + span_bytes - 1) & ~(uintptr_t)(span_bytes - 1));
  if (start > raw) munmap(raw, (size_t)(start - raw));
  if (start + bytes < raw + asked) munmap(start + bytes, (size_t)(raw + asked - start - bytes));
  struct span *span = (struct span *)start;
  span->mapped_bytes = bytes;
  return span;
}

// A kept mapping that fits without wasting more than a quarter, or a new one.
static struct span *take(struct heap *heap, size_t bytes) {
  for (struct span *span = heap->kept; span; span = span->next) {
    if (span->mapped_bytes < bytes || span->mapped_bytes - bytes > bytes / 4) continue;
    unlink_span(&heap->kept, span);
    heap->kept_bytes -= span->mapped_bytes;
    heap->kept_count--;
    return span;
  }
  struct span *span = map(bytes);
  if (span) span->heap = heap;
  return span;
}

static void give(struct heap *heap, struct span *span) {
  span->mark = 0;
  if (heap->kept_bytes + span->mapped_bytes > kept_bytes_max || heap->kept_count == kept_count_max) {
    munmap(span, span->mapped_bytes);
    return;
  }
  link_span(&heap->kept, span);
  heap->kept_bytes += span->mapped_bytes;
  heap->kept_count++;
}

static void trim(struct heap *heap) {
  while (heap->kept) {
    struct span *span = heap->kept;
    unlink_span(&heap->kept, span);
    munmap(span, span->mapped_bytes);
  }
  heap->kept_bytes = 0;
  heap->kept_count = 0;
}

// A block whose address is a multiple of `alignment`, which is at most half a span.
static void *allocate_large(struct heap *heap, size_t size, size_t alignment) {
  size_t offset = alignment > header_bytes ? alignment : header_bytes;
  if (size > PTRDIFF_MAX - 4 * (size_t)span_bytes) return NULL;
  // Whole pages, and for more than a span whole quarters of one, so that what is freed fits the next that is about as large.
  size_t unit = offset + size > span_bytes ? span_bytes / 4 : 4096;
  struct span *span = take(heap, (offset + size + unit - 1) & ~(unit - 1));
  if (!span) return NULL;
  span->mark = mark_large;
  span->block_bytes = (uint32_t)offset;
  return (char *)span + offset;
}

static __attribute__((noinline)) struct span *new_span(struct heap *heap, int class) {
  struct span *span = take(heap, span_bytes);
  if (!span) return NULL;
  span->mark = mark_small;
  span->block_bytes = bytes_of(class);
  span->used = 0;
  span->fresh = header_bytes;
  span->freed = NULL;
  link_span(&heap->with_room[class], span);
  return span;
}

static inline void *allocate(struct heap *heap, size_t size) {
  if (size > small_max) return allocate_large(heap, size, 16);
  int class = class_of(size);
  struct span *span = heap->with_room[class];
  if (!span && !(span = new_span(heap, class))) return NULL;
  struct block *block = span->freed;
  if (block) {
    span->freed = block->next;
  } else {
    block = (struct block *)((char *)span + span->fresh);
    span->fresh += span->block_bytes;
  }
  span->used++;
  if (!span->freed && span->fresh + span->block_bytes > span_bytes) unlink_span(&heap->with_room[class], span);
  return block;
}

static inline struct span *span_of(void *block) { return (struct span *)((uintptr_t)block & ~(uintptr_t)(span_bytes - 1)); }

static inline void release(struct span *span, struct block *block) {
  struct heap *heap = span->heap;
  if (span->mark != mark_small) {
    if (span->mark != mark_large || (char *)block != (char *)span + span->block_bytes) abort();
    give(heap, span);
    return;
  }
  if (span->used == 0 || block == span->freed) abort();
  int was_full = !span->freed && span->fresh + span->block_bytes > span_bytes;
  block->next = span->freed;
  span->freed = block;
  span->used--;
  struct span **list = &heap->with_room[class_of(span->block_bytes)];
  if (was_full) {
    link_span(list, span);
  } else if (span->used == 0 && (span->next || span->previous)) { // the last span of a size stays, for the next block of it
    unlink_span(list, span);
    give(heap, span);
  }
}

void *NAME(malloc)(size_t size) {
  void *block;
  if (is_reactor) {
    block = allocate(&reactor_heap, size);
  } else {
    pthread_mutex_lock(&others_lock);
    block = allocate(&others_heap, size);
    pthread_mutex_unlock(&others_lock);
  }
  if (!block) errno = ENOMEM;
  return block;
}

void NAME(free)(void *block) {
  if (!block) return;
  struct span *span = span_of(block);
  if (span->heap == &reactor_heap) {
    if (!is_reactor) abort();
    release(span, block);
  } else {
    pthread_mutex_lock(&others_lock);
    release(span, block);
    pthread_mutex_unlock(&others_lock);
  }
}

void *NAME(calloc)(size_t count, size_t size) {
  size_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return NULL;
  }
  void *block = NAME(malloc)(bytes);
  if (block) memset(block, 0, bytes);
  return block;
}

void *NAME(realloc)(void *block, size_t size) {
  if (!block) return NAME(malloc)(size);
  struct span *span = span_of(block);
  size_t room = span->mark == mark_large ? span->mapped_bytes - span->block_bytes : span->block_bytes;
  if (size <= room && size > room / 2) return block;
  void *moved = NAME(malloc)(size);
  if (!moved) return NULL;
  memcpy(moved, block, size < room ? size : room);
  NAME(free)(block);
  return moved;
}

int NAME(posix_memalign)(void **result, size_t alignment, size_t size) {
  if (alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0) return EINVAL;
  if (alignment > span_bytes / 2) return ENOMEM;
  void *block;
  if (alignment <= 16) {
    block = NAME(malloc)(size);
  } else if (is_reactor) {
    block = allocate_large(&reactor_heap, size, alignment);
  } else {
    pthread_mutex_lock(&others_lock);
    block = allocate_large(&others_heap, size, alignment);
    pthread_mutex_unlock(&others_lock);
  }
  if (!block) return ENOMEM;
  *result = block;
  return 0;
}

void *NAME(aligned_alloc)(size_t alignment, size_t size) {
  void *block = NULL;
  int failure = NAME(posix_memalign)(&block, alignment < sizeof(void *) ? sizeof(void *) : alignment, size);
  if (failure != 0) errno = failure;
  return block;
}

void *NAME(memalign)(size_t alignment, size_t size) { return NAME(aligned_alloc)(alignment, size); }

void linux_release_kept_memory(void) {
  if (is_reactor) trim(&reactor_heap);
}
