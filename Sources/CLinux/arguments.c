// The words of the command line, kept before main: Embedded Swift has no CommandLine.
#define _GNU_SOURCE
#include "CLinux.h"

static int count;
static char **words;

#ifdef PETIOLE_EMBEDDED
// musl tells constructors nothing. The kernel lays out a new program's stack as the System V psABI says (x86-64 3.4.1, AAPCS64 and
// ARM alike): the count of words, pointers to them, NULL, then the environment, which environ still points to at this time.
__attribute__((constructor)) static void keep_arguments(void) {
  words = environ - 1;
  // No pointer is as small as a count of words.
  while ((uintptr_t)words[-1] != (uintptr_t)count) {
    words--;
    count++;
  }
}
#else
// glibc calls constructors like main.
__attribute__((constructor)) static void keep_arguments(int argc, char **argv) {
  count = argc;
  words = argv;
}
#endif

int linux_argument_count(void) { return count; }
const char *linux_argument(int index) { return words[index]; }
