/* SPDX-License-Identifier: Apache-2.0 */
/* URLs of endpoints and s3:// addresses, and percent-coding (RFC 3986). */
#ifndef S3_KTLS_HTTP_URI_H
#define S3_KTLS_HTTP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    URI_HOST_SIZE = 256,  /* RFC 1035: 253 characters, and the NUL */
    URI_PATH_SIZE = 1024, /* a path in front of bucket and key, for stores behind a prefix */
};

struct uri_endpoint {
    bool https;
    bool host_is_ipv6; /* `host` has no brackets */
    uint16_t port;     /* never 0: 80 or 443 where the URL has none */
    bool port_is_default;
    char host[URI_HOST_SIZE]; /* lower case */
    char path[URI_PATH_SIZE]; /* "" or "/prefix" without a slash at its end */
};

/* http:// and https:// with host, port and path. User names and passwords, queries and fragments
 * are refused (a secret in argv; nothing they could mean). ERR_USAGE. */
int uri_parse_endpoint(struct uri_endpoint *out, const char *url, struct err *e);

/* "host", "host:port" or "[v6]:port" as the Host header has it. */
void uri_host_header(const struct uri_endpoint *endpoint, struct buf *out);

/* Append s with all but unreserved characters percent-coded, upper-case hex; '/' stays if
 * `keep_slash`. This is the one encoding: what is signed is what is sent (SigV4 for S3 encodes the
 * path once). */
void uri_encode(struct buf *out, const char *s, bool keep_slash);

#endif
