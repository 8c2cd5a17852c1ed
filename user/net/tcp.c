/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tcp.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"

enum {
    ATTEMPT_DELAY_MS = 250, /* RFC 8305 section 5, "Connection Attempt Delay" */
    CAUSES_SHOWN = 4,
};

struct attempt {
    int fd;     /* -1: not begun, or over */
    int errnum; /* why it is over; 0 before */
};

struct race {
    struct resolve_result to; /* in the order of the attempts */
    struct attempt attempts[RESOLVE_MAX_ADDRESSES];
    size_t begun;
    deadline_t next; /* when the next attempt may begin though others are under way */
};

static void format_peer(char peer[static TCP_PEER_SIZE], const struct resolve_address *a)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getnameinfo((const struct sockaddr *)&a->sa, a->len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV)) {
        snprintf(peer, TCP_PEER_SIZE, "?");
        return;
    }
    bool v6 = a->sa.ss_family == AF_INET6;
    snprintf(peer, TCP_PEER_SIZE, "%s%.48s%s:%.5s", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

/* RFC 8305 section 4: the families take turns, each in the order that getaddrinfo gave it. */
static void interleave(struct resolve_result *out, const struct resolve_result *in)
{
    size_t taken[2] = {0, 0}; /* how far each turn has looked: [0] the first family, [1] others */
    sa_family_t first = in->at[0].sa.ss_family;
    out->n = 0;
    for (int turn = 0; out->n < in->n; turn = !turn) {
        size_t *i = &taken[turn];
        while (*i < in->n && (in->at[*i].sa.ss_family == first) != (turn == 0))
            (*i)++;
        if (*i < in->n)
            out->at[out->n++] = in->at[(*i)++];
    }
}

static bool is_connected_to_itself(int fd)
{
    struct sockaddr_storage here, there;
    socklen_t here_len = sizeof here, there_len = sizeof there;
    memset(&here, 0, sizeof here);
    memset(&there, 0, sizeof there);
    return getsockname(fd, (struct sockaddr *)&here, &here_len) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &there_len) == 0 && here_len == there_len &&
           memcmp(&here, &there, here_len) == 0;
}

static void attempt_end(struct race *race, struct attempt *a, int errnum)
{
    io_close(&a->fd);
    a->errnum = errnum;
    race->next = 0;
}

/* 0 or a positive errno. A port of this machine in the ephemeral range where nobody listens can
 * connect to itself (simultaneous open, RFC 9293 section 3.5). */
static int check_connected(int fd)
{
    int errnum = 0;
    socklen_t len = sizeof errnum;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0)
        errnum = errno;
    if (!errnum && is_connected_to_itself(fd))
        errnum = ECONNREFUSED;
    return errnum;
}

/* True if it is connected already. */
static bool attempt_begin(struct race *race)
{
    const struct resolve_address *to = &race->to.at[race->begun];
    struct attempt *a = &race->attempts[race->begun++];
    race->next = clock_deadline_in_ms(ATTEMPT_DELAY_MS);
    a->fd = socket(to->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd < 0) {
        attempt_end(race, a, errno);
        return false;
    }
    if (connect(a->fd, (const struct sockaddr *)&to->sa, to->len) < 0) {
        if (errno != EINPROGRESS && errno != EINTR)
            attempt_end(race, a, errno);
        return false;
    }
    int errnum = check_connected(a->fd);
    if (errnum)
        attempt_end(race, a, errnum);
    return !errnum;
}

/* Index of the attempt that connected, -EAGAIN if none has yet, or another negative errno. */
static int race_wait(struct race *race, int cancel_fd, deadline_t deadline)
{
    struct pollfd p[RESOLVE_MAX_ADDRESSES + 1];
    for (size_t i = 0; i < race->begun; i++)
        p[i] = (struct pollfd){.fd = race->attempts[i].fd, .events = POLLOUT};
    p[race->begun] = (struct pollfd){.fd = cancel_fd, .events = POLLIN};
    deadline_t until = deadline;
    if (race->begun < race->to.n && race->next < until)
        until = race->next;
    int n = poll(p, race->begun + 1, clock_left_ms(until));
    if (n < 0)
        return errno == EINTR ? -EAGAIN : -errno;
    if (p[race->begun].revents)
        return -ECANCELED;
    if (n == 0)
        return clock_left_ms(deadline) == 0 ? -ETIMEDOUT : -EAGAIN;
    for (size_t i = 0; i < race->begun; i++) {
        if (!p[i].revents)
            continue;
        int errnum = check_connected(p[i].fd);
        if (!errnum)
            return (int)i;
        attempt_end(race, &race->attempts[i], errnum);
    }
    return -EAGAIN;
}

static bool race_is_lost(const struct race *race)
{
    if (race->begun < race->to.n)
        return false;
    for (size_t i = 0; i < race->begun; i++)
        if (race->attempts[i].fd >= 0)
            return false;
    return true;
}

/* Index of the winner, or a negative errno: -ENOTCONN when all have failed. */
static int race_run(struct race *race, int cancel_fd, deadline_t deadline)
{
    for (;;) {
        while (race->begun < race->to.n && clock_left_ms(race->next) == 0 &&
               clock_left_ms(deadline) != 0)
            if (attempt_begin(race))
                return (int)race->begun - 1;
        if (race_is_lost(race))
            return -ENOTCONN;
        int rc = race_wait(race, cancel_fd, deadline);
        if (rc != -EAGAIN)
            return rc;
    }
}

static int fail_race(struct race *race, int rc, const char *host, uint16_t port, struct err *e)
{
    char causes[600] = "not tried";
    size_t used = 0;
    int errnum = ETIMEDOUT;
    for (size_t i = 0; i < race->begun && i < CAUSES_SHOWN; i++) {
        char peer[TCP_PEER_SIZE], text[128];
        const struct attempt *a = &race->attempts[i];
        format_peer(peer, &race->to.at[i]);
        const char *why = a->errnum ? strerror_r(a->errnum, text, sizeof text) : "no answer";
        int n = snprintf(causes + used, sizeof causes - used, "%s%s: %s", i ? "; " : "", peer, why);
        if (n < 0 || (size_t)n >= sizeof causes - used)
            break;
        used += (size_t)n;
        if (i == 0 && a->errnum)
            errnum = a->errnum;
    }
    if (race->begun > CAUSES_SHOWN)
        snprintf(causes + used, sizeof causes - used, "; and %zu more", race->begun - CAUSES_SHOWN);
    if (rc == -ECANCELED)
        return err_set(e, ERR_NET, ECANCELED, "stopped while connecting to %s port %u", host, port);
    if (rc == -ETIMEDOUT)
        return err_set(e, ERR_NET, ETIMEDOUT,
                       "can't connect to %s port %u in the time allowed (%s); check the endpoint, "
                       "and that no firewall drops the packets",
                       host, port, causes);
    if (rc != -ENOTCONN)
        return err_sys(e, ERR_ENV, -rc, "waiting for a connection to %s port %u", host, port);
    return err_set(e, err_class_of(errnum, ERR_NET), errnum,
                   "can't connect to %s port %u (%s); check the endpoint, and that the store runs",
                   host, port, causes);
}

int tcp_connect_any(int *fd, char peer[static TCP_PEER_SIZE], const struct resolve_result *to,
                    const char *host, uint16_t port, int cancel_fd, deadline_t deadline,
                    struct err *e)
{
    struct race race = {.begun = 0};
    int rc = 0;
    interleave(&race.to, to);
    for (size_t i = 0; i < race.to.n; i++)
        race.attempts[i].fd = -1;

    int winner = race_run(&race, cancel_fd, deadline);
    if (winner >= 0) {
        *fd = race.attempts[winner].fd;
        race.attempts[winner].fd = -1;
        format_peer(peer, &race.to.at[winner]);
        /* Framing and payload are sent in few, well-filled pieces; what is held back is held back
         * with MSG_MORE, not by waiting for an ACK. */
        int on = 1;
        (void)setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    } else
        rc = fail_race(&race, winner, host, port, e);
    for (size_t i = 0; i < race.to.n; i++)
        io_close(&race.attempts[i].fd);
    return rc;
}

int tcp_connect(int *fd, char peer[static TCP_PEER_SIZE], const char *host, uint16_t port,
                int cancel_fd, deadline_t deadline, struct err *e)
{
    struct resolve_result found;
    int rc = resolve_host(&found, host, port, cancel_fd, deadline, e);
    return rc ? rc : tcp_connect_any(fd, peer, &found, host, port, cancel_fd, deadline, e);
}
