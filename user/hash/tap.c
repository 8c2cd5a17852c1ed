/* SPDX-License-Identifier: Apache-2.0 */
/* One tap: the bookkeeping that decides whether a digest may leave it. */
#include "hash/tap_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

enum {
    REASON_BYTES = 512,
    /* How long the last acknowledgement may take. It is asked for, and comes at once, but for a
     * machine so busy that the kernel's softirq thread waits for its turn: seen on 6.1 with 64 taps
     * on two CPUs, over 200 ms. */
    ACKNOWLEDGE_TIMEOUT_MS = 10000,
};

struct tap {
    struct tap_engine *engine;
    struct tap_pair pair;
    int shortage; /* an epoll(7) descriptor: an event tells that `in` was short of room */
    bool begun;   /* between tap_begin() and tap_finish() */
    bool poisoned;
    char reason[REASON_BYTES];
    uint64_t fed;              /* of this payload, as the pushes reported */
    uint64_t drained;          /* of this payload, as the caller reported */
    uint64_t out_bytes_before; /* what TCP had counted at `out` when the payload began */
};

void tap_poison(struct tap *tap, const char *reason)
{
    if (tap->poisoned)
        return;
    tap->poisoned = true;
    snprintf(tap->reason, sizeof tap->reason, "%s", reason);
}

const char *tap_poison_reason(const struct tap *tap)
{
    return tap->poisoned ? tap->reason : NULL;
}

/* Poison the tap and say why. */
__attribute__((format(printf, 4, 5))) static int refuse(struct tap *tap, struct err *e, int errnum,
                                                        const char *fmt, ...)
{
    char reason[REASON_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    tap_poison(tap, reason);
    return err_set(e, ERR_INTEGRITY, errnum, "the tap refuses: %s", reason);
}

static int refuse_if_poisoned(const struct tap *tap, struct err *e)
{
    if (!tap->poisoned)
        return 0;
    return err_set(e, ERR_INTEGRITY, EBADMSG, "the tap refused before: %s", tap->reason);
}

/* The state of no bytes, or a negative errno. */
static int reset_state(struct tap *tap)
{
    struct tap_state state = {.version = TAP_ABI_VERSION};

    digest_state_init(&state.sha);
    return tap_engine_write_state(tap->engine, tap->pair.in, &state);
}

/* Storage of a socket is charged to it (omem_charge() in net/core/bpf_sk_storage.c). */
static const char *reset_hint(int result)
{
    return result == -ENOMEM ? " (is net.core.optmem_max below 4096?)" : "";
}

/*
 * A message that was judged and could be sent in part only goes on under the same verdict, and
 * sendfile(2) may see to that inside one call: every count agrees then, although the rest was
 * hashed as it was before. But the socket remembers that it was short of room (SOCK_NOSPACE), be it
 * of its buffer or of the machine's memory, and reports room when there is some again: an edge,
 * which otherwise never comes.
 */
static int watch_for_shortage(struct tap *tap)
{
    struct epoll_event edge = {.events = EPOLLOUT | EPOLLET};

    tap->shortage = epoll_create1(EPOLL_CLOEXEC);
    if (tap->shortage < 0 || epoll_ctl(tap->shortage, EPOLL_CTL_ADD, tap->pair.in, &edge) < 0)
        return -errno;
    return 0;
}

/* 1: since it was asked last, or since the tap was opened, `in` was short of room and then had some
 * again. 0: it was not. Or a negative errno. */
static int was_short_of_room(const struct tap *tap)
{
    struct epoll_event event;
    int n;

    do
        n = epoll_wait(tap->shortage, &event, 1, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int tap_open(struct tap_engine *engine, struct tap **tap_out, struct err *e)
{
    struct tap *tap = calloc(1, sizeof *tap);
    if (!tap)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for a tap");
    tap->engine = engine;
    tap->pair = (struct tap_pair){.in = -1, .out = -1};
    tap->shortage = -1;

    int result = tap_engine_make_pair(engine, &tap->pair, e);
    if (result < 0)
        goto fail;
    result = watch_for_shortage(tap);
    if (result < 0) {
        err_sys(e, ERR_ENV, -result, "cannot watch the tap's socket");
        goto fail;
    }
    /* Before the program sees the socket: it drops what has no state. */
    result = reset_state(tap);
    if (result < 0) {
        err_sys(e, ERR_ENV, -result, "cannot store the hash's state with the tap's socket%s",
                reset_hint(result));
        goto fail;
    }
    result = tap_engine_add(engine, tap->pair.in, e);
    if (result < 0)
        goto fail;
    *tap_out = tap;
    return 0;

fail:
    tap_close(tap);
    return result;
}

void tap_close(struct tap *tap)
{
    if (!tap)
        return;
    io_close(&tap->shortage);
    io_close(&tap->pair.in);
    io_close(&tap->pair.out);
    free(tap);
}

int tap_out_fd(const struct tap *tap)
{
    return tap->pair.out;
}

size_t tap_inside(const struct tap *tap)
{
    return (size_t)(tap->fed - tap->drained);
}

void tap_drained(struct tap *tap, size_t n)
{
    if (n > tap_inside(tap)) {
        tap_poison(tap, "more bytes were taken out than put in");
        return;
    }
    tap->drained += n;
}

/* What TCP has counted at `out` since the connection began: a witness of our own counters. */
static int count_out_bytes(const struct tap *tap, uint64_t *bytes)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;

    if (getsockopt(tap->pair.out, IPPROTO_TCP, TCP_INFO, &info, &size) < 0)
        return -errno;
    *bytes = info.tcpi_bytes_received;
    return 0;
}

/*
 * Whether all that was sent into `in` has been read from `out`: nothing waits to be read, and
 * nothing waits to be acknowledged. Acknowledgements are delayed (40 ms); TCP_QUICKACK sends one
 * that is due at once, and on loopback it has arrived when setsockopt() returns, unless the kernel
 * is busy and leaves it to its softirq thread.
 */
static int check_queues_empty(struct tap *tap, struct err *e)
{
    deadline_t deadline = clock_deadline_in_ms(ACKNOWLEDGE_TIMEOUT_MS);
    const int on = 1;
    int unread = 0, unacknowledged = 0;

    for (;;) {
        if (setsockopt(tap->pair.out, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on) < 0 ||
            ioctl(tap->pair.in, SIOCOUTQ, &unacknowledged) < 0 ||
            ioctl(tap->pair.out, SIOCINQ, &unread) < 0)
            return refuse(tap, e, errno, "its queues cannot be read (errno %d)", errno);
        if (unread == 0 && unacknowledged == 0)
            return 0;
        if (unread == 0 && clock_left_ms(deadline) == 0)
            return refuse(
                tap, e, ETIMEDOUT,
                "the kernel did not deliver its last %d bytes in %d s; the machine is too "
                "busy: try again with less load",
                unacknowledged, ACKNOWLEDGE_TIMEOUT_MS / 1000);
        if (unread != 0)
            return refuse(tap, e, EBADMSG,
                          "%d bytes were left in it unread and %d on their way, beyond the %" PRIu64
                          " that were fed",
                          unread, unacknowledged, tap->fed);
        usleep(100);
    }
}

int tap_begin(struct tap *tap, struct err *e)
{
    int result = refuse_if_poisoned(tap, e);
    if (result < 0)
        return result;
    if (tap->begun)
        return refuse(tap, e, EBADMSG, "the payload before was not finished (%zu bytes inside)",
                      tap_inside(tap));
    result = check_queues_empty(tap, e);
    if (result < 0)
        return result;
    result = count_out_bytes(tap, &tap->out_bytes_before);
    if (result == 0)
        result = was_short_of_room(tap); /* forget what was before, and the event of the opening */
    if (result >= 0)
        result = reset_state(tap);
    if (result < 0)
        return refuse(tap, e, -result, "its state cannot be reset: errno %d%s", -result,
                      reset_hint(result));
    tap->begun = true;
    tap->fed = 0;
    tap->drained = 0;
    return 0;
}

/* Whether the program counted an error. `state` is what was read of it. */
static int check_errors(struct tap *tap, const struct tap_state *state, struct err *e)
{
    const struct tap_errors *errors = &state->errors;

    if (!errors->pull && !errors->bounds && !errors->version && !errors->after)
        return 0;
    return refuse(tap, e, EBADMSG,
                  "the BPF program dropped messages (no memory: %u, out of bounds: %u, wrong "
                  "version: %u, after that: %u)",
                  errors->pull, errors->bounds, errors->version, errors->after);
}

/* The program's state, if it has seen each byte that was fed and no other. */
static int read_checked_state(struct tap *tap, struct tap_state *state, struct err *e)
{
    int result = tap_engine_read_state(tap->engine, tap->pair.in, state);
    if (result < 0)
        return refuse(tap, e, -result, "its state cannot be read (errno %d)", -result);
    result = check_errors(tap, state, e);
    if (result < 0)
        return result;
    if (state->version != TAP_ABI_VERSION)
        return refuse(tap, e, EBADMSG, "its state has version %u, not %d", state->version,
                      TAP_ABI_VERSION);
    if (state->sha.bytes != tap->fed)
        return refuse(tap, e, EBADMSG, "%" PRIu64 " bytes were fed and %llu hashed", tap->fed,
                      (unsigned long long)state->sha.bytes);
    return 0;
}

/* TCP holds back the last bytes of a push that announced more to follow (MSG_MORE), as sendfile
 * does when a file is shorter than it was told. Setting TCP_NODELAY again sends them (tcp(7)). */
static int push_out_the_rest(const struct tap *tap)
{
    const int on = 1;

    return setsockopt(tap->pair.in, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ? -errno : 0;
}

/* A push failed with what `e` says, unless the program dropped the message: then that is why. */
static int push_failed(struct tap *tap, int result, struct err *e)
{
    struct tap_state state;

    if (tap_engine_read_state(tap->engine, tap->pair.in, &state) == 0 &&
        check_errors(tap, &state, e) < 0)
        return -EBADMSG;
    tap_poison(tap, "a push failed");
    return result;
}

ssize_t tap_feed(struct tap *tap, size_t n, tap_push_fn *push, void *ctx, struct err *e)
{
    int result = refuse_if_poisoned(tap, e);
    if (result < 0)
        return result;
    if (!tap->begun)
        return refuse(tap, e, EINVAL, "no payload was begun");
    if (n > TAP_WINDOW_BYTES - tap_inside(tap))
        return refuse(tap, e, EINVAL, "%zu bytes beside the %zu inside exceed its window of %d", n,
                      tap_inside(tap), TAP_WINDOW_BYTES);

    size_t done = 0;
    while (done < n) {
        struct tap_state state;
        ssize_t pushed = push(ctx, tap->pair.in, n - done, e);
        bool interrupted = pushed == -EINTR;

        if (interrupted)
            pushed = 0;
        if (pushed < 0)
            return push_failed(tap, (int)pushed, e);
        if ((size_t)pushed > n - done)
            return refuse(tap, e, EBADMSG, "a push of %zu bytes moved %zd", n - done, pushed);
        tap->fed += (size_t)pushed;
        done += (size_t)pushed;
        if (done == n)
            break;
        result = read_checked_state(tap, &state, e);
        if (result < 0)
            return result;
        if (pushed == 0 && !interrupted)
            break;
    }
    result = push_out_the_rest(tap);
    if (result < 0)
        return refuse(tap, e, -result, "its socket is broken (errno %d)", -result);
    return (ssize_t)done;
}

int tap_finish(struct tap *tap, struct tap_result *result, struct err *e)
{
    struct tap_state state;
    uint64_t out_bytes = 0;

    int error = refuse_if_poisoned(tap, e);
    if (error < 0)
        return error;
    if (!tap->begun)
        return refuse(tap, e, EINVAL, "no payload was begun");
    if (tap->fed != tap->drained)
        return refuse(tap, e, EBADMSG, "%" PRIu64 " bytes were fed and %" PRIu64 " taken out",
                      tap->fed, tap->drained);
    error = check_queues_empty(tap, e);
    if (error < 0)
        return error;
    error = read_checked_state(tap, &state, e);
    if (error < 0)
        return error;
    /* The acknowledgement that emptied the queue reports room last, under the socket's lock, and
     * may still be at it; this takes the lock after it. */
    error = push_out_the_rest(tap);
    if (error == 0)
        error = was_short_of_room(tap);
    if (error)
        return refuse(
            tap, e, error < 0 ? -error : ENOBUFS,
            "the kernel was short of socket memory for a moment, so a part of a message may "
            "have left unhashed; try again with less load, or a larger net.ipv4.tcp_mem");
    error = count_out_bytes(tap, &out_bytes);
    if (error < 0)
        return refuse(tap, e, -error, "TCP's counters cannot be read (errno %d)", -error);
    if (out_bytes - tap->out_bytes_before != state.sha.bytes)
        return refuse(tap, e, EBADMSG, "%llu bytes were hashed and TCP counted %" PRIu64,
                      (unsigned long long)state.sha.bytes, out_bytes - tap->out_bytes_before);

    result->bytes = state.sha.bytes;
    digest_state_finish(&state.sha, result->sha256);
    tap->begun = false;
    return 0;
}
