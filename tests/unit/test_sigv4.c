/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures against the examples of Amazon's documentation, and against botocore over generated
 * requests (sigv4_cases.py; its output is the file that the environment's SIGV4_CASES names). */
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
#include "s3/address.h"
#include "s3/sigv4.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { HEADERS = 16, CASES_LEAST = 300 };

/* S3 API reference, "Authenticating Requests: Using the Authorization Header", its four examples:
 * 2013-05-24 00:00:00 UTC, region us-east-1. */
static const struct {
    const char *method, *target, *content, *names[3], *values[3], *signed_names, *signature;
} documented[] = {
    {"GET",
     "/test.txt",
     EMPTY_SHA256,
     {"range"},
     {"bytes=0-9"},
     "host;range;x-amz-content-sha256;x-amz-date",
     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
    {"PUT",
     "/test%24file.text",
     "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
     {"date", "x-amz-storage-class"},
     {"Fri, 24 May 2013 00:00:00 GMT", "REDUCED_REDUNDANCY"},
     "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
    {"GET",
     "/?lifecycle",
     EMPTY_SHA256,
     {NULL},
     {NULL},
     "host;x-amz-content-sha256;x-amz-date",
     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
    {"GET",
     "/?prefix=J&max-keys=2",
     EMPTY_SHA256,
     {NULL},
     {NULL},
     "host;x-amz-content-sha256;x-amz-date",
     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
};

static void test_documented(void **state)
{
    (void)state;
    struct credentials c = {.access_key_id = (char[]){"AKIAIOSFODNN7EXAMPLE"},
                            .secret_access_key =
                                (char[]){"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}};
    for (size_t i = 0; i < sizeof documented / sizeof *documented; i++) {
        struct http_request r;
        struct err e = {0};
        char expected[512];
        http_request_init(&r, documented[i].method);
        buf_add_str(&r.target, documented[i].target);
        http_request_add(&r, "x-amz-content-sha256", documented[i].content, true);
        http_request_add(&r, "host", "examplebucket.s3.amazonaws.com", true);
        for (size_t k = 0; documented[i].names[k]; k++)
            http_request_add(&r, documented[i].names[k], documented[i].values[k], true);
        http_request_add(&r, "user-agent", "not signed", false);
        if (sigv4_sign(&r, &c, "us-east-1", 1369353600, &e) != 0)
            fail_msg("%s", e.text);
        snprintf(expected, sizeof expected,
                 "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                 "aws4_request, SignedHeaders=%s, Signature=%s",
                 documented[i].signed_names, documented[i].signature);
        assert_string_equal(http_request_find(&r, "authorization"), expected);
        assert_string_equal(http_request_find(&r, "x-amz-date"), "20130524T000000Z");
        assert_null(http_request_find(&r, "x-amz-security-token"));
        assert_string_equal(r.target.data, documented[i].target);
        http_request_free(&r);
    }
}

struct case_header {
    bool sign;
    char name[64], value[1024];
};

struct one_case {
    char endpoint[256], bucket[64], key[2048], target[4096], query[4096], method[16], region[64];
    char access[64], secret[256], token[8192], content[128], authorization[1024];
    bool is_virtual;
    long long time;
    struct case_header headers[HEADERS];
    size_t header_count;
};

static void hex_decode(char *out, size_t size, const char *hex)
{
    size_t n = 0;
    if (strcmp(hex, "-") == 0)
        hex = "";
    for (; hex[0] && hex[1]; hex += 2) {
        char digits[3] = {hex[0], hex[1], 0}, *end;
        assert_true(n + 1 < size);
        out[n++] = (char)strtoul(digits, &end, 16);
        assert_ptr_equal(end, digits + 2);
    }
    out[n] = 0;
}

static void copy(char *out, size_t size, const char *value)
{
    assert_true(strlen(value) < size);
    memcpy(out, value, strlen(value) + 1);
}

static void case_line(struct one_case *c, const char *name, const char *value)
{
    const struct {
        const char *name;
        char *out;
        size_t size;
    } plain[] = {
        {"endpoint", c->endpoint, sizeof c->endpoint},
        {"bucket", c->bucket, sizeof c->bucket},
        {"target", c->target, sizeof c->target},
        {"query", c->query, sizeof c->query},
        {"method", c->method, sizeof c->method},
        {"region", c->region, sizeof c->region},
        {"access", c->access, sizeof c->access},
        {"secret", c->secret, sizeof c->secret},
        {"token", c->token, sizeof c->token},
        {"content", c->content, sizeof c->content},
        {"authorization", c->authorization, sizeof c->authorization},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strcmp(name, plain[i].name) == 0) {
            copy(plain[i].out, plain[i].size, value);
            return;
        }
    if (strcmp(name, "key") == 0) {
        hex_decode(c->key, sizeof c->key, value);
    } else if (strcmp(name, "virtual") == 0) {
        c->is_virtual = *value == '1';
    } else if (strcmp(name, "time") == 0) {
        c->time = strtoll(value, NULL, 10);
    } else if (strcmp(name, "header") == 0) {
        char hex[2048];
        assert_true(c->header_count < HEADERS);
        struct case_header *h = &c->headers[c->header_count++];
        assert_int_equal(sscanf(value, "%*[01] %63s %2047s", h->name, hex), 2);
        h->sign = *value == '1';
        hex_decode(h->value, sizeof h->value, hex);
    } else {
        fail_msg("unknown line '%s'", name);
    }
}

static void case_check(struct one_case *c, size_t number)
{
    struct credentials credentials = {.access_key_id = c->access,
                                      .secret_access_key = c->secret,
                                      .session_token = strcmp(c->token, "-") ? c->token : NULL};
    struct s3_object object;
    struct s3_address address = {0};
    struct http_request r;
    struct err e = {0};
    if (s3_object_set(&object, c->bucket, c->key, &e) != 0 ||
        s3_address_make(&address, c->endpoint, c->region,
                        c->is_virtual ? S3_ADDRESSING_VIRTUAL : S3_ADDRESSING_PATH, &object,
                        &e) != 0)
        fail_msg("case %zu: %s", number, e.text);
    assert_string_equal(address.path.data, c->target);
    http_request_init(&r, c->method);
    buf_add_str(&r.target, address.path.data);
    if (strcmp(c->query, "-") != 0)
        buf_addf(&r.target, "?%s", c->query);
    for (size_t i = 0; i < c->header_count; i++)
        http_request_add(&r, c->headers[i].name, c->headers[i].value, c->headers[i].sign);
    http_request_add(&r, "host", address.host_header.data, true);
    http_request_add(&r, "x-amz-content-sha256", c->content, true);
    if (sigv4_sign(&r, &credentials, c->region, (time_t)c->time, &e) != 0)
        fail_msg("case %zu: %s", number, e.text);
    if (strcmp(http_request_find(&r, "authorization"), c->authorization) != 0)
        fail_msg("case %zu:\n%s\nbotocore:\n%s", number, http_request_find(&r, "authorization"),
                 c->authorization);
    http_request_free(&r);
    s3_address_free(&address);
}

static void test_botocore(void **state)
{
    (void)state;
    const char *path = getenv("SIGV4_CASES");
    if (!path)
        fail_msg("SIGV4_CASES is not set: it must name the output of sigv4_cases.py");
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("%s cannot be opened", path);
    static struct one_case c;
    char *line = NULL;
    size_t size = 0, cases = 0;
    ssize_t n;
    while ((n = getline(&line, &size, f)) > 0) {
        assert_true(line[n - 1] == '\n');
        line[n - 1] = 0;
        if (strcmp(line, "case") == 0) {
            memset(&c, 0, sizeof c);
        } else if (strcmp(line, "end") == 0) {
            case_check(&c, ++cases);
        } else {
            char *blank = strchr(line, ' ');
            assert_non_null(blank);
            *blank = 0;
            case_line(&c, line, blank + 1);
        }
    }
    free(line);
    fclose(f);
    assert_true(cases >= CASES_LEAST);
}

static int sign_with(const char *access, const char *secret, const char *token, const char *region,
                     time_t now, bool with_content, struct err *e)
{
    char id[512], key[32 * 1024], session[48 * 1024];
    struct credentials c = {.access_key_id = id, .secret_access_key = key};
    struct http_request r;
    copy(id, sizeof id, access);
    copy(key, sizeof key, secret);
    if (token) {
        copy(session, sizeof session, token);
        c.session_token = session;
    }
    http_request_init(&r, "GET");
    buf_add_str(&r.target, "/");
    http_request_add(&r, "host", "h", true);
    http_request_add(&r, "x-amz-content-sha256", EMPTY_SHA256, with_content);
    int ret = sigv4_sign(&r, &c, region, now, e);
    assert_int_equal(http_request_find(&r, "authorization") != NULL, ret == 0);
    http_request_free(&r);
    return ret;
}

/* What cannot be signed is refused, and no secret is in the message. */
static void test_refusals(void **state)
{
    (void)state;
    struct err e = {0};
    static char long_text[40 * 1024];
    memset(long_text, 'x', sizeof long_text - 1);
    assert_int_equal(sign_with("id", "secret", NULL, "r", 0, true, &e), 0);

    assert_int_equal(sign_with("id\n", "hunter2", NULL, "r", 0, true, &e), -EINVAL);
    assert_int_equal(e.class, ERR_USAGE);
    assert_non_null(strstr(e.text, "characters"));
    assert_null(strstr(e.text, "hunter2"));
    assert_int_equal(sign_with("id", "s", "hunter2\r\nx: y", "r", 0, true, &e), -EINVAL);
    assert_null(strstr(e.text, "hunter2"));
    assert_int_equal(sign_with("id", "s", NULL, "r\n", 0, true, &e), -EINVAL);
    assert_int_equal(sign_with("id", "s", NULL, "r\xc3\xa4", 0, true, &e), -EINVAL);

    assert_int_equal(sign_with("id", "s", long_text, "r", 0, true, &e), -E2BIG);
    assert_int_equal(e.class, ERR_USAGE);
    assert_non_null(strstr(e.text, "too long"));
    long_text[20000] = 0;
    assert_int_equal(sign_with("id", long_text, NULL, "r", 0, true, &e), -E2BIG);
    long_text[300] = 0;
    assert_int_equal(sign_with("id", "s", NULL, long_text, 0, true, &e), -E2BIG);

    assert_int_equal(sign_with("id", "s", NULL, "r", (time_t)-86400 * 400, true, &e), -EINVAL);
    assert_int_equal(e.class, ERR_ENV);
    assert_non_null(strstr(e.text, "clock"));
    assert_int_equal(sign_with("id", "s", NULL, "r", INT64_MAX, true, &e), -EINVAL);
    assert_non_null(strstr(e.text, "clock"));
    assert_int_equal(sign_with("id", "s", NULL, "r", 0, false, &e), -EINVAL);
    assert_non_null(strstr(e.text, "x-amz-content-sha256"));
}

static void test_query_limit(void **state)
{
    (void)state;
    struct credentials c = {.access_key_id = (char[]){"id"}, .secret_access_key = (char[]){"s"}};
    for (int over = 0; over < 2; over++) {
        struct http_request r;
        struct err e = {0};
        http_request_init(&r, "GET");
        buf_add_str(&r.target, "/?");
        for (int i = 0; i < 32 + over; i++)
            buf_addf(&r.target, "%sp%d", i ? "&" : "", i);
        http_request_add(&r, "host", "h", true);
        http_request_add(&r, "x-amz-content-sha256", EMPTY_SHA256, true);
        assert_int_equal(sigv4_sign(&r, &c, "r", 0, &e), over ? -E2BIG : 0);
        http_request_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_documented),
        cmocka_unit_test(test_botocore),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_query_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
