// Certificates for tests, made while they run.
#pragma once
#include <stdint.h>

enum { KEY_P256, KEY_RSA_1024, KEY_RSA_2048, KEY_ED25519 };

typedef struct {
  /// "O=Example/CN=hub": attributes separated by slashes.
  const char *subject;
  /// "DNS:hub.example,IP:10.0.0.2", or NULL.
  const char *names;
  /// "serverAuth", "clientAuth", or NULL for no restriction.
  const char *usage;
  int64_t begins_s;
  int64_t ends_s;
  int is_authority;
  int key;
} certificate_request;

/// Writes PATH.pem and PATH.key, signed by the authority in ISSUER.pem and ISSUER.key, or by itself when `issuer` is NULL. 1 on success.
int certificate_make(const certificate_request *request, const char *issuer, const char *path);
/// Encrypts a key file in place. 1 on success.
int certificate_encrypt_key(const char *path, const char *password);
