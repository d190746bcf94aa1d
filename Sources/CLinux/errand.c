// Threads that run one call and end.
#define _GNU_SOURCE
#include "errand.h"
#include <pthread.h>
#include <sys/mman.h>

void *errand_make(size_t size) {
  errand *made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (made == MAP_FAILED) return NULL;
  made->size = size;
  made->fd = -1;
  return made;
}

void errand_let_go(errand *errand) {
  if (atomic_fetch_sub(&errand->holders, 1) > 1) return;
  if (errand->fd >= 0) close(errand->fd);
  munmap(errand, errand->size);
}

static void *run(void *argument) {
  errand *errand = argument;
  errand->work(errand);
  atomic_store(&errand->done, 1);
  uint64_t one = 1;
  while (write(errand->fd, &one, sizeof one) < 0 && errno == EINTR) {}
  errand_let_go(errand);
  return NULL;
}

int errand_start(errand *errand, size_t stack_bytes, void (*work)(struct errand *errand)) {
  errand->work = work;
  errand->fd = linux_eventfd();
  atomic_store(&errand->holders, 2);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals are the reactor's: the thread starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int failure = errand->fd < 0 ? EMFILE : pthread_create(&thread, &attributes, run, errand);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (failure == 0) return 1;
  atomic_store(&errand->holders, 1);
  errand_let_go(errand);
  return 0;
}

int errand_is_done(errand *errand) { return atomic_load(&errand->done); }
