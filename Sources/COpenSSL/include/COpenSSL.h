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
/// HMAC-SHA-256 (RFC 2104); `hash` has room for OPENSSL_SHA256_BYTES.
void openssl_keyed_hash(const void *key, size_t key_size, const void *bytes, size_t size, uint8_t *hash);
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

// TLS contexts (context.c): what many connections have in common. A context lives as long as it or a session of it is held.
typedef struct ssl_ctx_st openssl_context;
enum {
  OPENSSL_OK,
  OPENSSL_NO_MEMORY,
  /// A file cannot be read; the error number is where the function says.
  OPENSSL_UNREADABLE,
  OPENSSL_FILE_TOO_LARGE,
  /// The file holds no certificate, or one that cannot be read.
  OPENSSL_NO_CERTIFICATE,
  OPENSSL_BAD_CERTIFICATE,
  /// The key or signature of a certificate is too weak to be used (below 112 bits).
  OPENSSL_WEAK_CERTIFICATE,
  OPENSSL_NO_KEY,
  OPENSSL_ENCRYPTED_KEY,
  /// The key is not the certificate's.
  OPENSSL_OTHER_KEY,
  OPENSSL_NO_AUTHORITIES,
  OPENSSL_BAD_NAME,
};
/// A context without a certificate that trusts nobody. TLS 1.2 and 1.3, or only 1.3. NULL without memory.
openssl_context *openssl_context_new(int is_server, int only_13);
void openssl_context_free(openssl_context *context);
/// The certificate chain and the key that this side shows, from PEM files. OPENSSL_OK, or what is wrong; `of_key` tells with which of the two.
int openssl_context_use_certificate(openssl_context *context, const char *chain_path, const char *key_path, int *of_key, int *error_number);
/// Trusts the certificates of a PEM file; a server also tells its clients their names.
int openssl_context_trust_file(openssl_context *context, int is_server, const char *path, int *error_number);
/// Trusts the authorities of the operating system.
int openssl_context_trust_system(openssl_context *context);
/// Demands a certificate from the other side, and checks it.
void openssl_context_check_peer(openssl_context *context);
/// The cipher suites for TLS 1.2, best first: names of the IANA registry, separated by colons.
int openssl_context_set_ciphers(openssl_context *context, const char *names);
/// The groups for the key exchange, best first: X25519, P-256, P-384, P-521, separated by colons.
int openssl_context_set_groups(openssl_context *context, const char *names);

// One side of a TLS connection (session.c), which reads and writes memory.
typedef struct openssl_session openssl_session;
typedef struct x509_st openssl_certificate;
enum {
  OPENSSL_DONE = 1,
  /// Nothing more can be done without more bytes from the other side.
  OPENSSL_WAITS = 0,
  OPENSSL_FAILED = -1,
  /// The other side has said that it sends nothing more.
  OPENSSL_CLOSED = -2,
};
enum {
  OPENSSL_FAILURE_PROTOCOL,
  /// What came is no TLS at all.
  OPENSSL_FAILURE_NOT_TLS,
  OPENSSL_FAILURE_VERSION,
  OPENSSL_FAILURE_CIPHERS,
  OPENSSL_FAILURE_NO_CERTIFICATE,
  /// The other side's certificate is not accepted; the detail is an X509_V_ERR_ number.
  OPENSSL_FAILURE_CERTIFICATE,
  /// The other side ended the connection; the detail is the number of its alert.
  OPENSSL_FAILURE_ALERT,
};
/// `name` is the server's name or address for a client that checks it, or NULL; `now_s` is the time at which certificates must be valid.
openssl_session *openssl_session_new(openssl_context *context, int is_server, const char *name, int name_is_address, int64_t now_s);
void openssl_session_free(openssl_session *session);
/// Bytes from the other side. They are not copied: they must stay where they are until the calls that follow have taken them.
void openssl_session_give(openssl_session *session, const uint8_t *bytes, size_t size);
/// How many of the bytes given have not been taken.
size_t openssl_session_untaken(const openssl_session *session);
/// Goes on with the handshake.
int openssl_session_handshake(openssl_session *session);
/// The number of decrypted bytes, at least 1, or OPENSSL_WAITS, OPENSSL_FAILED, OPENSSL_CLOSED.
int openssl_session_read(openssl_session *session, uint8_t *bytes, int size);
/// Encrypts `size` bytes, at most 16384. OPENSSL_DONE or OPENSSL_FAILED.
int openssl_session_write(openssl_session *session, const uint8_t *bytes, int size);
/// Says that nothing more follows.
void openssl_session_close(openssl_session *session);
/// What is to be sent to the other side.
const uint8_t *openssl_session_output(const openssl_session *session, size_t *size);
/// It has been taken.
void openssl_session_output_taken(openssl_session *session);
/// Why a call gave OPENSSL_FAILED.
int openssl_session_failure(const openssl_session *session, int *detail);
/// "TLSv1.3", and the cipher suite's name in the IANA registry.
const char *openssl_session_version(const openssl_session *session);
const char *openssl_session_cipher(const openssl_session *session);
/// Certificate `index` of the chain that the other side showed, its own first, or NULL.
const openssl_certificate *openssl_session_certificate(const openssl_session *session, int index);
/// The certificate that was not accepted, or NULL.
const openssl_certificate *openssl_session_rejected(const openssl_session *session);

// Facts of a certificate (certificate.c).
enum {
  OPENSSL_NAME_EMAIL = 1,
  OPENSSL_NAME_DNS = 2,
  OPENSSL_NAME_URI = 6,
  /// 4 or 16 bytes.
  OPENSSL_NAME_ADDRESS = 7,
};
/// The subject or issuer in the form of RFC 2253, to be given to openssl_text_free, or NULL without memory.
char *openssl_certificate_subject(const openssl_certificate *certificate, size_t *size);
char *openssl_certificate_issuer(const openssl_certificate *certificate, size_t *size);
void openssl_text_free(char *text);
/// The first and the last second at which it is valid, since 1970.
int64_t openssl_certificate_begins(const openssl_certificate *certificate);
int64_t openssl_certificate_ends(const openssl_certificate *certificate);
/// SHA-256 of the whole certificate, and of its public key's SubjectPublicKeyInfo, both in DER.
void openssl_certificate_hash(const openssl_certificate *certificate, uint8_t *hash);
void openssl_certificate_key_hash(const openssl_certificate *certificate, uint8_t *hash);
/// The alternative names of the subject, or NULL when there are none.
typedef struct stack_st_GENERAL_NAME openssl_names;
openssl_names *openssl_certificate_names(const openssl_certificate *certificate);
void openssl_names_free(openssl_names *names);
int openssl_names_count(const openssl_names *names);
/// Name `index`, of one of the kinds above, or NULL for one of another kind.
const uint8_t *openssl_names_get(const openssl_names *names, int index, int *kind, size_t *size);
