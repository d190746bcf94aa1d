// bcrypt, for checking passwords. Neither C library can be asked in both builds: Debian's musl comes without crypt(3). Tested against published
// vectors and, with random passwords, against the machine's libxcrypt.
#include "bcrypt.h"
#include "pi.h"
#include <string.h>

enum { rounds = 16, salt_words = 4, output_words = 6, output_bytes = 23, salt_bytes = 16 };

static inline uint32_t mix(const bcrypt_state *state, uint32_t half) {
  uint32_t sum = state->boxes[0][half >> 24] + state->boxes[1][half >> 16 & 255];
  return (sum ^ state->boxes[2][half >> 8 & 255]) + state->boxes[3][half & 255];
}

static void encipher(const bcrypt_state *state, uint32_t *left, uint32_t *right) {
  uint32_t one = *left, other = *right;
  for (int round = 0; round < rounds; round += 2) {
    one ^= state->keys[round];
    other ^= mix(state, one);
    other ^= state->keys[round + 1];
    one ^= mix(state, other);
  }
  *left = other ^ state->keys[rounds + 1];
  *right = one ^ state->keys[rounds];
}

// Four bytes of `bytes`, which is read round and round.
static uint32_t next_word(const uint8_t *bytes, int size, int *at) {
  uint32_t word = 0;
  for (int index = 0; index < 4; index++) {
    word = word << 8 | bytes[*at];
    *at = *at + 1 == size ? 0 : *at + 1;
  }
  return word;
}

static void expand(bcrypt_state *state, const uint8_t *key, int key_size, const uint32_t *salt) {
  int at = 0;
  for (int index = 0; index < 18; index++) state->keys[index] ^= next_word(key, key_size, &at);
  uint32_t left = 0, right = 0;
  int half = 0;
  for (int index = 0; index < 18 + 4 * 256; index += 2) {
    if (salt) {
      left ^= salt[half];
      right ^= salt[half + 1];
      half ^= 2;
    }
    encipher(state, &left, &right);
    uint32_t *to = index < 18 ? &state->keys[index] : &state->boxes[(index - 18) / 256][(index - 18) % 256];
    to[0] = left;
    to[1] = right;
  }
}

static const char digits[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

static int decode_salt(const char *text, uint8_t *salt) {
  uint32_t bits = 0;
  int bit_count = 0, count = 0;
  for (int index = 0; index < 22; index++) {
    const char *digit = text[index] ? strchr(digits, text[index]) : NULL;
    if (digit == NULL) return 0;
    bits = bits << 6 | (uint32_t)(digit - digits);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      if (count < salt_bytes) salt[count++] = (uint8_t)(bits >> bit_count);
    }
  }
  return count == salt_bytes;
}

static void encode(const uint8_t *bytes, int size, char *text) {
  uint32_t bits = 0;
  int bit_count = 0;
  for (int index = 0; index < size; index++) {
    bits = bits << 8 | bytes[index];
    bit_count += 8;
    while (bit_count >= 6) {
      bit_count -= 6;
      *text++ = digits[bits >> bit_count & 63];
    }
  }
  if (bit_count > 0) *text++ = digits[bits << (6 - bit_count) & 63];
}

int bcrypt_hash(const char *password, const char *setting, char *hash, bcrypt_state *state) {
  uint8_t salt[salt_bytes];
  if (strnlen(setting, 29) != 29 || setting[0] != '$' || setting[1] != '2' || setting[3] != '$' || setting[6] != '$') return 0;
  if (setting[4] < '0' || setting[4] > '3' || setting[5] < '0' || setting[5] > '9' || !decode_salt(setting + 7, salt)) return 0;
  int cost = (setting[4] - '0') * 10 + (setting[5] - '0');
  if (cost < 4 || cost > 31) return 0;
  int key_size = (int)strnlen(password, bcrypt_password_max);
  // The NUL counts, as long as there is room for it.
  if (key_size < bcrypt_password_max) key_size++;
  const uint8_t *key = (const uint8_t *)password;
  uint32_t salt_halves[salt_words];
  int at = 0;
  for (int index = 0; index < salt_words; index++) salt_halves[index] = next_word(salt, salt_bytes, &at);

  memcpy(state->keys, pi_fraction, sizeof state->keys);
  memcpy(state->boxes, pi_fraction + 18, sizeof state->boxes);
  expand(state, key, key_size, salt_halves);
  for (uint64_t count = (uint64_t)1 << cost; count > 0; count--) {
    expand(state, key, key_size, NULL);
    expand(state, salt, salt_bytes, NULL);
  }
  const uint8_t text[] = "OrpheanBeholderScryDoubt";
  uint8_t output[output_words * 4];
  at = 0;
  for (int index = 0; index < output_words; index += 2) {
    uint32_t left = next_word(text, output_words * 4, &at), right = next_word(text, output_words * 4, &at);
    for (int time = 0; time < 64; time++) encipher(state, &left, &right);
    for (int byte = 0; byte < 4; byte++) {
      output[index * 4 + byte] = (uint8_t)(left >> (24 - 8 * byte));
      output[index * 4 + 4 + byte] = (uint8_t)(right >> (24 - 8 * byte));
    }
  }
  encode(output, output_bytes, hash);
  return 1;
}
