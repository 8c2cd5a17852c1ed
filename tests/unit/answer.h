/* SPDX-License-Identifier: Apache-2.0 */
/* A response out of the text of a store's answer. */
#ifndef S3_KTLS_TESTS_ANSWER_H
#define S3_KTLS_TESTS_ANSWER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "http/response.h"

/* `head` is the status line's rest and headers ("200 OK\r\nA: b\r\n"); the body ends the
 * connection, to_head says that there is none. */
static struct http_response *answer(const char *head, const void *body, size_t n, bool to_head)
{
    struct http_response *r;
    struct buf text;
    struct err e = {0};
    size_t used;
    buf_init(&text, 8 * 1024 * 1024);
    buf_addf(&text, "HTTP/1.1 %s\r\n", head);
    if (!to_head)
        buf_add(&text, body, n);
    assert_int_equal(http_response_open(&r), 0);
    http_response_begin(r, to_head);
    if (http_response_feed(r, text.data, text.len, &used, &e) != 0 ||
        http_response_feed_eof(r, &e) != 0)
        fail_msg("%s", e.text);
    assert_int_equal(used, text.len);
    buf_free(&text);
    return r;
}

#endif
