// JetStream: publishing with acknowledgements (and asking, which is the same to the generator), fetching with acks, being delivered to.
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { SUBJECT_DIGITS = 7, REPLY_DIGITS = 8 };

static const char inbox[] = "_INBOX.load.";

// Waits for the connection to be readable; 0 when `deadline` comes first.
static int wait_readable(int epoll, double deadline) {
  struct epoll_event event;
  double left = deadline - now();
  if (left <= 0) return 0;
  int ready = epoll_wait(epoll, &event, 1, left < STALL_SECONDS ? (int)(left * 1000) + 1 : STALL_SECONDS * 1000);
  if (ready == 0 && now() < deadline) fail("stalled");
  return ready;
}

struct result publish(int port, const struct publishing *p) {
  char subscribe[64], head[512], subject[256];
  snprintf(subscribe, sizeof subscribe, "SUB %s* 1\r\n", inbox);
  struct connection *c = dial(port, subscribe);
  snprintf(subject, sizeof subject, "%s%s", p->subject, p->subjects > 1 ? "0000000" : "");
  // Each publish has a reply subject of its own, as client libraries do it.
  snprintf(head, sizeof head, "PUB %s %s00000000 %zu\r\n", subject, inbox, p->size);
  size_t subject_at = 4 + strlen(p->subject), reply_at = 4 + strlen(subject) + 1 + strlen(inbox), frame, none = 0;
  char *batch = render_batch(head, p->size, BATCH_FRAMES, &frame);
  int epoll = epoll_create1(0);
  watch(epoll, c->fd, EPOLLIN, c);
  long sent = 0, acked = 0, errors = 0;
  double began = now(), cpu = own_cpu(), deadline = p->seconds > 0 ? began + p->seconds : began + 3600;
  while (acked < p->count) {
    long room = p->window - (sent - acked);
    if (room > p->count - sent) room = p->count - sent;
    if (room > BATCH_FRAMES) room = BATCH_FRAMES;
    for (long n = 0; n < room; n++) {
      char *at = batch + (size_t)n * frame;
      if (p->subjects > 1) put_digits(at + subject_at, SUBJECT_DIGITS, (sent + n) % p->subjects);
      put_digits(at + reply_at, REPLY_DIGITS, sent + n);
    }
    if (room > 0) {
      send_all(c->fd, batch, frame * (size_t)room);
      sent += room;
    }
    if (!wait_readable(epoll, deadline)) break;
    struct arrivals a = take(c, &none, NULL, NULL);
    acked += a.messages;
    errors += a.errors;
  }
  // What is on its way counts, and so does the time that it takes.
  while (acked < sent) {
    if (!wait_readable(epoll, now() + STALL_SECONDS)) fail("stalled");
    struct arrivals a = take(c, &none, NULL, NULL);
    acked += a.messages;
    errors += a.errors;
  }
  return (struct result){acked, errors, now() - began, own_cpu() - cpu};
}

// Acknowledgements of what a fetch brought, collected and sent at once.
struct acks {
  char *text;
  size_t size;
  long messages;
};

static void acknowledge(void *context, const struct message *message) {
  struct acks *acks = context;
  // MSG <subject> <sid> <reply> <size>: a status has no reply, and is no message.
  const char *at = message->line, *words[6];
  int count = 0;
  while (at < message->line_end && count < 6) {
    words[count++] = at;
    while (at < message->line_end && *at != ' ') at++;
    at++;
  }
  if (count < 5) return;
  acks->messages++;
  acks->size += (size_t)sprintf(acks->text + acks->size, "PUB %.*s 4\r\n+ACK\r\n", (int)(words[4] - words[3] - 1), words[3]);
}

struct result fetch(int port, long count, int batch, const char *stream, const char *consumer) {
  struct connection *c = dial(port, "SUB _INBOX.fetch 1\r\n");
  char ask[512], body[128];
  int body_size = snprintf(body, sizeof body, "{\"batch\":%d,\"expires\":10000000000}", batch);
  int ask_size = snprintf(ask, sizeof ask, "PUB $JS.API.CONSUMER.MSG.NEXT.%s.%s _INBOX.fetch %d\r\n%s\r\n", stream, consumer, body_size, body);
  struct acks acks = {malloc((size_t)batch * 512), 0, 0};
  int epoll = epoll_create1(0);
  watch(epoll, c->fd, EPOLLIN, c);
  long fetched = 0, errors = 0;
  size_t none = 0;
  double began = now(), cpu = own_cpu();
  while (fetched < count) {
    send_all(c->fd, ask, (size_t)ask_size);
    acks.messages = 0;
    acks.size = 0;
    while (acks.messages < batch && fetched + acks.messages < count) {
      if (!wait_readable(epoll, now() + STALL_SECONDS)) fail("no messages");
      errors += take(c, &none, acknowledge, &acks).errors;
      if (errors) return (struct result){fetched, errors, now() - began, own_cpu() - cpu};
    }
    fetched += acks.messages;
    send_all(c->fd, acks.text, acks.size);
  }
  // The acknowledgements are taken when the server has read what follows them.
  send_all(c->fd, "PING\r\n", 6);
  if (!wait_readable(epoll, now() + STALL_SECONDS)) fail("no PONG");
  take(c, &none, NULL, NULL);
  return (struct result){fetched, errors, now() - began, own_cpu() - cpu};
}

struct result deliver(int port, long count, const char *subject, const char *api, const char *body) {
  char subscribe[256];
  snprintf(subscribe, sizeof subscribe, "SUB %s 1\r\nSUB _INBOX.api 2\r\n", subject);
  struct connection *c = dial(port, subscribe);
  size_t size = strlen(api) + strlen(body) + 64, none = 0;
  char *ask = malloc(size);
  size = (size_t)snprintf(ask, size, "PUB %s _INBOX.api %zu\r\n%s\r\n", api, strlen(body), body);
  int epoll = epoll_create1(0);
  watch(epoll, c->fd, EPOLLIN, c);
  long messages = -1;  // without the API's answer
  long errors = 0;
  double began = now(), cpu = own_cpu();
  send_all(c->fd, ask, size);
  while (messages < count && !errors) {
    if (!wait_readable(epoll, now() + STALL_SECONDS)) fail("no messages");
    struct arrivals a = take(c, &none, NULL, NULL);
    messages += a.messages;
    errors += a.errors;
  }
  return (struct result){messages, errors, now() - began, own_cpu() - cpu};
}
