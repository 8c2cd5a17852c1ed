/* SPDX-License-Identifier: Apache-2.0 */
/* What a user reads when a store refuses. */
#include <errno.h>

#include "answer.h"
#include "s3/ops.h"

#define XML "Content-Type: application/xml\r\n"
#define ERROR(code, more)                                                                          \
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>" code "</Code>" more "</Error>"

static const time_t now = 1704067200; /* 2024-01-01 00:00:00 */

static int refusal(const char *head, const void *body, size_t n, bool to_head, struct err *e)
{
    struct http_response *r = answer(head, body, n, to_head);
    *e = (struct err){0};
    int ret = s3_refusal(r, "PUT s3://b/k", now, e);
    http_response_close(r);
    for (const char *p = e->text; *p; p++)
        assert_true(*p >= ' ' && *p <= '~');
    return ret;
}

static const struct {
    const char *head, *body;
    enum err_class class;
    int ret;
    const char *text;
} cases[] = {
    /* AWS */
    {"403 Forbidden\r\n" XML,
     ERROR("SignatureDoesNotMatch", "<Message>The request signature we calculated does not match."
                                    "</Message><AWSAccessKeyId>AKID</AWSAccessKeyId>"
                                    "<RequestId>4442587FB7D0A2F9</RequestId><HostId>x=</HostId>"),
     ERR_STORE, -EACCES,
     "PUT s3://b/k: refused with 403 SignatureDoesNotMatch: The request signature we calculated "
     "does not match. (request id 4442587FB7D0A2F9); check the secret access key and --region; a "
     "proxy that changes host or path also does this"},
    {"400 Bad Request\r\n" XML,
     ERROR("AuthorizationHeaderMalformed",
           "<Message>the region 'a' is wrong</Message><Region>eu-west-1</Region>"),
     ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 400 AuthorizationHeaderMalformed: the region 'a' is wrong; the "
     "bucket is in the region 'eu-west-1': give --region eu-west-1"},
    {"301 Moved Permanently\r\nx-amz-bucket-region: us-west-2\r\n" XML,
     ERROR("PermanentRedirect", "<Endpoint>b.s3-us-west-2.amazonaws.com</Endpoint>"), ERR_STORE,
     -EREMOTEIO,
     "PUT s3://b/k: refused with 301 PermanentRedirect; the bucket is in the region 'us-west-2': "
     "give --region us-west-2"},
    {"307 Temporary Redirect\r\nLocation: https://other.example/k\r\n", "", ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 307; redirects are not followed, here to "
     "https://other.example/k: give the right --endpoint-url or --region"},
    {"403 Forbidden\r\n" XML,
     ERROR("RequestTimeTooSkewed", "<ServerTime>2024-01-01T01:00:01Z</ServerTime>"), ERR_STORE,
     -EACCES,
     "PUT s3://b/k: refused with 403 RequestTimeTooSkewed; this machine's clock is 3601 seconds "
     "behind the store's: set it"},
    /* Ceph RGW: no message, no ServerTime */
    {"403 Forbidden\r\nDate: Sun, 31 Dec 2023 23:00:00 GMT\r\n" XML,
     ERROR("RequestTimeTooSkewed", "<Message></Message><RequestId>tx0-default</RequestId>"),
     ERR_STORE, -EACCES,
     "PUT s3://b/k: refused with 403 RequestTimeTooSkewed (request id tx0-default); this "
     "machine's clock is 3600 seconds ahead of the store's: set it"},
    {"404 Not Found\r\nx-amz-request-id: tx0-default\r\n" XML,
     ERROR("NoSuchBucket", "<Message></Message><BucketName>b</BucketName>"), ERR_STORE, -ENOENT,
     "PUT s3://b/k: refused with 404 NoSuchBucket (request id tx0-default); check the bucket's "
     "name and --endpoint-url, or make the bucket"},
    {"403 Forbidden\r\nDate: yesterday\r\n" XML, ERROR("RequestTimeTooSkewed", ""), ERR_STORE,
     -EACCES, "PUT s3://b/k: refused with 403 RequestTimeTooSkewed; set this machine's clock"},
    /* Swift */
    {"403 Forbidden\r\n" XML,
     ERROR("InvalidAccessKeyId",
           "<Message>The AWS Access Key Id you provided does not exist in our "
           "records.</Message><RequestId>tx1</RequestId>"),
     ERR_STORE, -EACCES,
     "PUT s3://b/k: refused with 403 InvalidAccessKeyId: The AWS Access Key Id you provided does "
     "not exist in our records. (request id tx1); the store does not know this access key id: "
     "check the credentials and --endpoint-url"},
    {"400 Bad Request\r\n" XML,
     ERROR("XAmzContentChecksumMismatch", "<Message>differs</Message><RequestId>tx2</RequestId>"),
     ERR_INTEGRITY, -EBADMSG,
     "PUT s3://b/k: the store received other bytes than were hashed, and refused them with 400 "
     "XAmzContentChecksumMismatch: differs (request id tx2); nothing was stored: try again"},
    {"501 Not Implemented\r\nX-Trans-Id: tx3\r\n" XML, ERROR("NotImplemented", ""), ERR_STORE,
     -EREMOTEIO,
     "PUT s3://b/k: refused with 501 NotImplemented (request id tx3); the store may take no "
     "checksum trailer: try --framing length; --hash none sends none"},
    /* a code that nobody knows */
    {"409 Conflict\r\n" XML, ERROR("Odd", "<Message>Said so</Message>"), ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 409 Odd: Said so"},
    {"403 Forbidden\r\n" XML, ERROR("Odd", ""), ERR_STORE, -EACCES,
     "PUT s3://b/k: refused with 403 Odd"},
    {"503 Slow\r\n" XML, ERROR("Odd", ""), ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 503 Odd; try again later"},
    /* no document of S3 */
    {"411 Length Required\r\n", "", ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 411; give --framing length"},
    {"502 Bad Gateway\r\nContent-Type: text/html\r\n",
     "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n", ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 502 and a body that is no error document of S3 (text/html): "
     "\"<html> <head><title>502 Bad Gateway</title></head> </html>\"; a proxy does not reach the "
     "store; try again later"},
    {"400 Bad Request\r\nContent-Type: text/plain\r\n",
     "Client sent an HTTP request to an HTTPS server.\n", ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 400 and a body that is no error document of S3 (text/plain): "
     "\"Client sent an HTTP request to an HTTPS server.\"; without a reason from the store: check "
     "--endpoint-url, --region and the credentials"},
    {"418 Teapot\r\n", "\x01\x02 \xff\xfe\x80\x1b[31mred\x7f\n", ERR_STORE, -EREMOTEIO,
     "PUT s3://b/k: refused with 418 and a body that is no error document of S3 (no content "
     "type): \"??? [31mred\""},
    {"418 Teapot\r\n", " \r\n\t", ERR_STORE, -EREMOTEIO, "PUT s3://b/k: refused with 418"},
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err e;
        int ret = refusal(cases[i].head, cases[i].body, strlen(cases[i].body), false, &e);
        assert_string_equal(e.text, cases[i].text);
        assert_int_equal(ret, cases[i].ret);
        assert_int_equal(e.class, cases[i].class);
        assert_int_equal(e.errnum, -cases[i].ret);
    }
}

/* Answers to HEAD have no body: the status and headers must do. */
static void test_head_texts(void **state)
{
    (void)state;
    static const struct {
        const char *head, *text;
    } heads[] = {
        {"403 Forbidden\r\nx-amz-request-id: r1\r\nx-amz-bucket-region: us-west-2\r\n",
         "PUT s3://b/k: refused with 403 (request id r1); check the credentials, and that they are "
         "allowed to do this"},
        {"404 Not Found\r\n", "PUT s3://b/k: refused with 404; check the bucket's name and "
                              "--endpoint-url, or make the bucket"},
        {"400 Bad Request\r\nx-amz-bucket-region: us-west-2\r\n",
         "PUT s3://b/k: refused with 400; the bucket is in the region 'us-west-2': give --region "
         "us-west-2"},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct err e;
        assert_true(refusal(heads[i].head, "", 0, true, &e) < 0);
        assert_string_equal(e.text, heads[i].text);
    }
}

/* A digest that does not match is an integrity error, whatever the store calls it. */
static void test_mismatches(void **state)
{
    (void)state;
    static const char *const codes[] = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch",
                                        "XAmzContentSHA256Mismatch"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct err e;
        char body[200];
        int n = snprintf(body, sizeof body, "<Error><Code>%s</Code></Error>", codes[i]);
        assert_int_equal(refusal("400 Bad Request\r\n", body, (size_t)n, false, &e), -EBADMSG);
        assert_int_equal(e.class, ERR_INTEGRITY);
        assert_non_null(strstr(e.text, codes[i]));
        n = snprintf(body, sizeof body, "<Error><Code>%sX</Code></Error>", codes[i]);
        assert_int_equal(refusal("400 Bad Request\r\n", body, (size_t)n, false, &e), -EREMOTEIO);
        assert_int_equal(e.class, ERR_STORE);
    }
}

static void test_huge_bodies(void **state)
{
    (void)state;
    struct err e;
    struct buf body;
    buf_init(&body, HTTP_BODY_READ_MAX);
    buf_add_str(&body, "<Error><Code>AccessDenied</Code><Message>");
    while (body.len < HTTP_BODY_READ_MAX - 100)
        buf_add_str(&body, "m");
    buf_add_str(&body, "</Message></Error>");
    /* Only its start is kept, so it is no whole document; it is shown cut. */
    assert_int_equal(refusal("403 Forbidden\r\n", body.data, body.len, false, &e), -EACCES);
    assert_non_null(strstr(e.text, "\"<Error><Code>AccessDenied</Code><Message>mmm"));
    assert_true(strlen(e.text) < 400);
    buf_free(&body);

    /* Long fields of a document and of headers are cut, and what matters still shows. */
    static char text[9000], head[4000], value[3001];
    memset(value, 'v', 3000);
    snprintf(
        text, sizeof text,
        "<Error><Code>AccessDenied</Code><Message>%s</Message><RequestId>%s</RequestId></Error>",
        value, value);
    snprintf(head, sizeof head, "403 Forbidden\r\nContent-Type: %s\r\n", value);
    assert_int_equal(refusal(head, text, strlen(text), false, &e), -EACCES);
    assert_non_null(strstr(e.text, "403 AccessDenied: vvv"));
    assert_non_null(strstr(e.text, "s3:PutObject"));
    assert_true(strlen(e.text) < ERR_TEXT_BYTES - 1);
}

/* Escape sequences in a document's fields do not reach a terminal. */
static void test_fields_are_printable(void **state)
{
    (void)state;
    struct err e;
    static const char body[] = "<Error><Code>A\xc2\x9b\x37m</Code><Message>x\xe2\x80\xae\ny&#9;z"
                               "</Message><RequestId>\xc2\x85</RequestId></Error>";
    refusal("418 x\r\n", body, sizeof body - 1, false, &e);
    assert_string_equal(e.text, "PUT s3://b/k: refused with 418 A??7m: x??? y z (request id ?\?)");
}

static void test_random_bodies(void **state)
{
    (void)state;
    uint32_t seed = 3;
    for (int i = 0; i < 3000; i++) {
        char body[300];
        struct err e;
        size_t n = (size_t)i % sizeof body;
        for (size_t k = 0; k < n; k++) {
            seed = seed * 1664525 + 1013904223;
            body[k] = (char)(seed >> 24);
        }
        assert_int_equal(refusal("500 x\r\n", body, n, false, &e), -EREMOTEIO);
        assert_non_null(strstr(e.text, "refused with 500"));
    }
}

static const struct {
    const char *date;
    long long ahead; /* of the store; -1: not understood */
} dates[] = {
    {"Mon, 01 Jan 2024 00:00:00 GMT", 0},  {"Sun, 31 Dec 2023 23:59:59 GMT", 1},
    {"Thu, 29 Feb 2024 00:00:00 GMT", -2}, {"Thu, 01 Jan 1970 00:00:00 GMT", 1704067200},
    {"Mon, 01 Foo 2024 00:00:00 GMT", -1}, {"Mon, 32 Jan 2024 00:00:00 GMT", -1},
    {"Mon, 01 Jan 2024 24:00:00 GMT", -1}, {"Monday, 01-Jan-24 00:00:00 GMT", -1},
    {"Mon, 01 anF 2024 00:00:00 GMT", -1}, {"Mon, 01 Jan 0001 00:00:00 GMT", -1},
    {"Mon, 01 Jan 2024 0a:00:00 GMT", -1}, {"Mon, 01 Jan 2024 00:00:00 CET", -1},
    {"Mon, 01 Jan 2024 00:00:00 GMT ", 0}, {"", -1},
    {"Mon, 01 Jan 2024T00:00:00 GMT", -1}, {"Mon. 01 Jan 2024 00:00:00 GMT", -1},
};

static void test_dates(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        struct err e;
        char head[200], expected[100];
        static const char body[] = ERROR("RequestTimeTooSkewed", "");
        snprintf(head, sizeof head, "403 Forbidden\r\nDate: %s\r\n", dates[i].date);
        refusal(head, body, sizeof body - 1, false, &e);
        if (dates[i].ahead == -1)
            snprintf(expected, sizeof expected, "; set this machine's clock");
        else if (dates[i].ahead == -2) /* 59 days */
            snprintf(expected, sizeof expected, "is 5097600 seconds behind the store's");
        else
            snprintf(expected, sizeof expected, "is %lld seconds ahead of the store's",
                     dates[i].ahead);
        if (!strstr(e.text, expected))
            fail_msg("%s: '%s' is not in: %s", dates[i].date, expected, e.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_head_texts),
        cmocka_unit_test(test_mismatches),
        cmocka_unit_test(test_huge_bodies),
        cmocka_unit_test(test_fields_are_printable),
        cmocka_unit_test(test_random_bodies),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
