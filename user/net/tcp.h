/* SPDX-License-Identifier: Apache-2.0 */
/* From a host name to a connected TCP socket, all its addresses raced. */
#ifndef S3_KTLS_NET_TCP_H
#define S3_KTLS_NET_TCP_H

#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/resolve.h"

enum { TCP_PEER_SIZE = 64 }; /* "[2001:db8::1]:443" and the NUL */

/*
 * Resolve `host` (a name, or an IP literal without brackets) with resolve_host(), and race the
 * addresses with tcp_connect_any(), all within `deadline`.
 */
int tcp_connect(int *fd, char peer[static TCP_PEER_SIZE], const char *host, uint16_t port,
                int cancel_fd, deadline_t deadline, struct err *e);

/*
 * Race known addresses as RFC 8305 says: families interleaved, beginning with the family of the
 * first (getaddrinfo puts IPv6 first where it works), the next attempt 250 ms after the last or at
 * once when that failed; the first that connects wins, the others are closed. `*fd` is
 * non-blocking, close-on-exec, TCP_NODELAY. `peer` gets the address that won. `host` and `port` are
 * for messages.
 * ERR_NET names the host, and of each address tried what went wrong (the first few), and has the
 * errno of the first; -ETIMEDOUT at the deadline, -ECANCELED when cancel_fd became readable.
 */
int tcp_connect_any(int *fd, char peer[static TCP_PEER_SIZE], const struct resolve_result *to,
                    const char *host, uint16_t port, int cancel_fd, deadline_t deadline,
                    struct err *e);

#endif
