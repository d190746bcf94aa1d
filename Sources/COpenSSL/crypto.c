// Hashes, Ed25519 and the handling of secrets.
#include "COpenSSL.h"
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

static void digest(const EVP_MD *kind, const void *bytes, size_t size, uint8_t *hash) {
  // Fails only without memory.
  if (EVP_Digest(bytes, size, hash, NULL, kind, NULL) != 1) abort();
}

void openssl_sha256(const void *bytes, size_t size, uint8_t *hash) { digest(EVP_sha256(), bytes, size, hash); }

void openssl_sha512(const void *bytes, size_t size, uint8_t *hash) { digest(EVP_sha512(), bytes, size, hash); }

void openssl_keyed_hash(const void *key, size_t key_size, const void *bytes, size_t size, uint8_t *hash) {
  if (HMAC(EVP_sha256(), key, (int)key_size, bytes, size, hash, NULL) == NULL) abort();
}

int openssl_ed25519_public_key(const uint8_t *seed, uint8_t *public_key) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, OPENSSL_ED25519_SEED_BYTES);
  size_t size = OPENSSL_ED25519_KEY_BYTES;
  int made = key && EVP_PKEY_get_raw_public_key(key, public_key, &size) == 1 && size == OPENSSL_ED25519_KEY_BYTES;
  EVP_PKEY_free(key);
  ERR_clear_error();
  return made;
}

int openssl_ed25519_sign(const uint8_t *seed, const void *message, size_t size, uint8_t *signature) {
  EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, OPENSSL_ED25519_SEED_BYTES);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t written = OPENSSL_ED25519_SIGNATURE_BYTES;
  int made = key && context && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
             EVP_DigestSign(context, signature, &written, message, size) == 1 && written == OPENSSL_ED25519_SIGNATURE_BYTES;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  ERR_clear_error();
  return made;
}

int openssl_ed25519_verify(const uint8_t *public_key, const void *message, size_t size, const uint8_t *signature) {
  EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, OPENSSL_ED25519_KEY_BYTES);
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  int right = key && context && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(context, signature, OPENSSL_ED25519_SIGNATURE_BYTES, message, size) == 1;
  EVP_MD_CTX_free(context);
  EVP_PKEY_free(key);
  ERR_clear_error();
  return right;
}

int openssl_equal(const void *left, const void *right, size_t size) { return CRYPTO_memcmp(left, right, size) == 0; }

void openssl_erase(void *bytes, size_t size) { OPENSSL_cleanse(bytes, size); }
