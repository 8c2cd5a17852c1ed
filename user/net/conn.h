/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a store: TCP, with TLS on top where the endpoint is https, and kTLS below that
 * where the kernel can. An `SSL *` belongs to one thread, so a conn does. The process must ignore
 * SIGPIPE (see net/tls.h).
 *
 * A peer may answer before it has read the whole request. Every sending function watches for that,
 * at its start and while it waits, and lets conn_set_answer_fn()'s function tell an interim answer
 * from a final one. At a final one it stops and returns CONN_ANSWERED: the request is incomplete
 * for good, so the conn can still receive, but every sending function refuses from then on.
 */
#ifndef S3_KTLS_NET_CONN_H
#define S3_KTLS_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/tcp.h"

struct conn;
struct tls_client;

/* Positive, so that it is neither done (0) nor an error (negative). */
enum { CONN_ANSWERED = 1 };

struct conn_options {
    const char *host; /* for name resolution, SNI and the certificate; IPv6 without brackets */
    uint16_t port;
    struct tls_client *tls; /* NULL: plain TCP. Not owned, must outlive the conn. */
    int connect_timeout_ms; /* name, TCP and TLS handshake together */
    int idle_timeout_ms;    /* longest time without progress in either direction afterwards */
    int cancel_fd;          /* readable: stop (io_wait); -1 for none */
};

/* Facts for the result line. The strings live as long as the conn. */
struct conn_info {
    const char *peer;        /* address and port */
    const char *tls_version; /* "TLSv1.3", NULL on plain TCP */
    const char *tls_cipher;  /* OpenSSL's name, NULL on plain TCP */
    bool ktls_send;          /* the kernel encrypts what is sent (BIO_get_ktls_send) */
};

/*
 * Takes application data that arrive while a sending function sends (n > 0). Returns 0: only an
 * interim answer (a late 100 Continue), go on sending; CONN_ANSWERED: stop; or a negative errno
 * with `e` filled, which the sending function then returns.
 */
typedef int conn_answer_fn(void *ctx, const void *bytes, size_t n, struct err *e);

/* Who takes them. NULL (the default): they are kept for conn_recv(), and the sending function
 * returns CONN_ANSWERED. An end of the connection, and what came before the connection broke, is
 * always CONN_ANSWERED: conn_recv() then gives it. */
void conn_set_answer_fn(struct conn *conn, conn_answer_fn *fn, void *ctx);

/* Connect and shake hands. ERR_NET. The options are copied, but not host: it must outlive. */
int conn_open(struct conn **conn, const struct conn_options *options, struct err *e);

/* End in good order: close_notify where TLS is, then close. For a connection that is between
 * requests; one with an incomplete request is aborted instead. NULL is harmless.
 */
void conn_close(struct conn *conn);

/* End so that the peer can't take what it got for a whole request: no close_notify, reset. NULL is
 * harmless. */
void conn_abort(struct conn *conn);

void conn_get_info(const struct conn *conn, struct conn_info *info);

/*
 * Send all n bytes. `more`: something follows at once, so keep a short TLS record or segment open
 * for it (MSG_MORE; without kTLS OpenSSL ends the record all the same). The last call of a request
 * must say false, or its bytes may stay in the kernel.
 * 0; CONN_ANSWERED; or a negative errno, after which nothing can be sent any more either:
 * -ETIMEDOUT without progress for idle_timeout_ms, -ECANCELED, what the socket said.
 */
int conn_send(struct conn *conn, const void *bytes, size_t n, bool more, struct err *e);

/*
 * Move all n bytes that are (or will be, at once) readable from `from_fd` to the peer: with
 * splice(2) through a pipe where the kernel encrypts or nothing encrypts, so that they never enter
 * the program; else by read(2) and SSL_write. `from_fd` is a non-blocking socket of this machine
 * (tap.out).
 * `*moved` is how many were taken out of from_fd, also when it returns something else than 0; some
 * of them may not have left then.
 * 0, CONN_ANSWERED, or a negative errno as of conn_send(); -EPIPE if from_fd ends early, -ETIMEDOUT
 * also if it gives nothing for idle_timeout_ms.
 */
int conn_send_from_socket(struct conn *conn, int from_fd, size_t n, bool more, size_t *moved,
                          struct err *e);

/*
 * For --hash none: let `sender` move up to n bytes of a file straight into the socket, waiting for
 * room as needed; where only userspace can encrypt, the file is read with pread(2). `*offset` moves
 * on by what was taken. Returns 0 with *moved == n; 0 with *moved < n when the file ended early
 * (nothing more can be sent then); CONN_ANSWERED; or a negative errno, of class ERR_FILE (without
 * the file's name) where the file was the reason.
 */
struct sender;
int conn_send_from_file(struct conn *conn, struct sender *sender, int file_fd, off_t *offset,
                        size_t n, bool more, size_t *moved, struct err *e);

/* Has the peer sent application data (or closed)? Never waits. TLS 1.3 session tickets are taken
 * in and are no answer. true also if the connection is broken: conn_recv() then says how. */
bool conn_is_answered(struct conn *conn);

/* May another request follow? Not where the peer asked for new keys (RFC 8446 4.6.3, KeyUpdate) and
 * the kernel encrypts: it can't be given others by OpenSSL. What is under way ends with the old
 * ones. */
bool conn_can_go_on(const struct conn *conn);

/* Wait until conn_is_answered(), at most to the deadline. 0, -ETIMEDOUT (e is left alone: here it
 * is no error), or another negative errno with e filled. */
int conn_wait_answer(struct conn *conn, deadline_t deadline, struct err *e);

/*
 * Read up to n bytes. Waits for idle_timeout_ms, and not past `deadline`. Returns bytes read, 0 at
 * a proper end (close_notify, or FIN on plain TCP), or a negative errno; a FIN without close_notify
 * is -ECONNRESET (RFC 8446 6.1: could be a truncation).
 */
ssize_t conn_recv(struct conn *conn, void *bytes, size_t n, deadline_t deadline, struct err *e);

/* Payload bytes never go through the program here (kTLS or plain TCP). */
bool conn_moves_in_kernel(const struct conn *conn);

#endif
