/* SPDX-License-Identifier: Apache-2.0 */
/* Error sentences: what is returned, what is cut, what never reaches a terminal. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void test_fields(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_set(&e, ERR_STORE, EACCES, "%s: %d", "put", 403), -EACCES);
    assert_int_equal(e.class, ERR_STORE);
    assert_int_equal(e.errnum, EACCES);
    assert_string_equal(e.text, "put: 403");
    /* A class alone still gives a negative value. */
    assert_int_equal(err_set(&e, ERR_USAGE, 0, "no key"), -EINVAL);
    assert_int_equal(e.class, ERR_USAGE);
    assert_int_equal(e.errnum, 0);
    assert_string_equal(e.text, "no key");
}

static void test_system_text(void **state)
{
    (void)state;
    struct err e = {0};
    assert_int_equal(err_sys(&e, ERR_FILE, ENOENT, "%s", "a.tar"), -ENOENT);
    assert_int_equal(e.class, ERR_FILE);
    assert_int_equal(e.errnum, ENOENT);
    assert_string_equal(e.text, "a.tar: No such file or directory");
}

static void test_nobody_asks(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_NET, EPROTO, "x"), -EPROTO);
    assert_int_equal(err_set(NULL, ERR_NET, 0, "x"), -EINVAL);
    assert_int_equal(err_sys(NULL, ERR_NET, EPIPE, "x"), -EPIPE);
}

static void test_controls(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_FILE, 0, "%s", "a\nb\rc\x1b[31md\x01\x7f\te");
    assert_string_equal(e.text, "a?b?c?[31md???e");
    err_sys(&e, ERR_FILE, ENOENT, "%s", "x\ny");
    assert_string_equal(e.text, "x?y: No such file or directory");
    /* Names of files in UTF-8 stay readable. */
    err_set(&e, ERR_FILE, 0, "%s",
            "Gr\xc3\xbc\xc3\x9f"
            "e");
    assert_string_equal(e.text, "Gr\xc3\xbc\xc3\x9f"
                                "e");
}

/* C1 as UTF-8 has it moves a terminal's cursor too; letters that share a byte with it stay. */
static void test_c1_controls(void **state)
{
    (void)state;
    struct err e;
    err_set(&e, ERR_FILE, 0, "%s",
            "a\xc2\x9b"
            "31mb \xc2\xa0 \xc3\x9b \xc2\x80\xc2");
    assert_string_equal(e.text, "a??31mb \xc2\xa0 \xc3\x9b ??\xc2");
    /* And so do single bytes, to a terminal that is set to Latin-1. */
    err_set(&e, ERR_FILE, 0, "%s", "a\x9b[31mb \xe9 \xf0\x9f\x98\x80 \xe0\x9b\x85");
    assert_string_equal(e.text, "a?[31mb \xe9 \xf0\x9f\x98\x80 \xe0??");
}

static void test_lengths(void **state)
{
    (void)state;
    static char text[2 * ERR_TEXT_BYTES];
    struct {
        struct err e;
        char behind[16];
    } guarded;
    memset(text, 'x', sizeof text - 1);
    for (size_t n = ERR_TEXT_BYTES - 2; n <= ERR_TEXT_BYTES + 2; n++) {
        memset(&guarded, 'g', sizeof guarded);
        text[n] = 0;
        err_set(&guarded.e, ERR_FILE, 0, "%s", text);
        text[n] = 'x';
        size_t len = strlen(guarded.e.text);
        assert_int_equal(len, n < ERR_TEXT_BYTES ? n : ERR_TEXT_BYTES - 1);
        assert_int_equal(strspn(guarded.e.text, "x"), n < ERR_TEXT_BYTES ? n : len - 3);
        assert_string_equal(guarded.e.text + len - 3, n < ERR_TEXT_BYTES ? "xxx" : "...");
        assert_memory_equal(guarded.behind, "gggggggggggggggg", 16);

        text[n] = 0;
        err_sys(&guarded.e, ERR_FILE, ENOENT, "%s", text);
        text[n] = 'x';
        /* The cause is what a long name must not push out. */
        assert_int_equal(strlen(guarded.e.text), ERR_TEXT_BYTES - 1);
        static const char cause[] = "...: No such file or directory";
        len = strlen(guarded.e.text);
        assert_string_equal(guarded.e.text + len - (sizeof cause - 1), cause);
        assert_memory_equal(guarded.behind, "gggggggggggggggg", 16);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),      cmocka_unit_test(test_system_text),
        cmocka_unit_test(test_nobody_asks), cmocka_unit_test(test_controls),
        cmocka_unit_test(test_c1_controls), cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
