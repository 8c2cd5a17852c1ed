/* SPDX-License-Identifier: Apache-2.0 */
#include "net/resolve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/io.h"

/* Shared by the thread that asks and the one that answers; the last holder frees it. */
struct request {
    atomic_int holders;
    int done_fd; /* eventfd, readable once the fields below are filled */
    char *host;
    uint16_t port;
    int gai_error;
    int errnum; /* for EAI_SYSTEM */
    struct resolve_result result;
};

static void request_put(struct request *r)
{
    if (atomic_fetch_sub(&r->holders, 1) != 1)
        return;
    io_close(&r->done_fd);
    free(r->host);
    free(r);
}

static int look_up(struct resolve_result *result, const char *host, uint16_t port, int flags)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *list = NULL;
    char service[8];
    snprintf(service, sizeof service, "%u", port);
    int rc = getaddrinfo(host, service, &hints, &list);
    if (rc)
        return rc;
    result->n = 0;
    for (struct addrinfo *a = list; a && result->n < RESOLVE_MAX_ADDRESSES; a = a->ai_next) {
        if (a->ai_family != AF_INET && a->ai_family != AF_INET6)
            continue;
        struct resolve_address *to = &result->at[result->n++];
        memcpy(&to->sa, a->ai_addr, a->ai_addrlen);
        to->len = a->ai_addrlen;
    }
    freeaddrinfo(list);
    return result->n ? 0 : EAI_NONAME;
}

/* getaddrinfo(3) takes two descriptors at a time, and without them it says only that there is no
 * such name. 0 or what keeps two more from being opened. */
static int missing_descriptors(int fd)
{
    int one = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int two = one < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int errnum = two < 0 ? errno : 0;
    io_close(&one);
    io_close(&two);
    return errnum;
}

static void *request_run(void *arg)
{
    struct request *r = arg;
    /* AI_ADDRCONFIG: no AAAA query, and no attempt, on a machine without IPv6. */
    r->gai_error = look_up(&r->result, r->host, r->port, AI_NUMERICSERV | AI_ADDRCONFIG);
    r->errnum = errno;
    int missing = r->gai_error ? missing_descriptors(r->done_fd) : 0;
    if (missing) {
        r->gai_error = EAI_SYSTEM;
        r->errnum = missing;
    }
    (void)eventfd_write(r->done_fd, 1);
    request_put(r);
    return NULL;
}

/* Signals belong to the threads that know what to do with them. */
static int start_thread(struct request *r)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int rc = pthread_attr_init(&attr);
    if (rc)
        return rc;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attr, request_run, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return rc;
}

static int request_start(struct request **out, const char *host, uint16_t port)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    int rc = 0;
    atomic_init(&r->holders, 1);
    r->port = port;
    r->done_fd = eventfd(0, EFD_CLOEXEC);
    r->host = strdup(host);
    if (r->done_fd < 0 || !r->host) {
        rc = r->host ? -errno : -ENOMEM;
        goto fail;
    }
    atomic_store(&r->holders, 2);
    rc = -start_thread(r);
    if (rc) {
        atomic_store(&r->holders, 1);
        goto fail;
    }
    *out = r;
    return 0;
fail:
    request_put(r);
    return rc;
}

static int fail_lookup(const char *host, int gai_error, int errnum, struct err *e)
{
    switch (gai_error) {
    case EAI_SYSTEM:
        return err_sys(e, err_class_of(errnum, ERR_NET), errnum, "the name %s can't be resolved",
                       host);
    case EAI_MEMORY:
        return err_set(e, ERR_ENV, ENOMEM, "no memory to resolve the name %s", host);
    case EAI_AGAIN:
        return err_set(e, ERR_NET, EAGAIN,
                       "the name %s can't be resolved now: %s; check that this machine reaches its "
                       "name server",
                       host, gai_strerror(gai_error));
    default:
        return err_set(e, ERR_NET, EHOSTUNREACH,
                       "the name %s can't be resolved: %s; check how the endpoint is spelled", host,
                       gai_strerror(gai_error));
    }
}

bool resolve_is_literal(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    char address[INET6_ADDRSTRLEN];
    size_t n = strcspn(host, "%");
    if (n >= sizeof address)
        return false;
    memcpy(address, host, n);
    address[n] = '\0';
    return inet_pton(AF_INET6, address, bytes) == 1 || inet_pton(AF_INET, host, bytes) == 1;
}

int resolve_host(struct resolve_result *result, const char *host, uint16_t port, int cancel_fd,
                 deadline_t deadline, struct err *e)
{
    if (resolve_is_literal(host)) {
        int gai = look_up(result, host, port, AI_NUMERICHOST | AI_NUMERICSERV);
        return gai ? fail_lookup(host, gai, errno, e) : 0;
    }
    struct request *r = NULL;
    int rc = request_start(&r, host, port);
    if (!r)
        return err_sys(e, ERR_ENV, -rc, "no thread to resolve the name %s", host);
    rc = io_wait(r->done_fd, POLLIN, cancel_fd, deadline);
    eventfd_t done;
    if (rc > 0 && eventfd_read(r->done_fd, &done) < 0)
        rc = -errno;
    if (rc == -ETIMEDOUT)
        rc = err_set(e, ERR_NET, ETIMEDOUT,
                     "the name %s was not resolved in the time allowed; check that this machine "
                     "reaches its name server",
                     host);
    else if (rc == -ECANCELED)
        rc = err_set(e, ERR_NET, ECANCELED, "stopped while resolving the name %s", host);
    else if (rc < 0)
        rc = err_sys(e, ERR_ENV, -rc, "waiting for the name %s to be resolved", host);
    else if (r->gai_error)
        rc = fail_lookup(host, r->gai_error, r->errnum, e);
    else {
        *result = r->result;
        rc = 0;
    }
    request_put(r);
    return rc;
}
