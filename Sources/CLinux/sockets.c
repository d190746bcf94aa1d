// TCP sockets and epoll, with addresses as plain bytes.
#define _GNU_SOURCE
#include "CLinux.h"

int linux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int linux_epoll_control(int epoll_fd, int operation, int fd, uint32_t events, uint32_t generation) {
  struct epoll_event event = {.events = events, .data.u64 = ((uint64_t)generation << 32) | (uint32_t)fd};
  return epoll_ctl(epoll_fd, operation, fd, &event);
}

int linux_epoll_wait(int epoll_fd, linux_event *events, int limit, int timeout_ms) {
  struct epoll_event ready[256];
  int count = epoll_wait(epoll_fd, ready, limit < 256 ? limit : 256, timeout_ms);
  if (count < 0) return errno == EINTR ? 0 : -1;
  for (int index = 0; index < count; index++) {
    events[index].events = ready[index].events;
    events[index].fd = (int32_t)(uint32_t)ready[index].data.u64;
    events[index].generation = (uint32_t)(ready[index].data.u64 >> 32);
  }
  return count;
}

int linux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

void linux_eventfd_clear(int fd) {
  uint64_t count;
  while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {}
}

static socklen_t to_socket(const linux_address *address, struct sockaddr_storage *storage) {
  memset(storage, 0, sizeof *storage);
  if (address->size == 4) {
    struct sockaddr_in *four = (struct sockaddr_in *)storage;
    four->sin_family = AF_INET;
    four->sin_port = htons(address->port);
    memcpy(&four->sin_addr, address->bytes, 4);
    return sizeof *four;
  }
  struct sockaddr_in6 *six = (struct sockaddr_in6 *)storage;
  six->sin6_family = AF_INET6;
  six->sin6_port = htons(address->port);
  memcpy(&six->sin6_addr, address->bytes, 16);
  return sizeof *six;
}

static void from_socket(const struct sockaddr_storage *storage, linux_address *address) {
  memset(address, 0, sizeof *address);
  if (storage->ss_family == AF_INET6) {
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)storage;
    address->port = ntohs(six->sin6_port);
    if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
      address->size = 4;
      memcpy(address->bytes, six->sin6_addr.s6_addr + 12, 4);
    } else {
      address->size = 16;
      memcpy(address->bytes, &six->sin6_addr, 16);
    }
  } else {
    const struct sockaddr_in *four = (const struct sockaddr_in *)storage;
    address->size = 4;
    address->port = ntohs(four->sin_port);
    memcpy(address->bytes, &four->sin_addr, 4);
  }
}

static int fail(int fd) {
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

static char *put_number(char *to, unsigned number, unsigned base) {
  if (number >= base) to = put_number(to, number / base, base);
  *to = "0123456789abcdef"[number % base];
  return to + 1;
}

// As RFC 5952 recommends. inet_ntop(3) of musl would bring 10 kB of printf.
int linux_address_text(const linux_address *address, char *text) {
  const uint8_t *bytes = address->bytes;
  char *end = text;
  if (address->size == 4) {
    for (int index = 0; index < 4; index++) {
      if (index > 0) *end++ = '.';
      end = put_number(end, bytes[index], 10);
    }
    return (int)(end - text);
  }
  // The first of the longest runs of zero groups, of at least two, becomes "::".
  int longest = 1, zeros_at = -1;
  for (int start = 0; start < 8; start++) {
    int count = 0;
    while (start + count < 8 && (bytes[2 * (start + count)] | bytes[2 * (start + count) + 1]) == 0) count++;
    if (count > longest) {
      longest = count;
      zeros_at = start;
    }
  }
  static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
  if (memcmp(bytes, mapped, sizeof mapped) == 0) {
    linux_address inner = {.size = 4};
    memcpy(inner.bytes, bytes + 12, 4);
    memcpy(text, "::ffff:", 7);
    return 7 + linux_address_text(&inner, text + 7);
  }
  for (int group = 0; group < 8; group++) {
    if (group == zeros_at) {
      *end++ = ':';
      *end++ = ':';
      group += longest - 1;
      continue;
    }
    if (group > 0 && group != zeros_at + longest) *end++ = ':';
    end = put_number(end, (unsigned)bytes[2 * group] << 8 | bytes[2 * group + 1], 16);
  }
  return (int)(end - text);
}

int linux_address_parse(const char *text, linux_address *address) {
  memset(address, 0, sizeof *address);
  if (inet_pton(AF_INET, text, address->bytes) == 1) {
    address->size = 4;
  } else if (inet_pton(AF_INET6, text, address->bytes) == 1) {
    address->size = 16;
  } else {
    return 0;
  }
  return 1;
}

static int listen_at(const linux_address *address, int backlog) {
  struct sockaddr_storage storage;
  socklen_t size = to_socket(address, &storage);
  int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (storage.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, (struct sockaddr *)&storage, size) != 0 || listen(fd, backlog) != 0) return fail(fd);
  return fd;
}

int linux_listen(const linux_address *address, int backlog) {
  static const uint8_t any[4] = {0};
  // 0.0.0.0 takes connections over IPv6 as well, as it does in nats-server, where the kernel has IPv6.
  if (address->size == 4 && memcmp(address->bytes, any, 4) == 0) {
    linux_address both = {.size = 16, .port = address->port};
    int fd = listen_at(&both, backlog);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL)) return fd;
  }
  return listen_at(address, backlog);
}

int linux_accept(int fd, linux_address *remote) {
  struct sockaddr_storage storage = {0};
  socklen_t size = sizeof storage;
  int accepted = accept4(fd, (struct sockaddr *)&storage, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted >= 0) from_socket(&storage, remote);
  return accepted;
}

int linux_connect(const linux_address *address) {
  struct sockaddr_storage storage;
  socklen_t size = to_socket(address, &storage);
  int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  if (connect(fd, (struct sockaddr *)&storage, size) != 0 && errno != EINPROGRESS && errno != EINTR) return fail(fd);
  return fd;
}

int linux_socket_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

int linux_local_address(int fd, linux_address *local) {
  struct sockaddr_storage storage = {0};
  socklen_t size = sizeof storage;
  if (getsockname(fd, (struct sockaddr *)&storage, &size) != 0) return -1;
  from_socket(&storage, local);
  return 0;
}

int64_t linux_receive(int fd, void *bytes, size_t size) {
  ssize_t got;
  do got = recv(fd, bytes, size, 0);
  while (got < 0 && errno == EINTR);
  return got;
}

int64_t linux_send(int fd, const struct iovec *chunks, int count) {
  struct msghdr message = {.msg_iov = (struct iovec *)chunks, .msg_iovlen = (size_t)count};
  ssize_t sent;
  do sent = sendmsg(fd, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

void linux_discard_input(int fd) {
  // On TCP, MSG_TRUNC drops bytes without copying them (tcp(7)).
  while (recv(fd, NULL, 1 << 20, MSG_TRUNC | MSG_DONTWAIT) < 0 && errno == EINTR) {}
}

void linux_set_no_delay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void linux_set_user_timeout(int fd, unsigned timeout_ms) {
  setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
}

// struct tcp_info of <linux/tcp.h> has tcpi_min_rtt since Linux 4.6; glibc's <netinet/tcp.h> ends before it. The two headers
// clash, so the offsets are given here: 8 single bytes, 24 32-bit words, four 64-bit counters (the third is bytes_acked, since Linux
// 4.1), two 32-bit words, then min_rtt.
enum { bytes_acked_offset = 120, min_rtt_offset = 148 };

int64_t linux_rtt_us(int fd) {
  uint8_t info[256];
  socklen_t size = sizeof info;
  memset(info, 0, sizeof info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) != 0) return -1;
  uint32_t rtt = 0;
  if (size >= min_rtt_offset + 4) memcpy(&rtt, info + min_rtt_offset, 4);
  if (rtt == 0 || rtt == UINT32_MAX) {
    if (size < offsetof(struct tcp_info, tcpi_rtt) + 4) return -1;
    memcpy(&rtt, info + offsetof(struct tcp_info, tcpi_rtt), 4);
  }
  return rtt == 0 ? -1 : (int64_t)rtt;
}

void linux_limit_unsent(int fd, unsigned bytes) { setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes); }

int linux_way(int fd, linux_way_state *state) {
  union {
    struct tcp_info known;
    uint8_t bytes[256];
  } whole;
  socklen_t size = sizeof whole;
  memset(&whole, 0, sizeof whole);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &whole, &size) != 0) return -1;
  struct tcp_info info = whole.known;
  memcpy(&state->acknowledged, whole.bytes + bytes_acked_offset, sizeof state->acknowledged);
  state->rtt_us = info.tcpi_rtt;
  state->rtt_variance_us = info.tcpi_rttvar;
  uint32_t ack = info.tcpi_last_ack_recv, data = info.tcpi_last_data_recv;
  state->since_sign_ms = ack < data ? ack : data;
  state->is_waiting = info.tcpi_unacked > 0;
  return 0;
}
