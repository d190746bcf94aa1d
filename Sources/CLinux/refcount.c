// Reference counting without atomic instructions, for the shipping build only.
//
// The shipping build compiles with -assume-single-threaded (one reactor thread owns every Swift object), which makes the
// compiler call these entry points. Embedded Swift's standard library has the atomic ones only. The object layout and
// the meaning of the count's values are those of its EmbeddedRuntime.swift (Swift 6.3): a metadata pointer, then a word
// whose top bit says "not on the heap" and whose other bits count references, all of them set meaning "never freed".
// The last release goes to the standard library, which knows how to destroy the object.
//
// The ordinary build must not see these: its runtime has functions of the same names and another object layout.
#ifdef PETIOLE_EMBEDDED
#include <stdint.h>

struct object {
  void *metadata;
  uintptr_t count;
};

extern void swift_release(struct object *object);
extern void swift_release_n(struct object *object, uint32_t times);

#define COUNT_MASK (UINTPTR_MAX >> 1)
#define IMMORTAL COUNT_MASK
#if UINTPTR_MAX > UINT32_MAX
#define BRIDGE_MASK ((uintptr_t)0x8ffffffffffffff8)
#define UNCOUNTED(object) ((intptr_t)(object) <= 0) // null, or the pointer's own mark of an immortal object
#else
#define BRIDGE_MASK UINTPTR_MAX
#define UNCOUNTED(object) ((object) == 0)
#endif

static inline void retain(struct object *object, uint32_t times) {
  if (UNCOUNTED(object) || (object->count & COUNT_MASK) == IMMORTAL) return;
  object->count += times;
}

struct object *swift_nonatomic_retain(struct object *object) {
  retain(object, 1);
  return object;
}

struct object *swift_nonatomic_retain_n(struct object *object, uint32_t times) {
  retain(object, times);
  return object;
}

void swift_nonatomic_release_n(struct object *object, uint32_t times) {
  if (UNCOUNTED(object)) return;
  uintptr_t count = object->count & COUNT_MASK;
  if (count == IMMORTAL) return;
  if (count > times)
    object->count -= times;
  else
    swift_release_n(object, times);
}

void swift_nonatomic_release(struct object *object) {
  if (UNCOUNTED(object)) return;
  uintptr_t count = object->count & COUNT_MASK;
  if (count == IMMORTAL) return;
  if (count > 1)
    object->count -= 1;
  else
    swift_release(object);
}

// A bridge object is a native object whose pointer carries tag bits; the caller goes on with the tagged pointer.
static inline struct object *untagged(uintptr_t tagged) { return (struct object *)(tagged & BRIDGE_MASK); }

uintptr_t swift_nonatomic_bridgeObjectRetain(uintptr_t tagged) {
  retain(untagged(tagged), 1);
  return tagged;
}

uintptr_t swift_nonatomic_bridgeObjectRetain_n(uintptr_t tagged, uint32_t times) {
  retain(untagged(tagged), times);
  return tagged;
}

void swift_nonatomic_bridgeObjectRelease(uintptr_t tagged) { swift_nonatomic_release(untagged(tagged)); }

void swift_nonatomic_bridgeObjectRelease_n(uintptr_t tagged, uint32_t times) { swift_nonatomic_release_n(untagged(tagged), times); }
#endif
