/* SPDX-License-Identifier: Apache-2.0 */
/* From a host name to addresses, without being at the mercy of getaddrinfo(3). */
#ifndef S3_KTLS_NET_RESOLVE_H
#define S3_KTLS_NET_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/err.h"

/* A store behind more addresses than this is reached through the first ones. */
enum { RESOLVE_MAX_ADDRESSES = 16 };

struct resolve_address {
    struct sockaddr_storage sa; /* with the port */
    socklen_t len;
};

struct resolve_result {
    size_t n; /* at least 1 after success */
    struct resolve_address at[RESOLVE_MAX_ADDRESSES];
};

/* Is it an IPv4 or IPv6 address (without brackets, perhaps with %scope), and no name? */
bool resolve_is_literal(const char *host);

/*
 * The addresses of `host`, in the order of getaddrinfo(3) (RFC 6724). A literal is converted on the
 * spot. A name is looked up in a detached thread, because getaddrinfo knows no deadline and no
 * cancelling: when this function gives up, the thread ends by itself and frees what it holds.
 * ERR_NET: -ETIMEDOUT at the deadline, -ECANCELED, -EAGAIN for a temporary failure of the name
 * service, -EHOSTUNREACH for a name that does not exist.
 */
int resolve_host(struct resolve_result *result, const char *host, uint16_t port, int cancel_fd,
                 deadline_t deadline, struct err *e);

#endif
