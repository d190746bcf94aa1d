// Connections, frames and the clock.
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

double own_cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

void send_all(int fd, const char *data, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent > 0) {
      data += sent;
      size -= (size_t)sent;
    } else if (errno == EAGAIN) {
      usleep(50);
    } else if (errno != EINTR) {
      fail("send");
    }
  }
}

struct connection *dial(int port, const char *subscribe) {
  struct connection *c = calloc(1, sizeof *c);
  c->buffer = malloc(READ_BYTES);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int one = 1;
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0) fail("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char hello[512];
  int size = snprintf(hello, sizeof hello, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"name\":\"load\"}\r\n%sPING\r\n", subscribe);
  send_all(c->fd, hello, (size_t)size);
  while (!memmem(c->buffer, c->held, "PONG\r\n", 6)) {
    ssize_t got = recv(c->fd, c->buffer + c->held, READ_BYTES - c->held, 0);
    if (got <= 0) fail("no PONG");
    c->held += (size_t)got;
  }
  c->held = 0;
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  return c;
}

// The payload size that ends a MSG or HMSG line.
static size_t size_at_end(const char *line, const char *end) {
  const char *digit = end - 2;
  size_t value = 0, unit = 1;
  for (; digit > line && *digit >= '0' && *digit <= '9'; digit--, unit *= 10) value += (size_t)(*digit - '0') * unit;
  return value;
}

static int is_error(const char *line, const char *payload, size_t size) {
  // "NATS/1.0 503": no responder; 404: not there; a status of 100 is a heartbeat.
  if (*line == 'H') return size > 9 && memcmp(payload, "NATS/1.0 ", 9) == 0 && payload[9] >= '4';
  return memmem(payload, size, "\"error\"", 7) != NULL;
}

struct arrivals take(struct connection *c, size_t *frame, handler *each, void *context) {
  struct arrivals a = {0, 0};
  ssize_t got = recv(c->fd, c->buffer + c->held, READ_BYTES - c->held, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return a;
  if (got <= 0) fail("the server closed the connection");
  c->held += (size_t)got;
  char *at = c->buffer, *end = c->buffer + c->held;
  while (at < end) {
    if (*at == 'M' && *frame && (size_t)(end - at) >= *frame) {
      at += *frame;
      a.messages++;
      continue;
    }
    char *line_end = memchr(at, '\n', (size_t)(end - at));
    if (!line_end) break;
    line_end++;
    if (*at == 'M' || *at == 'H') {
      size_t size = size_at_end(at, line_end - 1);
      size_t whole = (size_t)(line_end - at) + size + 2;
      if ((size_t)(end - at) < whole) break;
      if (is_error(at, line_end, size)) {
        if (a.errors++ == 0) fprintf(stderr, "load: %.*s\n", (int)whole, at);
      }
      struct message message = {at, line_end, line_end, size};
      if (each) each(context, &message);
      at += whole;
      a.messages++;
      continue;
    }
    if (*at == '-') {
      fprintf(stderr, "load: %.*s", (int)(line_end - at), at);
      exit(1);
    }
    if (*at == 'P' && at[1] == 'I') {
      c->owes_pong = c->holds_pongs;
      if (!c->owes_pong) send_all(c->fd, "PONG\r\n", 6);
    }
    at = line_end;
  }
  c->held = (size_t)(end - at);
  memmove(c->buffer, at, c->held);
  return a;
}

// A reading as a device would send it, filled up to `size` bytes; differs from one to the next as readings do.
static void render_payload(char *out, size_t size, unsigned number) {
  char text[256];
  int used = snprintf(text, sizeof text, "{\"device\":\"pump-%03u\",\"seq\":%u,\"temperature\":%.2f,\"pressure\":%.3f,\"rpm\":%u,\"state\":\"running\",\"unit\":\"",
                      number % 200, 100000 + number, 20 + (number * 37 % 1000) / 100.0, 1 + (number * 91 % 997) / 997.0, 1400 + number * 13 % 200);
  memset(out, 'x', size);
  memcpy(out, text, size < (size_t)used ? size : (size_t)used);
  if (size > (size_t)used + 2) memcpy(out + size - 2, "\"}", 2);
}

char *render_batch(const char *head, size_t size, unsigned frames, size_t *frame) {
  size_t head_size = strlen(head);
  *frame = head_size + size + 2;
  char *batch = malloc(*frame * frames);
  for (unsigned n = 0; n < frames; n++) {
    char *at = batch + n * *frame;
    memcpy(at, head, head_size);
    render_payload(at + head_size, size, n);
    memcpy(at + head_size + size, "\r\n", 2);
  }
  return batch;
}

void watch(int epoll, int fd, uint32_t events, void *what) {
  struct epoll_event event = {.events = events, .data.ptr = what};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

void put_digits(char *at, int count, long value) {
  for (int n = count - 1; n >= 0; n--, value /= 10) at[n] = (char)('0' + value % 10);
}
