// Memory of the program itself.
#define _GNU_SOURCE
#include "CLinux.h"
#include <sys/mman.h>

// From the linker: where the program and its code begin and end.
extern const char __executable_start[] __attribute__((weak));
extern const char etext[] __attribute__((weak));

void linux_release_code_pages(void) {
  if (!__executable_start || !etext) return;
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t start = (uintptr_t)__executable_start & ~(page - 1);
  uintptr_t end = (uintptr_t)etext & ~(page - 1);
  // Code is clean and read-only: what is needed again comes back from the page cache with the next use.
  if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
}
