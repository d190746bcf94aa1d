// The words of the command line. Embedded Swift has no CommandLine, its entry point takes none, and /proc need not be mounted; the C
// library hands them to every constructor too.
#include "CLinux.h"

static int argument_count;
static char **arguments;

__attribute__((constructor)) static void keep_arguments(int count, char **words) {
  argument_count = count;
  arguments = words;
}

int linux_argument_count(void) { return argument_count; }

const char *linux_argument(int index) { return arguments[index]; }
