// The benchmark's load generator: one thread, one epoll, so that its own cost is small and known. main.c says how it is called.
// Starting servers and measuring them is not here but in the Python files beside.
#ifndef LOAD_H
#define LOAD_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>

enum {
  READ_BYTES = 1 << 18,
  BATCH_FRAMES = 4096,         // frames rendered in advance and sent over and over
  BATCH_BYTES = 4 << 20,       // of what may be compressed: no compressor's block (1 MB) may see a frame again
  FLIGHT_BYTES_MAX = 4 << 20,  // published and not yet received: far below every server's max_pending
  STALL_SECONDS = 60,
};

struct connection {
  int fd;
  size_t held;
  char *buffer;
  int owes_pong;  // a PING came while the sender was within a frame
  int holds_pongs;  // the sender answers PINGs itself, between frames
};

// A message that arrived: its line, its payload (with headers in front when the line says so).
struct message {
  const char *line, *line_end;
  const char *payload;
  size_t size;
};
typedef void handler(void *context, const struct message *message);

// What the wire brought since the last look.
struct arrivals {
  long messages;
  long errors;  // payloads that say "error", and answers with a status of 400 or more
};

// What is reported.
struct result {
  long messages, errors;
  double seconds, cpu;
};

// wire.c
void fail(const char *what);
double now(void);
double own_cpu(void);
void send_all(int fd, const char *data, size_t size);
struct connection *dial(int port, const char *subscribe);
// Reads once and counts the messages that are complete. `frame` is the size of the next MSG frame when all are alike and known, else 0.
// `each`, when there is one, sees every message that is not of that size.
struct arrivals take(struct connection *c, size_t *frame, handler *each, void *context);
// `frames` frames of `head` and payloads of `size` bytes that differ as readings do.
char *render_batch(const char *head, size_t size, unsigned frames, size_t *frame);
void watch(int epoll, int fd, uint32_t events, void *what);
void put_digits(char *at, int count, long value);

struct result fan(int pub_port, int sub_port, long count, size_t size);
struct result request(int pub_port, int sub_port, long count, size_t size, long window);

// Publishes with acknowledgements, or asks: until `count` or `seconds`, whichever comes first, `window` at a time. With more than one
// subject, seven digits follow `subject`.
struct publishing {
  const char *subject;
  long subjects, count, window;
  size_t size;
  double seconds;
};
struct result publish(int port, const struct publishing *p);

struct result fetch(int port, long count, int batch, const char *stream, const char *consumer);
struct result deliver(int port, long count, const char *subject, const char *api, const char *body);

#endif
