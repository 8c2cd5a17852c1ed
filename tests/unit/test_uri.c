/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoint URLs and percent-coding. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "http/uri.h"

static const struct {
    const char *url;
    bool https, ipv6;
    uint16_t port;
    const char *host, *path, *host_header;
} good[] = {
    {"https://s3.example.org", true, false, 443, "s3.example.org", "", "s3.example.org"},
    {"http://s3.example.org/", false, false, 80, "s3.example.org", "", "s3.example.org"},
    {"HTTPS://S3.Example.ORG:443///", true, false, 443, "s3.example.org", "", "s3.example.org"},
    {"https://h:80", true, false, 80, "h", "", "h:80"},
    {"http://h:443/a", false, false, 443, "h", "/a", "h:443"},
    {"http://localhost:9000", false, false, 9000, "localhost", "", "localhost:9000"},
    {"http://minio_1:65535/pre-fix/~x.y_z/", false, false, 65535, "minio_1", "/pre-fix/~x.y_z",
     "minio_1:65535"},
    {"https://127.0.0.1:1", true, false, 1, "127.0.0.1", "", "127.0.0.1:1"},
    {"https://[::1]", true, true, 443, "::1", "", "[::1]"},
    {"https://[FE80::A]:8443/x", true, true, 8443, "fe80::a", "/x", "[fe80::a]:8443"},
    {"https://h/...", true, false, 443, "h", "/...", "h"},
    {"https://h:00443", true, false, 443, "h", "", "h"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct uri_endpoint u;
        struct err e = {0};
        if (uri_parse_endpoint(&u, good[i].url, &e) != 0)
            fail_msg("%s: %s", good[i].url, e.text);
        assert_int_equal(u.https, good[i].https);
        assert_int_equal(u.host_is_ipv6, good[i].ipv6);
        assert_int_equal(u.port, good[i].port);
        assert_string_equal(u.host, good[i].host);
        assert_string_equal(u.path, good[i].path);
        struct buf header;
        buf_init(&header, 300);
        uri_host_header(&u, &header);
        assert_string_equal(header.data, good[i].host_header);
        buf_free(&header);
    }
}

static const struct {
    const char *url, *word;
} bad[] = {
    {"", "must begin with https://"},
    {"s3.example.org", "must begin with https://"},
    {"ftp://h", "must begin with https://"},
    {"https:/h", "must begin with https://"},
    {"https://", "no host"},
    {"https:///path", "no host"},
    {"https://:443", "host name"},
    {"https://h:", "port"},
    {"https://h:0", "port"},
    {"https://h:65536", "port"},
    {"https://h:99999", "port"},
    {"https://h:+1", "port"},
    {"https://h:1a", "port"},
    {"https://h:000443", "port"},
    {"https://h:1:2", "port"},
    {"https://a..b", "host name"},
    {"https://.a", "host name"},
    {"https://a.", "host name"},
    {"https://a%41", "host name"},
    {"https://a*b", "host name"},
    {"https://[::1", "without ']'"},
    {"https://[::1]x", "only a port"},
    {"https://[::1]:", "port"},
    {"https://[]", "IPv6"},
    {"https://[1.2.3.4]", "IPv6"},
    {"https://[fe80::1%25eth0]", "IPv6"},
    {"https://::1", "host name"},
    {"https://h?x=1", "query"},
    {"https://h/p?x", "query"},
    {"https://h/#f", "query"},
    {"https://h/a b", "a space"},
    {" https://h", "a space"},
    {"https://h\n", "a space"},
    {"https://h\x7f", "a space"},
    {"https://h\xc3\xa4", "non-ASCII"},
    {"https://h/a//b", "empty, '.' or '..'"},
    {"https://h//a", "empty, '.' or '..'"},
    {"https://h/./a", "empty, '.' or '..'"},
    {"https://h/a/..", "empty, '.' or '..'"},
    {"https://h/a+b", "letters, digits"},
    {"https://h/%41", "letters, digits"},
    {"https://h/a:b@c", "letters, digits"},
};

static void expect_refusal(const char *url, const char *word)
{
    struct uri_endpoint u;
    struct err e = {0};
    if (uri_parse_endpoint(&u, url, &e) >= 0)
        fail_msg("not refused: %s", url);
    assert_int_equal(e.class, ERR_USAGE);
    if (!strstr(e.text, word))
        fail_msg("'%s' is not in: %s", word, e.text);
}

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refusal(bad[i].url, bad[i].word);
}

/* A password in a URL is refused, and not printed while that is said. */
static void test_password(void **state)
{
    (void)state;
    static const char *const urls[] = {"https://user:hunter2@h", "https://hunter2@h",
                                       "https://user:hunter2@h:x/?q", "https://:hunter2@"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        struct uri_endpoint u;
        struct err e = {0};
        assert_true(uri_parse_endpoint(&u, urls[i], &e) < 0);
        assert_non_null(strstr(e.text, "password"));
        assert_null(strstr(e.text, "hunter2"));
    }
}

static void repeat(char out[static 5000], const char *start, char c, size_t n, const char *end)
{
    char middle[4096];
    assert_true(n < sizeof middle);
    memset(middle, c, n);
    middle[n] = 0;
    snprintf(out, 5000, "%s%s%s", start, middle, end);
}

static void test_lengths(void **state)
{
    (void)state;
    char url[5000];
    struct uri_endpoint u;
    repeat(url, "https://", 'a', 63, ".b");
    assert_int_equal(uri_parse_endpoint(&u, url, NULL), 0);
    repeat(url, "https://", 'a', 64, ".b");
    expect_refusal(url, "host name");
    repeat(url, "https://", 'a', 256, "");
    expect_refusal(url, "longer than 255");
    repeat(url, "https://h/", 'a', URI_PATH_SIZE - 2, "/");
    assert_int_equal(uri_parse_endpoint(&u, url, NULL), 0);
    assert_int_equal(strlen(u.path), URI_PATH_SIZE - 1);
    repeat(url, "https://h/", 'a', URI_PATH_SIZE - 1, "");
    expect_refusal(url, "the path is longer than 1023");
    repeat(url, "https://h", '/', 4000, "");
    expect_refusal(url, "longer than 2048");
}

static void test_encode(void **state)
{
    (void)state;
    static const struct {
        const char *text, *kept, *coded;
    } cases[] = {
        {"", "", ""},
        {"azAZ09-._~", "azAZ09-._~", "azAZ09-._~"},
        {"a/b//c", "a/b//c", "a%2Fb%2F%2Fc"},
        {"a b+c%20", "a%20b%2Bc%2520", "a%20b%2Bc%2520"},
        {"!\"#$&'()*,:;<=>?@[\\]^`{|}",
         "%21%22%23%24%26%27%28%29%2A%2C%3A%3B%3C%3D%3E%3F%40%5B%5C"
         "%5D%5E%60%7B%7C%7D",
         "%21%22%23%24%26%27%28%29%2A%2C%3A%3B%3C%3D%3E%3F%40%5B%5C%5D%5E%60%7B%7C%7D"},
        {"\xc3\xa4\xff\x01\x7f\n", "%C3%A4%FF%01%7F%0A", "%C3%A4%FF%01%7F%0A"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int keep = 0; keep < 2; keep++) {
            struct buf out;
            buf_init(&out, 1000);
            uri_encode(&out, cases[i].text, keep);
            assert_string_equal(out.data, keep ? cases[i].kept : cases[i].coded);
            assert_false(out.failed);
            buf_free(&out);
        }
}

/* Every URL that is taken gives a host header that has nothing in it but what a host may have. */
static void test_random(void **state)
{
    (void)state;
    static const char alphabet[] = "abz09.-_~:/[]@?#%+ \x01\x7f\xe2\x82";
    uint32_t seed = 1;
    size_t taken = 0;
    for (int i = 0; i < 200000; i++) {
        char url[40] = "http://";
        size_t n = 7;
        for (size_t end = 8 + i % 12; n < end; n++) {
            seed = seed * 1664525 + 1013904223;
            url[n] = alphabet[(seed >> 8) % (sizeof alphabet - 1)];
        }
        struct uri_endpoint u;
        if (uri_parse_endpoint(&u, url, NULL) < 0)
            continue;
        taken++;
        assert_true(u.port != 0);
        assert_true(strspn(u.host, "abz09.-_:") == strlen(u.host) && *u.host);
        assert_true(!*u.path || (*u.path == '/' && u.path[strlen(u.path) - 1] != '/'));
    }
    assert_true(taken > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),     cmocka_unit_test(test_bad),
        cmocka_unit_test(test_password), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_encode),   cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
