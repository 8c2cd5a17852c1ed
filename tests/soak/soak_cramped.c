/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_cramped.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

enum { SMALL_BYTES_MAX = 64 * 1024 };

struct cramped {
    struct payload *payload;
    struct soak_plan *plan;
    int buffer_bytes;
    bool is_set;
    /* The thread that empties a tap whose pushes sleep. */
    uint8_t *bytes;
    size_t want, got;
    _Atomic bool stop;
};

static void cramp(struct cramped *c, int in_fd)
{
    int out_fd = tap_out_fd(c->payload->tap);

    setsockopt(in_fd, SOL_SOCKET, SO_SNDBUF, &c->buffer_bytes, sizeof c->buffer_bytes);
    setsockopt(out_fd, SOL_SOCKET, SO_RCVBUF, &c->buffer_bytes, sizeof c->buffer_bytes);
    if (c->plan->feed == SOAK_FEED_SLEEPING)
        fcntl(in_fd, F_SETFL, fcntl(in_fd, F_GETFL) & ~O_NONBLOCK);
    c->is_set = true;
}

static ssize_t push(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct cramped *c = ctx;
    struct payload *p = c->payload;
    bool from_source;

    if (!c->is_set)
        cramp(c, in_fd);
    ssize_t moved =
        sender_push(p->sender, p->source->fd, &p->offset, in_fd, n, false, &from_source);
    return moved < 0 ? err_sys(e, ERR_INTEGRITY, (int)-moved, "the tap did not take it") : moved;
}

static void *empty_tap(void *argument)
{
    struct cramped *c = argument;

    while (c->got < c->want && !c->stop) {
        ssize_t n = read(tap_out_fd(c->payload->tap), c->bytes + c->got, c->want - c->got);

        if (n > 0)
            c->got += (size_t)n;
        else
            poll(&(struct pollfd){.fd = tap_out_fd(c->payload->tap), .events = POLLIN}, 1, 20);
    }
    return NULL;
}

/* Signals are for the thread that pushes. */
static bool start_emptying(struct cramped *c, pthread_t *thread)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(thread, NULL, empty_tap, c);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0;
}

static int send_asleep(struct cramped *c, size_t n, struct err *e)
{
    struct payload *p = c->payload;
    pthread_t thread;

    c->want = n;
    c->got = 0;
    c->stop = false;
    if (!start_emptying(c, &thread))
        return err_set(e, ERR_ENV, EAGAIN, "no thread");
    ssize_t fed = tap_feed(p->tap, n, push, c, e);
    if (fed != (ssize_t)n)
        c->stop = true;
    pthread_join(thread, NULL);
    if (fed != (ssize_t)n)
        return fed < 0 ? (int)fed : err_set(e, ERR_FILE, ENODATA, "the file ended early");
    tap_drained(p->tap, n);
    return conn_send(p->conn, c->bytes, n, true, e);
}

static int send_cramped(struct cramped *c, size_t n, struct err *e)
{
    struct payload *p = c->payload;
    size_t moved = 0;
    ssize_t fed = tap_feed(p->tap, n, push, c, e);

    if (fed != (ssize_t)n)
        return fed < 0 ? (int)fed : err_set(e, ERR_FILE, ENODATA, "the file ended early");
    int rc = conn_send_from_socket(p->conn, tap_out_fd(p->tap), n, true, &moved, e);
    tap_drained(p->tap, moved);
    return rc;
}

int soak_cramped_send(struct payload *payload, struct soak_plan *plan, struct err *e)
{
    struct cramped c = {
        .payload = payload,
        .plan = plan,
        .buffer_bytes = (int)(1 + soak_random_below(&plan->random, SMALL_BYTES_MAX)),
        .bytes = malloc(TAP_WINDOW_BYTES),
    };
    int rc = c.bytes ? 0 : err_set(e, ERR_ENV, ENOMEM, "no memory");

    for (size_t left = plan->bytes; rc == 0 && left;) {
        size_t n = left < TAP_WINDOW_BYTES ? left : TAP_WINDOW_BYTES;

        rc = plan->feed == SOAK_FEED_SLEEPING ? send_asleep(&c, n, e) : send_cramped(&c, n, e);
        left -= n;
    }
    free(c.bytes);
    return rc;
}
