/* SPDX-License-Identifier: Apache-2.0 */
/* Running the response parser over a text that is cut into pieces in several ways. */
#ifndef S3_KTLS_TESTS_RESPONSE_RUN_H
#define S3_KTLS_TESTS_RESPONSE_RUN_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/response.h"

enum { WHOLE, BYTEWISE, RANDOM }; /* how a text is cut into pieces */

struct outcome {
    int ret;
    char text[ERR_TEXT_BYTES];
    bool has_head, is_done, keeps_alive;
    int status, interim;
    size_t used;
    size_t body_bytes;
    char body[64];
};

static uint32_t random_state;

static uint32_t random_next(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

/* The bytes are copied to the heap piece by piece, so that ASan sees a read beyond a piece. */
static void feed(struct http_response *r, const char *text, size_t n, int cut, struct outcome *o,
                 struct err *e)
{
    o->ret = 0;
    while (o->used < n && o->ret == 0 && !http_response_is_done(r)) {
        size_t left = n - o->used;
        size_t piece = cut == WHOLE ? left : cut == BYTEWISE ? 1 : 1 + random_next() % 40;
        if (piece > left)
            piece = left;
        char *copy = malloc(piece ? piece : 1);
        assert_non_null(copy);
        memcpy(copy, text + o->used, piece);
        size_t used = SIZE_MAX;
        o->ret = http_response_feed(r, copy, piece, &used, e);
        free(copy);
        assert_true(used <= piece);
        if (o->ret == 0 && used < piece)
            assert_true(http_response_is_done(r));
        o->used += used;
    }
}

static struct outcome run(const char *text, size_t n, bool to_head, bool eof, int cut)
{
    struct outcome o;
    struct http_response *r;
    struct err e = {0};
    memset(&o, 0, sizeof o); /* with its padding: outcomes are compared by memcmp() */
    assert_int_equal(http_response_open(&r), 0);
    http_response_begin(r, to_head);
    feed(r, text, n, cut, &o, &e);
    if (eof && o.ret == 0)
        o.ret = http_response_feed_eof(r, &e);
    if (o.ret) {
        assert_int_equal(o.ret, -EPROTO);
        assert_int_equal(e.class, ERR_NET);
        assert_false(http_response_is_done(r));
        assert_false(http_response_keeps_alive(r));
    }
    snprintf(o.text, sizeof o.text, "%s", e.text);
    o.has_head = http_response_has_head(r);
    o.is_done = http_response_is_done(r);
    o.keeps_alive = http_response_keeps_alive(r);
    o.status = http_response_status(r);
    o.interim = http_response_interim(r);
    const struct buf *body = http_response_body(r);
    assert_true(body->len <= HTTP_BODY_KEPT_MAX);
    o.body_bytes = body->len;
    memcpy(o.body, body->data, body->len < sizeof o.body ? body->len : sizeof o.body);
    http_response_close(r);
    return o;
}

/* The outcome, which must be the same however the text is cut. */
static struct outcome run_all(const char *text, size_t n, bool to_head, bool eof)
{
    struct outcome whole = run(text, n, to_head, eof, WHOLE);
    for (int i = 0; i < 6; i++) {
        struct outcome other = run(text, n, to_head, eof, i ? RANDOM : BYTEWISE);
        assert_string_equal(other.text, whole.text);
        assert_memory_equal(&other, &whole, sizeof whole);
    }
    return whole;
}

#endif
