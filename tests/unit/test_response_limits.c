/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser at its ceilings, its queries, and under rubbish. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "http/response.h"
#include "response_run.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static struct buf text;

static void start(const char *s)
{
    buf_free(&text);
    buf_init(&text, 64 * 1024 * 1024);
    buf_add_str(&text, s);
}

static void add_repeated(const char *s, size_t n)
{
    while (n--)
        buf_add_str(&text, s);
}

static struct outcome outcome_of(bool eof)
{
    assert_false(text.failed);
    struct outcome whole = run(text.data, text.len, false, eof, WHOLE);
    struct outcome other = run(text.data, text.len, false, eof, BYTEWISE);
    assert_memory_equal(&other, &whole, sizeof whole);
    other = run(text.data, text.len, false, eof, RANDOM);
    assert_memory_equal(&other, &whole, sizeof whole);
    return whole;
}

static void expect_done(bool eof)
{
    struct outcome o = outcome_of(eof);
    if (!o.is_done)
        fail_msg("not done: %s", o.text);
}

static void expect_refusal(bool eof, const char *word)
{
    struct outcome o = outcome_of(eof);
    assert_int_equal(o.ret, -EPROTO);
    if (!strstr(o.text, word))
        fail_msg("'%s' is not in: %s", word, o.text);
}

static void test_head_bytes(void **state)
{
    (void)state;
    static const char end[] = "\r\nContent-Length: 0\r\n\r\n";
    for (int over = 0; over < 2; over++) {
        start(OK "X: ");
        add_repeated("y", HTTP_HEAD_BYTES_MAX - text.len - strlen(end) + (size_t)over);
        buf_add_str(&text, end);
        assert_int_equal(text.len, HTTP_HEAD_BYTES_MAX + over);
        if (over)
            expect_refusal(false, "a head longer than 65536 bytes");
        else
            expect_done(false);
    }
    /* The bound is on each head: interim ones do not count for the final one. */
    start("HTTP/1.1 103 Early Hints\r\nX: ");
    add_repeated("y", 40000);
    buf_add_str(&text, "\r\n\r\n" OK "X: ");
    add_repeated("y", 40000);
    buf_add_str(&text, end);
    expect_done(false);
    /* A line that never ends */
    start("HTTP/1.1 200 ");
    add_repeated("y", HTTP_HEAD_BYTES_MAX);
    expect_refusal(false, "a head longer than 65536 bytes");
}

static void test_header_count(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        start(OK "Content-Length: 0\r\n");
        add_repeated("A: b\r\n", HTTP_HEADERS_MAX - 1 + (size_t)over);
        buf_add_str(&text, "\r\n");
        if (over)
            expect_refusal(false, "more than 128 headers");
        else
            expect_done(false);
    }
}

static void test_interim_count(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        start("");
        add_repeated("HTTP/1.1 102 Processing\r\n\r\n", HTTP_INTERIM_MAX + (size_t)over);
        buf_add_str(&text, OK "Content-Length: 0\r\n\r\n");
        if (over)
            expect_refusal(false, "more than 16 interim");
        else
            expect_done(false);
    }
}

static void test_body_bytes(void **state)
{
    (void)state;
    start(OK "Content-Length: 1048576\r\n\r\n");
    add_repeated("0123456789abcdef", HTTP_BODY_READ_MAX / 16);
    struct outcome o = outcome_of(false);
    assert_true(o.is_done);
    assert_int_equal(o.body_bytes, HTTP_BODY_KEPT_MAX);
    assert_int_equal(o.used, text.len);

    start(OK "\r\n");
    add_repeated("0123456789abcdef", HTTP_BODY_READ_MAX / 16);
    expect_done(true);
    buf_add_str(&text, "x");
    expect_refusal(true, "a body longer than 1048576 bytes");
}

static void test_chunked_body_bytes(void **state)
{
    (void)state;
    start(CHUNKED "80000\r\n");
    add_repeated("0123456789abcdef", HTTP_BODY_READ_MAX / 32);
    buf_add_str(&text, "\r\n80000\r\n");
    add_repeated("0123456789abcdef", HTTP_BODY_READ_MAX / 32);
    buf_add_str(&text, "\r\n0\r\n\r\n");
    struct outcome o = outcome_of(false);
    assert_true(o.is_done);
    assert_int_equal(o.body_bytes, HTTP_BODY_KEPT_MAX);

    text.len -= strlen("0\r\n\r\n");
    buf_add_str(&text, "1\r\n"); /* refused for its size, before any of it has come */
    expect_refusal(false, "a body longer than 1048576 bytes");
    text.len -= strlen("1\r\n");
    buf_add_str(&text, "1\r\nx\r\n0\r\n\r\n");
    expect_refusal(false, "a body longer than 1048576 bytes");
}

static void test_chunk_line(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        start(CHUNKED "1;");
        add_repeated("x", 1022 + (size_t)over);
        buf_add_str(&text, "\r\na\r\n0\r\n\r\n");
        if (over)
            expect_refusal(false, "a chunk size line longer than 1024 bytes");
        else
            expect_done(false);
    }
    /* Leading zeros are bounded by the line, extensions by the whole. */
    start(CHUNKED);
    add_repeated("0", 2000);
    expect_refusal(false, "a chunk size line longer than");
    start(CHUNKED);
    for (int i = 0; i < 9000; i++) {
        buf_add_str(&text, "1;");
        add_repeated("x", 1000);
        buf_add_str(&text, "\r\ny\r\n");
    }
    expect_refusal(false, "more chunk framing than");
}

static void test_trailers(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        start(CHUNKED "0\r\n");
        add_repeated("A: b\r\n", HTTP_HEADERS_MAX + (size_t)over);
        buf_add_str(&text, "\r\n");
        if (over)
            expect_refusal(false, "more than 128 trailers");
        else
            expect_done(false);
    }
    start(CHUNKED "0\r\nA: ");
    add_repeated("x", HTTP_HEAD_BYTES_MAX);
    expect_refusal(false, "a line longer than 65536 bytes");
}

static struct http_response *parsed(const char *s)
{
    struct http_response *r;
    struct err e = {0};
    size_t used;
    assert_int_equal(http_response_open(&r), 0);
    assert_false(http_response_has_begun(r));
    assert_int_equal(http_response_feed(r, s, strlen(s), &used, &e), 0);
    assert_int_equal(used, strlen(s));
    assert_true(http_response_is_done(r));
    return r;
}

static void test_queries(void **state)
{
    (void)state;
    struct http_response *r = parsed(OK "ETag: \"a\"\r\nx-Two:  1 2\t\r\nX-two: 1 2\r\n"
                                        "Other: 1\r\nOTHER: 2\r\nother: 1\r\nEmpty:\r\n"
                                        "Content-Length: 2\r\n\r\nhi");
    bool conflict = true;
    assert_string_equal(http_response_header(r, "etag", &conflict), "\"a\"");
    assert_false(conflict);
    assert_string_equal(http_response_header(r, "X-TWO", &conflict), "1 2");
    assert_false(conflict);
    assert_string_equal(http_response_header(r, "other", &conflict), "1");
    assert_true(conflict);
    assert_string_equal(http_response_header(r, "empty", NULL), "");
    assert_null(http_response_header(r, "content", &conflict));
    assert_false(conflict);
    assert_string_equal(http_response_body(r)->data, "hi");

    /* The next one on the connection knows nothing of the last. */
    http_response_begin(r, false);
    assert_false(http_response_has_begun(r));
    assert_false(http_response_has_head(r));
    assert_int_equal(http_response_status(r), 0);
    assert_null(http_response_header(r, "etag", NULL));
    assert_int_equal(http_response_body(r)->len, 0);
    static const char next[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx";
    size_t used;
    assert_int_equal(http_response_feed(r, next, 1, &used, NULL), 0);
    assert_true(http_response_has_begun(r));
    assert_int_equal(http_response_feed(r, next + 1, sizeof next - 2, &used, NULL), 0);
    assert_int_equal(http_response_status(r), 404);
    assert_string_equal(http_response_body(r)->data, "x");
    /* What comes behind it is not taken. */
    assert_int_equal(http_response_feed(r, "junk", 4, &used, NULL), 0);
    assert_int_equal(used, 0);
    assert_int_equal(http_response_feed_eof(r, NULL), 0);
    http_response_close(r);
    http_response_close(NULL);
}

/* A failure is final, and always the same. */
static void test_failure_stays(void **state)
{
    (void)state;
    struct http_response *r;
    struct err first = {0}, again = {0};
    size_t used;
    assert_int_equal(http_response_open(&r), 0);
    assert_int_equal(http_response_feed(r, "XTTP", 4, &used, &first), -EPROTO);
    static const char good[] = OK "Content-Length: 0\r\n\r\n";
    assert_int_equal(http_response_feed(r, good, sizeof good - 1, &used, &again), -EPROTO);
    assert_int_equal(used, 0);
    assert_string_equal(first.text, again.text);
    assert_int_equal(http_response_feed_eof(r, &again), -EPROTO);
    assert_string_equal(first.text, again.text);
    http_response_begin(r, false);
    assert_int_equal(http_response_feed(r, good, sizeof good - 1, &used, &again), 0);
    assert_true(http_response_is_done(r));
    http_response_close(r);
}

/* Whatever comes, it ends within its bounds and does not depend on the pieces. */
static void test_random_bytes(void **state)
{
    (void)state;
    random_state = 1;
    for (int i = 0; i < 3000; i++) {
        char bytes[300];
        size_t n = random_next() % sizeof bytes;
        /* Half of it gets a start that leads deeper into the parser. */
        size_t head = i % 2 ? (size_t)snprintf(bytes, sizeof bytes, i % 4 == 1 ? OK : CHUNKED) : 0;
        for (size_t k = head; k < n; k++)
            bytes[k] = (char)random_next();
        run_all(bytes, n > head ? n : head, false, i % 3 == 0);
    }
}

static void test_damaged_answers(void **state)
{
    (void)state;
    static const char good[] =
        "HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 5\r\nConnection: close\r\n\r\nhello"
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n";
    static const char spice[] = "\r\n\t :;,0123456789abcfF\"\\\x7f\x80\xff";
    random_state = 2;
    for (int i = 0; i < 6000; i++) {
        char bytes[sizeof good];
        size_t from = i % 2 ? (size_t)(strstr(good, "hello") + 5 - good) : 0;
        memcpy(bytes, good, sizeof good);
        for (unsigned changes = 1 + random_next() % 3; changes; changes--)
            bytes[from + random_next() % (sizeof good - 1 - from)] =
                spice[random_next() % sizeof spice];
        run_all(bytes + from, sizeof good - 1 - from, false, true);
    }
}

static int teardown(void **state)
{
    (void)state;
    buf_free(&text);
    return 0;
}

int main(void)
{
    buf_init(&text, 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_bytes),         cmocka_unit_test(test_header_count),
        cmocka_unit_test(test_interim_count),      cmocka_unit_test(test_body_bytes),
        cmocka_unit_test(test_chunked_body_bytes), cmocka_unit_test(test_chunk_line),
        cmocka_unit_test(test_trailers),           cmocka_unit_test(test_queries),
        cmocka_unit_test(test_failure_stays),      cmocka_unit_test(test_random_bytes),
        cmocka_unit_test(test_damaged_answers),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
