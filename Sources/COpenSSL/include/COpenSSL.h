// What the program uses of OpenSSL 3, as a few functions of its own: OpenSSL's headers are macros that Swift does not see, and its objects have
// owners that are easier to get right in C. The shipping build links a trimmed OpenSSL without locks: only the reactor thread may call these.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Hashes, signatures and secrets (crypto.c). Functions that return int give 1 for yes or success and 0 for no.
enum {
  OPENSSL_SHA256_BYTES = 32,
  OPENSSL_SHA512_BYTES = 64,
  OPENSSL_ED25519_SEED_BYTES = 32,
  OPENSSL_ED25519_KEY_BYTES = 32,
  OPENSSL_ED25519_SIGNATURE_BYTES = 64,
};
/// SHA-256 of `size` bytes; `hash` has room for OPENSSL_SHA256_BYTES.
void openssl_sha256(const void *bytes, size_t size, uint8_t *hash);
/// SHA-512 of `size` bytes; `hash` has room for OPENSSL_SHA512_BYTES.
void openssl_sha512(const void *bytes, size_t size, uint8_t *hash);
/// The public key that belongs to an Ed25519 seed.
int openssl_ed25519_public_key(const uint8_t *seed, uint8_t *public_key);
/// Signs `message` (Ed25519, RFC 8032) with the key that belongs to `seed`.
int openssl_ed25519_sign(const uint8_t *seed, const void *message, size_t size, uint8_t *signature);
/// Whether `signature` is the one of `message` by the owner of `public_key`.
int openssl_ed25519_verify(const uint8_t *public_key, const void *message, size_t size, const uint8_t *signature);
/// Whether both are the same, in a time that does not tell where they differ.
int openssl_equal(const void *left, const void *right, size_t size);
/// Overwrites a secret in a way that the compiler does not leave out.
void openssl_erase(void *bytes, size_t size);
