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

/* Something may have arrived: 0 if sending goes on all the same, CONN_ANSWERED, or a negative
 * errno. */
static int take_answer(struct conn *conn, struct err *e)
{
    int rc = 0;
    while (!rc && conn_look(conn)) {
        rc = CONN_ANSWERED;
        if (conn->answer_fn && conn->ahead_pos < conn->ahead_len) {
            rc = conn->answer_fn(conn->answer_ctx, conn->ahead + conn->ahead_pos,
                                 conn->ahead_len - conn->ahead_pos, e);
            conn->ahead_pos = conn->ahead_len;
        }
    }
    conn->cut |= rc != 0;
    return rc;
}

/* 0 if sending may begin, CONN_ANSWERED, or a negative errno. */
static int begin(struct conn *conn, struct err *e)
{
    if (conn->cut)
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

/* What is ready past its deadline gets one more try: the program may have been stopped meanwhile.
 * Ready again and still nothing moved, it is no progress. `late` is the deadline that had passed
 * before, 0 at first: progress makes a new one. */
static bool is_too_late(deadline_t *late, deadline_t deadline)
{
    if (clock_left_ms(deadline) != 0)
        return false;
    bool before = *late == deadline;
    *late = deadline;
    return before;
}

/* Wait until the socket has room. 0, CONN_ANSWERED, or a negative errno. */
static int wait_for_room(struct conn *conn, deadline_t deadline, struct err *e)
{
    if (is_too_late(&conn->send_late, deadline)) {
        conn->cut = true;
        return conn_fail_wait(conn, -ETIMEDOUT, "sending to", e);
    }
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
        /* What is always readable and never an answer (session tickets) is no progress. */
        if (clock_left_ms(deadline) == 0) {
            conn->cut = true;
            return conn_fail_wait(conn, -ETIMEDOUT, "sending to", e);
        }
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
    return err_set(e, err_class_of(errnum, ERR_NET), errnum,
                   "the connection to %s (%s) broke while sending: %s", conn->options.host,
                   conn->peer, text ? text : strerror_r(errnum, sys, sizeof sys));
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

static int write_all(struct conn *conn, const unsigned char *bytes, size_t n, bool more,
                     struct err *e)
{
    char text[TLS_ERROR_SIZE];
    deadline_t deadline = conn_idle_deadline(conn);
    while (n) {
        ssize_t sent = write_now(conn, bytes, n, more, text);
        int rc = 0;
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
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

int conn_send(struct conn *conn, const void *bytes, size_t n, bool more, struct err *e)
{
    int rc = begin(conn, e);
    return rc ? rc : write_all(conn, bytes, n, more, e);
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

/* Up to n bytes out of from_fd into the pipe, or into `piece`. Waits for the first. Bytes taken or
 * a negative errno. */
static ssize_t take(struct conn *conn, int from_fd, size_t n, struct err *e)
{
    bool in_kernel = conn_moves_in_kernel(conn);
    size_t room = in_kernel ? conn->pipe_size : CONN_PIECE_BYTES;
    deadline_t deadline = conn_idle_deadline(conn);
    deadline_t late = 0;
    if (n > room)
        n = room;
    for (;;) {
        ssize_t got = in_kernel ? splice(from_fd, NULL, conn->pipe[1], NULL, n,
                                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK)
                                : read(from_fd, conn->piece, n);
        if (got > 0)
            return got;
        if (got == 0)
            return fail_source(conn, EPIPE, e);
        if (errno != EAGAIN && errno != EINTR)
            return fail_source(conn, errno, e);
        int rc = is_too_late(&late, deadline)
                     ? -ETIMEDOUT
                     : io_wait(from_fd, POLLIN, conn->options.cancel_fd, deadline);
        if (rc < 0)
            return fail_source(conn, -rc, e);
    }
}

/* All n bytes that the pipe holds. */
static int empty_pipe(struct conn *conn, size_t n, bool more, struct err *e)
{
    unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0);
    deadline_t deadline = conn_idle_deadline(conn);
    while (n) {
        ssize_t sent = splice(conn->pipe[0], NULL, conn->fd, NULL, n, flags);
        int rc = 0;
        if (sent > 0) {
            n -= (size_t)sent;
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

static int have_piece(struct conn *conn, struct err *e)
{
    if (!conn->piece)
        conn->piece = malloc(CONN_PIECE_BYTES);
    if (conn->piece)
        return 0;
    conn->cut = true;
    return err_set(e, ERR_ENV, ENOMEM, "no memory to send with");
}

int conn_send_from_socket(struct conn *conn, int from_fd, size_t n, bool more, size_t *moved,
                          struct err *e)
{
    bool in_kernel = conn_moves_in_kernel(conn);
    *moved = 0;
    int rc = begin(conn, e);
    if (!rc)
        rc = in_kernel ? have_pipe(conn, e) : have_piece(conn, e);
    while (!rc && *moved < n) {
        ssize_t got = take(conn, from_fd, n - *moved, e);
        if (got < 0)
            return (int)got;
        *moved += (size_t)got;
        bool follows = more || *moved < n;
        rc = in_kernel ? empty_pipe(conn, (size_t)got, follows, e)
                       : write_all(conn, conn->piece, (size_t)got, follows, e);
    }
    return rc;
}

static int fail_file(struct conn *conn, int errnum, struct err *e)
{
    conn->cut = true;
    return err_sys(e, err_class_of(errnum, ERR_FILE), errnum, "the file can't be read");
}

/* What was announced will not come. */
static int end_early(struct conn *conn)
{
    conn->cut = true;
    return 0;
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
            return end_early(conn);
        if (sent > 0) {
            *moved += (size_t)sent;
            deadline = conn_idle_deadline(conn);
            rc = *moved < n ? begin(conn, e) : 0;
        } else if (sent == -EINTR)
            continue;
        else if (from_source)
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
    int rc = have_piece(conn, e);
    while (!rc && *moved < n) {
        size_t left = n - *moved, want = left < CONN_PIECE_BYTES ? left : CONN_PIECE_BYTES;
        ssize_t got = pread(file_fd, conn->piece, want, *offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fail_file(conn, errno, e);
        if (got == 0)
            return end_early(conn);
        *offset += got;
        *moved += (size_t)got;
        rc = write_all(conn, conn->piece, (size_t)got, more || *moved < n, e);
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
