// The command line of the load generator:
//
//   load fan     PUB_PORT SUB_PORT COUNT SIZE              publish at one server, receive at the same or another
//   load request PUB_PORT SUB_PORT COUNT SIZE WINDOW       requests at one, a responder at the other, WINDOW at a time
//   load publish PORT COUNT SECONDS SIZE WINDOW SUBJECT SUBJECTS
//                                                          publishes or requests of JetStream, WINDOW without their answer, until COUNT were
//                                                          sent or SECONDS are over (0 is none)
//   load fetch   PORT COUNT BATCH STREAM CONSUMER          fetches of BATCH, each message acknowledged
//   load deliver PORT COUNT SUBJECT API BODY               asks the API to deliver, and receives
//
// Prints one line of JSON: messages, errors, seconds until the last answer, and the CPU seconds it used itself.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"

static int is(const char *word, const char *name, int argc, int wanted) { return argc == wanted && strcmp(word, name) == 0; }

int main(int argc, char **argv) {
  struct result r;
  const char *verb = argc > 1 ? argv[1] : "";
  char **a = argv + 2;
  if (is(verb, "fan", argc, 6)) {
    r = fan(atoi(a[0]), atoi(a[1]), atol(a[2]), (size_t)atol(a[3]));
  } else if (is(verb, "request", argc, 7) && atol(a[4]) <= BATCH_FRAMES) {
    r = request(atoi(a[0]), atoi(a[1]), atol(a[2]), (size_t)atol(a[3]), atol(a[4]));
  } else if (is(verb, "publish", argc, 9)) {
    r = publish(atoi(a[0]), &(struct publishing){.count = atol(a[1]), .seconds = atof(a[2]), .size = (size_t)atol(a[3]), .window = atol(a[4]),
                                                 .subject = a[5], .subjects = atol(a[6])});
  } else if (is(verb, "fetch", argc, 7)) {
    r = fetch(atoi(a[0]), atol(a[1]), atoi(a[2]), a[3], a[4]);
  } else if (is(verb, "deliver", argc, 7)) {
    r = deliver(atoi(a[0]), atol(a[1]), a[2], a[3], a[4]);
  } else {
    fprintf(stderr, "usage: load fan|request|publish|fetch|deliver ... (see main.c)\n");
    return 2;
  }
  printf("{\"messages\": %ld, \"errors\": %ld, \"seconds\": %.6f, \"load_cpu_seconds\": %.6f}\n", r.messages, r.errors, r.seconds, r.cpu);
  return 0;
}
