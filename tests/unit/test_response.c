/* SPDX-License-Identifier: Apache-2.0 */
/* The response parser: what it takes, what it refuses, and that pieces of any size make no
 * difference. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "http/response.h"
#include "response_run.h"

#define OK "HTTP/1.1 200 OK\r\n"
#define LEN0 "Content-Length: 0\r\n\r\n"

static const struct {
    const char *text;
    bool to_head, eof, keeps_alive;
    int status, interim;
    const char *body;
    size_t left; /* bytes behind it that are not its own */
} good[] = {
    {OK LEN0, false, false, true, 200, 0, "", 0},
    {OK "content-length:5\r\n\r\nhello", false, false, true, 200, 0, "hello", 0},
    {OK "Content-Length: \t 5 \t\r\n\r\nhelloHTTP/1.1", false, false, true, 200, 0, "hello", 8},
    {OK "Content-Length: 005\r\nContent-Length: 5\r\n\r\nhello", false, false, true, 200, 0,
     "hello", 0},
    {"HTTP/1.1 200\r\n" LEN0, false, false, true, 200, 0, "", 0},
    {"HTTP/1.1 200 \r\n" LEN0, false, false, true, 200, 0, "", 0},
    {"HTTP/1.1 503 Slow \x80\xff Down\r\nX-Empty:\r\nx!#$%&'*+-.^_`|~9: a:b\r\n" LEN0, false, false,
     true, 503, 0, "", 0},
    /* who ends the connection */
    {OK "Connection: close\r\n" LEN0, false, false, false, 200, 0, "", 0},
    {OK "Connection: foo ,\tClose\r\n" LEN0, false, false, false, 200, 0, "", 0},
    {OK "Connection: foo\r\nConnection: close\r\n" LEN0, false, false, false, 200, 0, "", 0},
    {OK "Connection: closed, enclose\r\n" LEN0, false, false, true, 200, 0, "", 0},
    {"HTTP/1.0 200 OK\r\n" LEN0, false, false, false, 200, 0, "", 0},
    {"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n" LEN0, false, false, true, 200, 0, "", 0},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n" LEN0, false, false, false, 200, 0, "",
     0},
    {OK "\r\nto the end", false, true, false, 200, 0, "to the end", 0},
    {OK "\r\n", false, true, false, 200, 0, "", 0},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nx", false, true, false, 200, 0, "x", 0},
    /* without a body */
    {OK "Content-Length: 999\r\n\r\nHTTP", true, false, true, 200, 0, "", 4},
    {OK "Content-Length: 99999999999\r\n\r\n", true, false, true, 200, 0, "", 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n", true, false, true, 200, 0, "", 0},
    {OK "\r\n", true, false, true, 200, 0, "", 0},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, false, true, 204, 0, "", 0},
    {"HTTP/1.1 204 No Content\r\n" LEN0, false, false, true, 204, 0, "", 0},
    {"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", false, false, false, 204, 0, "", 3},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false, false, false,
     204, 0, "", 5},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, false, true, 304, 0, "", 0},
    /* interim responses */
    {"HTTP/1.1 100 Continue\r\n\r\n" OK LEN0, false, false, true, 200, 100, "", 0},
    {"HTTP/1.1 100\r\nConnection: close\r\nX: y\r\nContent-Length: 0\r\n\r\n"
     "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" OK LEN0,
     false, false, true, 200, 103, "", 0},
    /* chunks */
    {OK "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nrest", false, false, true, 200, 0,
     "hello", 4},
    {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n00002;a=b;c=\"d\"\r\nlo\r\n000;x\r\n\r\n",
     false, false, true, 200, 0, "hello", 0},
    {OK "Transfer-Encoding: chunked\r\n\r\nA \t;x\r\n0123456789\r\n0\r\nX: y\r\nExpires: z\r\n\r\n",
     false, false, true, 200, 0, "0123456789", 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n", false, false, true, 200, 0,
     "\r\n", 0},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t n = strlen(good[i].text);
        struct outcome o = run_all(good[i].text, n, good[i].to_head, good[i].eof);
        if (o.ret)
            fail_msg("refused: %s\n%s", o.text, good[i].text);
        assert_true(o.is_done);
        assert_true(o.has_head);
        assert_int_equal(o.status, good[i].status);
        assert_int_equal(o.interim, good[i].interim);
        assert_int_equal(o.body_bytes, strlen(good[i].body));
        assert_string_equal(o.body, good[i].body);
        assert_int_equal(o.keeps_alive, good[i].keeps_alive);
        assert_int_equal(o.used, n - good[i].left);
    }
}

#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *text, *word;
} bad[] = {
    /* the first line */
    {"SSH-2.0-OpenSSH_9.2\r\n", "does not begin with 'HTTP/1.'"},
    {"\x15\x03\x01", "does not begin with"},
    {"\r\n" OK, "does not begin with"},
    {"http/1.1 200 OK\r\n", "does not begin with"},
    {"HTTP/2 200\r\n", "does not begin with"},
    {"HTTP/1.2 200 OK\r\n", "first line"},
    {"HTTP/1.10 200 OK\r\n", "first line"},
    {"HTTP/1.1  200 OK\r\n", "first line"},
    {"HTTP/1.1\t200 OK\r\n", "first line"},
    {"HTTP/1.1 20 OK\r\n", "first line"},
    {"HTTP/1.1 2000 OK\r\n", "first line"},
    {"HTTP/1.1 +20 OK\r\n", "first line"},
    {"HTTP/1.1 200OK\r\n", "first line"},
    {"HTTP/1.1\r\n", "first line"},
    {"HTTP/1.1 099 X\r\n", "status 99"},
    {"HTTP/1.1 600 X\r\n", "status 600"},
    /* line ends and controls */
    {"HTTP/1.1 200 OK\n", "line feed without"},
    {OK "A: b\n", "line feed without"},
    {OK "A: b\r\r\n", "carriage return without"},
    {OK "A: b\rC: d\r\n", "carriage return without"},
    {OK "A: b\x01\r\n", "control character (0x01)"},
    {OK "A: b\x7f\r\n", "control character (0x7f)"},
    {OK "A\x0b: b\r\n", "control character (0x0b)"},
    /* headers */
    {OK "A : b\r\n", "not 'NAME: VALUE'"},
    {OK "A\t: b\r\n", "not 'NAME: VALUE'"},
    {OK ": b\r\n", "not 'NAME: VALUE'"},
    {OK "no colon\r\n", "not 'NAME: VALUE'"},
    {OK "A(b): c\r\n", "not 'NAME: VALUE'"},
    {OK "A\xc3\xa4: c\r\n", "not 'NAME: VALUE'"},
    {OK "A: b\r\n folded\r\n", "folded"},
    {OK "\tA: b\r\n", "folded"},
    {OK " \r\n", "folded"},
    /* framing that can be read in two ways */
    {OK "Content-Length: 5\r\nContent-Length: 6\r\n", "two Content-Lengths, 5 and 6"},
    {OK "Content-Length: 5, 5\r\n", "not one number"},
    {OK "Content-Length:\r\n", "not one number"},
    {OK "Content-Length: +5\r\n", "not one number"},
    {OK "Content-Length: -5\r\n", "not one number"},
    {OK "Content-Length: 0x5\r\n", "not one number"},
    {OK "Content-Length: 5 5\r\n", "not one number"},
    {OK "Content-Length: 9223372036854775808\r\n", "not one number"},
    {OK "Content-Length: 18446744073709551621\r\n", "not one number"},
    {OK "Content-Length: 1048577\r\n\r\n", "1048577 bytes with status 200"},
    {OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "at once"},
    {OK "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "at once"},
    {OK "Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding other than"},
    {OK "Transfer-Encoding: identity\r\n", "Transfer-Encoding other than"},
    {OK "Transfer-Encoding:\r\n", "Transfer-Encoding other than"},
    {OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding other"},
    {OK "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding other than"},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "in HTTP/1.0"},
    /* interim responses */
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "101"},
    {"HTTP/1.1 100 Continue\r\nContent-Length: 1\r\n\r\n", "interim response (100) with a body"},
    {"HTTP/1.1 100 C\r\nTransfer-Encoding: chunked\r\n\r\n", "interim response (100) with a body"},
    /* chunks */
    {CHUNKED "\r\n", "chunk size"},
    {CHUNKED ";x\r\n", "chunk size"},
    {CHUNKED "g\r\n", "chunk size"},
    {CHUNKED "-1\r\n", "chunk size"},
    {CHUNKED "0x1\r\n", "chunk size"},
    {CHUNKED " 1\r\n", "chunk size"},
    {CHUNKED "1 \r\n", "chunk size"},
    {CHUNKED "1 1\r\n", "chunk size"},
    {CHUNKED "1\n", "line feed without"},
    {CHUNKED "100001\r\n", "body longer than 1048576"},
    {CHUNKED "FFFFFFFFFFFFFFFF\r\n", "body longer than"},
    {CHUNKED "10000000000000001\r\n", "body longer than"},
    {CHUNKED "1\r\nab\r\n", "longer than its size"},
    {CHUNKED "1\r\na\n", "line feed without"},
    {CHUNKED "1\r\na\rb", "carriage return without"},
    {CHUNKED "0\r\nno trailer\r\n", "not 'NAME: VALUE'"},
    {CHUNKED "0\r\nA: b\r\n c\r\n", "folded"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct outcome o = run_all(bad[i].text, strlen(bad[i].text), false, false);
        if (!o.ret)
            fail_msg("not refused: %s", bad[i].text);
        if (!strstr(o.text, bad[i].word))
            fail_msg("'%s' is not in: %s", bad[i].word, o.text);
    }
    struct outcome nul = run_all(OK "A: b\0c\r\n", sizeof OK "A: b\0c\r\n" - 1, false, false);
    assert_int_equal(nul.ret, -EPROTO);
    assert_non_null(strstr(nul.text, "control character (0x00)"));
}

static void test_eof_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"", "closed the connection before it answered"},
        {"HTTP/1.1 2", "in the middle of its answer's head"},
        {"HTTP/1.1 100 Continue\r\n\r\n", "before it answered"}, /* an interim one begins none */
        {"HTTP/1.1 100 Continue\r\n\r\nH", "in the middle of its answer's head"},
        {OK "Content-Length: 5\r\n\r\nhell", "in the middle of its answer's body"},
        {CHUNKED "5\r\nhello\r\n", "in the middle of its answer's body"},
        {CHUNKED "5\r\nhello\r\n0\r\n", "in the middle of its answer's body"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o = run_all(cases[i].text, strlen(cases[i].text), false, true);
        assert_int_equal(o.ret, -EPROTO);
        if (!strstr(o.text, cases[i].word))
            fail_msg("'%s' is not in: %s", cases[i].word, o.text);
    }
}

/* No prefix of an answer that has its own end is taken for whole. */
static void test_every_prefix(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 100 Continue\r\n\r\n" OK "ETag: \"x\"\r\nContent-Length: 5\r\n\r\nhello",
        CHUNKED "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
    };
    for (size_t t = 0; t < 2; t++)
        for (size_t n = 0; n < strlen(texts[t]); n++) {
            struct outcome o = run_all(texts[t], n, false, false);
            assert_int_equal(o.ret, 0);
            assert_false(o.is_done);
            assert_int_equal(o.used, n);
            assert_int_equal(run_all(texts[t], n, false, true).ret, -EPROTO);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_eof_says_where),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
