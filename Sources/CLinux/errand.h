// A short-lived thread of its own for a call that blocks or computes for long, and the loop that waits for it by a descriptor. What both
// share lies in pages of its own rather than on the heap: either may be the last to let go of it, and the heap is the reactor's alone.
#pragma once
#include "CLinux.h"
#include <stdatomic.h>

/// Begins whatever a kind of errand shares.
typedef struct errand {
  atomic_int holders; // the thread and the loop; the last one out takes the memory along
  atomic_int done;
  int fd;
  size_t size;
  void (*work)(struct errand *errand);
} errand;

/// Zeroed memory of `size` bytes that begins with an errand, or NULL.
void *errand_make(size_t size);
/// Starts `work` on a thread of its own; 0 when there is none to be had, and then the memory is gone too.
int errand_start(errand *errand, size_t stack_bytes, void (*work)(struct errand *errand));
/// Whether the work is done and its results may be read.
int errand_is_done(errand *errand);
/// The loop is not interested any more.
void errand_let_go(errand *errand);
