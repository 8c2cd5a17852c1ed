/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sender.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <liburing.h>

#include "base/io.h"

enum {
    RING_ENTRIES = 2, /* one splice at a time is under way */
    /* How often a splice is asked for that the kernel had no thread for, a millisecond apart. */
    RING_TRIES = 500,
};

/* Bytes in the pipe, and the place in which file they came from: they may only go out as that. */
struct held {
    size_t bytes;
    dev_t dev;
    ino_t ino;
    off_t offset;
};

struct sender {
    enum sender_kind kind;
    size_t window_bytes;
    struct io_uring ring;
    int pipe[2];
    struct held held;
};

static int fail_ring(int errnum, struct err *e)
{
    const char *why = errnum == EPERM ? "not permitted; see the sysctl kernel.io_uring_disabled, "
                                        "or the seccomp filter of the container"
                      : errnum == ENOSYS ? "this kernel has none"
                      : errnum == ENOMEM ? "no memory; kernels before 5.12 charge RLIMIT_MEMLOCK"
                                         : NULL;
    if (why)
        return err_set(e, ERR_ENV, errnum, "io_uring can't be used (%s); sendfile does without it",
                       why);
    return err_sys(e, ERR_ENV, errnum, "io_uring can't be used; sendfile does without it");
}

int sender_open(struct sender **out, enum sender_kind kind, size_t window_bytes, struct err *e)
{
    struct sender *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for a sender");
    s->kind = kind;
    s->window_bytes = window_bytes;
    s->pipe[0] = s->pipe[1] = -1;
    if (kind == SENDER_SPLICE) {
        int rc = io_uring_queue_init(RING_ENTRIES, &s->ring, 0);
        if (rc < 0) {
            free(s);
            return fail_ring(-rc, e);
        }
        rc = io_pipe(s->pipe, (int)window_bytes);
        if (rc < 0) {
            sender_close(s);
            return err_sys(e, ERR_ENV, -rc, "no pipe of %zu bytes for splice", window_bytes);
        }
    }
    *out = s;
    return 0;
}

void sender_close(struct sender *s)
{
    if (!s)
        return;
    if (s->kind == SENDER_SPLICE)
        io_uring_queue_exit(&s->ring);
    io_close(&s->pipe[0]);
    io_close(&s->pipe[1]);
    free(s);
}

const char *sender_name(const struct sender *s)
{
    return s->kind == SENDER_SPLICE ? "splice" : "sendfile";
}

/* sendfile(2) does not say which end failed. A file system that it can't read from gives EINVAL;
 * otherwise ask the file. */
static bool is_file_at_fault(int file_fd, off_t offset, int *errnum)
{
    char byte;
    if (*errnum == EAGAIN)
        return false;
    if (*errnum == EINVAL)
        return true;
    if (pread(file_fd, &byte, 1, offset) >= 0)
        return false;
    *errnum = errno;
    return true;
}

/* One call: a short one is for the caller to see, since a tap must look at what was hashed before
 * it lets more in. */
static ssize_t push_sendfile(int file_fd, off_t *offset, int sock_fd, size_t n, bool *from_source)
{
    ssize_t sent = sendfile(sock_fd, file_fd, offset, n);
    if (sent >= 0)
        return sent;
    int errnum = errno;
    if (errnum == EINTR)
        return -EINTR;
    *from_source = is_file_at_fault(file_fd, *offset, &errnum);
    return -errnum;
}

/*
 * What io_uring says of a splice that a signal or a stop kept from moving anything is not made fit
 * for userspace: the kernel's own -ERESTARTSYS, -ERESTARTNOINTR, -ERESTARTNOHAND or
 * -ERESTART_RESTARTBLOCK (include/linux/errno.h; the first seen on 6.18).
 */
static bool is_interrupted(ssize_t moved)
{
    return moved == -EINTR || moved == -512 || moved == -513 || moved == -514 || moved == -516;
}

/* One splice, waited for. Never two at a time: a short one would cancel what is linked behind it.
 */
static ssize_t ring_splice_once(struct io_uring *ring, int from, off_t from_offset, int to,
                                size_t n, unsigned flags)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    struct io_uring_cqe *cqe;
    if (!sqe)
        return -EBUSY;
    io_uring_prep_splice(sqe, from, from_offset, to, -1, (unsigned)n,
                         SPLICE_F_MOVE | SPLICE_F_NONBLOCK | flags);
    int rc;
    do
        rc = io_uring_submit(ring);
    while (rc == -EINTR);
    if (rc < 0)
        return rc == -EAGAIN ? -ENOMEM : rc; /* io_uring_enter(2): no memory for a request */
    /* Whatever interrupts the wait, the splice goes on and must be waited for. */
    do
        rc = io_uring_wait_cqe(ring, &cqe);
    while (rc == -EINTR || rc == -EAGAIN);
    if (rc < 0)
        return rc;
    ssize_t moved = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return is_interrupted(moved) ? -EINTR : moved;
}

/* As above. A splice is done by a worker thread, and where signals keep io_uring from starting one
 * it gives up after a few attempts: -ECANCELED, and the splice was never begun. -ENOMEM if it stays
 * so: the limit of processes does the same. */
static ssize_t ring_splice(struct io_uring *ring, int from, off_t from_offset, int to, size_t n,
                           unsigned flags)
{
    for (int tries = 1;; tries++) {
        ssize_t moved = ring_splice_once(ring, from, from_offset, to, n, flags);
        if (moved != -ECANCELED)
            return moved;
        if (tries == RING_TRIES)
            return -ENOMEM;
        usleep(1000);
    }
}

/* The pipe may hold bytes of another file or another place, of an upload that was given up. */
static int drop_strangers(struct sender *s, const struct stat *st, off_t offset)
{
    char scratch[4096];
    if (s->held.bytes && s->held.dev == st->st_dev && s->held.ino == st->st_ino &&
        s->held.offset == offset)
        return 0;
    while (s->held.bytes) {
        ssize_t n = read(s->pipe[0], scratch, sizeof scratch);
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        s->held.bytes -= (size_t)n;
    }
    s->held = (struct held){.dev = st->st_dev, .ino = st->st_ino, .offset = offset};
    return 0;
}

static ssize_t fill(struct sender *s, int file_fd, size_t n)
{
    if (n > s->window_bytes)
        n = s->window_bytes;
    ssize_t got;
    do
        got = ring_splice(&s->ring, file_fd, s->held.offset, s->pipe[1], n, 0);
    while (got == -EINTR);
    if (got > 0)
        s->held.bytes = (size_t)got;
    return got;
}

/* An interrupted one is for the caller to repeat: a tap must look at what was hashed before. */
static ssize_t empty(struct sender *s, int sock_fd, size_t n, bool more)
{
    ssize_t sent = ring_splice(&s->ring, s->pipe[0], -1, sock_fd, n, more ? SPLICE_F_MORE : 0);
    if (sent == 0)
        return -EIO;
    if (sent > 0) {
        s->held.bytes -= (size_t)sent;
        s->held.offset += sent;
    }
    return sent;
}

static ssize_t push_splice(struct sender *s, int file_fd, off_t *offset, int sock_fd, size_t n,
                           bool more, bool *from_source)
{
    struct stat st;
    size_t moved = 0;
    *from_source = true;
    if (fstat(file_fd, &st) < 0)
        return -errno;
    ssize_t rc = drop_strangers(s, &st, *offset);
    while (rc >= 0 && moved < n) {
        *from_source = true;
        if (s->held.bytes == 0) {
            rc = fill(s, file_fd, n - moved);
            if (rc <= 0)
                break;
        }
        *from_source = false;
        size_t piece = s->held.bytes < n - moved ? s->held.bytes : n - moved;
        rc = empty(s, sock_fd, piece, more || moved + piece < n);
        if (rc > 0)
            moved += (size_t)rc;
        if (rc < (ssize_t)piece) /* as push_sendfile() */
            break;
    }
    *offset += (off_t)moved;
    return moved ? (ssize_t)moved : rc;
}

ssize_t sender_push(struct sender *s, int file_fd, off_t *offset, int sock_fd, size_t n, bool more,
                    bool *from_source)
{
    *from_source = false;
    if (s->kind == SENDER_SPLICE)
        return push_splice(s, file_fd, offset, sock_fd, n, more, from_source);
    return push_sendfile(file_fd, offset, sock_fd, n, from_source);
}
