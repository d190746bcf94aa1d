// TLS contexts: protocol versions, certificates, who is trusted.
#define _GNU_SOURCE
#include "COpenSSL.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  // A bundle of all public authorities is a quarter of a megabyte.
  file_bytes_max = 4 << 20,
  // From the peer's own certificate to the authority.
  chain_length_max = 8,
  // RSA of 2048 bits, SHA-256: less is refused as by every TLS library of today.
  security_level = 2,
};

openssl_context *openssl_context_new(int is_server, int only_13) {
  SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
  if (!context) {
    ERR_clear_error();
    return NULL;
  }
  SSL_CTX_set_min_proto_version(context, only_13 ? TLS1_3_VERSION : TLS1_2_VERSION);
  SSL_CTX_set_security_level(context, security_level);
  // No sessions are resumed: who is let in again must be checked again, also when the authorities were changed in between.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                   SSL_OP_PRIORITIZE_CHACHA);
  // An idle connection gives its buffers back.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify_depth(context, chain_length_max);
  // Whoever names a certificate as trusted trusts it, also when another one has signed it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
  return context;
}

void openssl_context_free(openssl_context *context) { SSL_CTX_free(context); }

// The whole file as a BIO over memory of its own, or NULL with the errno; EFBIG when it is larger than any such file.
static BIO *read_file(const char *path, int *error_number) {
  *error_number = 0;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    *error_number = errno;
    return NULL;
  }
  BIO *bio = BIO_new(BIO_s_mem());
  char chunk[4096];
  size_t total = 0;
  while (bio) {
    ssize_t got = read(file, chunk, sizeof chunk);
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    total += got > 0 ? (size_t)got : 0;
    if (got < 0 || total > file_bytes_max) {
      *error_number = got < 0 ? errno : EFBIG;
      BIO_free(bio);
      bio = NULL;
    } else if (BIO_write(bio, chunk, (int)got) != got) {
      BIO_free(bio);
      bio = NULL;
    }
  }
  OPENSSL_cleanse(chunk, sizeof chunk);
  close(file);
  if (!bio && *error_number == 0) *error_number = ENOMEM;
  return bio;
}

static int unreadable(int error_number) { return error_number == EFBIG ? OPENSSL_FILE_TOO_LARGE : OPENSSL_UNREADABLE; }

// Whether the parser stopped because there is nothing more, and not because of something that it cannot read.
static int was_at_end(void) {
  unsigned long error = ERR_peek_last_error();
  return error == 0 || (ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE);
}

static int is_weak(void) {
  switch (ERR_GET_REASON(ERR_peek_last_error())) {
    case SSL_R_EE_KEY_TOO_SMALL:
    case SSL_R_CA_KEY_TOO_SMALL:
    case SSL_R_CA_MD_TOO_WEAK: return 1;
    default: return 0;
  }
}

static int use_chain(SSL_CTX *context, BIO *chain) {
  X509 *own = PEM_read_bio_X509_AUX(chain, NULL, NULL, NULL);
  if (!own) return was_at_end() ? OPENSSL_NO_CERTIFICATE : OPENSSL_BAD_CERTIFICATE;
  int used = SSL_CTX_use_certificate(context, own);
  X509_free(own);
  if (used != 1) return is_weak() ? OPENSSL_WEAK_CERTIFICATE : OPENSSL_BAD_CERTIFICATE;
  SSL_CTX_clear_chain_certs(context);
  for (;;) {
    ERR_clear_error();
    X509 *next = PEM_read_bio_X509(chain, NULL, NULL, NULL);
    if (!next) return was_at_end() ? OPENSSL_OK : OPENSSL_BAD_CERTIFICATE;
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return is_weak() ? OPENSSL_WEAK_CERTIFICATE : OPENSSL_BAD_CERTIFICATE;
    }
  }
}

// No key is decrypted: there is nobody to ask for its password.
static int no_password(char *buffer, int size, int writing, void *asked) {
  (void)buffer, (void)size, (void)writing;
  *(int *)asked = 1;
  return -1;
}

static int use_key(SSL_CTX *context, BIO *file) {
  int asked = 0;
  char *text = NULL;
  long size = BIO_get_mem_data(file, &text);
  int encrypted = memmem(text, (size_t)size, "ENCRYPTED", 9) != NULL;
  EVP_PKEY *key = PEM_read_bio_PrivateKey(file, NULL, no_password, &asked);
  if (!key) return asked || encrypted ? OPENSSL_ENCRYPTED_KEY : OPENSSL_NO_KEY;
  ERR_clear_error();
  int used = SSL_CTX_use_PrivateKey(context, key);
  int matches = used == 1 && SSL_CTX_check_private_key(context) == 1;
  EVP_PKEY_free(key);
  return matches ? OPENSSL_OK : OPENSSL_OTHER_KEY;
}

int openssl_context_use_certificate(openssl_context *context, const char *chain_path, const char *key_path, int *of_key, int *error_number) {
  ERR_clear_error();
  *of_key = 0;
  BIO *file = read_file(chain_path, error_number);
  if (!file) return unreadable(*error_number);
  int result = use_chain(context, file);
  BIO_free(file);
  if (result == OPENSSL_OK) {
    *of_key = 1;
    file = read_file(key_path, error_number);
    if (!file) return unreadable(*error_number);
    result = use_key(context, file);
    char *secret = NULL;
    long size = BIO_get_mem_data(file, &secret);
    OPENSSL_cleanse(secret, (size_t)size);
    BIO_free(file);
  }
  ERR_clear_error();
  return result;
}

int openssl_context_trust_file(openssl_context *context, int is_server, const char *path, int *error_number) {
  ERR_clear_error();
  BIO *file = read_file(path, error_number);
  if (!file) return unreadable(*error_number);
  int count = 0;
  int result = OPENSSL_OK;
  for (;;) {
    X509 *authority = PEM_read_bio_X509(file, NULL, NULL, NULL);
    if (!authority) {
      if (!was_at_end()) result = OPENSSL_BAD_CERTIFICATE;
      break;
    }
    count++;
    int added = X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority) == 1;
    if (added && is_server) added = SSL_CTX_add_client_CA(context, authority) == 1;
    X509_free(authority);
    if (!added) result = OPENSSL_NO_MEMORY;
    ERR_clear_error();
  }
  BIO_free(file);
  ERR_clear_error();
  return result == OPENSSL_OK && count == 0 ? OPENSSL_NO_AUTHORITIES : result;
}

// Whether a directory has certificates under the hashes of their subjects, as OpenSSL looks for them.
static int has_hashes(const char *path) {
  DIR *directory = opendir(path);
  if (!directory) return 0;
  int found = 0;
  struct dirent *entry;
  while (!found && (entry = readdir(directory))) {
    size_t length = strlen(entry->d_name);
    found = length == 10 && strcmp(entry->d_name + 8, ".0") == 0;
  }
  closedir(directory);
  return found;
}

int openssl_context_trust_system(openssl_context *context) {
  static const char *const directories[] = {"/etc/ssl/certs", "/etc/pki/tls/certs"};
  static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/cert.pem",
  };
  const char *directory = getenv("SSL_CERT_DIR");
  const char *bundle = getenv("SSL_CERT_FILE");
  int ignored;
  if (bundle) return openssl_context_trust_file(context, 0, bundle, &ignored) == OPENSSL_OK ? OPENSSL_OK : OPENSSL_NO_AUTHORITIES;
  // A directory first: of its hundred and more certificates only the one that is needed is read and kept, at the first handshake.
  for (size_t index = 0; !directory && index < sizeof directories / sizeof *directories; index++) {
    if (has_hashes(directories[index])) directory = directories[index];
  }
  if (directory) {
    int loaded = X509_STORE_load_path(SSL_CTX_get_cert_store(context), directory);
    ERR_clear_error();
    return loaded == 1 ? OPENSSL_OK : OPENSSL_NO_AUTHORITIES;
  }
  for (size_t index = 0; index < sizeof bundles / sizeof *bundles; index++) {
    if (openssl_context_trust_file(context, 0, bundles[index], &ignored) == OPENSSL_OK) return OPENSSL_OK;
  }
  return OPENSSL_NO_AUTHORITIES;
}

void openssl_context_check_peer(openssl_context *context) {
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}

int openssl_context_set_ciphers(openssl_context *context, const char *names) {
  char list[2048] = "";
  size_t length = 0;
  while (*names) {
    size_t size = strcspn(names, ":");
    char name[128];
    if (size >= sizeof name) return OPENSSL_BAD_NAME;
    memcpy(name, names, size);
    name[size] = 0;
    const char *own = OPENSSL_cipher_name(name);
    if (strcmp(own, "(NONE)") == 0 || length + strlen(own) + 2 > sizeof list) return OPENSSL_BAD_NAME;
    if (length > 0) list[length++] = ':';
    strcpy(list + length, own);
    length += strlen(own);
    names += size;
    if (*names == ':') names++;
  }
  int set = SSL_CTX_set_cipher_list(context, list);
  ERR_clear_error();
  return set == 1 ? OPENSSL_OK : OPENSSL_BAD_NAME;
}

int openssl_context_set_groups(openssl_context *context, const char *names) {
  int set = (int)SSL_CTX_set1_groups_list(context, names);
  ERR_clear_error();
  return set == 1 ? OPENSSL_OK : OPENSSL_BAD_NAME;
}
