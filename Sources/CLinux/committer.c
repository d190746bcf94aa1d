// The one thread beside the reactor. It is written in C because the shipping build counts Swift references without atomics:
// what this thread sees are a file descriptor, an offset and plain memory that the reactor keeps unchanged until the job is done.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "CLinux.h"
#include <pthread.h>

// The most pieces that one pwritev(2) takes (UIO_MAXIOV in the kernel).
enum { pieces_max = 1024, stack_bytes = 64 * 1024 };

struct linux_committer {
  pthread_t thread;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  enum { idle, submitted, done, stopping } state;
  int wake_fd;
  int64_t sync_delay_ns;
  int fd;
  int directory;
  int64_t offset;
  struct iovec *chunks;
  int capacity;
  int count;
  int syncs;
  int result;
  int failed_in_sync;
};

static int write_all(int fd, struct iovec *chunks, int count, int64_t offset) {
  while (count > 0) {
    ssize_t written = pwritev(fd, chunks, count < pieces_max ? count : pieces_max, offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    int empty = 1;
    for (int index = 0; index < count && index < pieces_max; index++) empty = empty && chunks[index].iov_len == 0;
    if (written == 0 && !empty) return EIO;
    offset += written;
    while (count > 0 && (size_t)written >= chunks->iov_len) {
      written -= (ssize_t)chunks->iov_len;
      chunks++;
      count--;
    }
    if (count > 0 && written > 0) {
      chunks->iov_base = (char *)chunks->iov_base + written;
      chunks->iov_len -= (size_t)written;
    }
  }
  return 0;
}

static void wait_ns(int64_t delay_ns) {
  struct timespec left = {.tv_sec = delay_ns / 1000000000, .tv_nsec = delay_ns % 1000000000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

static void *run(void *argument) {
  linux_committer *committer = argument;
  pthread_mutex_lock(&committer->mutex);
  for (;;) {
    while (committer->state == idle || committer->state == done) pthread_cond_wait(&committer->changed, &committer->mutex);
    if (committer->state == stopping) break;
    pthread_mutex_unlock(&committer->mutex);

    int failed_in_sync = 0;
    int result = committer->fd < 0 ? 0 : write_all(committer->fd, committer->chunks, committer->count, committer->offset);
    if (result == 0 && committer->syncs && committer->fd >= 0) {
      if (committer->sync_delay_ns > 0) wait_ns(committer->sync_delay_ns);
      // A failed fdatasync is never repeated: the kernel has dropped the pages and would report success.
      if (fdatasync(committer->fd) != 0) {
        result = errno;
        failed_in_sync = 1;
      }
    }
    // The name of a new file comes after its content: until both are on the medium nobody is told of either.
    if (result == 0 && committer->directory >= 0 && fsync(committer->directory) != 0) {
      result = errno;
      failed_in_sync = 1;
    }

    pthread_mutex_lock(&committer->mutex);
    committer->result = result;
    committer->failed_in_sync = failed_in_sync;
    if (committer->state == submitted) committer->state = done;
    pthread_cond_broadcast(&committer->changed);
    uint64_t one = 1;
    while (write(committer->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {}
  }
  pthread_mutex_unlock(&committer->mutex);
  return NULL;
}

linux_committer *linux_committer_start(int wake_fd, int64_t sync_delay_ns) {
  linux_committer *committer = calloc(1, sizeof *committer);
  if (committer == NULL) return NULL;
  committer->wake_fd = wake_fd;
  committer->sync_delay_ns = sync_delay_ns;
  committer->result = -1;
  pthread_mutex_init(&committer->mutex, NULL);
  pthread_cond_init(&committer->changed, NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  // Signals are the reactor's: the thread starts with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int failure = pthread_create(&committer->thread, &attributes, run, committer);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  if (failure != 0) {
    free(committer);
    return NULL;
  }
  return committer;
}

void linux_committer_submit(linux_committer *committer, int fd, const struct iovec *chunks, int count, int64_t offset, int syncs, int directory) {
  pthread_mutex_lock(&committer->mutex);
  if (committer->state == submitted || count < 0) abort(); // the reactor broke the rule of one commit at a time
  if (count > committer->capacity) {
    committer->chunks = realloc(committer->chunks, (size_t)count * sizeof *chunks);
    if (committer->chunks == NULL) abort();
    committer->capacity = count;
  }
  if (count > 0) memcpy(committer->chunks, chunks, (size_t)count * sizeof *chunks);
  committer->count = count;
  committer->syncs = syncs;
  committer->fd = fd;
  committer->directory = directory;
  committer->offset = offset;
  committer->result = -1;
  committer->state = submitted;
  pthread_cond_broadcast(&committer->changed);
  pthread_mutex_unlock(&committer->mutex);
}

int linux_committer_result(linux_committer *committer, int *failed_in_sync) {
  pthread_mutex_lock(&committer->mutex);
  int result = committer->state == done ? committer->result : -1;
  *failed_in_sync = committer->failed_in_sync;
  if (committer->state == done) committer->state = idle;
  pthread_mutex_unlock(&committer->mutex);
  return result;
}

void linux_committer_stop(linux_committer *committer) {
  pthread_mutex_lock(&committer->mutex);
  while (committer->state == submitted) pthread_cond_wait(&committer->changed, &committer->mutex);
  committer->state = stopping;
  pthread_cond_broadcast(&committer->changed);
  pthread_mutex_unlock(&committer->mutex);
  pthread_join(committer->thread, NULL);
  pthread_mutex_destroy(&committer->mutex);
  pthread_cond_destroy(&committer->changed);
  free(committer->chunks);
  free(committer);
}
