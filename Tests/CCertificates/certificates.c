#include "CCertificates.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *new_key(int kind) {
  switch (kind) {
    case KEY_RSA_1024: return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
    case KEY_RSA_2048: return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    case KEY_ED25519: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    default: return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  }
}

static FILE *file_at(const char *path, const char *suffix, const char *mode) {
  char name[1024];
  snprintf(name, sizeof name, "%s%s", path, suffix);
  return fopen(name, mode);
}

static int extend(X509 *certificate, X509 *issuer, int nid, const char *value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
  int added = extension && X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  return added;
}

static void name_it(X509_NAME *name, const char *subject) {
  char text[512];
  snprintf(text, sizeof text, "%s", subject);
  for (char *rest = text, *part; (part = strsep(&rest, "/"));) {
    char *value = strchr(part, '=');
    *value++ = 0;
    X509_NAME_add_entry_by_txt(name, part, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
  }
}

static int write_both(const char *path, X509 *certificate, EVP_PKEY *key) {
  FILE *file = file_at(path, ".pem", "w");
  int written = file && PEM_write_X509(file, certificate);
  if (file) fclose(file);
  file = file_at(path, ".key", "w");
  written = written && file && PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
  if (file) fclose(file);
  return written;
}

int certificate_make(const certificate_request *request, const char *issuer, const char *path) {
  static long serial = 1000;
  EVP_PKEY *key = new_key(request->key);
  X509 *certificate = X509_new();
  X509 *signer = certificate;
  EVP_PKEY *signer_key = key;
  if (issuer) {
    FILE *file = file_at(issuer, ".pem", "r");
    signer = file ? PEM_read_X509(file, NULL, NULL, NULL) : NULL;
    if (file) fclose(file);
    file = file_at(issuer, ".key", "r");
    signer_key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (file) fclose(file);
  }
  if (!key || !certificate || !signer || !signer_key) return 0;
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)request->begins_s);
  ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)request->ends_s);
  name_it(X509_get_subject_name(certificate), request->subject);
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  X509_set_pubkey(certificate, key);
  int made = extend(certificate, signer, NID_basic_constraints, request->is_authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (request->names) made = made && extend(certificate, signer, NID_subject_alt_name, request->names);
  if (request->usage) made = made && extend(certificate, signer, NID_ext_key_usage, request->usage);
  made = made && extend(certificate, signer, NID_subject_key_identifier, "hash");
  made = made && X509_sign(certificate, signer_key, request->key == KEY_ED25519 && !issuer ? NULL : EVP_sha256()) > 0;
  made = made && write_both(path, certificate, key);
  if (issuer) {
    X509_free(signer);
    EVP_PKEY_free(signer_key);
  }
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

int certificate_encrypt_key(const char *path, const char *password) {
  FILE *file = fopen(path, "r");
  EVP_PKEY *key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
  if (file) fclose(file);
  file = key ? fopen(path, "w") : NULL;
  int written = file && PEM_write_PrivateKey(file, key, EVP_aes_256_cbc(), (unsigned char *)password, (int)strlen(password), NULL, NULL);
  if (file) fclose(file);
  EVP_PKEY_free(key);
  return written;
}
