/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Responses (RFC 9112), parsed as they come in, within fixed bounds. What could be read in two
 * ways (two Content-Lengths, both framings, obs-fold, NULs, bare CR) is an error, never a guess.
 */
#ifndef S3_KTLS_HTTP_RESPONSE_H
#define S3_KTLS_HTTP_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum {
    HTTP_HEAD_BYTES_MAX = 64 * 1024, /* status line and headers of one response */
    HTTP_HEADERS_MAX = 128,
    HTTP_BODY_KEPT_MAX = 64 * 1024,   /* of a body; what is beyond is read and dropped */
    HTTP_BODY_READ_MAX = 1024 * 1024, /* a longer body is an error: no answer to a PUT is */
    HTTP_INTERIM_MAX = 16,            /* 1xx responses before the final one */
};

struct http_response;

int http_response_open(struct http_response **r);
void http_response_close(struct http_response *r);

/* Make ready for the next response on this connection. `to_head`: the request was HEAD, so there is
 * no body whatever the headers say (RFC 9112 6.3). */
void http_response_begin(struct http_response *r, bool to_head);

/*
 * Take n bytes as they came. *used is how many belong to this response: fewer than n only once it
 * is done. 0, or -EPROTO with `e` (ERR_NET) naming what was wrong, in words, or -ENOMEM (ERR_ENV).
 */
int http_response_feed(struct http_response *r, const void *bytes, size_t n, size_t *used,
                       struct err *e);

/* The peer ended the connection: done if the body ends that way, else -EPROTO. */
int http_response_feed_eof(struct http_response *r, struct err *e);

/* The last interim status since begin (100, 103; 0 if none): for Expect: 100-continue. */
int http_response_interim(const struct http_response *r);
bool http_response_has_head(const struct http_response *r); /* of the final one */
bool http_response_is_done(const struct http_response *r);
/* Any byte seen of the final one */
bool http_response_has_begun(const struct http_response *r);

/* Valid once has_head: */
int http_response_status(const struct http_response *r);
/* Whether another request can follow on this connection: false until the response is done. */
bool http_response_keeps_alive(const struct http_response *r);
/* The value of a header (name in any case; OWS trimmed), NULL if absent. If it is there twice with
 * different values, `*conflict` (may be NULL) is set and the first is returned. */
const char *http_response_header(const struct http_response *r, const char *name, bool *conflict);
/* What was kept of the body. */
const struct buf *http_response_body(const struct http_response *r);

#endif
