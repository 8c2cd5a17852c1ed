/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/hash_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/io.h"
#include "upload/payload.h"

/* tap.out -> pipe -> /dev/null: splice(2) wants a pipe on one side. */
struct sink {
    int pipe[2];
    int null_fd;
    int pipe_bytes;
};

static int sink_open(struct sink *sink, size_t bytes, struct err *e)
{
    *sink = (struct sink){.pipe = {-1, -1}, .null_fd = -1};
    sink->pipe_bytes = io_pipe(sink->pipe, (int)bytes);
    if (sink->pipe_bytes < 0)
        return err_sys(e, ERR_ENV, -sink->pipe_bytes, "cannot make a pipe");
    sink->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (sink->null_fd < 0)
        return err_sys(e, ERR_ENV, errno, "cannot open /dev/null");
    return 0;
}

static void sink_close(struct sink *sink)
{
    io_close(&sink->pipe[0]);
    io_close(&sink->pipe[1]);
    io_close(&sink->null_fd);
}

/* Move up to n bytes of from_fd into nothing. Bytes moved or a negative errno. */
static ssize_t sink_take(struct sink *sink, int from_fd, size_t n)
{
    ssize_t got = splice(from_fd, NULL, sink->pipe[1], NULL, n, SPLICE_F_NONBLOCK);
    if (got <= 0)
        return got < 0 ? -errno : -EPIPE;
    for (ssize_t left = got; left;) {
        ssize_t gone = splice(sink->pipe[0], NULL, sink->null_fd, NULL, (size_t)left, 0);
        if (gone <= 0)
            return gone < 0 ? -errno : -EIO;
        left -= gone;
    }
    return got;
}

/* Empty the tap. Loopback delivers at once, or nearly. */
static int sink_drain(struct sink *sink, struct tap *tap, int cancel_fd, struct err *e)
{
    enum { DRAIN_TIMEOUT_MS = 10000 };
    deadline_t deadline = clock_deadline_in_ms(DRAIN_TIMEOUT_MS);
    while (tap_inside(tap)) {
        ssize_t n = sink_take(sink, tap_out_fd(tap), tap_inside(tap));
        if (n > 0)
            tap_drained(tap, (size_t)n);
        else if (n == -EAGAIN)
            n = io_wait(tap_out_fd(tap), POLLIN, cancel_fd, deadline);
        if (n < 0)
            return err_sys(e, ERR_ENV, (int)-n, "cannot empty the tap");
    }
    return 0;
}

/*
 * The sender moved less than was asked for. 1: that is the file's end, 0: go on, or a negative
 * errno. To sendfile(2) and splice(2) a file may end before it does to read(2): they go by the page
 * cache, for which a short answer of a FUSE file system is the end, even one that is told not to
 * cache.
 */
static int hash_check_end(const struct payload *payload, ssize_t fed, struct err *e)
{
    char byte;
    int has_more = payload_has_more(payload, &byte, e);
    if (has_more <= 0)
        return has_more < 0 ? has_more : 1;
    if (fed)
        return 0;
    return err_set(e, ERR_FILE, EIO,
                   "%s ends at byte %lld for %s, but has more for read(2), as on some FUSE file "
                   "systems; copy it to a regular file first",
                   payload->source->name, (long long)payload->offset, sender_name(payload->sender));
}

int hash_file(struct tap_result *result, struct tap *tap, struct sender *sender,
              const struct source *source, int cancel_fd, struct err *e)
{
    struct payload payload = {
        .source = source, .sender = sender, .tap = tap, .cancel_fd = cancel_fd};
    struct sink sink;
    int rc = sink_open(&sink, TAP_WINDOW_BYTES, e);
    if (rc == 0)
        rc = tap_begin(tap, e);
    for (bool ended = false; rc == 0 && !ended;) {
        size_t want = TAP_WINDOW_BYTES;
        ssize_t fed = payload_feed(&payload, want, e);
        if (fed < 0)
            rc = (int)fed;
        else
            rc = sink_drain(&sink, tap, cancel_fd, e);
        if (rc == 0 && fed < (ssize_t)want) {
            rc = hash_check_end(&payload, fed, e);
            ended = rc > 0;
            rc = rc < 0 ? rc : 0;
        }
    }
    if (rc == 0)
        rc = tap_finish(tap, result, e);
    sink_close(&sink);
    return rc;
}
