// Checks of passwords against their hashes, each on a short-lived thread of its own: one takes a tenth of a second of a large processor.
#define _GNU_SOURCE
#include "bcrypt.h"
#include "errand.h"

enum { stack_bytes = 64 * 1024, setting_length = 29 };

struct linux_password_check {
  errand errand;
  int matches;
  char password[bcrypt_password_max + 1];
  char hash[bcrypt_hash_length + 1];
  bcrypt_state state;
};

static void prepare(linux_password_check *check, const void *password, size_t size, const char *hash) {
  memcpy(check->password, password, size > bcrypt_password_max ? bcrypt_password_max : size);
  memcpy(check->hash, hash, strnlen(hash, bcrypt_hash_length));
}

static void compare(errand *errand) {
  linux_password_check *check = (linux_password_check *)errand;
  char made[bcrypt_hash_length - setting_length];
  int is_made = bcrypt_hash(check->password, check->hash, made, &check->state);
  // Not longer in memory than it takes.
  explicit_bzero(check->password, sizeof check->password);
  explicit_bzero(&check->state, sizeof check->state);
  if (!is_made) return;
  unsigned difference = 0;
  for (size_t index = 0; index < sizeof made; index++) difference |= (unsigned)(made[index] ^ check->hash[setting_length + index]);
  check->matches = difference == 0;
}

// A NUL would end the password early and let its head pass for the whole.
static int is_text(const void *password, size_t size) { return memchr(password, 0, size) == NULL; }

int linux_password_matches(const void *password, size_t size, const char *hash) {
  linux_password_check *check = is_text(password, size) ? errand_make(sizeof *check) : NULL;
  if (check == NULL) return 0;
  prepare(check, password, size, hash);
  compare(&check->errand);
  int matches = check->matches;
  atomic_store(&check->errand.holders, 1);
  errand_let_go(&check->errand);
  return matches;
}

linux_password_check *linux_password_check_start(const void *password, size_t size, const char *hash) {
  linux_password_check *check = is_text(password, size) ? errand_make(sizeof *check) : NULL;
  if (check == NULL) return NULL;
  prepare(check, password, size, hash);
  return errand_start(&check->errand, stack_bytes, compare) ? check : NULL;
}

int linux_password_check_fd(const linux_password_check *check) { return check->errand.fd; }
int linux_password_check_result(linux_password_check *check) { return errand_is_done(&check->errand) ? check->matches : -1; }
void linux_password_check_end(linux_password_check *check) { errand_let_go(&check->errand); }
