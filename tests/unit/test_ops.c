/* SPDX-License-Identifier: Apache-2.0 */
/* What the operations ask, and what they read from a good answer. */
#include <errno.h>
#include <stdlib.h>

#include "answer.h"
#include "s3/ops.h"

#define DIGEST "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

enum { DIGEST_BYTES = sizeof DIGEST - 1 };

static const time_t now = 1369353600; /* 20130524T000000Z */

static struct s3_address address;
static const struct credentials credentials = {.access_key_id = (char[]){"AKID"},
                                               .secret_access_key = (char[]){"hunter2"},
                                               .session_token = (char[]){"token"}};

static int setup(void **state)
{
    (void)state;
    struct s3_object object;
    return s3_object_set(&object, "buc", "a key", NULL) == 0 &&
                   s3_address_make(&address, "http://h:9", NULL, S3_ADDRESSING_AUTO, &object,
                                   NULL) == 0
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    s3_address_free(&address);
    return 0;
}

static void body_init(struct aws_chunked *b, enum body_framing framing)
{
    aws_chunked_init(b, framing, 20000, AWS_CHUNK_BYTES_MIN, S3_TRAILER_NAME, DIGEST_BYTES);
}

static void expect_bytes(const struct http_request *r, const char *expected)
{
    struct buf out;
    buf_init(&out, HTTP_REQUEST_BYTES_MAX);
    assert_int_equal(http_request_write(r, &out), 0);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

/* Without credentials there are neither signature nor date, so the bytes are always the same. */
static void test_unsigned_puts(void **state)
{
    (void)state;
    const struct s3_client client = {.region = "r", .user_agent = "agent/1"};
    struct aws_chunked body;
    struct http_request r;
    struct err e = {0};
    body_init(&body, BODY_CHUNKED);
    struct s3_put put = {S3_INTEGRITY_TRAILER, &body, true};
    assert_int_equal(s3_put_request(&r, &client, &address, &put, now, &e), 0);
    expect_bytes(&r, "PUT /buc/a%20key HTTP/1.1\r\n"
                     "host: h:9\r\n"
                     "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n"
                     "content-encoding: aws-chunked\r\n"
                     "x-amz-decoded-content-length: 20000\r\n"
                     "x-amz-trailer: x-amz-checksum-sha256\r\n"
                     "x-amz-sdk-checksum-algorithm: SHA256\r\n"
                     "transfer-encoding: chunked\r\n"
                     "expect: 100-continue\r\n"
                     "user-agent: agent/1\r\n\r\n");
    http_request_free(&r);

    body_init(&body, BODY_LENGTH);
    put = (struct s3_put){S3_INTEGRITY_TRAILER, &body, false};
    assert_int_equal(s3_put_request(&r, &client, &address, &put, now, &e), 0);
    /* 20000 = 2 * 0x2000 + 0xe20 */
    char length[16];
    snprintf(length, sizeof length, "%zu",
             20000 + 2 * strlen("2000\r\n\r\n") + strlen("e20\r\n\r\n") +
                 strlen("0\r\nx-amz-checksum-sha256:\r\n\r\n") + DIGEST_BYTES);
    assert_string_equal(http_request_find(&r, "content-length"), length);
    assert_null(http_request_find(&r, "transfer-encoding"));
    assert_null(http_request_find(&r, "expect"));
    http_request_free(&r);

    body_init(&body, BODY_IDENTITY);
    put = (struct s3_put){S3_INTEGRITY_NONE, &body, false};
    assert_int_equal(s3_put_request(&r, &client, &address, &put, now, &e), 0);
    expect_bytes(&r, "PUT /buc/a%20key HTTP/1.1\r\nhost: h:9\r\n"
                     "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\ncontent-length: 20000\r\n"
                     "user-agent: agent/1\r\n\r\n");
    http_request_free(&r);
}

static void test_signed_requests(void **state)
{
    (void)state;
    const struct s3_client client = {&credentials, "r", "agent/1"};
    struct aws_chunked body;
    struct http_request r;
    struct err e = {0};
    body_init(&body, BODY_CHUNKED);
    struct s3_put put = {S3_INTEGRITY_TRAILER, &body, true};
    assert_int_equal(s3_put_request(&r, &client, &address, &put, now, &e), 0);
    assert_string_equal(http_request_find(&r, "x-amz-date"), "20130524T000000Z");
    assert_string_equal(http_request_find(&r, "x-amz-security-token"), "token");
    static const char start[] =
        "AWS4-HMAC-SHA256 Credential=AKID/20130524/r/s3/aws4_request, "
        "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;"
        "x-amz-decoded-content-length;x-amz-sdk-checksum-algorithm;x-amz-security-token;"
        "x-amz-trailer, Signature=";
    const char *authorization = http_request_find(&r, "authorization");
    assert_int_equal(strlen(authorization), strlen(start) + 64);
    assert_memory_equal(authorization, start, strlen(start));
    http_request_free(&r);

    assert_int_equal(s3_head_request(&r, &client, &address, now, &e), 0);
    assert_string_equal(r.method, "HEAD");
    assert_string_equal(http_request_find(&r, "x-amz-checksum-mode"), "ENABLED");
    assert_string_equal(http_request_find(&r, "x-amz-content-sha256"),
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_non_null(strstr(http_request_find(&r, "authorization"),
                           "SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;"
                           "x-amz-date;x-amz-security-token,"));
    assert_null(http_request_find(&r, "content-length"));
    assert_null(http_request_find(&r, "transfer-encoding"));
    http_request_free(&r);
}

static void test_unfit_puts(void **state)
{
    (void)state;
    const struct s3_client client = {&credentials, "r", NULL};
    static const struct {
        enum s3_integrity integrity;
        enum body_framing framing;
        bool has_trailer;
    } cases[] = {
        {S3_INTEGRITY_TRAILER, BODY_IDENTITY, false}, {S3_INTEGRITY_TRAILER, BODY_CHUNKED, false},
        {S3_INTEGRITY_TRAILER, BODY_LENGTH, false},   {S3_INTEGRITY_NONE, BODY_CHUNKED, true},
        {S3_INTEGRITY_NONE, BODY_LENGTH, true},       {S3_INTEGRITY_NONE, BODY_CHUNKED, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct aws_chunked body;
        struct http_request r;
        struct err e = {0};
        aws_chunked_init(&body, cases[i].framing, 1, AWS_CHUNK_BYTES_MIN,
                         cases[i].has_trailer ? S3_TRAILER_NAME : NULL, DIGEST_BYTES);
        struct s3_put put = {cases[i].integrity, &body, false};
        assert_int_equal(s3_put_request(&r, &client, &address, &put, now, &e), -EINVAL);
        assert_int_equal(e.class, ERR_ENV);
        assert_null(http_request_find(&r, "authorization"));
        http_request_free(&r);
    }
    /* What no header can have */
    const struct s3_client odd = {NULL, "r", "agent\r\nx: y"};
    struct http_request r;
    struct err e = {0};
    assert_int_equal(s3_head_request(&r, &odd, &address, now, &e), -EINVAL);
    assert_int_equal(e.class, ERR_USAGE);
    http_request_free(&r);
}

static int info_read(const char *head, const char *body, bool to_head, struct s3_object_info *out,
                     struct err *e)
{
    struct http_response *r = answer(head, body, strlen(body), to_head);
    int ret = s3_object_info_read(r, "PUT s3://b/k", out, e);
    http_response_close(r);
    return ret;
}

static void test_info(void **state)
{
    (void)state;
    struct s3_object_info info;
    struct err e = {0};
    assert_int_equal(info_read("200 OK\r\nETag: \"abc\"\r\nx-amz-version-id: v1\r\n"
                               "x-amz-request-id: tx1\r\nx-amz-checksum-sha256: " DIGEST "\r\n"
                               "x-amz-checksum-type: FULL_OBJECT\r\nContent-Length: 12345\r\n",
                               "", true, &info, &e),
                     0);
    assert_string_equal(info.sha256_base64, DIGEST);
    assert_string_equal(info.etag, "\"abc\"");
    assert_string_equal(info.version_id, "v1");
    assert_string_equal(info.request_id, "tx1");
    assert_int_equal(info.content_length, 12345);

    assert_int_equal(info_read("200 OK\r\nETag: caf\xc3\xa9\r\n", "", false, &info, &e), 0);
    assert_string_equal(info.sha256_base64, "");
    assert_string_equal(info.etag, "caf??");
    assert_string_equal(info.version_id, "");
    assert_string_equal(info.request_id, "");
    assert_int_equal(info.content_length, -1);

    /* Twice the same is once; composites and nothing say nothing of the whole object. */
    assert_int_equal(info_read("200 OK\r\nx-amz-checksum-sha256: " DIGEST
                               "\r\nX-Amz-Checksum-SHA256: " DIGEST "\r\n",
                               "", false, &info, &e),
                     0);
    assert_string_equal(info.sha256_base64, DIGEST);
    static const char *const silent[] = {
        "200 OK\r\nx-amz-checksum-sha256: " DIGEST "-3\r\n",
        "200 OK\r\nx-amz-checksum-sha256: " DIGEST "\r\nx-amz-checksum-type: COMPOSITE\r\n",
        "200 OK\r\nx-amz-checksum-sha256:\r\n",
    };
    for (size_t i = 0; i < sizeof silent / sizeof *silent; i++) {
        assert_int_equal(info_read(silent[i], "", false, &info, &e), 0);
        assert_string_equal(info.sha256_base64, "");
    }
}

static void test_info_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *head, *body;
        enum err_class class;
        const char *word;
    } cases[] = {
        {"200 OK\r\nx-amz-checksum-sha256: " DIGEST "\r\nx-amz-checksum-sha256: "
         "57DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\r\n",
         "", ERR_INTEGRITY, "two different SHA-256"},
        {"200 OK\r\nx-amz-checksum-sha256: 47DEQpj8HBSa\r\n", "", ERR_INTEGRITY,
         "no SHA-256: '47DEQpj8HBSa'"},
        {"200 OK\r\nx-amz-checksum-sha256: 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU*\r\n", "",
         ERR_INTEGRITY, "no SHA-256"},
        {"200 OK\r\nx-amz-checksum-sha256: " DIGEST "x\r\n", "", ERR_INTEGRITY, "no SHA-256"},
        {"200 OK\r\nETag: x\r\n",
         "<Error><Code>InternalError</Code><Message>We failed</Message></Error>", ERR_STORE,
         "status 200, but then with an error: InternalError: We failed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct s3_object_info info;
        struct err e = {0};
        assert_true(info_read(cases[i].head, cases[i].body, false, &info, &e) < 0);
        assert_int_equal(e.class, cases[i].class);
        if (!strstr(e.text, cases[i].word))
            fail_msg("'%s' is not in: %s", cases[i].word, e.text);
        assert_string_equal(info.sha256_base64, "");
    }
}

/* Long values are cut, not overrun. */
static void test_info_long_values(void **state)
{
    (void)state;
    struct s3_object_info info;
    struct err e = {0};
    char head[3000], value[1001] = {0};
    memset(value, 'v', 1000);
    snprintf(head, sizeof head, "200 OK\r\nETag: %s\r\nx-amz-version-id: %s\r\n", value, value);
    assert_int_equal(info_read(head, "", false, &info, &e), 0);
    assert_int_equal(strlen(info.etag), sizeof info.etag - 1);
    assert_int_equal(strlen(info.version_id), sizeof info.version_id - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unsigned_puts), cmocka_unit_test(test_signed_requests),
        cmocka_unit_test(test_unfit_puts),    cmocka_unit_test(test_info),
        cmocka_unit_test(test_info_refusals), cmocka_unit_test(test_info_long_values),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
