// The Linux interfaces that the runtime uses, for both builds and their C libraries: Embedded Swift has no Glibc module, and the ordinary one
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

/// How many words the command line has, the program's own name among them.
int linux_argument_count(void);
/// Word `index` of the command line, below linux_argument_count().
const char *linux_argument(int index);
/// errno of the last failed call.
static inline int linux_errno(void) { return errno; }
/// open(2) without varargs.
int linux_open(const char *path, int flags, unsigned mode);
/// getrandom(2), looped until `size` bytes are there; aborts when the kernel refuses.
void linux_random(void *bytes, size_t size);
/// CRC-32C (Castagnoli, reflected) of `size` bytes, continued from `crc` (0 to begin). Uses the CPU's instruction where there is one.
uint32_t linux_crc32c(uint32_t crc, const void *bytes, size_t size);

// Files (files.c): 64-bit offsets on every architecture. Functions that return int or int64_t give -1 and set errno on failure.
int64_t linux_pread(int fd, void *bytes, size_t size, int64_t offset);
int64_t linux_pwrite(int fd, const void *bytes, size_t size, int64_t offset);
int linux_ftruncate(int fd, int64_t size);
int64_t linux_file_size(int fd);
/// 1 when `path` is a directory, 0 when it is something else.
int linux_is_directory(const char *path);
/// Bytes that an unprivileged process can still write on the file system of `path`.
int64_t linux_free_space(const char *path);
void *linux_directory_open(const char *path);
/// The next name without "." and "..", valid until the next call, or NULL at the end.
const char *linux_directory_next(void *directory);
void linux_directory_close(void *directory);

// The committer thread (committer.c): writes and syncs one batch at a time, and tells the loop through an eventfd.
typedef struct linux_committer linux_committer;
/// Starts the thread. `wake_fd` is an eventfd that gets 1 added when a job is done. NULL when no thread could be had.
linux_committer *linux_committer_start(int wake_fd, int64_t sync_delay_ns);
/// Hands over one job; the committer must be idle. `directory`, unless it is -1, is synced after the file; `fd` may be -1 when there is none. The vector is copied, the bytes it points at are not. Without `syncs` the bytes need
/// not reach the medium.
void linux_committer_submit(linux_committer *committer, int fd, const struct iovec *chunks, int count, int64_t offset, int syncs, int directory);
/// 0 or the errno of the job that ended, -1 while it is under way or when there was none. `failed_in_sync` tells which half failed.
int linux_committer_result(linux_committer *committer, int *failed_in_sync);
/// Waits for the job under way and ends the thread.
void linux_committer_stop(linux_committer *committer);

// Sockets (sockets.c). Addresses are 4 or 16 bytes in network order; an IPv4-mapped IPv6 address is given as its 4 bytes.
typedef struct {
  uint8_t bytes[16];
  int32_t size;
  uint16_t port;
} linux_address;
typedef struct {
  uint32_t events;
  uint32_t generation;
  int32_t fd;
} linux_event;
/// The text of an address without its port; `text` has room for 64 characters. Returns the length.
int linux_address_text(const linux_address *address, char *text);
/// 1 when `text` spells an IPv4 or IPv6 address.
int linux_address_parse(const char *text, linux_address *address);
int linux_epoll_create(void);
/// epoll_ctl(2) with `fd` and `generation` as the event's data.
int linux_epoll_control(int epoll_fd, int operation, int fd, uint32_t events, uint32_t generation);
/// epoll_wait(2); a signal is reported as no events.
int linux_epoll_wait(int epoll_fd, linux_event *events, int limit, int timeout_ms);
int linux_eventfd(void);
/// Reads an eventfd or timerfd down to zero.
void linux_eventfd_clear(int fd);
/// A listening TCP socket, non-blocking. "::" and 0.0.0.0 accept both IPv4 and IPv6.
int linux_listen(const linux_address *address, int backlog);
int linux_accept(int fd, linux_address *remote);
/// A non-blocking TCP socket whose connection is under way or made.
int linux_connect(const linux_address *address);
/// The pending error of a socket (SO_ERROR), 0 for none.
int linux_socket_error(int fd);
int linux_local_address(int fd, linux_address *local);
int64_t linux_receive(int fd, void *bytes, size_t size);
/// sendmsg(2) without SIGPIPE.
int64_t linux_send(int fd, const struct iovec *chunks, int count);
/// Throws away the input that waits in the kernel, up to 1 MiB.
void linux_discard_input(int fd);
void linux_set_no_delay(int fd);
void linux_set_user_timeout(int fd, unsigned timeout_ms);
/// Makes the kernel take no more than about so many bytes that it cannot send yet (TCP_NOTSENT_LOWAT).
void linux_limit_unsent(int fd, unsigned bytes);
typedef struct {
  /// The smoothed round trip and its mean deviation.
  uint32_t rtt_us;
  uint32_t rtt_variance_us;
  /// Since an acknowledgement or bytes came.
  uint32_t since_sign_ms;
  /// Whether segments are not acknowledged.
  int32_t is_waiting;
  /// Bytes that were acknowledged since the beginning.
  int64_t acknowledged;
} linux_way_state;
/// What the kernel knows of a connection's way; 0, or -1 on failure.
int linux_way(int fd, linux_way_state *state);
/// The least round trip that the kernel has measured on a connection in microseconds, or -1.
int64_t linux_rtt_us(int fd);

// The process and its clocks (process.c).
int64_t linux_monotonic_ns(void);
int64_t linux_wall_ns(void);
/// Local time as `2026/11/22 20:12:19.761988`; `text` has room for 32 characters. Returns the length.
int linux_log_time(char *text);
/// Resident memory in bytes, or -1.
int64_t linux_rss_bytes(void);
/// Processor time of the whole process in nanoseconds.
int64_t linux_cpu_ns(void);
/// Raises the limit of open files to the hard limit and returns it, or -1.
int64_t linux_raise_file_limit(void);
/// Number of processors that this process may use, at least 1.
int linux_processors(void);
/// Blocks the signals and returns a signalfd for them.
int linux_signalfd(const int *signals, int count);
/// The next signal that arrived, or 0.
int linux_signal_next(int fd);
/// Whether descriptor 2 is the stream that systemd says goes to the journal (JOURNAL_STREAM).
int linux_stderr_is_journal(void);
/// Sends one datagram to the socket at `path`, where a leading "@" stands for the abstract name space. 0, or -1 on failure.
int linux_notify(const char *path, const char *state);
/// Unmaps the program's own code from memory until it is used again. Reading a configuration and recovering a store need most of the
/// program once and never after; without this their pages would stay resident for as long as the agent runs.
void linux_release_code_pages(void);
/// Gives freed memory that is kept for the next large block back to the kernel (allocator.c).
void linux_release_kept_memory(void);

// Questions for addresses (resolver.c).
enum {
  /// Addresses of one name that are used; more would only be a way to make an agent knock at many doors.
  LINUX_LOOKUP_ADDRESSES_MAX = 16,
  LINUX_LOOKUP_PENDING = -1,
  /// There is no such name, or it has no address.
  LINUX_LOOKUP_UNKNOWN = 1,
  /// No name server gave an answer.
  LINUX_LOOKUP_FAILED = 2,
};
/// An IPv4 or IPv6 address: 4 or 16 bytes in network order.
typedef struct {
  uint8_t size;
  uint8_t bytes[16];
} linux_host_address;
typedef struct linux_lookup linux_lookup;
/// Starts to ask for the addresses of `name` on a thread of its own. NULL when no thread or descriptor could be had.
linux_lookup *linux_lookup_start(const char *name);
/// Becomes readable when the answer is there.
int linux_lookup_fd(const linux_lookup *lookup);
/// 0 and the addresses, of which there is room for LINUX_LOOKUP_ADDRESSES_MAX; or one of LINUX_LOOKUP_….
int linux_lookup_result(linux_lookup *lookup, linux_host_address *addresses, int *count);
/// Lets go of a question, answered or not; its descriptor is closed.
void linux_lookup_end(linux_lookup *lookup);

// Checks of passwords against bcrypt hashes of 60 characters (passwords.c).
typedef struct linux_password_check linux_password_check;
/// 1 when `hash` is one of `password`. Takes as long as the hash's cost says.
int linux_password_matches(const void *password, size_t size, const char *hash);
/// Starts a check on a thread of its own. NULL when no thread or descriptor could be had, or when the password has a NUL byte: it is no one's.
linux_password_check *linux_password_check_start(const void *password, size_t size, const char *hash);
/// Becomes readable when the check is done.
int linux_password_check_fd(const linux_password_check *check);
/// 1 or 0, or -1 while it is under way.
int linux_password_check_result(linux_password_check *check);
/// Lets go of a check, done or not; its descriptor is closed.
void linux_password_check_end(linux_password_check *check);

// Changes of the machine's network (netlink.c).
enum {
  LINUX_LINK_UP = 1,
  LINUX_LINK_DOWN,
  LINUX_ADDRESS_ADDED,
  LINUX_ADDRESS_REMOVED,
  LINUX_ROUTE_ADDED,
  LINUX_ROUTE_REMOVED,
  /// More happened than can be told.
  LINUX_NETWORK_UNKNOWN,
  /// Events of one call of linux_netlink_read.
  LINUX_NETWORK_EVENTS = 640,
};
typedef struct {
  int32_t kind;
  /// The link's number, for links and addresses.
  int32_t link;
  /// Not news: it was there when the socket was opened.
  int32_t was_there;
  linux_host_address address;
} linux_network_event;
/// A socket that becomes readable when links, addresses or routes change, and at first with the addresses that are there; -1 on failure.
int linux_netlink_open(void);
/// The events that wait, at most `limit` (LINUX_NETWORK_EVENTS); returns how many.
int linux_netlink_read(int fd, linux_network_event *events, int limit);

#ifndef PETIOLE_EMBEDDED
// What the shipping build has in place of its C library's functions, under names of their own for the tests (allocator.c, strings.c).
void *linux_heap_malloc(size_t size);
void linux_heap_free(void *block);
void *linux_heap_calloc(size_t count, size_t size);
void *linux_heap_realloc(void *block, size_t size);
int linux_heap_posix_memalign(void **result, size_t alignment, size_t size);
void *linux_heap_aligned_alloc(size_t alignment, size_t size);
void *linux_heap_memalign(size_t alignment, size_t size);
int linux_fast_memcmp(const void *left, const void *right, size_t size);
#ifdef __x86_64__
void *linux_fast_memmove(void *target, const void *source, size_t size);
void *linux_fast_memcpy(void *target, const void *source, size_t size);
#endif
#endif
