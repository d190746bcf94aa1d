// Names to addresses by the C library's own resolver, each question on a short-lived thread of its own, because getaddrinfo(3) blocks.
// It reads /etc/hosts and /etc/resolv.conf anew for every question, so a changed network counts from the next one on.
#define _GNU_SOURCE
#include "CLinux.h"
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

// getaddrinfo of either C library stays far below this.
enum { stack_bytes = 256 * 1024, name_max = 255 };

struct linux_lookup {
  atomic_int holders; // the thread and the loop; the last one out takes the memory along
  atomic_int done;
  int fd;
  int failure;
  int count;
  linux_host_address addresses[LINUX_LOOKUP_ADDRESSES_MAX];
  char name[name_max + 1];
};

// Pages of its own rather than malloc: either thread may be the last to let go of it.
static void let_go(linux_lookup *lookup) {
  if (atomic_fetch_sub(&lookup->holders, 1) > 1) return;
  close(lookup->fd);
  munmap(lookup, sizeof *lookup);
}

static void keep(linux_lookup *lookup, const struct sockaddr *from) {
  linux_host_address found = {0};
  if (from->sa_family == AF_INET) {
    found.size = 4;
    memcpy(found.bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
  } else if (from->sa_family == AF_INET6) {
    found.size = 16;
    memcpy(found.bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
  } else {
    return;
  }
  for (int index = 0; index < lookup->count; index++)
    if (memcmp(&lookup->addresses[index], &found, sizeof found) == 0) return;
  lookup->addresses[lookup->count++] = found;
}

static void *look_up(void *argument) {
  linux_lookup *lookup = argument;
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
  int failure = getaddrinfo(lookup->name, NULL, &hints, &found);
  for (const struct addrinfo *each = found; failure == 0 && each && lookup->count < LINUX_LOOKUP_ADDRESSES_MAX; each = each->ai_next)
    keep(lookup, each->ai_addr);
  if (failure == 0) freeaddrinfo(found);
  int unknown = failure == EAI_NONAME;
#ifdef EAI_NODATA
  unknown = unknown || failure == EAI_NODATA;
#endif
  lookup->failure = failure == 0 ? 0 : unknown ? LINUX_LOOKUP_UNKNOWN : LINUX_LOOKUP_FAILED;
  atomic_store(&lookup->done, 1);
  uint64_t one = 1;
  while (write(lookup->fd, &one, sizeof one) < 0 && errno == EINTR) {}
  let_go(lookup);
  return NULL;
}

linux_lookup *linux_lookup_start(const char *name) {
  if (strlen(name) > name_max) return NULL;
  linux_lookup *lookup = mmap(NULL, sizeof *lookup, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (lookup == MAP_FAILED) return NULL;
  lookup->fd = linux_eventfd();
  atomic_store(&lookup->holders, 2);
  strcpy(lookup->name, name);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals are the reactor's: the thread starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int failure = lookup->fd < 0 ? EMFILE : pthread_create(&thread, &attributes, look_up, lookup);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (failure != 0) {
    if (lookup->fd >= 0) close(lookup->fd);
    munmap(lookup, sizeof *lookup);
    return NULL;
  }
  return lookup;
}

int linux_lookup_fd(const linux_lookup *lookup) { return lookup->fd; }

int linux_lookup_result(linux_lookup *lookup, linux_host_address *addresses, int *count) {
  if (!atomic_load(&lookup->done)) return LINUX_LOOKUP_PENDING;
  *count = lookup->count;
  memcpy(addresses, lookup->addresses, (size_t)lookup->count * sizeof *addresses);
  return lookup->failure;
}

void linux_lookup_end(linux_lookup *lookup) { let_go(lookup); }
