/* SPDX-License-Identifier: Apache-2.0 */
/* A request head (RFC 9112): a method, a path and a bounded list of headers, and its bytes. */
#ifndef S3_KTLS_HTTP_REQUEST_H
#define S3_KTLS_HTTP_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum {
    HTTP_REQUEST_HEADERS_MAX = 32,
    HTTP_REQUEST_BYTES_MAX = 32 * 1024, /* session tokens alone can take 8 KiB */
};

struct http_header {
    char *name;  /* lower case */
    char *value; /* wiped when freed */
    bool sign;   /* belongs to SigV4's SignedHeaders */
};

struct http_request {
    char method[8];
    struct buf target; /* path, as it goes on the wire: percent-coded */
    struct http_header headers[HTTP_REQUEST_HEADERS_MAX];
    size_t header_count;
    int error; /* the first thing that did not fit: -E2BIG, -EINVAL or -ENOMEM; 0 if all did */
};

void http_request_init(struct http_request *r, const char *method);
void http_request_free(struct http_request *r);

/*
 * Add a header; the order is kept. `name` is in lower case and not there yet. What is wrong is
 * remembered in r->error: a name that is no token or there twice, a value with anything but
 * printable ASCII (-EINVAL), too many or too long ones (-E2BIG), no memory (-ENOMEM).
 */
void http_request_add(struct http_request *r, const char *name, const char *value, bool sign);
void http_request_addf(struct http_request *r, bool sign, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* NULL if it is not there. */
const char *http_request_find(const struct http_request *r, const char *name);

/* Append request line, headers, empty line to `out`. 0, -E2BIG (too long, too many), -EINVAL (a bad
 * value, or a target that is no path) or -ENOMEM. */
int http_request_write(const struct http_request *r, struct buf *out);

#endif
