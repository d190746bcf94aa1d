// Names to addresses by the C library's own resolver, each question on a short-lived thread of its own, because getaddrinfo(3) blocks.
// It reads /etc/hosts and /etc/resolv.conf anew for every question, so a changed network counts from the next one on.
#define _GNU_SOURCE
#include "errand.h"
#include <netdb.h>

// getaddrinfo of either C library stays far below this.
enum { stack_bytes = 256 * 1024, name_max = 255 };

struct linux_lookup {
  errand errand;
  int failure;
  int count;
  linux_host_address addresses[LINUX_LOOKUP_ADDRESSES_MAX];
  char name[name_max + 1];
};

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

static void look_up(errand *errand) {
  linux_lookup *lookup = (linux_lookup *)errand;
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
}

linux_lookup *linux_lookup_start(const char *name) {
  if (strlen(name) > name_max) return NULL;
  linux_lookup *lookup = errand_make(sizeof *lookup);
  if (lookup == NULL) return NULL;
  strcpy(lookup->name, name);
  return errand_start(&lookup->errand, stack_bytes, look_up) ? lookup : NULL;
}

int linux_lookup_fd(const linux_lookup *lookup) { return lookup->errand.fd; }

int linux_lookup_result(linux_lookup *lookup, linux_host_address *addresses, int *count) {
  if (!errand_is_done(&lookup->errand)) return LINUX_LOOKUP_PENDING;
  *count = lookup->count;
  memcpy(addresses, lookup->addresses, (size_t)lookup->count * sizeof *addresses);
  return lookup->failure;
}

void linux_lookup_end(linux_lookup *lookup) { errand_let_go(&lookup->errand); }
