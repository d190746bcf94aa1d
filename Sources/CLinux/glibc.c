// Checked variants that a library compiled against glibc with _FORTIFY_SOURCE calls; musl has only the plain ones.
#ifdef PETIOLE_EMBEDDED
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__memcpy_chk(void *to, const void *from, size_t size, size_t room) {
  if (size > room) abort();
  return memcpy(to, from, size);
}

int __sprintf_chk(char *to, int flag, size_t room, const char *format, ...) {
  (void)flag;
  va_list values;
  va_start(values, format);
  int written = vsnprintf(to, room, format, values);
  va_end(values);
  if (written < 0 || (size_t)written >= room) abort();
  return written;
}

long __fdelt_chk(long fd) {
  if (fd < 0 || fd >= 1024) abort();
  return fd / (long)(8 * sizeof(long));
}
#endif
