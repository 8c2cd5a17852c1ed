/* SPDX-License-Identifier: Apache-2.0 */
/* The other side for the tests of user/net: a CA made on the spot, and a server in a thread that
 * follows a script over real TCP and real TLS (OpenSSL as a server). */
#ifndef S3_KTLS_TESTS_NET_PEER_H
#define S3_KTLS_TESTS_NET_PEER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <openssl/ssl.h>

/* A certificate and its key. `pem` is a file that holds the certificate. */
struct peer_cert {
    EVP_PKEY *key;
    X509 *cert;
    char pem[64];
};

/* `names` is a subjectAltName as in openssl.cnf ("DNS:localhost,IP:127.0.0.1"), NULL for none.
 * Valid from now + from_s to now + to_s. `ca` NULL: self-signed, and a CA. */
void peer_cert_make(struct peer_cert *c, const struct peer_cert *ca, const char *common_name,
                    const char *names, long from_s, long to_s);
void peer_cert_free(struct peer_cert *c);

struct conn;
struct tls_client;
struct peer;
typedef void peer_script(struct peer *p);

/* Set what is needed, then peer_start(). */
struct peer {
    const struct peer_cert *cert; /* NULL: plain TCP */
    int tls_version;              /* TLS1_2_VERSION ...; 0: any */
    const char *ciphers;          /* of TLS 1.2, NULL: OpenSSL's default */
    int receive_buffer;           /* SO_RCVBUF, 0: the kernel's */
    int send_buffer;     /* the other side's SO_SNDBUF, for peer_open_conn(); 0: as it is */
    int pause_us;        /* sleep before each read of peer_sink() */
    peer_script *script; /* run after accept and handshake, in the thread */
    size_t expect;       /* for the script: bytes of the test pattern to come */
    int key_update;      /* for the script: a kind of SSL_key_update() */
    int event_fd;        /* for the script */

    /* Results, after peer_join(). */
    bool shaken;  /* the handshake was done, and SNI was: */
    char sni[64]; /* "" for none */
    size_t got;   /* bytes read by peer_sink() */
    bool differs; /* some of them were not the pattern's */
    bool close_notified;
    int read_errno; /* of a read that failed, 0 */

    /* Inside. */
    uint16_t port;
    int listener, fd;
    SSL_CTX *ctx;
    SSL *ssl;
    pthread_t thread;
};

void peer_start(struct peer *p);
void peer_join(struct peer *p);

/* Did the last read end by a reset? ECONNRESET; EPIPE where OpenSSL met the reset already when it
 * wrote its session tickets, which it forgives, and then can't write an alert. */
bool peer_was_reset(const struct peer *p);

/* The group fixture of tests with connections: a CA, a server certificate of it for 127.0.0.1, and
 * a client that trusts it. */
int peer_fixture_set_up(void **state);
int peer_fixture_tear_down(void **state);
struct tls_client *peer_fixture_tls(void);

/* The ways to speak with a peer. */
enum { PEER_PLAIN, PEER_TLS13, PEER_TLS12, PEER_WAYS };

/* Start a peer of that way with `script`, and open a connection to it; kTLS must be where it can
 * be. The script must read something before it ends: TCP_ULP is refused once the peer's FIN is
 * there. */
void peer_open_conn(struct peer *p, struct conn **conn, int way, peer_script *script,
                    int idle_timeout_ms, int cancel_fd);

/* The conn must receive just `text` next. */
void peer_assert_answer(struct conn *conn, const char *text);

/* For scripts. As read(2) and write(2); -1 on failure. */
ssize_t peer_read(struct peer *p, void *bytes, size_t n);
void peer_write(struct peer *p, const char *text);
/* Read until `expect` bytes have come or the end; compare with the pattern. */
void peer_sink(struct peer *p, size_t expect);
/* Wait for the end and note what it was. */
void peer_await_end(struct peer *p);

/*
 * Compare what was found with what this kernel can do: it encrypts where it has the tls module, if
 * `suitable` (the cipher is one for kTLS). S3_KTLS_EXPECT_KTLS=1, set where the module must be
 * there, turns its absence into a failure.
 */
void assert_ktls(bool found, bool suitable);

/* A stream of bytes in which every place looks different. */
unsigned char pattern_at(size_t i);
void pattern_fill(unsigned char *bytes, size_t from, size_t n);

/* A deleted temporary file of n bytes of the pattern, open for reading and writing. */
int pattern_file(size_t n);

/* A connected pair of loopback TCP sockets, both non-blocking, with a send buffer of at least
 * `buffer` bytes (0: the kernel's) at `in`. */
void loopback_pair(int *in, int *out, int buffer);

#endif
