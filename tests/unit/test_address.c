/* SPDX-License-Identifier: Apache-2.0 */
/* s3:// addresses, and the host and path that a bucket and a key get. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "s3/address.h"

#define AUTO S3_ADDRESSING_AUTO
#define PATH S3_ADDRESSING_PATH
#define VIRTUAL S3_ADDRESSING_VIRTUAL

static const struct {
    const char *uri, *file, *bucket, *key;
} parsed[] = {
    {"s3://buc/key", "dir/file", "buc", "key"},
    {"s3://B.u-c_1/a/b c?d#e%20", NULL, "B.u-c_1", "a/b c?d#e%20"},
    {"s3://buc", "file", "buc", "file"},
    {"s3://buc/", "/abs/dir/file", "buc", "file"},
    {"s3://buc/pre/fix/", "./file.tar", "buc", "pre/fix/file.tar"},
    {"s3://buc//key", NULL, "buc", "/key"},
    {"s3://buc//", "f", "buc", "/f"},
    {"s3://buc/a//b", NULL, "buc", "a//b"},
    {"s3://buc/...", NULL, "buc", "..."},
    {"s3://buc/.a/b./..c", NULL, "buc", ".a/b./..c"},
    {"s3://buc/\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", NULL, "buc",
     "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf"},
    {"s3://buc/a\nb\x7f", NULL, "buc", "a\nb\x7f"},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof parsed / sizeof *parsed; i++) {
        struct s3_object o;
        struct err e = {0};
        if (s3_object_parse(&o, parsed[i].uri, parsed[i].file, &e) != 0)
            fail_msg("%s: %s", parsed[i].uri, e.text);
        assert_string_equal(o.bucket, parsed[i].bucket);
        assert_string_equal(o.key, parsed[i].key);
    }
}

static const struct {
    const char *uri, *file, *word;
} refused[] = {
    {"", "f", "must be s3://BUCKET/KEY"},
    {"buc/key", "f", "must be s3://BUCKET/KEY"},
    {"S3://buc/key", "f", "must be s3://BUCKET/KEY"},
    {"https://buc/key", "f", "must be s3://BUCKET/KEY"},
    {"s3://", "f", "bucket ''"},
    {"s3:///key", "f", "bucket ''"},
    {"s3://bu/key", "f", "bucket 'bu'"},
    {"s3://bu c/key", "f", "bucket 'bu c'"},
    {"s3://bu:c/key", "f", "bucket 'bu:c'"},
    {"s3://b\xc3\xa4u/key", "f", "letters, digits"},
    {"s3://buc", NULL, "no file name"},
    {"s3://buc/", "", "no file name"},
    {"s3://buc/", "dir/", "no file name"},
    {"s3://buc/pre/", "..", "component"},
    {"s3://buc/.", NULL, "component"},
    {"s3://buc/..", NULL, "component"},
    {"s3://buc/a/../b", NULL, "component"},
    {"s3://buc/a/./b", NULL, "component"},
    {"s3://buc/a/..", NULL, "component"},
    {"s3://buc/\x80", NULL, "UTF-8"},
    {"s3://buc/\xc3", NULL, "UTF-8"},
    {"s3://buc/\xc3(", NULL, "UTF-8"},
    {"s3://buc/\xc0\xaf", NULL, "UTF-8"},
    {"s3://buc/\xe0\x80\xaf", NULL, "UTF-8"},
    {"s3://buc/\xed\xa0\x80", NULL, "UTF-8"},
    {"s3://buc/\xf4\x90\x80\x80", NULL, "UTF-8"},
    {"s3://buc/\xf8\x88\x80\x80\x80", NULL, "UTF-8"},
};

static void test_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct s3_object o;
        struct err e = {0};
        if (s3_object_parse(&o, refused[i].uri, refused[i].file, &e) >= 0)
            fail_msg("not refused: %s", refused[i].uri);
        assert_int_equal(e.class, ERR_USAGE);
        if (!strstr(e.text, refused[i].word))
            fail_msg("'%s' is not in: %s", refused[i].word, e.text);
    }
    struct s3_object o;
    struct err e = {0};
    /* The command line is right; it is the file whose name won't do. */
    assert_int_equal(s3_object_parse(&o, "s3://buc/", "dir/x\xff", &e), -EILSEQ);
    assert_int_equal(e.class, ERR_FILE);
    assert_non_null(strstr(e.text, "UTF-8"));
    assert_int_equal(s3_object_set(&o, "buc", "", NULL), -EINVAL);
    assert_int_equal(s3_object_set(&o, "buc/", "k", NULL), -EINVAL);
    assert_int_equal(s3_object_set(&o, "buc", "k", NULL), 0);
}

static void test_lengths(void **state)
{
    (void)state;
    char uri[3000];
    struct s3_object o;
    struct err e = {0};
    for (int bucket = 254; bucket <= 256; bucket++)
        for (int key = 1023; key <= 1025; key++) {
            int n = snprintf(uri, sizeof uri, "s3://");
            memset(uri + n, 'b', (size_t)bucket);
            n += bucket;
            uri[n++] = '/';
            memset(uri + n, 'k', (size_t)key);
            uri[n + key] = 0;
            assert_int_equal(s3_object_parse(&o, uri, NULL, &e) == 0, bucket <= 255 && key <= 1024);
            if (bucket <= 255 && key == 1025)
                assert_non_null(strstr(e.text, "longer than 1024 bytes"));
        }
    /* The prefix fits, with the file's name it is too long. */
    memset(uri, 'k', sizeof uri);
    memcpy(uri, "s3://buc/", 9);
    uri[9 + 1022] = '/';
    uri[9 + 1023] = 0;
    assert_int_equal(s3_object_parse(&o, uri, "f", &e), 0);
    assert_int_equal(strlen(o.key), 1024);
    assert_int_equal(s3_object_parse(&o, uri, "ff", &e), -ENAMETOOLONG);
    uri[9 + 1023] = 'k';
    uri[9 + 2000] = '/';
    uri[9 + 2001] = 0;
    assert_int_equal(s3_object_parse(&o, uri, "f", &e), -ENAMETOOLONG);
}

static const struct {
    const char *endpoint, *region;
    enum s3_addressing addressing;
    uint16_t port;
    const char *bucket, *key, *host, *header, *path;
} made[] = {
    {NULL, "eu-west-1", AUTO, 443, "buc-1", "a/b", "buc-1.s3.eu-west-1.amazonaws.com",
     "buc-1.s3.eu-west-1.amazonaws.com", "/a/b"},
    {NULL, "cn-north-1", AUTO, 443, "buc", "k", "buc.s3.cn-north-1.amazonaws.com.cn",
     "buc.s3.cn-north-1.amazonaws.com.cn", "/k"},
    {NULL, "us-east-1", PATH, 443, "buc", "k", "s3.us-east-1.amazonaws.com",
     "s3.us-east-1.amazonaws.com", "/buc/k"},
    {NULL, "us-east-1", AUTO, 443, "a.dotted", "k", "s3.us-east-1.amazonaws.com",
     "s3.us-east-1.amazonaws.com", "/a.dotted/k"},
    {NULL, "us-east-1", AUTO, 443, "Upper_case", "k", "s3.us-east-1.amazonaws.com",
     "s3.us-east-1.amazonaws.com", "/Upper_case/k"},
    {NULL, "us-east-1", AUTO, 443, "-buc", "k", "s3.us-east-1.amazonaws.com",
     "s3.us-east-1.amazonaws.com", "/-buc/k"},
    {"http://localhost:9000", NULL, AUTO, 9000, "buc", "/k", "localhost", "localhost:9000",
     "/buc//k"},
    {"https://h/pre/", "x", AUTO, 443, "buc", "k +%\xc3\xa4", "h", "h",
     "/pre/buc/k%20%2B%25%C3%A4"},
    {"https://h:8443/pre", "x", VIRTUAL, 8443, "buc", "k", "buc.h", "buc.h:8443", "/pre/k"},
    {"http://127.0.0.1", "x", PATH, 80, "buc", "k", "127.0.0.1", "127.0.0.1", "/buc/k"},
    {"http://[::1]:1", "x", AUTO, 1, "buc", "k", "::1", "[::1]:1", "/buc/k"},
};

static void test_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        struct s3_object o;
        struct s3_address a;
        struct err e = {0};
        assert_int_equal(s3_object_set(&o, made[i].bucket, made[i].key, &e), 0);
        if (s3_address_make(&a, made[i].endpoint, made[i].region, made[i].addressing, &o, &e) != 0)
            fail_msg("%s: %s", made[i].header, e.text);
        assert_string_equal(a.endpoint.host, made[i].host);
        assert_int_equal(a.endpoint.port, made[i].port);
        assert_string_equal(a.host_header.data, made[i].header);
        assert_string_equal(a.path.data, made[i].path);
        s3_address_free(&a);
    }
}

static const struct {
    const char *endpoint, *region;
    enum s3_addressing addressing;
    const char *bucket, *word;
} not_made[] = {
    {NULL, NULL, AUTO, "buc", "no region: give --region or AWS_REGION"},
    {NULL, "", AUTO, "buc", "no region of AWS"},
    {NULL, "us east", AUTO, "buc", "no region of AWS"},
    {NULL, "us.east", AUTO, "buc", "no region of AWS"},
    {NULL, "evil.example/", AUTO, "buc", "no region of AWS"},
    {NULL, "us-east-1", VIRTUAL, "a.dotted", "cannot be part of a host name"},
    {"https://h", "x", VIRTUAL, "Upper", "cannot be part of a host name"},
    {"https://h", "x", VIRTUAL, "under_score", "cannot be part of a host name"},
    {"https://h", "x", VIRTUAL, "buc-", "cannot be part of a host name"},
    {"https://127.0.0.1", "x", VIRTUAL, "buc", "needs a host name"},
    {"https://127.1", "x", VIRTUAL, "buc", "needs a host name"},
    {"https://2130706433", "x", VIRTUAL, "buc", "needs a host name"},
    {"https://0x7f000001", "x", VIRTUAL, "buc", "needs a host name"},
    {"https://[::1]", "x", VIRTUAL, "buc", "needs a host name"},
    {"h", "x", AUTO, "buc", "must begin with https://"},
};

static void test_not_made(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof not_made / sizeof *not_made; i++) {
        struct s3_object o;
        struct s3_address a;
        struct err e = {0};
        assert_int_equal(s3_object_set(&o, not_made[i].bucket, "k", &e), 0);
        if (s3_address_make(&a, not_made[i].endpoint, not_made[i].region, not_made[i].addressing,
                            &o, &e) >= 0)
            fail_msg("case %zu was not refused", i);
        assert_int_equal(e.class, ERR_USAGE);
        if (!strstr(e.text, not_made[i].word))
            fail_msg("'%s' is not in: %s", not_made[i].word, e.text);
        s3_address_free(&a);
    }
}

/* The longest of everything fits; a host name that gets too long is refused. */
static void test_long_addresses(void **state)
{
    (void)state;
    char url[1400], bucket[256], key[1025];
    struct s3_object o;
    struct s3_address a;
    struct err e = {0};
    memset(bucket, 'b', sizeof bucket);
    bucket[63] = 0;
    memset(key, '\x01', sizeof key);
    key[1024] = 0;
    assert_int_equal(s3_object_set(&o, bucket, key, &e), 0);
    int n = snprintf(url, sizeof url, "https://%s.%s.%s", bucket, bucket, bucket);
    memset(url + n, 'p', 1022);
    url[n] = '/';
    url[n + 1022] = 0;
    assert_int_equal(s3_address_make(&a, url, NULL, PATH, &o, &e), 0);
    assert_int_equal(a.path.len, 1022 + 1 + 63 + 1 + 3 * 1024);
    s3_address_free(&a);
    assert_int_equal(s3_address_make(&a, url, NULL, VIRTUAL, &o, &e), -ENAMETOOLONG);
    assert_non_null(strstr(e.text, "longer than 253"));
    s3_address_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lengths),  cmocka_unit_test(test_make),
        cmocka_unit_test(test_not_made), cmocka_unit_test(test_long_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
