// One side of a TLS connection. OpenSSL reads what it was given and writes into a buffer of the session; neither ever waits.
#include "COpenSSL.h"
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

struct openssl_session {
  SSL *ssl;
  const uint8_t *input;
  size_t input_size;
  uint8_t *output;
  size_t output_size;
  size_t output_capacity;
  int failure;
  int failure_detail;
  X509 *rejected;
};

// MARK: Memory as OpenSSL reads and writes it

static int bio_read(BIO *bio, char *bytes, int size) {
  openssl_session *session = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (session->input_size == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t taken = session->input_size < (size_t)size ? session->input_size : (size_t)size;
  memcpy(bytes, session->input, taken);
  session->input += taken;
  session->input_size -= taken;
  return (int)taken;
}

static int bio_write(BIO *bio, const char *bytes, int size) {
  openssl_session *session = BIO_get_data(bio);
  size_t needed = session->output_size + (size_t)size;
  if (needed > session->output_capacity) {
    size_t capacity = needed < 2048 ? 2048 : needed + needed / 2;
    uint8_t *grown = realloc(session->output, capacity);
    if (!grown) return -1;
    session->output = grown;
    session->output_capacity = capacity;
  }
  memcpy(session->output + session->output_size, bytes, (size_t)size);
  session->output_size = needed;
  return size;
}

static long bio_control(BIO *bio, int command, long number, void *pointer) {
  (void)bio, (void)number, (void)pointer;
  return command == BIO_CTRL_FLUSH;
}

static BIO *new_bio(openssl_session *session) {
  // One for the whole program, never freed.
  static BIO_METHOD *method;
  if (!method) {
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "petiole");
    if (!method) return NULL;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
  }
  BIO *bio = BIO_new(method);
  if (!bio) return NULL;
  BIO_set_data(bio, session);
  BIO_set_init(bio, 1);
  return bio;
}

// MARK: Making one

// Keeps the certificate that is not accepted: the message about it needs its names and dates.
static int checked(int accepted, X509_STORE_CTX *store) {
  if (accepted) return 1;
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  openssl_session *session = SSL_get_app_data(ssl);
  X509 *certificate = X509_STORE_CTX_get_current_cert(store);
  if (certificate && !session->rejected && X509_up_ref(certificate) == 1) session->rejected = certificate;
  return 0;
}

openssl_session *openssl_session_new(openssl_context *context, int is_server, const char *name, int name_is_address, int64_t now_s) {
  openssl_session *session = calloc(1, sizeof *session);
  if (!session) return NULL;
  session->ssl = SSL_new(context);
  BIO *bio = session->ssl ? new_bio(session) : NULL;
  if (!bio) {
    openssl_session_free(session);
    ERR_clear_error();
    return NULL;
  }
  SSL_set_bio(session->ssl, bio, bio);
  SSL_set_app_data(session->ssl, session);
  SSL_set_verify(session->ssl, SSL_get_verify_mode(session->ssl), checked);
  X509_VERIFY_PARAM *checks = SSL_get0_param(session->ssl);
  X509_VERIFY_PARAM_set_time(checks, (time_t)now_s);
  int made = 1;
  if (name) {
    // As in Go: alternative names only, never the common name, and an asterisk stands for a whole label.
    X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (name_is_address) {
      made = X509_VERIFY_PARAM_set1_ip_asc(checks, name) == 1;
    } else {
      made = X509_VERIFY_PARAM_set1_host(checks, name, 0) == 1 && SSL_set_tlsext_host_name(session->ssl, name) == 1;
    }
  }
  if (is_server) {
    SSL_set_accept_state(session->ssl);
  } else {
    SSL_set_connect_state(session->ssl);
  }
  ERR_clear_error();
  if (!made) {
    openssl_session_free(session);
    return NULL;
  }
  return session;
}

void openssl_session_free(openssl_session *session) {
  if (!session) return;
  SSL_free(session->ssl);
  X509_free(session->rejected);
  free(session->output);
  free(session);
}

// MARK: Working

void openssl_session_give(openssl_session *session, const uint8_t *bytes, size_t size) {
  session->input = bytes;
  session->input_size = size;
}

size_t openssl_session_untaken(const openssl_session *session) { return session->input_size; }

// Notes why the last call failed; the first error of the queue is the cause, the others are its consequences.
static int failed(openssl_session *session) {
  unsigned long error = ERR_peek_error();
  int reason = ERR_GET_REASON(error);
  session->failure = OPENSSL_FAILURE_PROTOCOL;
  session->failure_detail = reason;
  if (ERR_GET_LIB(error) == ERR_LIB_SSL) {
    switch (reason) {
      case SSL_R_CERTIFICATE_VERIFY_FAILED:
        session->failure = OPENSSL_FAILURE_CERTIFICATE;
        session->failure_detail = (int)SSL_get_verify_result(session->ssl);
        break;
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: session->failure = OPENSSL_FAILURE_NO_CERTIFICATE; break;
      case SSL_R_UNSUPPORTED_PROTOCOL:
      case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      case SSL_R_UNKNOWN_PROTOCOL:
      case SSL_R_VERSION_TOO_LOW: session->failure = OPENSSL_FAILURE_VERSION; break;
      case SSL_R_NO_SHARED_CIPHER:
      case SSL_R_NO_SUITABLE_KEY_SHARE:
      case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
      case SSL_R_NO_SHARED_GROUPS: session->failure = OPENSSL_FAILURE_CIPHERS; break;
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_HTTP_REQUEST:
      case SSL_R_HTTPS_PROXY_REQUEST: session->failure = OPENSSL_FAILURE_NOT_TLS; break;
      default:
        if (reason > SSL_AD_REASON_OFFSET && reason <= SSL_AD_REASON_OFFSET + 255) {
          session->failure = OPENSSL_FAILURE_ALERT;
          session->failure_detail = reason - SSL_AD_REASON_OFFSET;
        }
    }
  }
  ERR_clear_error();
  return OPENSSL_FAILED;
}

int openssl_session_handshake(openssl_session *session) {
  ERR_clear_error();
  int result = SSL_do_handshake(session->ssl);
  if (result == 1) return OPENSSL_DONE;
  return SSL_get_error(session->ssl, result) == SSL_ERROR_WANT_READ ? OPENSSL_WAITS : failed(session);
}

int openssl_session_read(openssl_session *session, uint8_t *bytes, int size) {
  ERR_clear_error();
  int got = SSL_read(session->ssl, bytes, size);
  if (got > 0) return got;
  switch (SSL_get_error(session->ssl, got)) {
    case SSL_ERROR_WANT_READ: return OPENSSL_WAITS;
    case SSL_ERROR_ZERO_RETURN: return OPENSSL_CLOSED;
    default: return failed(session);
  }
}

int openssl_session_write(openssl_session *session, const uint8_t *bytes, int size) {
  ERR_clear_error();
  return SSL_write(session->ssl, bytes, size) == size ? OPENSSL_DONE : failed(session);
}

void openssl_session_close(openssl_session *session) {
  SSL_shutdown(session->ssl);
  ERR_clear_error();
}

const uint8_t *openssl_session_output(const openssl_session *session, size_t *size) {
  *size = session->output_size;
  return session->output;
}

void openssl_session_output_taken(openssl_session *session) {
  free(session->output);
  session->output = NULL;
  session->output_size = session->output_capacity = 0;
}

int openssl_session_failure(const openssl_session *session, int *detail) {
  *detail = session->failure_detail;
  return session->failure;
}

const char *openssl_session_version(const openssl_session *session) { return SSL_get_version(session->ssl); }

const char *openssl_session_cipher(const openssl_session *session) {
  const SSL_CIPHER *cipher = SSL_get_current_cipher(session->ssl);
  const char *name = cipher ? SSL_CIPHER_standard_name(cipher) : NULL;
  return name ? name : "";
}

const openssl_certificate *openssl_session_certificate(const openssl_session *session, int index) {
  if (index == 0) return SSL_get0_peer_certificate(session->ssl);
  // A server's chain lacks the client's own certificate, a client's has the server's own in front.
  STACK_OF(X509) *chain = SSL_get_peer_cert_chain(session->ssl);
  int place = SSL_is_server(session->ssl) ? index - 1 : index;
  return chain && place >= 0 && place < sk_X509_num(chain) ? sk_X509_value(chain, place) : NULL;
}

const openssl_certificate *openssl_session_rejected(const openssl_session *session) { return session->rejected; }
