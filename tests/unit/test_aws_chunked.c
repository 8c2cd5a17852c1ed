/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of all framings, made for many sizes, taken apart again by a reader that shares no code
 * with what makes them, and counted against the Content-Length. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "http/aws_chunked.h"

#define NAME "x-amz-checksum-sha256"
#define VALUE "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

enum { MIN = AWS_CHUNK_BYTES_MIN };

static struct buf payload;

/* The whole body, and *texts the number of texts between payload. */
static void make_body(struct buf *body, struct aws_chunked *b, const char *trailer, size_t *texts)
{
    struct buf text;
    uint64_t at = 0, bytes;
    buf_init(&text, AWS_CHUNKED_TEXT_MAX);
    buf_init(body, 64 * 1024 * 1024);
    *texts = 0;
    for (;;) {
        buf_reset(&text);
        aws_chunked_next(b, &text, &bytes);
        assert_false(text.failed);
        if (!bytes) {
            assert_int_equal(text.len, 0);
            break;
        }
        ++*texts;
        assert_true(bytes <= b->payload_bytes - at);
        buf_add(body, text.data, text.len);
        buf_add(body, payload.data + at, bytes);
        at += bytes;
    }
    assert_int_equal(at, b->payload_bytes);
    aws_chunked_end(b, &text, trailer);
    assert_false(text.failed);
    buf_add(body, text.data, text.len);
    buf_free(&text);
    assert_false(body->failed);
}

static void take(const char **p, const char *end, const char *expected)
{
    size_t n = strlen(expected);
    assert_true((size_t)(end - *p) >= n);
    assert_memory_equal(*p, expected, n);
    *p += n;
}

/* "HEX CRLF", lower case, no leading zero. */
static uint64_t take_size(const char **p, const char *end)
{
    const char *start = *p;
    uint64_t size = 0;
    for (; *p < end && **p != '\r'; ++*p) {
        assert_true(**p && strchr("0123456789abcdef", **p));
        size = size * 16 + (uint64_t)(**p <= '9' ? **p - '0' : **p - 'a' + 10);
    }
    assert_true(*p > start);
    assert_true(*start != '0' || *p == start + 1);
    take(p, end, "\r\n");
    return size;
}

/* What HTTP's chunks carry, and how many there are. */
static void outer_decode(const struct buf *body, struct buf *inner, size_t *chunks)
{
    const char *p = body->data, *end = p + body->len;
    uint64_t size;
    buf_init(inner, 64 * 1024 * 1024);
    *chunks = 0;
    while ((size = take_size(&p, end)) != 0) {
        ++*chunks;
        assert_true(size <= (uint64_t)(end - p));
        buf_add(inner, p, size);
        p += size;
        take(&p, end, "\r\n");
    }
    take(&p, end, "\r\n");
    assert_ptr_equal(p, end);
}

static void inner_check(const struct buf *inner, uint64_t bytes, uint64_t chunk_bytes,
                        const char *trailer)
{
    const char *p = inner->data, *end = p + inner->len;
    uint64_t at = 0, size;
    while ((size = take_size(&p, end)) != 0) {
        assert_true(size == chunk_bytes || (size < chunk_bytes && at + size == bytes));
        assert_true(size <= (uint64_t)(end - p) && at + size <= bytes);
        assert_memory_equal(p, payload.data + at, size);
        at += size;
        p += size;
        take(&p, end, "\r\n");
    }
    assert_int_equal(at, bytes);
    take(&p, end, trailer);
    take(&p, end, "\r\n");
    assert_ptr_equal(p, end);
}

static const uint64_t sizes[] = {
    0,
    1,
    2,
    15,
    16,
    17,
    4095,
    MIN - 1,
    MIN,
    MIN + 1,
    2 * MIN - 1,
    2 * MIN,
    2 * MIN + 1,
    3 * MIN,
    3 * MIN + 7,
    16 * MIN,
    17 * MIN - 1,
    65535,
    65536,
    1048575,
    1048576 + 3,
    5 * 1048576 + 12345,
};
static const uint64_t chunk_sizes[] = {MIN,   MIN + 1, 10000,
                                       65536, 1048576, AWS_CHUNK_BYTES_DEFAULT};

static void check_one(uint64_t bytes, uint64_t chunk_bytes, const char *name, const char *value,
                      const char *trailer)
{
    size_t texts, chunks, pieces = (size_t)((bytes + chunk_bytes - 1) / chunk_bytes);
    struct aws_chunked b;
    struct buf body, inner;

    aws_chunked_init(&b, BODY_LENGTH, bytes, chunk_bytes, name, strlen(value));
    uint64_t announced = aws_chunked_content_length(&b);
    make_body(&body, &b, value, &texts);
    assert_int_equal(body.len, announced);
    assert_int_equal(aws_chunked_content_length(&b), announced); /* at any time */
    assert_int_equal(texts, pieces);
    inner_check(&body, bytes, chunk_bytes, trailer);
    buf_free(&body);

    aws_chunked_init(&b, BODY_CHUNKED, bytes, chunk_bytes, name, strlen(value));
    make_body(&body, &b, value, &texts);
    outer_decode(&body, &inner, &chunks);
    assert_int_equal(inner.len, announced);
    assert_int_equal(chunks, pieces + 1); /* each inner chunk in one of HTTP's, and the end */
    inner_check(&inner, bytes, chunk_bytes, trailer);
    buf_free(&inner);
    buf_free(&body);
}

static void test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t k = 0; k < sizeof chunk_sizes / sizeof *chunk_sizes; k++) {
            check_one(sizes[i], chunk_sizes[k], NAME, VALUE, NAME ":" VALUE "\r\n");
            check_one(sizes[i], chunk_sizes[k], NULL, "", "");
        }
}

static void test_exact_bytes(void **state)
{
    (void)state;
    size_t texts;
    struct aws_chunked b;
    struct buf body;
    aws_chunked_init(&b, BODY_CHUNKED, 3, MIN, "a", 1);
    make_body(&body, &b, "b", &texts);
    assert_memory_equal(body.data, "8\r\n3\r\n", 6);
    assert_string_equal(body.data + 9, "\r\n\r\na\r\n0\r\na:b\r\n\r\n\r\n0\r\n\r\n");
    buf_free(&body);
    aws_chunked_init(&b, BODY_CHUNKED, 0, MIN, "a", 1);
    make_body(&body, &b, "b", &texts);
    assert_string_equal(body.data, "a\r\n0\r\na:b\r\n\r\n\r\n0\r\n\r\n");
    buf_free(&body);
    aws_chunked_init(&b, BODY_LENGTH, 0, MIN, "a", 1);
    make_body(&body, &b, "b", &texts);
    assert_string_equal(body.data, "0\r\na:b\r\n\r\n");
    buf_free(&body);
}

static void test_identity(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t texts;
        struct aws_chunked b;
        struct buf body;
        aws_chunked_init(&b, BODY_IDENTITY, sizes[i], MIN, NAME, sizeof VALUE - 1);
        assert_null(b.trailer_name);
        assert_int_equal(aws_chunked_content_length(&b), sizes[i]);
        make_body(&body, &b, "", &texts);
        assert_int_equal(body.len, sizes[i]);
        assert_int_equal(texts, sizes[i] ? 1 : 0);
        assert_memory_equal(body.data, payload.data, body.len);
        buf_free(&body);
    }
}

static void test_chunk_bytes_are_clamped(void **state)
{
    (void)state;
    struct aws_chunked b;
    aws_chunked_init(&b, BODY_LENGTH, 1, 0, NULL, 0);
    assert_int_equal(b.chunk_bytes, AWS_CHUNK_BYTES_MIN);
    aws_chunked_init(&b, BODY_LENGTH, 1, UINT64_MAX, NULL, 0);
    assert_int_equal(b.chunk_bytes, AWS_CHUNK_BYTES_MAX);
}

/* The end is what makes a store take a body for whole: it can't be had early. */
static void test_no_early_end(void **state)
{
    (void)state;
    enum body_framing framings[] = {BODY_CHUNKED, BODY_LENGTH, BODY_IDENTITY};
    for (size_t i = 0; i < 3; i++) {
        struct aws_chunked b;
        struct buf text;
        uint64_t bytes;
        buf_init(&text, AWS_CHUNKED_TEXT_MAX);
        aws_chunked_init(&b, framings[i], MIN + 1, MIN, NAME, sizeof VALUE - 1);
        aws_chunked_end(&b, &text, VALUE);
        assert_true(text.failed);
        assert_int_equal(text.len, 0);
        buf_reset(&text);
        aws_chunked_next(&b, &text, &bytes);
        if (framings[i] != BODY_IDENTITY) {
            size_t len = text.len;
            aws_chunked_end(&b, &text, VALUE);
            assert_true(text.failed);
            assert_int_equal(text.len, len);
            buf_reset(&text);
            aws_chunked_next(&b, &text, &bytes);
            buf_reset(&text);
            aws_chunked_end(&b, &text, "short");
            assert_true(text.failed);
        }
        buf_reset(&text);
        aws_chunked_end(&b, &text, VALUE);
        assert_false(text.failed);
        buf_free(&text);
    }
}

/* 5 TiB: counted, not made. Whole chunks of 8 MiB have the size "800000". */
static void test_large_length(void **state)
{
    (void)state;
    struct aws_chunked b;
    uint64_t bytes = (uint64_t)5 << 40, chunks = bytes / AWS_CHUNK_BYTES_DEFAULT;
    aws_chunked_init(&b, BODY_LENGTH, bytes + 1, AWS_CHUNK_BYTES_DEFAULT, "n", 2);
    assert_int_equal(aws_chunked_content_length(&b), bytes + 1 + chunks * strlen("800000\r\n\r\n") +
                                                         strlen("1\r\n\r\n") +
                                                         strlen("0\r\nn:vv\r\n\r\n"));
}

static int setup(void **state)
{
    (void)state;
    uint32_t seed = 1;
    buf_init(&payload, 8 * 1024 * 1024);
    for (int i = 0; i < 6 * 1024 * 1024; i++) {
        seed = seed * 1664525 + 1013904223;
        /* Much of it looks like framing. */
        buf_add(&payload, &"\r\n0aF:\0x"[seed >> 29], 1);
    }
    return payload.failed ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_free(&payload);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_exact_bytes),
        cmocka_unit_test(test_identity),     cmocka_unit_test(test_chunk_bytes_are_clamped),
        cmocka_unit_test(test_no_early_end), cmocka_unit_test(test_large_length),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
