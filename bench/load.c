// The benchmark's load generator: one thread, one epoll, so that its own cost is small and known.
//
//   load fan     PUB_PORT SUB_PORT COUNT SIZE          publish COUNT messages at one server, receive them at the same or another
//   load request PUB_PORT SUB_PORT COUNT SIZE WINDOW   requests at one, a responder at the other, WINDOW at a time
//   load publish PUB_PORT -        COUNT SIZE WINDOW SUBJECT   JetStream publishes, WINDOW without their acknowledgement
//
// Prints one line of JSON: messages, seconds from the first publish to the last arrival, and the CPU seconds it used itself.
// Frames are rendered before the clock starts. Not here: starting servers and measuring them (bench.py).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  READ_BYTES = 1 << 18,
  BATCH_FRAMES = 4096,         // frames rendered in advance and sent over and over
  FLIGHT_BYTES_MAX = 4 << 20,  // published and not yet received: far below every server's max_pending
  STALL_SECONDS = 30,
};

struct connection {
  int fd;
  size_t held;
  char *buffer;
};

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double own_cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static void send_all(int fd, const char *data, size_t size) {
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

static struct connection *dial(int port, const char *subscribe) {
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

// What the wire brought since the last look.
struct arrivals {
  long messages;
  long errors;  // acknowledgements that say "error", and requests without a responder
};

// The payload size that ends a MSG or HMSG line.
static size_t size_at_end(const char *line, const char *end) {
  const char *digit = end - 2;
  size_t value = 0, unit = 1;
  for (; digit > line && *digit >= '0' && *digit <= '9'; digit--, unit *= 10) value += (size_t)(*digit - '0') * unit;
  return value;
}

// Reads once and counts the messages that are complete. `frame` is the size of the next MSG frame when all are alike and known, else 0.
static struct arrivals take(struct connection *c, size_t *frame) {
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
      if (*at == 'H' || memmem(line_end, size, "\"error\"", 7)) a.errors++;
      at += whole;
      a.messages++;
      continue;
    }
    if (*at == '-') {
      fprintf(stderr, "load: %.*s", (int)(line_end - at), at);
      exit(1);
    }
    if (*at == 'P' && at[1] == 'I') send_all(c->fd, "PONG\r\n", 6);
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

static char *render_batch(const char *head, size_t size, size_t *frame) {
  size_t head_size = strlen(head);
  *frame = head_size + size + 2;
  char *batch = malloc(*frame * BATCH_FRAMES);
  for (unsigned n = 0; n < BATCH_FRAMES; n++) {
    char *at = batch + n * *frame;
    memcpy(at, head, head_size);
    render_payload(at + head_size, size, n);
    memcpy(at + head_size + size, "\r\n", 2);
  }
  return batch;
}

static void watch(int epoll, int fd, uint32_t events, void *what) {
  struct epoll_event event = {.events = events, .data.ptr = what};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

// Publishes single frames until one arrives: interest may have to travel over a leaf link first.
static void warm_up(struct connection *publisher, struct connection *subscriber, const char *frame, size_t frame_size) {
  size_t unknown = 0;
  for (int attempt = 0;; attempt++) {
    if (attempt == 200) fail("no message gets through");
    send_all(publisher->fd, frame, frame_size);
    usleep(50000);
    if (take(subscriber, &unknown).messages > 0) break;
  }
  usleep(300000);
  while (take(subscriber, &unknown).messages > 0) usleep(100000);
}

static void report(long messages, double seconds, double cpu, long errors) {
  printf("{\"messages\": %ld, \"seconds\": %.6f, \"load_cpu_seconds\": %.6f, \"errors\": %ld}\n", messages, seconds, cpu, errors);
}

static void fan(int pub_port, int sub_port, long count, size_t size) {
  struct connection *subscriber = dial(sub_port, "SUB bench.fan 1\r\n"), *publisher = dial(pub_port, "");
  char head[64], in_head[64];
  snprintf(head, sizeof head, "PUB bench.fan %zu\r\n", size);
  size_t out_frame, in_frame = (size_t)snprintf(in_head, sizeof in_head, "MSG bench.fan 1 %zu\r\n", size) + size + 2;
  char *batch = render_batch(head, size, &out_frame);
  size_t batch_size = out_frame * BATCH_FRAMES;
  warm_up(publisher, subscriber, batch, out_frame);

  int epoll = epoll_create1(0);
  watch(epoll, subscriber->fd, EPOLLIN, subscriber);
  watch(epoll, publisher->fd, EPOLLIN | EPOLLOUT | EPOLLET, publisher);
  size_t total = out_frame * (size_t)count, sent = 0;
  long received = 0, flight_max = FLIGHT_BYTES_MAX / (long)out_frame;
  double began = now(), cpu = own_cpu();
  int writable = 1;
  while (received < count) {
    while (writable && sent < total && (long)(sent / out_frame) - received < flight_max) {
      size_t at = sent % batch_size, left = batch_size - at;
      if (left > total - sent) left = total - sent;
      ssize_t wrote = send(publisher->fd, batch + at, left < READ_BYTES ? left : READ_BYTES, MSG_NOSIGNAL);
      if (wrote > 0) {
        sent += (size_t)wrote;
      } else if (errno == EAGAIN) {
        writable = 0;
      } else {
        fail("publish");
      }
    }
    struct epoll_event events[2];
    int ready = epoll_wait(epoll, events, 2, STALL_SECONDS * 1000);
    if (ready == 0) fail("stalled");
    for (int n = 0; n < ready; n++) {
      if (events[n].data.ptr == publisher) {
        size_t unknown = 0;
        if (events[n].events & EPOLLIN) take(publisher, &unknown);
        if (events[n].events & EPOLLOUT) writable = 1;
      } else {
        received += take(subscriber, &in_frame).messages;
      }
    }
  }
  report(count, now() - began, own_cpu() - cpu, 0);
}

static void request(int pub_port, int sub_port, long count, size_t size, long window) {
  struct connection *responder = dial(sub_port, "SUB bench.service 1\r\n"), *requester = dial(pub_port, "SUB _INBOX.load 1\r\n");
  char head[64];
  size_t ask_size, reply_size, none = 0;
  snprintf(head, sizeof head, "PUB bench.service _INBOX.load %zu\r\n", size);
  char *ask = render_batch(head, size, &ask_size);
  snprintf(head, sizeof head, "PUB _INBOX.load %zu\r\n", size);
  char *reply = render_batch(head, size, &reply_size);
  warm_up(requester, responder, ask, ask_size);
  send_all(responder->fd, reply, reply_size);
  usleep(300000);
  take(requester, &none);

  int epoll = epoll_create1(0);
  watch(epoll, responder->fd, EPOLLIN, responder);
  watch(epoll, requester->fd, EPOLLIN, requester);
  long asked = 0, answered = 0, errors = 0;
  double began = now(), cpu = own_cpu();
  while (answered < count) {
    long room = window - (asked - answered);
    if (room > count - asked) room = count - asked;
    if (room > 0) {
      send_all(requester->fd, ask, ask_size * (size_t)room);
      asked += room;
    }
    struct epoll_event events[2];
    int ready = epoll_wait(epoll, events, 2, STALL_SECONDS * 1000);
    if (ready == 0) fail("stalled");
    for (int n = 0; n < ready; n++) {
      struct connection *c = events[n].data.ptr;
      struct arrivals a = take(c, &none);
      errors += a.errors;
      if (c == responder) {
        if (a.messages) send_all(responder->fd, reply, reply_size * (size_t)a.messages);
      } else {
        answered += a.messages;
      }
    }
  }
  report(count, now() - began, own_cpu() - cpu, errors);
}

static void publish(int port, long count, size_t size, long window, const char *subject) {
  struct connection *c = dial(port, "SUB _INBOX.load.* 1\r\n");
  // Each publish has a reply subject of its own, as client libraries do it.
  char head[256];
  snprintf(head, sizeof head, "PUB %s _INBOX.load.00000000 %zu\r\n", subject, size);
  size_t frame, digits = 4 + strlen(subject) + strlen(" _INBOX.load."), none = 0;
  char *batch = render_batch(head, size, &frame);
  int epoll = epoll_create1(0);
  watch(epoll, c->fd, EPOLLIN, c);
  long sent = 0, acked = 0, errors = 0;
  double began = now(), cpu = own_cpu();
  while (acked < count) {
    // Refill when a good part of the window is free, so that the cost of system calls is not the measure.
    long room = window - (sent - acked);
    if (room > count - sent) room = count - sent;
    if (room > BATCH_FRAMES) room = BATCH_FRAMES;
    if (room > 0) {
      for (long n = 0; n < room; n++) {
        char *digit = batch + (size_t)n * frame + digits + 7;
        for (long value = sent + n, d = 0; d < 8; d++, value /= 10) *digit-- = (char)('0' + value % 10);
      }
      send_all(c->fd, batch, frame * (size_t)room);
      sent += room;
    }
    struct epoll_event event;
    if (epoll_wait(epoll, &event, 1, STALL_SECONDS * 1000) == 0) fail("stalled");
    struct arrivals a = take(c, &none);
    acked += a.messages;
    errors += a.errors;
  }
  report(count, now() - began, own_cpu() - cpu, errors);
}

int main(int argc, char **argv) {
  if (argc >= 6 && strcmp(argv[1], "fan") == 0) {
    fan(atoi(argv[2]), atoi(argv[3]), atol(argv[4]), (size_t)atol(argv[5]));
  } else if (argc >= 7 && strcmp(argv[1], "request") == 0 && atol(argv[6]) <= BATCH_FRAMES) {
    request(atoi(argv[2]), atoi(argv[3]), atol(argv[4]), (size_t)atol(argv[5]), atol(argv[6]));
  } else if (argc >= 8 && strcmp(argv[1], "publish") == 0) {
    publish(atoi(argv[2]), atol(argv[4]), (size_t)atol(argv[5]), atol(argv[6]), argv[7]);
  } else {
    fprintf(stderr, "usage: load fan|request|publish PUB_PORT SUB_PORT COUNT SIZE [WINDOW [SUBJECT]]\n");
    return 2;
  }
  return 0;
}
