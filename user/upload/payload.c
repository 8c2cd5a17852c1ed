/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/payload.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

/* One push into the tap: the sender moves, and this names what failed. */
static ssize_t payload_push(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct payload *p = ctx;
    bool from_source = false;
    /* No MSG_MORE: what the window ends with must come out of the tap now. */
    ssize_t moved =
        sender_push(p->sender, p->source->fd, &p->offset, in_fd, n, false, &from_source);
    if (moved >= 0 || moved == -EINTR)
        return moved;
    if (from_source)
        return err_sys(e, err_class_of((int)-moved, ERR_FILE), (int)-moved,
                       "cannot read %s at byte %lld", p->source->name, (long long)p->offset);
    return err_sys(e, err_class_of((int)-moved, ERR_INTEGRITY), (int)-moved,
                   "the tap did not take %s at byte %lld; nothing was stored", p->source->name,
                   (long long)p->offset);
}

int payload_has_more(const struct payload *p, char *byte, struct err *e)
{
    ssize_t n;
    do
        n = pread(p->source->fd, byte, 1, p->offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_sys(e, ERR_FILE, errno, "cannot read %s at byte %lld", p->source->name,
                       (long long)p->offset);
    return (int)n;
}

static int payload_ended_early(const struct payload *p, struct err *e)
{
    struct stat st;
    if (fstat(p->source->fd, &st) == 0 && (uint64_t)st.st_size >= p->source->length)
        return err_set(e, ERR_FILE, ENODATA,
                       "%s ended at byte %lld, but says that it has %lld bytes: it was truncated "
                       "and grew again while it was sent, or is no plain file (those in /sys and "
                       "on some FUSE file systems do this; copy it to one first); nothing was "
                       "stored",
                       p->source->name, (long long)p->offset, (long long)st.st_size);
    return err_set(e, ERR_FILE, ENODATA,
                   "%s ended at byte %lld, but had %llu bytes when it was opened: it was truncated "
                   "while it was sent; nothing was stored",
                   p->source->name, (long long)p->offset, (unsigned long long)p->source->length);
}

ssize_t payload_feed(struct payload *p, size_t n, struct err *e)
{
    if (io_wait(-1, 0, p->cancel_fd, clock_now_ns()) == -ECANCELED)
        return err_set(e, ERR_NET, ECANCELED, "ended before the file was read");
    return tap_feed(p->tap, n, payload_push, p, e);
}

static int payload_send_tapped(struct payload *p, uint64_t n, bool more, struct err *e)
{
    while (n) {
        size_t window = TAP_WINDOW_BYTES;
        size_t want = n < window ? (size_t)n : window;
        ssize_t fed = payload_feed(p, want, e);
        if (fed < 0)
            return (int)fed;
        if ((size_t)fed < want)
            return payload_ended_early(p, e);

        size_t moved = 0;
        bool more_follows = more || want < n;
        int rc = conn_send_from_socket(p->conn, tap_out_fd(p->tap), want, more_follows, &moved, e);
        tap_drained(p->tap, moved);
        p->sent_bytes += moved;
        if (rc)
            return rc;
        n -= want;
    }
    return 0;
}

static int payload_send_untapped(struct payload *p, uint64_t n, bool more, struct err *e)
{
    while (n) {
        size_t want = n < SIZE_MAX / 2 ? (size_t)n : SIZE_MAX / 2;
        size_t moved = 0;
        int rc = conn_send_from_file(p->conn, p->sender, p->source->fd, &p->offset, want,
                                     more || want < n, &moved, e);
        p->sent_bytes += moved;
        if (rc < 0 && e->class == ERR_FILE)
            return err_sys(e, ERR_FILE, -rc, "cannot read %s at byte %lld", p->source->name,
                           (long long)p->offset);
        if (rc)
            return rc;
        if (moved < want)
            return payload_ended_early(p, e);
        n -= want;
    }
    return 0;
}

int payload_send(struct payload *p, uint64_t n, bool more, struct err *e)
{
    return p->tap ? payload_send_tapped(p, n, more, e) : payload_send_untapped(p, n, more, e);
}

int payload_take_byte(struct payload *p, char *byte, struct err *e)
{
    int has_more = payload_has_more(p, byte, e);
    if (has_more <= 0)
        return has_more < 0 ? has_more : payload_ended_early(p, e);
    p->offset++;
    return 0;
}
