/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/io.h"
#include "net/conn_internal.h"

int conn_open(struct conn **out, const struct conn_options *options, struct err *e)
{
    deadline_t deadline = clock_deadline_in_ms(options->connect_timeout_ms);
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for a connection");
    conn->options = *options;
    conn->fd = conn->pipe[0] = conn->pipe[1] = -1;
    int rc = tcp_connect(&conn->fd, conn->peer, options->host, options->port, options->cancel_fd,
                         deadline, e);
    if (!rc && options->tls)
        rc = tls_client_handshake(options->tls, &conn->ssl, conn->fd, options->host,
                                  options->cancel_fd, deadline, e);
    if (rc) {
        conn_abort(conn);
        return rc;
    }
    conn->ktls = conn->ssl && BIO_get_ktls_send(SSL_get_wbio(conn->ssl));
    *out = conn;
    return 0;
}

void conn_set_answer_fn(struct conn *conn, conn_answer_fn *fn, void *ctx)
{
    conn->answer_fn = fn;
    conn->answer_ctx = ctx;
}

static void conn_free(struct conn *conn)
{
    SSL_free(conn->ssl);
    ERR_clear_error();
    io_close(&conn->fd);
    io_close(&conn->pipe[0]);
    io_close(&conn->pipe[1]);
    free(conn->piece);
    free(conn);
}

void conn_abort(struct conn *conn)
{
    if (!conn)
        return;
    /* RFC 9293 section 3.10.4: a reset, and what is still in the send queue is thrown away. */
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (conn->fd >= 0)
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    conn_free(conn);
}

void conn_close(struct conn *conn)
{
    if (!conn)
        return;
    if (conn->cut || conn->end == CONN_BROKEN) {
        conn_abort(conn);
        return;
    }
    if (conn->ssl) {
        ERR_clear_error();
        /* Once: our close_notify leaves, if there is room; the peer's is not waited for. */
        (void)SSL_shutdown(conn->ssl);
    }
    conn_free(conn);
}

void conn_get_info(const struct conn *conn, struct conn_info *info)
{
    *info = (struct conn_info){.peer = conn->peer, .ktls_send = conn->ktls};
    if (conn->ssl) {
        info->tls_version = SSL_get_version(conn->ssl);
        info->tls_cipher = SSL_get_cipher_name(conn->ssl);
    }
}

bool conn_moves_in_kernel(const struct conn *conn)
{
    return conn->ktls || !conn->ssl;
}

deadline_t conn_idle_deadline(const struct conn *conn)
{
    return clock_deadline_in_ms(conn->options.idle_timeout_ms);
}

int conn_fail_wait(const struct conn *conn, int rc, const char *doing, struct err *e)
{
    const char *host = conn->options.host;
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_NET, ETIMEDOUT, "no progress for %g s while %s %s (%s)",
                       conn->options.idle_timeout_ms / 1000.0, doing, host, conn->peer);
    if (rc == -ECANCELED)
        return err_set(e, ERR_NET, ECANCELED, "stopped while %s %s (%s)", doing, host, conn->peer);
    return err_sys(e, ERR_ENV, -rc, "waiting failed while %s %s (%s)", doing, host, conn->peer);
}

static ssize_t end_broken(struct conn *conn, int errnum, const char *text)
{
    char sys[128];
    conn->end = CONN_BROKEN;
    conn->end_errnum = errnum;
    snprintf(conn->end_text, sizeof conn->end_text, "%s",
             text ? text : strerror_r(errnum, sys, sizeof sys));
    return -errnum;
}

static ssize_t read_plain(struct conn *conn, void *bytes, size_t n)
{
    ssize_t got;
    do
        got = recv(conn->fd, bytes, n, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0 || (got < 0 && errno == EAGAIN))
        return got > 0 ? got : -EAGAIN;
    if (got < 0)
        return end_broken(conn, errno, NULL);
    /* After a failed send the socket reports the end of a broken connection like a FIN. */
    if (conn->send_errnum)
        return end_broken(conn, conn->send_errnum, NULL);
    conn->end = CONN_ENDED;
    return 0;
}

static bool has_arrived(const struct conn *conn)
{
    return io_wait(conn->fd, POLLIN, -1, clock_deadline_in_ms(0)) > 0;
}

/* Takes in what stands before the next data, but not more than so many records at a time, so that
 * the caller sees its clock. */
static ssize_t read_tls(struct conn *conn, void *bytes, size_t n)
{
    char text[TLS_ERROR_SIZE];
    int got, want, records = 0;
    do {
        ERR_clear_error();
        errno = 0;
        got = SSL_read(conn->ssl, bytes, n > INT_MAX ? INT_MAX : (int)n);
        if (got > 0)
            return got;
        want = SSL_get_error(conn->ssl, got);
    } while (want == SSL_ERROR_WANT_READ && ++records < CONN_LOOK_RECORDS && has_arrived(conn));
    conn->read_wants_room = want == SSL_ERROR_WANT_WRITE;
    if (want == SSL_ERROR_WANT_READ || want == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (want == SSL_ERROR_ZERO_RETURN) {
        conn->end = CONN_ENDED;
        return 0;
    }
    int errnum = tls_describe_error(conn->ssl, got, text);
    return end_broken(conn, errnum, text);
}

/* Bytes, 0 at a proper end, -EAGAIN, or how the connection broke. */
static ssize_t read_now(struct conn *conn, void *bytes, size_t n)
{
    if (conn->end == CONN_ENDED)
        return 0;
    if (conn->end == CONN_BROKEN)
        return -conn->end_errnum;
    return conn->ssl ? read_tls(conn, bytes, n) : read_plain(conn, bytes, n);
}

bool conn_look(struct conn *conn)
{
    if (conn->ahead_pos < conn->ahead_len)
        return true;
    conn->ahead_pos = conn->ahead_len = 0;
    ssize_t got = read_now(conn, conn->ahead, sizeof conn->ahead);
    if (got > 0)
        conn->ahead_len = (size_t)got;
    return got != -EAGAIN;
}

bool conn_is_answered(struct conn *conn)
{
    return conn_look(conn);
}

bool conn_can_go_on(const struct conn *conn)
{
    return !conn->ktls || SSL_get_key_update_type(conn->ssl) == SSL_KEY_UPDATE_NONE;
}

/* Called when what has arrived was no data. The clock counts for more than a socket that is ready:
 * a peer that sends nothing but session tickets makes no progress. */
static int wait_to_read(const struct conn *conn, deadline_t deadline)
{
    if (clock_left_ms(deadline) == 0)
        return -ETIMEDOUT;
    return io_wait(conn->fd, conn->read_wants_room ? POLLOUT : POLLIN, conn->options.cancel_fd,
                   deadline);
}

int conn_wait_answer(struct conn *conn, deadline_t deadline, struct err *e)
{
    while (!conn_look(conn)) {
        int rc = wait_to_read(conn, deadline);
        if (rc == -ETIMEDOUT)
            return rc;
        if (rc < 0)
            return conn_fail_wait(conn, rc, "waiting for an answer of", e);
    }
    return 0;
}

static size_t take_ahead(struct conn *conn, void *bytes, size_t n)
{
    size_t have = conn->ahead_len - conn->ahead_pos;
    if (n > have)
        n = have;
    memcpy(bytes, conn->ahead + conn->ahead_pos, n);
    conn->ahead_pos += n;
    return n;
}

ssize_t conn_recv(struct conn *conn, void *bytes, size_t n, deadline_t deadline, struct err *e)
{
    deadline_t idle = conn_idle_deadline(conn);
    if (conn->ahead_pos < conn->ahead_len)
        return (ssize_t)take_ahead(conn, bytes, n);
    for (;;) {
        ssize_t got = read_now(conn, bytes, n);
        if (got >= 0)
            return got;
        if (got != -EAGAIN)
            return err_set(e, err_class_of(conn->end_errnum, ERR_NET), conn->end_errnum,
                           "the connection to %s (%s) broke: %s", conn->options.host, conn->peer,
                           conn->end_text);
        int rc = wait_to_read(conn, deadline < idle ? deadline : idle);
        if (rc == -ETIMEDOUT && deadline < idle)
            return err_set(e, ERR_NET, ETIMEDOUT, "no answer of %s (%s) in the time allowed",
                           conn->options.host, conn->peer);
        if (rc < 0)
            return conn_fail_wait(conn, rc, "waiting for an answer of", e);
    }
}
