/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/io.h"
#include "net/conn_internal.h"
#include "net/sender.h"

enum { FILE_PIECE_BYTES = 256 * 1024 }; /* between two looks for an answer */

static bool holds_unsent(const struct conn *conn)
{
    return conn->pipe_bytes > 0 || conn->kept_pos < conn->kept_len;
}

/* Something has arrived: 0 if it is of a kind that sending goes on, CONN_ANSWERED, or a negative
 * errno. */
static int take_answer(struct conn *conn, struct err *e)
{
    while (conn_look(conn)) {
        if (!conn->answer_fn || conn->ahead_pos == conn->ahead_len)
            return CONN_ANSWERED;
        int rc = conn->answer_fn(conn->answer_ctx, conn->ahead + conn->ahead_pos,
                                 conn->ahead_len - conn->ahead_pos, e);
        conn->ahead_pos = conn->ahead_len;
        if (rc < 0)
            conn->cut = true;
        if (rc)
            return rc;
    }
    return 0;
}

/* 0 if sending may begin, CONN_ANSWERED, or a negative errno. */
static int begin(struct conn *conn, struct err *e)
{
    if (conn->cut || holds_unsent(conn))
        return err_set(e, ERR_NET, EPIPE,
                       "a request to %s (%s) was cut short; the connection can't be used again",
                       conn->options.host, conn->peer);
    int rc = io_wait(conn->fd, POLLIN, conn->options.cancel_fd, clock_deadline_in_ms(0));
    if (rc == -ETIMEDOUT) {
        bool has_read = conn->ahead_pos < conn->ahead_len || conn->end != CONN_OPEN ||
                        (conn->ssl && SSL_pending(conn->ssl) > 0);
        return has_read ? take_answer(conn, e) : 0;
    }
    if (rc < 0) {
        conn->cut = true;
        return conn_fail_wait(conn, rc, "sending to", e);
    }
    return take_answer(conn, e);
}

/* Wait until the socket has room. 0, CONN_ANSWERED, or a negative errno. */
static int wait_for_room(struct conn *conn, deadline_t deadline, struct err *e)
{
    for (;;) {
        int rc = io_wait(conn->fd, POLLOUT | POLLIN, conn->options.cancel_fd, deadline);
        if (rc < 0) {
            conn->cut = true;
            return conn_fail_wait(conn, rc, "sending to", e);
        }
        int events = rc;
        rc = events & ~POLLOUT ? take_answer(conn, e) : 0;
        if (rc || events & POLLOUT)
            return rc;
    }
}

/* The socket takes no more for good. A peer that refuses a request may answer and then reset, so
 * its answer counts for more than the reset. */
static int fail_send(struct conn *conn, int errnum, const char *text, struct err *e)
{
    char sys[128];
    conn->cut = true;
    conn->send_errnum = errnum;
    (void)conn_look(conn);
    if (conn->ahead_pos < conn->ahead_len)
        return CONN_ANSWERED;
    if (conn->ssl && conn->end == CONN_BROKEN) /* an alert says more than EPIPE */
        text = conn->end_text;
    return err_set(e, ERR_NET, errnum, "the connection to %s (%s) broke while sending: %s",
                   conn->options.host, conn->peer,
                   text ? text : strerror_r(errnum, sys, sizeof sys));
}

/* One attempt. Bytes taken, -EAGAIN, or a negative errno with `text` filled. */
static ssize_t write_now(struct conn *conn, const unsigned char *bytes, size_t n, bool more,
                         char text[static TLS_ERROR_SIZE])
{
    text[0] = '\0';
    if (conn_moves_in_kernel(conn)) {
        ssize_t sent;
        do
            sent = send(conn->fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0));
        while (sent < 0 && errno == EINTR);
        return sent < 0 ? -errno : sent;
    }
    ERR_clear_error();
    errno = 0;
    int sent = SSL_write(conn->ssl, bytes, n > INT_MAX ? INT_MAX : (int)n);
    if (sent > 0)
        return sent;
    int want = SSL_get_error(conn->ssl, sent);
    if (want == SSL_ERROR_WANT_WRITE || want == SSL_ERROR_WANT_READ)
        return -EAGAIN;
    return -tls_describe_error(conn->ssl, sent, text);
}

/* `*done` counts what has left, whatever is returned. */
static int write_all(struct conn *conn, const unsigned char *bytes, size_t n, bool more,
                     size_t *done, struct err *e)
{
    char text[TLS_ERROR_SIZE];
    deadline_t deadline = conn_idle_deadline(conn);
    *done = 0;
    while (*done < n) {
        ssize_t sent = write_now(conn, bytes + *done, n - *done, more, text);
        int rc = 0;
        if (sent > 0) {
            *done += (size_t)sent;
            deadline = conn_idle_deadline(conn);
        } else if (sent == -EAGAIN)
            rc = wait_for_room(conn, deadline, e);
        else
            rc = fail_send(conn, (int)-sent, *text ? text : NULL, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int have_kept_buffer(struct conn *conn, struct err *e)
{
    if (!conn->kept)
        conn->kept = malloc(CONN_KEPT_BYTES);
    if (conn->kept)
        return 0;
    conn->cut = true;
    return err_set(e, ERR_ENV, ENOMEM, "no memory to send with");
}

static int flush_kept(struct conn *conn, struct err *e)
{
    size_t done;
    int rc = write_all(conn, conn->kept + conn->kept_pos, conn->kept_len - conn->kept_pos,
                       conn->kept_more, &done, e);
    conn->kept_pos += done;
    return rc;
}

static int flush_pipe(struct conn *conn, struct err *e)
{
    unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (conn->pipe_more ? SPLICE_F_MORE : 0);
    deadline_t deadline = conn_idle_deadline(conn);
    while (conn->pipe_bytes > 0) {
        ssize_t sent = splice(conn->pipe[0], NULL, conn->fd, NULL, conn->pipe_bytes, flags);
        int rc = 0;
        if (sent > 0) {
            conn->pipe_bytes -= (size_t)sent;
            deadline = conn_idle_deadline(conn);
        } else if (sent < 0 && errno == EAGAIN)
            rc = wait_for_room(conn, deadline, e);
        else if (sent == 0 || errno != EINTR)
            rc = fail_send(conn, sent ? errno : EIO, NULL, e);
        if (rc)
            return rc;
    }
    return 0;
}

int conn_resume(struct conn *conn, struct err *e)
{
    if (conn->cut)
        return begin(conn, e);
    int rc = flush_pipe(conn, e);
    if (!rc && conn->kept_pos < conn->kept_len)
        rc = flush_kept(conn, e);
    return rc;
}

int conn_send(struct conn *conn, const void *bytes, size_t n, bool more, struct err *e)
{
    size_t done = 0;
    int rc = begin(conn, e);
    if (!rc)
        rc = write_all(conn, bytes, n, more, &done, e);
    if (rc != CONN_ANSWERED || conn->cut || done == n)
        return rc;
    if (n - done > CONN_KEPT_BYTES) {
        conn->cut = true;
        return rc;
    }
    int kept = have_kept_buffer(conn, e);
    if (kept)
        return kept;
    memcpy(conn->kept, (const unsigned char *)bytes + done, n - done);
    conn->kept_pos = 0;
    conn->kept_len = n - done;
    conn->kept_more = more;
    return rc;
}

static int fail_source(struct conn *conn, int errnum, struct err *e)
{
    conn->cut = true;
    if (errnum == EPIPE)
        return err_set(e, ERR_ENV, EPIPE, "the local socket that feeds the connection ended early");
    if (errnum == ETIMEDOUT)
        return err_set(e, ERR_ENV, ETIMEDOUT,
                       "the local socket that feeds the connection gave nothing for %g s",
                       conn->options.idle_timeout_ms / 1000.0);
    if (errnum == ECANCELED)
        return conn_fail_wait(conn, -ECANCELED, "sending to", e);
    return err_sys(e, ERR_ENV, errnum, "the local socket that feeds the connection failed");
}

/* Take up to n bytes out of from_fd, into the pipe or into `kept`, waiting for the first. */
static int take(struct conn *conn, int from_fd, size_t n, size_t *moved, struct err *e)
{
    bool in_kernel = conn_moves_in_kernel(conn);
    size_t room = in_kernel ? conn->pipe_size : CONN_KEPT_BYTES;
    deadline_t deadline = conn_idle_deadline(conn);
    if (n > room)
        n = room;
    for (;;) {
        ssize_t got = in_kernel ? splice(from_fd, NULL, conn->pipe[1], NULL, n,
                                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                                : read(from_fd, conn->kept, n);
        if (got > 0) {
            *moved += (size_t)got;
            if (in_kernel)
                conn->pipe_bytes = (size_t)got;
            else {
                conn->kept_pos = 0;
                conn->kept_len = (size_t)got;
            }
            return 0;
        }
        if (got == 0)
            return fail_source(conn, EPIPE, e);
        if (errno != EAGAIN && errno != EINTR)
            return fail_source(conn, errno, e);
        int rc = io_wait(from_fd, POLLIN, conn->options.cancel_fd, deadline);
        if (rc < 0)
            return fail_source(conn, -rc, e);
    }
}

static int have_pipe(struct conn *conn, struct err *e)
{
    if (conn->pipe[0] >= 0)
        return 0;
    int size = io_pipe(conn->pipe, CONN_PIPE_BYTES);
    if (size < 0) {
        conn->cut = true;
        return err_sys(e, ERR_ENV, -size, "no pipe to send with");
    }
    conn->pipe_size = (size_t)size;
    return 0;
}

int conn_send_from_socket(struct conn *conn, int from_fd, size_t n, bool more, size_t *moved,
                          struct err *e)
{
    bool in_kernel = conn_moves_in_kernel(conn);
    *moved = 0;
    int rc = begin(conn, e);
    if (!rc)
        rc = in_kernel ? have_pipe(conn, e) : have_kept_buffer(conn, e);
    while (!rc && *moved < n) {
        rc = take(conn, from_fd, n - *moved, moved, e);
        conn->pipe_more = conn->kept_more = more || *moved < n;
        if (!rc)
            rc = in_kernel ? flush_pipe(conn, e) : flush_kept(conn, e);
    }
    return rc;
}

static int fail_file(struct conn *conn, int errnum, struct err *e)
{
    conn->cut = true;
    return err_sys(e, ERR_FILE, errnum, "the file can't be read");
}

static int file_in_kernel(struct conn *conn, struct sender *sender, int file_fd, off_t *offset,
                          size_t n, bool more, size_t *moved, struct err *e)
{
    deadline_t deadline = conn_idle_deadline(conn);
    while (*moved < n) {
        size_t left = n - *moved;
        size_t piece = left < FILE_PIECE_BYTES ? left : FILE_PIECE_BYTES;
        bool from_source = false;
        ssize_t sent = sender_push(sender, file_fd, offset, conn->fd, piece, more || piece < left,
                                   &from_source);
        int rc = 0;
        if (sent == 0)
            return 0;
        if (sent > 0) {
            *moved += (size_t)sent;
            deadline = conn_idle_deadline(conn);
            rc = *moved < n ? begin(conn, e) : 0;
        } else if (from_source)
            rc = fail_file(conn, (int)-sent, e);
        else if (sent == -EAGAIN)
            rc = wait_for_room(conn, deadline, e);
        else
            rc = fail_send(conn, (int)-sent, NULL, e);
        if (rc)
            return rc;
    }
    return 0;
}

static int file_through_openssl(struct conn *conn, int file_fd, off_t *offset, size_t n, bool more,
                                size_t *moved, struct err *e)
{
    int rc = have_kept_buffer(conn, e);
    while (!rc && *moved < n) {
        size_t left = n - *moved;
        ssize_t got =
            pread(file_fd, conn->kept, left < CONN_KEPT_BYTES ? left : CONN_KEPT_BYTES, *offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_file(conn, errno, e);
        if (got == 0)
            return 0;
        *offset += got;
        *moved += (size_t)got;
        conn->kept_pos = 0;
        conn->kept_len = (size_t)got;
        conn->kept_more = more || *moved < n;
        rc = flush_kept(conn, e);
    }
    return rc;
}

int conn_send_from_file(struct conn *conn, struct sender *sender, int file_fd, off_t *offset,
                        size_t n, bool more, size_t *moved, struct err *e)
{
    *moved = 0;
    int rc = begin(conn, e);
    if (rc)
        return rc;
    if (conn_moves_in_kernel(conn))
        return file_in_kernel(conn, sender, file_fd, offset, n, more, moved, e);
    return file_through_openssl(conn, file_fd, offset, n, more, moved, e);
}
