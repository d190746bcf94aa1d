// Entry points that Embedded Swift's standard library expects and a C library may lack, and small wrappers.
#define _GNU_SOURCE
#include "CLinux.h"
#include <sys/random.h>

int linux_open(const char *path, int flags, unsigned mode) { return open(path, flags, mode); }

void linux_random(void *bytes, size_t size) {
  char *next = bytes;
  while (size > 0) {
    ssize_t got = getrandom(next, size, 0);
    if (got > 0) {
      next += got;
      size -= (size_t)got;
    } else if (errno != EINTR) {
      abort();
    }
  }
}

__attribute__((weak)) void arc4random_buf(void *bytes, size_t size) { linux_random(bytes, size); }

__attribute__((weak)) const char *_swift_stdlib_strtod_clocale(const char *text, double *out) {
  char *end;
  *out = strtod(text, &end);
  return end;
}
