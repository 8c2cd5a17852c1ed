/* SPDX-License-Identifier: Apache-2.0 */
/* The bounded buffer: what it holds, its ceiling, and that a failure stays known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

/* ASan would end the program at an allocation that no machine can make; malloc() returns NULL. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static void expect(const struct buf *b, const char *text, bool failed)
{
    assert_int_equal(b->len, strlen(text));
    assert_string_equal(b->data, text);
    assert_int_equal(b->failed, failed);
}

static void test_empty(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    expect(&b, "", false);
    buf_add(&b, NULL, 0);
    buf_add_str(&b, "");
    buf_addf(&b, "%s", "");
    buf_consume(&b, 0);
    buf_reset(&b);
    expect(&b, "", false);
    assert_int_equal(b.size, 0);
    buf_free(&b);
    buf_free(&b);
    expect(&b, "", false);
}

static void test_appends(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    buf_add(&b, "abcdef", 3);
    buf_add_str(&b, "-");
    buf_addf(&b, "%d%s", 42, "x");
    expect(&b, "abc-42x", false);
    buf_add(&b, "\0y", 2);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "abc-42x\0y", 10);
    buf_consume(&b, 4);
    assert_memory_equal(b.data, "42x\0y", 6);
    buf_consume(&b, 5);
    expect(&b, "", false);
    buf_add_str(&b, "again");
    expect(&b, "again", false);
    buf_free(&b);
    expect(&b, "", false);
    buf_add_str(&b, "usable");
    expect(&b, "usable", false);
    buf_free(&b);
}

static void test_ceiling(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 5);
    buf_add_str(&b, "12345");
    expect(&b, "12345", false);
    buf_add(&b, "6", 1);
    expect(&b, "12345", true);
    /* What would fit does not get in behind what is missing. */
    buf_consume(&b, 3);
    buf_add_str(&b, "x");
    expect(&b, "45", true);
    buf_reset(&b);
    expect(&b, "", false);
    buf_addf(&b, "%d", 12345);
    expect(&b, "12345", false);
    buf_addf(&b, "%d", 6);
    expect(&b, "12345", true);
    buf_free(&b);

    buf_init(&b, 5);
    buf_addf(&b, "%s", "123456");
    expect(&b, "", true);
    buf_add_str(&b, "1");
    expect(&b, "", true);
    buf_free(&b);
    expect(&b, "", false);

    buf_init(&b, 0);
    buf_add_str(&b, "1");
    expect(&b, "", true);
    buf_free(&b);
    /* Lengths that would wrap around */
    buf_init(&b, SIZE_MAX / 4);
    buf_add_str(&b, "1");
    buf_add(&b, "x", SIZE_MAX);
    expect(&b, "1", true);
    buf_free(&b);
}

/* No memory is a failure like any other. */
static void test_no_memory(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, SIZE_MAX / 2);
    buf_add_str(&b, "kept");
    buf_add(&b, "x", SIZE_MAX / 4);
    expect(&b, "kept", true);
    buf_free(&b);
}

/* Pieces of many sizes, against one that was filled by hand. */
static void test_growth(void **state)
{
    (void)state;
    enum { BYTES = 100000 };
    char *copy = malloc(BYTES);
    assert_non_null(copy);
    struct buf b;
    size_t n = 0;
    uint32_t seed = 1;
    buf_init(&b, BYTES);
    while (n < BYTES) {
        seed = seed * 1664525 + 1013904223;
        size_t piece = (seed >> 8) % 700;
        if (piece > BYTES - n)
            piece = BYTES - n;
        memset(copy + n, (int)(seed >> 24), piece);
        buf_add(&b, copy + n, piece);
        n += piece;
        assert_int_equal(b.len, n);
        assert_int_equal(b.data[n], 0);
    }
    assert_false(b.failed);
    assert_memory_equal(b.data, copy, BYTES);
    buf_add(&b, "x", 1);
    assert_true(b.failed);
    buf_free(&b);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),   cmocka_unit_test(test_appends),
        cmocka_unit_test(test_ceiling), cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
