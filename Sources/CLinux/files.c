// File calls with 64-bit offsets and times on 32-bit machines too, which is why they are not called from Swift directly.
#define _GNU_SOURCE
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64
#include "CLinux.h"

int64_t linux_pread(int fd, void *bytes, size_t size, int64_t offset) { return pread(fd, bytes, size, offset); }
int64_t linux_pwrite(int fd, const void *bytes, size_t size, int64_t offset) { return pwrite(fd, bytes, size, offset); }
int linux_ftruncate(int fd, int64_t size) { return ftruncate(fd, size); }

int64_t linux_file_size(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? (int64_t)status.st_size : -1;
}

int linux_is_directory(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 ? S_ISDIR(status.st_mode) : -1;
}

int64_t linux_free_space(const char *path) {
  struct statvfs status;
  if (statvfs(path, &status) != 0) return -1;
  return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

void *linux_directory_open(const char *path) { return opendir(path); }

const char *linux_directory_next(void *directory) {
  struct dirent *entry;
  while ((entry = readdir(directory)) != NULL)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) return entry->d_name;
  return NULL;
}

void linux_directory_close(void *directory) { closedir(directory); }
