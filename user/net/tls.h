/* SPDX-License-Identifier: Apache-2.0 */
/* TLS 1.2 and 1.3 as a client: OpenSSL for the handshake and for reading, the kernel for sending.
 */
#ifndef S3_KTLS_NET_TLS_H
#define S3_KTLS_NET_TLS_H

#include <stdbool.h>

#include <openssl/types.h>

#include "base/clock.h"
#include "base/err.h"

/* What several connections share: trust, cipher choice. */
struct tls_client;

/*
 * TLS 1.2 or newer; peer and host name are verified, there is no way to turn that off. Trust comes
 * from `ca_bundle` (a PEM file, or a directory of hashed names), or from the system's store when it
 * is NULL. A certificate in `ca_bundle` is trusted as it is, also if it is no root. Ciphers that
 * kTLS can do (AES-GCM, ChaCha20-Poly1305) come first; no renegotiation, no compression. kTLS for
 * transmission only: OpenSSL's SSL_OP_ENABLE_KTLS would also take over receiving, which the answer
 * of a store does not need and which OpenSSL can't rekey.
 * ERR_USAGE if the bundle can't be read or holds no certificate; ERR_ENV.
 */
int tls_client_open(struct tls_client **client, const char *ca_bundle, struct err *e);
void tls_client_close(struct tls_client *client);

/*
 * Shake hands over the connected non-blocking socket fd (not owned). `host` is checked against the
 * certificate's subjectAltName (an IP literal against its IP addresses) and sent as SNI (not for
 * literals). The SSL is the caller's, to SSL_free() before fd is closed.
 * ERR_NET says why in plain words: who issued, for which name, which dates, what to do. -ETIMEDOUT,
 * -ECANCELED; -EACCES when the certificate is not accepted; another errno otherwise.
 *
 * Afterwards, where BIO_get_ktls_send(SSL_get_wbio(ssl)): OpenSSL has handed over its keys and
 * holds nothing back, so send(2), splice(2) and sendfile(2) on fd make TLS records, and SSL_write()
 * must not be used (it has no MSG_MORE). The process must ignore SIGPIPE: OpenSSL writes alerts
 * with write(2), and splice(2) and sendfile(2) have no MSG_NOSIGNAL either.
 */
int tls_client_handshake(struct tls_client *client, SSL **ssl, int fd, const char *host,
                         int cancel_fd, deadline_t deadline, struct err *e);

enum { TLS_ERROR_SIZE = 256 };

/*
 * After a call that got `ret` from OpenSSL and failed for good: what went wrong, as the middle of
 * a sentence. Returns a positive errno that fits, ENOMEM wherever that was the reason. Empties the
 * thread's error queue.
 */
int tls_describe_error(SSL *ssl, int ret, char text[static TLS_ERROR_SIZE]);

/*
 * Make the kernel load its tls module, by asking for the ULP on a throw-away loopback connection.
 * Loading takes CAP_NET_ADMIN, so call it before capabilities are dropped. 0 if the kernel has the
 * ULP now, -ENOENT if it has not, or another negative errno. No err: without it the program
 * encrypts, and says so.
 */
int tls_probe_module(void);

/* A whole handshake over loopback with a certificate made on the spot, and some KiB sent the way
 * a conn sends, for doctor. */
struct tls_self_test {
    char version[16];
    char cipher[64];
    bool ktls_send; /* BIO_get_ktls_send on the client side */
};
int tls_self_test_run(struct tls_self_test *result, struct err *e);

#endif
