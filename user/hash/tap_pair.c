/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that makes pairs. A socket belongs to the network namespace of the thread that created
 * it, so a thread that unshared its own one and stays there can make private pairs at any time,
 * also when the program has long given its privileges away.
 */
#include "hash/tap_internal.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/io.h"

enum {
    /* Loopback connects at once; only a firewall on the shared one can make it wait, or a machine
     * that is too busy for its own softirq thread (over 2 s seen on 6.1, 64 taps on two CPUs). */
    CONNECT_TIMEOUT_MS = 10000,
    /* As asked for; the kernel doubles it (socket(7)) and counts each buffer's overhead. A push
     * must find room although earlier windows may be drained and not yet acknowledged. */
    SEND_BUFFER_BYTES = 2 * 1024 * 1024,
    SEND_BUFFER_BYTES_MIN = SEND_BUFFER_BYTES, /* doubled, so half of what is asked for */
    RECEIVE_BUFFER_BYTES = 1024 * 1024,
};

_Static_assert(SEND_BUFFER_BYTES_MIN >= 16 * TAP_WINDOW_BYTES, "a push must never sleep");

enum pairs_phase { PAIRS_STARTING, PAIRS_IDLE, PAIRS_MAKING, PAIRS_STOPPING };

struct tap_pairs {
    pthread_t thread;
    pthread_mutex_t callers; /* one request at a time */
    pthread_mutex_t lock;    /* of all below */
    pthread_cond_t changed;
    enum pairs_phase phase;
    int result; /* of the request that was done last */
    struct tap_pair pair;
    struct err err;

    /* Of the thread alone once it has started. */
    int listener;
    bool private_network;
};

static int pairs_fail(struct err *e, const char *what)
{
    return err_sys(e, ERR_ENV, errno, "cannot %s for the loopback pair", what);
}

static bool set_int(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

static int bring_lo_up(struct err *e)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return pairs_fail(e, "create a socket");

    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int result = 0;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        result = pairs_fail(e, "bring up the private network's lo");
    close(fd);
    return result;
}

/*
 * The accepted end becomes `in`. It inherits the listener's send buffer, and that is why the
 * listener is made once and early: only CAP_NET_ADMIN may go beyond net.core.wmem_max.
 */
static int make_listener(struct tap_pairs *pairs, struct err *e)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return pairs_fail(e, "create a socket");
    pairs->listener = fd;

    if (!set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES) &&
        !set_int(fd, SOL_SOCKET, SO_SNDBUF, SEND_BUFFER_BYTES))
        return pairs_fail(e, "set the send buffer");

    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return pairs_fail(e, "bind to 127.0.0.1");
    return 0;
}

static int set_up_thread(struct tap_pairs *pairs, struct err *e)
{
    /* Refused without CAP_SYS_ADMIN, or where network namespaces are exhausted or not built in:
     * the machine's loopback then does, guarded by the check of the peer. */
    pairs->private_network = unshare(CLONE_NEWNET) == 0;

    int result = pairs->private_network ? bring_lo_up(e) : 0;
    if (result == 0)
        result = make_listener(pairs, e);
    if (result == 0)
        result = caps_drop(false, e);
    return result;
}

static bool same_address(const struct sockaddr_in *a, const struct sockaddr_in *b)
{
    return a->sin_family == AF_INET && b->sin_family == AF_INET && a->sin_port == b->sin_port &&
           a->sin_addr.s_addr == b->sin_addr.s_addr;
}

/* Whether the sockets are the two ends of one connection: any process of the machine may connect to
 * a listener on the shared loopback. */
static bool are_connected(int a, int b)
{
    struct sockaddr_in a_name = {0}, a_peer = {0}, b_name = {0}, b_peer = {0};
    socklen_t size = sizeof a_name;

    if (getsockname(a, (struct sockaddr *)&a_name, &size) < 0 || size != sizeof a_name ||
        getpeername(a, (struct sockaddr *)&a_peer, &size) < 0 || size != sizeof a_name ||
        getsockname(b, (struct sockaddr *)&b_name, &size) < 0 || size != sizeof a_name ||
        getpeername(b, (struct sockaddr *)&b_peer, &size) < 0 || size != sizeof a_name)
        return false;
    return same_address(&a_name, &b_peer) && same_address(&b_name, &a_peer);
}

static int connect_out(int listener, deadline_t deadline, int *out, struct err *e)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int error = 0;

    if (getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        return pairs_fail(e, "find the address of the listening socket");
    *out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*out < 0)
        return pairs_fail(e, "create a socket");
    /* Before the connection: the window's scale is announced in its first segment. */
    if (!set_int(*out, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES))
        return pairs_fail(e, "set the receive buffer");
    if (connect(*out, (struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    if (errno != EINPROGRESS)
        return pairs_fail(e, "connect on 127.0.0.1");

    int events = io_wait(*out, POLLOUT, -1, deadline);
    size = sizeof error;
    if (events > 0 && getsockopt(*out, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
        error = errno;
    errno = events < 0 ? -events : error;
    return errno ? pairs_fail(e, "connect on 127.0.0.1 (does a firewall filter lo?)") : 0;
}

int tap_pairs_accept(int listener, deadline_t deadline, int out, int *in, struct err *e)
{
    for (int strangers = 0; strangers <= TAP_STRANGERS_MAX; strangers++) {
        int events = io_wait(listener, POLLIN, -1, deadline);
        if (events < 0) {
            errno = -events;
            return pairs_fail(e, "accept on 127.0.0.1 (does a firewall filter lo?)");
        }
        *in = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (*in >= 0 && are_connected(*in, out))
            return 0;
        if (*in < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
            return pairs_fail(e, "accept on 127.0.0.1");
        io_close(in);
    }
    return err_set(e, ERR_ENV, ECONNABORTED,
                   "another process of this machine keeps connecting to our port on 127.0.0.1 (%d "
                   "connections refused); with CAP_SYS_ADMIN the pair lives in a network namespace "
                   "of its own, where nobody can",
                   TAP_STRANGERS_MAX + 1);
}

static int set_options(const struct tap_pair *pair, struct err *e)
{
    const int ends[] = {pair->in, pair->out};

    for (int i = 0; i < 2; i++) {
        const struct linger reset = {.l_onoff = 1, .l_linger = 0};

        /* No TIME_WAIT for connections that nobody else ever sees. */
        if (!set_int(ends[i], IPPROTO_TCP, TCP_NODELAY, 1) ||
            setsockopt(ends[i], SOL_SOCKET, SO_LINGER, &reset, sizeof reset) < 0)
            return pairs_fail(e, "set the options");
        /* Not bbr, which paces, should that be the default. */
        (void)setsockopt(ends[i], IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
    }
    /* net.ipv4.tcp_notsent_lowat would be a second limit under which a push comes back short. */
    if (!set_int(pair->in, IPPROTO_TCP, TCP_NOTSENT_LOWAT, -1))
        return pairs_fail(e, "set the options");

    int bytes = 0;
    socklen_t size = sizeof bytes;
    if (getsockopt(pair->in, SOL_SOCKET, SO_SNDBUF, &bytes, &size) < 0)
        return pairs_fail(e, "read the send buffer's size");
    if (bytes < SEND_BUFFER_BYTES_MIN)
        return err_set(e, ERR_ENV, ENOBUFS,
                       "the loopback pair's send buffer is %d bytes and has to be %d: start with "
                       "CAP_NET_ADMIN, or raise the sysctl net.core.wmem_max to %d",
                       bytes, SEND_BUFFER_BYTES_MIN, SEND_BUFFER_BYTES);
    return 0;
}

static int make_pair(int listener, struct tap_pair *pair, struct err *e)
{
    deadline_t deadline = clock_deadline_in_ms(CONNECT_TIMEOUT_MS);

    *pair = (struct tap_pair){.in = -1, .out = -1};
    if (listen(listener, TAP_STRANGERS_MAX) < 0)
        return pairs_fail(e, "listen on 127.0.0.1");

    int result = connect_out(listener, deadline, &pair->out, e);
    if (result == 0)
        result = tap_pairs_accept(listener, deadline, pair->out, &pair->in, e);
    /* Listens only while a pair is made, and on another port each time: shutdown(2) puts a
     * listening socket back where bind(2) with port 0 left it, with its buffer's size. */
    shutdown(listener, SHUT_RDWR);
    if (result == 0)
        result = set_options(pair, e);
    if (result < 0) {
        io_close(&pair->in);
        io_close(&pair->out);
    }
    return result;
}

static void finish_request(struct tap_pairs *pairs, int result)
{
    pairs->result = result;
    if (pairs->phase != PAIRS_STOPPING)
        pairs->phase = PAIRS_IDLE;
    pthread_cond_broadcast(&pairs->changed);
}

static void *pairs_main(void *argument)
{
    struct tap_pairs *pairs = argument;

    pthread_mutex_lock(&pairs->lock);
    int result = set_up_thread(pairs, &pairs->err);
    finish_request(pairs, result);
    while (result == 0 && pairs->phase != PAIRS_STOPPING) {
        if (pairs->phase == PAIRS_MAKING)
            finish_request(pairs, make_pair(pairs->listener, &pairs->pair, &pairs->err));
        else
            pthread_cond_wait(&pairs->changed, &pairs->lock);
    }
    io_close(&pairs->listener);
    pthread_mutex_unlock(&pairs->lock);
    return NULL;
}

/* A new thread starts with its creator's signal mask. None may be delivered to this one: handlers
 * belong to the program's main thread. */
static int start_thread(struct tap_pairs *pairs)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&pairs->thread, NULL, pairs_main, pairs);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int tap_pairs_open(struct tap_pairs **pairs_out, struct err *e)
{
    struct tap_pairs *pairs = calloc(1, sizeof *pairs);
    if (!pairs)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for the thread of the loopback pairs");
    pairs->listener = -1;
    pairs->phase = PAIRS_STARTING;
    pthread_mutex_init(&pairs->callers, NULL);
    pthread_mutex_init(&pairs->lock, NULL);
    pthread_cond_init(&pairs->changed, NULL);

    int error = start_thread(pairs);
    if (error) {
        free(pairs);
        return err_sys(e, ERR_ENV, error, "cannot start the thread of the loopback pairs");
    }

    pthread_mutex_lock(&pairs->lock);
    while (pairs->phase == PAIRS_STARTING)
        pthread_cond_wait(&pairs->changed, &pairs->lock);
    int result = pairs->result;
    if (result < 0 && e)
        *e = pairs->err;
    pthread_mutex_unlock(&pairs->lock);

    if (result < 0) {
        tap_pairs_close(pairs);
        return result;
    }
    *pairs_out = pairs;
    return 0;
}

void tap_pairs_close(struct tap_pairs *pairs)
{
    if (!pairs)
        return;
    pthread_mutex_lock(&pairs->lock);
    pairs->phase = PAIRS_STOPPING;
    pthread_cond_broadcast(&pairs->changed);
    pthread_mutex_unlock(&pairs->lock);
    pthread_join(pairs->thread, NULL);
    pthread_cond_destroy(&pairs->changed);
    pthread_mutex_destroy(&pairs->lock);
    pthread_mutex_destroy(&pairs->callers);
    free(pairs);
}

bool tap_pairs_are_private(const struct tap_pairs *pairs)
{
    return pairs->private_network;
}

int tap_pairs_make(struct tap_pairs *pairs, struct tap_pair *pair, struct err *e)
{
    pthread_mutex_lock(&pairs->callers);
    pthread_mutex_lock(&pairs->lock);
    pairs->phase = PAIRS_MAKING;
    pthread_cond_broadcast(&pairs->changed);
    while (pairs->phase == PAIRS_MAKING)
        pthread_cond_wait(&pairs->changed, &pairs->lock);
    int result = pairs->result;
    *pair = pairs->pair;
    if (result < 0 && e)
        *e = pairs->err;
    pthread_mutex_unlock(&pairs->lock);
    pthread_mutex_unlock(&pairs->callers);
    return result;
}
