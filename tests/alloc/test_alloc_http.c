/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, secrets, requests and responses when memory runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_fail.h"
#include "base/buf.h"
#include "base/secret.h"
#include "http/aws_chunked.h"
#include "http/request.h"
#include "http/response.h"
#include "http/uri.h"

/* --- buffers ------------------------------------------------------------------------------------
 */

static struct buf text;

static void text_clean(void *ctx)
{
    (void)ctx;
    buf_free(&text);
}

static int run_buf(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    buf_init(&text, 64 * 1024);
    for (int i = 0; i < 2000; i++)
        buf_addf(&text, "%d,", i);
    return text.failed ? -ENOMEM : 0;
}

static void check_buf(void *ctx)
{
    (void)ctx;
    char *p = text.data;
    for (long i = 0; i < 2000; i++) {
        assert_int_equal(strtol(p, &p, 10), i);
        assert_int_equal(*p++, ',');
    }
    assert_int_equal(*p, 0);
}

static int run_encode(void *ctx, struct err *e)
{
    struct uri_endpoint endpoint = {.host = "h", .port = 9};
    (void)ctx;
    (void)e;
    buf_init(&text, 4096);
    uri_host_header(&endpoint, &text);
    uri_encode(&text, "/a key", true);
    return text.failed ? -ENOMEM : 0;
}

static void check_encode(void *ctx)
{
    (void)ctx;
    assert_string_equal(text.data, "h:9/a%20key");
}

static int run_chunks(void *ctx, struct err *e)
{
    struct aws_chunked b;
    uint64_t bytes;
    (void)ctx;
    (void)e;
    buf_init(&text, 4096);
    aws_chunked_init(&b, BODY_LENGTH, 8193, 8192, "t", 1);
    do
        aws_chunked_next(&b, &text, &bytes);
    while (bytes);
    aws_chunked_end(&b, &text, "v");
    return text.failed ? -ENOMEM : 0;
}

static void check_chunks(void *ctx)
{
    (void)ctx;
    assert_string_equal(text.data, "2000\r\n\r\n1\r\n\r\n0\r\nt:v\r\n\r\n");
}

static void test_buffers(void **state)
{
    (void)state;
    alloc_fail_each(&(struct alloc_case){.name = "buf",
                                         .run = run_buf,
                                         .check = check_buf,
                                         .clean = text_clean,
                                         .without_err = true});
    alloc_fail_each(&(struct alloc_case){.name = "uri_encode",
                                         .run = run_encode,
                                         .check = check_encode,
                                         .clean = text_clean,
                                         .without_err = true});
    alloc_fail_each(&(struct alloc_case){.name = "aws_chunked",
                                         .run = run_chunks,
                                         .check = check_chunks,
                                         .clean = text_clean,
                                         .without_err = true});
}

/* --- secrets ------------------------------------------------------------------------------------
 */

static char *secret;

static int run_secret(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    secret = secret_dup("hunter2");
    return secret ? 0 : -ENOMEM;
}

static void secret_clean(void *ctx)
{
    (void)ctx;
    secret_free(secret);
}

static void test_secrets(void **state)
{
    (void)state;
    alloc_fail_each(&(struct alloc_case){
        .name = "secret_dup", .run = run_secret, .clean = secret_clean, .without_err = true});
}

/* --- requests -----------------------------------------------------------------------------------
 */

static struct http_request request;

static int run_request(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    buf_init(&text, HTTP_REQUEST_BYTES_MAX);
    http_request_init(&request, "PUT");
    buf_add_str(&request.target, "/b/k");
    http_request_add(&request, "host", "h", true);
    http_request_addf(&request, false, "content-length", "%d", 17);
    return http_request_write(&request, &text);
}

static void check_request(void *ctx)
{
    (void)ctx;
    assert_string_equal(text.data, "PUT /b/k HTTP/1.1\r\nhost: h\r\ncontent-length: 17\r\n\r\n");
}

static void request_clean(void *ctx)
{
    http_request_free(&request);
    text_clean(ctx);
}

static void test_requests(void **state)
{
    (void)state;
    alloc_fail_each(&(struct alloc_case){.name = "http_request",
                                         .run = run_request,
                                         .check = check_request,
                                         .clean = request_clean,
                                         .without_err = true});
}

/* --- responses ----------------------------------------------------------------------------------
 */

static struct http_response *response;
static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n"
                             "HTTP/1.1 200 OK\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "5\r\nhello\r\n0\r\nt: v\r\n\r\n";

/* A parser that can't go on tells so as any other answer that can't be read. */
static int run_response(void *ctx, struct err *e)
{
    size_t used;
    (void)ctx;
    response = NULL;
    int ret = http_response_open(&response);
    if (ret < 0)
        return err_set(e, ERR_ENV, -ret, "open");
    http_response_begin(response, false);
    return http_response_feed(response, answer, sizeof answer - 1, &used, e);
}

static void check_response(void *ctx)
{
    (void)ctx;
    assert_true(http_response_is_done(response) && http_response_keeps_alive(response));
    assert_int_equal(http_response_status(response), 200);
    assert_int_equal(http_response_interim(response), 100);
    assert_string_equal(http_response_header(response, "etag", NULL), "\"e\"");
    assert_string_equal(http_response_body(response)->data, "hello");
}

static void response_clean(void *ctx)
{
    (void)ctx;
    http_response_close(response);
}

static void test_responses(void **state)
{
    (void)state;
    alloc_fail_each(&(struct alloc_case){.name = "http_response",
                                         .run = run_response,
                                         .check = check_response,
                                         .clean = response_clean});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_responses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
