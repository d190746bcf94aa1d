// What a process knows about itself: clocks, memory, limits, signals, and its service manager.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "CLinux.h"
#include <sched.h>

static int64_t now_ns(clockid_t clock) {
  struct timespec now;
  if (clock_gettime(clock, &now) != 0) return 0;
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t linux_monotonic_ns(void) { return now_ns(CLOCK_MONOTONIC); }
int64_t linux_wall_ns(void) { return now_ns(CLOCK_REALTIME); }
int64_t linux_cpu_ns(void) { return now_ns(CLOCK_PROCESS_CPUTIME_ID); }

static char *put(char *to, int digits, long number) {
  for (int index = digits - 1; index >= 0; index--, number /= 10) to[index] = (char)('0' + number % 10);
  return to + digits;
}

// Without snprintf, which would bring 10 kB of formatting of everything else.
int linux_log_time(char *text) {
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  time_t seconds = now.tv_sec;
  if (localtime_r(&seconds, &parts) == NULL) memset(&parts, 0, sizeof parts);
  struct {
    int digits;
    long number;
    char behind;
  } pieces[] = {{4, parts.tm_year + 1900, '/'}, {2, parts.tm_mon + 1, '/'}, {2, parts.tm_mday, ' '},          {2, parts.tm_hour, ':'},
                {2, parts.tm_min, ':'},         {2, parts.tm_sec, '.'},     {6, (long)(now.tv_nsec / 1000), 0}};
  char *end = text;
  for (size_t index = 0; index < sizeof pieces / sizeof *pieces; index++) {
    end = put(end, pieces[index].digits, pieces[index].number);
    *end++ = pieces[index].behind;
  }
  return (int)(end - text) - 1;
}

int64_t linux_rss_bytes(void) {
  int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  char text[128];
  ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return -1;
  text[size] = 0;
  char *second = strchr(text, ' ');
  return second == NULL ? -1 : (int64_t)strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE);
}

int64_t linux_raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -1;
  if (limit.rlim_cur < limit.rlim_max) {
    struct rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

int linux_processors(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  int count = CPU_COUNT(&set);
  return count > 0 ? count : 1;
}

int linux_signalfd(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  for (int index = 0; index < count; index++) sigaddset(&set, signals[index]);
  if (sigprocmask(SIG_BLOCK, &set, NULL) != 0) return -1;
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int linux_signal_next(int fd) {
  struct signalfd_siginfo info;
  return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

int linux_stderr_is_journal(void) {
  const char *stream = getenv("JOURNAL_STREAM");
  struct stat status;
  if (stream == NULL || fstat(2, &status) != 0) return 0;
  char *end;
  unsigned long long device = strtoull(stream, &end, 10);
  if (*end != ':') return 0;
  unsigned long long inode = strtoull(end + 1, NULL, 10);
  return device == (unsigned long long)status.st_dev && inode == (unsigned long long)status.st_ino;
}

int linux_notify(const char *path, const char *state) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || length >= sizeof address.sun_path) return -1;
  memcpy(address.sun_path, path, length);
  // A leading "@" stands for the abstract name space (sd_notify(3)).
  if (path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  ssize_t sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
  close(fd);
  return sent < 0 ? -1 : 0;
}
