// Facts of a certificate: names, dates, fingerprints.
#define _GNU_SOURCE
#include "COpenSSL.h"
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// RFC 2253, but characters above ASCII as they are, as nats-server prints them.
static char *text_of(const X509_NAME *name, size_t *size) {
  BIO *bio = BIO_new(BIO_s_mem());
  if (!bio) return NULL;
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
  char *bytes = NULL;
  long length = BIO_get_mem_data(bio, &bytes);
  char *text = malloc((size_t)length + 1);
  if (text) {
    if (length > 0) memcpy(text, bytes, (size_t)length);
    text[length] = 0;
    *size = (size_t)length;
  }
  BIO_free(bio);
  ERR_clear_error();
  return text;
}

char *openssl_certificate_subject(const openssl_certificate *certificate, size_t *size) {
  return text_of(X509_get_subject_name(certificate), size);
}

char *openssl_certificate_issuer(const openssl_certificate *certificate, size_t *size) {
  return text_of(X509_get_issuer_name(certificate), size);
}

void openssl_text_free(char *text) { free(text); }

static int64_t seconds(const ASN1_TIME *time) {
  struct tm parts;
  return ASN1_TIME_to_tm(time, &parts) == 1 ? (int64_t)timegm(&parts) : 0;
}

int64_t openssl_certificate_begins(const openssl_certificate *certificate) { return seconds(X509_get0_notBefore(certificate)); }

int64_t openssl_certificate_ends(const openssl_certificate *certificate) { return seconds(X509_get0_notAfter(certificate)); }

void openssl_certificate_hash(const openssl_certificate *certificate, uint8_t *hash) {
  if (X509_digest(certificate, EVP_sha256(), hash, NULL) != 1) memset(hash, 0, OPENSSL_SHA256_BYTES);
}

void openssl_certificate_key_hash(const openssl_certificate *certificate, uint8_t *hash) {
  uint8_t *encoded = NULL;
  int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &encoded);
  if (size > 0) {
    openssl_sha256(encoded, (size_t)size, hash);
  } else {
    memset(hash, 0, OPENSSL_SHA256_BYTES);
  }
  OPENSSL_free(encoded);
}

openssl_names *openssl_certificate_names(const openssl_certificate *certificate) {
  openssl_names *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  ERR_clear_error();
  return names;
}

void openssl_names_free(openssl_names *names) { GENERAL_NAMES_free(names); }

int openssl_names_count(const openssl_names *names) { return sk_GENERAL_NAME_num(names); }

const uint8_t *openssl_names_get(const openssl_names *names, int index, int *kind, size_t *size) {
  ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, index), kind);
  switch (*kind) {
    case OPENSSL_NAME_EMAIL:
    case OPENSSL_NAME_DNS:
    case OPENSSL_NAME_URI:
    case OPENSSL_NAME_ADDRESS:
      *size = (size_t)ASN1_STRING_length(value);
      return ASN1_STRING_get0_data(value);
    default: return NULL;
  }
}
