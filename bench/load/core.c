// Core messaging: one publisher and one subscriber, and requests with a responder.
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// Publishes single frames until one arrives: interest may have to travel over a leaf link first.
static void warm_up(struct connection *publisher, struct connection *subscriber, const char *frame, size_t frame_size) {
  size_t unknown = 0;
  for (int attempt = 0;; attempt++) {
    if (attempt == 200) fail("no message gets through");
    send_all(publisher->fd, frame, frame_size);
    usleep(50000);
    if (take(subscriber, &unknown, NULL, NULL).messages > 0) break;
  }
  usleep(300000);
  while (take(subscriber, &unknown, NULL, NULL).messages > 0) usleep(100000);
}

struct result fan(int pub_port, int sub_port, long count, size_t size) {
  struct connection *subscriber = dial(sub_port, "SUB bench.fan 1\r\n"), *publisher = dial(pub_port, "");
  char head[64], in_head[64];
  snprintf(head, sizeof head, "PUB bench.fan %zu\r\n", size);
  size_t out_frame, in_frame = (size_t)snprintf(in_head, sizeof in_head, "MSG bench.fan 1 %zu\r\n", size) + size + 2;
  unsigned frames = size < 128 ? BATCH_FRAMES : BATCH_BYTES / size;
  char *batch = render_batch(head, size, frames, &out_frame);
  size_t batch_size = out_frame * frames;
  warm_up(publisher, subscriber, batch, out_frame);

  int epoll = epoll_create1(0);
  watch(epoll, subscriber->fd, EPOLLIN, subscriber);
  watch(epoll, publisher->fd, EPOLLIN | EPOLLOUT | EPOLLET, publisher);
  size_t total = out_frame * (size_t)count, sent = 0;
  long received = 0, flight_max = FLIGHT_BYTES_MAX / (long)out_frame;
  double began = now(), cpu = own_cpu();
  int writable = 1;
  publisher->holds_pongs = 1;
  while (received < count) {
    while (writable && sent < total && (long)(sent / out_frame) - received < flight_max) {
      if (publisher->owes_pong && sent % out_frame == 0) {
        send_all(publisher->fd, "PONG\r\n", 6);
        publisher->owes_pong = 0;
      }
      size_t at = sent % batch_size, left = batch_size - at;
      if (left > total - sent) left = total - sent;
      if (publisher->owes_pong) left = out_frame - sent % out_frame;
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
        if (events[n].events & EPOLLIN) take(publisher, &unknown, NULL, NULL);
        if (events[n].events & EPOLLOUT) writable = 1;
      } else {
        received += take(subscriber, &in_frame, NULL, NULL).messages;
      }
    }
  }
  return (struct result){count, 0, now() - began, own_cpu() - cpu};
}

struct result request(int pub_port, int sub_port, long count, size_t size, long window) {
  struct connection *responder = dial(sub_port, "SUB bench.service 1\r\n"), *requester = dial(pub_port, "SUB _INBOX.load 1\r\n");
  char head[64];
  size_t ask_size, reply_size, none = 0;
  snprintf(head, sizeof head, "PUB bench.service _INBOX.load %zu\r\n", size);
  char *ask = render_batch(head, size, BATCH_FRAMES, &ask_size);
  snprintf(head, sizeof head, "PUB _INBOX.load %zu\r\n", size);
  char *reply = render_batch(head, size, BATCH_FRAMES, &reply_size);
  warm_up(requester, responder, ask, ask_size);
  send_all(responder->fd, reply, reply_size);
  usleep(300000);
  take(requester, &none, NULL, NULL);

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
      struct arrivals a = take(c, &none, NULL, NULL);
      errors += a.errors;
      if (c == responder) {
        if (a.messages) send_all(responder->fd, reply, reply_size * (size_t)a.messages);
      } else {
        answered += a.messages;
      }
    }
  }
  return (struct result){count, errors, now() - began, own_cpu() - cpu};
}
