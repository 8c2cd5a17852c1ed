/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: their bytes, their bounds, and what may not get into them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/request.h"

static void request_init(struct http_request *r)
{
    http_request_init(r, "PUT");
    buf_add_str(&r->target, "/b/k%20x?y=1");
}

static int write_to(const struct http_request *r, struct buf *out)
{
    buf_init(out, 2 * HTTP_REQUEST_BYTES_MAX);
    return http_request_write(r, out);
}

static void test_bytes(void **state)
{
    (void)state;
    struct http_request r;
    struct buf out;
    request_init(&r);
    http_request_add(&r, "host", "h:1", true);
    http_request_addf(&r, false, "content-length", "%d", 12);
    http_request_add(&r, "x-empty", "", false);
    http_request_add(&r, "x-visible", " !~", false);
    assert_int_equal(r.error, 0);
    assert_int_equal(r.header_count, 4);
    assert_true(r.headers[0].sign);
    assert_false(r.headers[1].sign);
    assert_int_equal(write_to(&r, &out), 0);
    assert_string_equal(out.data, "PUT /b/k%20x?y=1 HTTP/1.1\r\nhost: h:1\r\ncontent-length: 12\r\n"
                                  "x-empty: \r\nx-visible:  !~\r\n\r\n");
    assert_string_equal(http_request_find(&r, "content-length"), "12");
    assert_null(http_request_find(&r, "content"));
    /* It appends. */
    assert_int_equal(http_request_write(&r, &out), 0);
    assert_int_equal(out.len % 2, 0);
    assert_memory_equal(out.data, out.data + out.len / 2, out.len / 2);
    buf_free(&out);
    http_request_free(&r);
    http_request_free(&r);
}

static void expect_error(struct http_request *r, int error)
{
    struct buf out;
    assert_int_equal(write_to(r, &out), error);
    assert_int_equal(out.len, 0);
    buf_free(&out);
    http_request_free(r);
}

static void test_bad_headers(void **state)
{
    (void)state;
    static const struct {
        const char *name, *value;
    } cases[] = {
        {"x", "a\r\nevil: 1"}, {"x", "a\n"},  {"x", "\r"},  {"x", "a\tb"},  {"x", "\x01"},
        {"x", "\x7f"},         {"x", "\x80"}, {"x", "ä"},   {"", "a"},      {"X", "a"},
        {"x y", "a"},          {"x:", "a"},   {"x\r", "a"}, {"x\xc3", "a"}, {"host", "again"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct http_request r;
        request_init(&r);
        http_request_add(&r, "host", "h", true);
        http_request_add(&r, cases[i].name, cases[i].value, false);
        if (r.error != -EINVAL)
            fail_msg("header %zu was taken", i);
        http_request_add(&r, "later", "is not added", false);
        assert_int_equal(r.header_count, 1);
        expect_error(&r, -EINVAL);
    }
}

static void test_bad_targets(void **state)
{
    (void)state;
    static const char *const targets[] = {"",      "b",     "/a b",     "/a\r\nx",
                                          "/\x80", "/\x7f", "http://h/"};
    for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct http_request r;
        http_request_init(&r, "GET");
        buf_add_str(&r.target, targets[i]);
        expect_error(&r, -EINVAL);
    }
    static const char *const methods[] = {"", "get", "GET ", "G\r\n", "LONGMETHOD"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        struct http_request r;
        http_request_init(&r, methods[i]);
        buf_add_str(&r.target, "/");
        expect_error(&r, -EINVAL);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct http_request r;
    request_init(&r);
    for (int i = 0; i < HTTP_REQUEST_HEADERS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", i);
        http_request_add(&r, name, "v", false);
    }
    assert_int_equal(r.error, 0);
    http_request_add(&r, "y", "v", false);
    assert_int_equal(r.error, -E2BIG);
    expect_error(&r, -E2BIG);

    /* "PUT /b/k%20x?y=1 HTTP/1.1\r\n" + "x: " + value + "\r\n" + "\r\n" */
    size_t room = HTTP_REQUEST_BYTES_MAX - strlen("PUT /b/k%20x?y=1 HTTP/1.1\r\nx: \r\n\r\n");
    char *value = malloc(HTTP_REQUEST_BYTES_MAX + 2);
    assert_non_null(value);
    for (size_t over = 0; over < 2; over++) {
        struct buf out;
        memset(value, 'v', room + over);
        value[room + over] = 0;
        request_init(&r);
        http_request_addf(&r, false, "x", "%s", value);
        if (over) {
            expect_error(&r, -E2BIG);
            continue;
        }
        assert_int_equal(write_to(&r, &out), 0);
        assert_int_equal(out.len, HTTP_REQUEST_BYTES_MAX);
        buf_free(&out);
        /* No room in a smaller buffer: nothing half-written. */
        buf_init(&out, HTTP_REQUEST_BYTES_MAX - 1);
        assert_int_equal(http_request_write(&r, &out), -E2BIG);
        assert_int_equal(out.len, 0);
        buf_free(&out);
        http_request_free(&r);
    }
    memset(value, 'v', HTTP_REQUEST_BYTES_MAX + 1);
    value[HTTP_REQUEST_BYTES_MAX + 1] = 0;
    request_init(&r);
    http_request_add(&r, "x", value, false);
    assert_int_equal(r.error, -E2BIG);
    expect_error(&r, -E2BIG);

    http_request_init(&r, "PUT");
    buf_add_str(&r.target, "/");
    buf_add_str(&r.target, value);
    expect_error(&r, -E2BIG);
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
