// Password hashes (Provos and Mazieres, "A Future-Adaptable Password Scheme", 1999).
#pragma once
#include <stdint.h>

enum { bcrypt_hash_length = 60, bcrypt_password_max = 72 };

typedef struct {
  uint32_t keys[18];
  uint32_t boxes[4][256];
} bcrypt_state;

/// Writes the 31 characters of the hash of `password` behind `setting` (`$2.$`, cost, `$`, 22 characters of salt). 0 when `setting` is none.
/// `password` ends with a NUL, of which bcrypt makes a part; no more than bcrypt_password_max bytes are looked at. `state` is for its work.
int bcrypt_hash(const char *password, const char *setting, char *hash, bcrypt_state *state);
