// The Linux interfaces that the runtime uses, for both builds: Embedded Swift has no Glibc module, and the ordinary one
// lacks epoll. What needs _GNU_SOURCE or is awkward from Swift (varargs, macros, threads) lives in the .c files beside.
#pragma once
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/// errno of the last failed call.
static inline int linux_errno(void) { return errno; }
/// open(2) without varargs.
int linux_open(const char *path, int flags, unsigned mode);
/// getrandom(2), looped until `size` bytes are there; aborts when the kernel refuses.
void linux_random(void *bytes, size_t size);
/// CRC-32C (Castagnoli, reflected) of `size` bytes, continued from `crc` (0 to begin). Uses the CPU's instruction where there is one.
uint32_t linux_crc32c(uint32_t crc, const void *bytes, size_t size);
