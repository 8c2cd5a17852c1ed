/* SPDX-License-Identifier: Apache-2.0 */
/* Settings, credentials, addresses, requests and answers when memory runs out. What must never
 * happen is a success that left something out: another endpoint, other credentials, a 200 whose
 * <Error> nobody saw. */
#include "../unit/config_env.h"

#include <errno.h>

#include "alloc_fail.h"
#include "hash/digest.h"
#include "hash/encode.h"
#include "http/aws_chunked.h"
#include "s3/address.h"
#include "s3/ini.h"
#include "s3/ops.h"
#include "s3/sigv4.h"
#include "s3/xml.h"

/* --- files --------------------------------------------------------------------------------------
 */

#define SERVICES                                                                                   \
    "[services s]\ns3 =\n  endpoint_url = http://store:1/\n  other = x\n[profile q]\nk = v\n"
#define CONFIG "[profile p]\nregion = eu-1\nservices = s\nca_bundle = /ca.pem\n" SERVICES
#define CREDENTIALS                                                                                \
    "[p]\naws_access_key_id = AKID\naws_secret_access_key = hunter2\naws_session_token = tok\n"

static struct buf entries;

static int collect(void *ctx, const char *section, const char *key, const char *value)
{
    (void)ctx;
    static char line[256]; /* the test's own allocations are not to fail */
    int n = snprintf(line, sizeof line, "[%s]%s=%s;", section, key ? key : "", value ? value : "");
    assert_true(entries.len + (size_t)n < entries.ceiling);
    memcpy(entries.data + entries.len, line, (size_t)n + 1);
    entries.len += (size_t)n;
    return 0;
}

static int run_ini(void *ctx, struct err *e)
{
    static char bytes[1024];
    entries = (struct buf){.data = bytes, .ceiling = sizeof bytes};
    bytes[0] = 0;
    return ctx ? ini_read(ctx, collect, NULL, e)
               : ini_parse("f", CONFIG "  w\n", strlen(CONFIG "  w\n"), collect, NULL, e);
}

static void check_ini(void *ctx)
{
    (void)ctx;
    assert_non_null(strstr(entries.data, "[profile p]=;[profile p]region=eu-1;"));
    assert_non_null(strstr(entries.data, "[services s]s3.endpoint_url=http://store:1/;"));
    assert_non_null(strstr(entries.data, "[profile q]k=v"));
}

static void clean_nothing(void *ctx)
{
    (void)ctx;
}

static void test_ini(void **state)
{
    (void)state;
    start(CONFIG, CREDENTIALS);
    alloc_fail_each(&(struct alloc_case){
        .name = "ini_parse", .run = run_ini, .check = check_ini, .clean = clean_nothing});
    char path[128];
    snprintf(path, sizeof path, "%s", home_path(".aws/config"));
    alloc_fail_each(&(struct alloc_case){.name = "ini_read",
                                         .run = run_ini,
                                         .check = check_ini,
                                         .clean = clean_nothing,
                                         .ctx = path});
}

/* A value that goes on over lines, and a key whose sub-keys are all that is wanted. */
static void check_long(void *ctx)
{
    (void)ctx;
    assert_string_equal(entries.data, "[a]=;[a]k=v\nw;[a]s3.l=m;");
}

static int run_long(void *ctx, struct err *e)
{
    static const char text[] = "[a]\nk = v\n  w\ns3 =\n  l = m\n";
    static char bytes[256];
    (void)ctx;
    entries = (struct buf){.data = bytes, .ceiling = sizeof bytes};
    bytes[0] = 0;
    return ini_parse("f", text, sizeof text - 1, collect, NULL, e);
}

static void test_continued_lines(void **state)
{
    (void)state;
    alloc_fail_each(&(struct alloc_case){.name = "ini_parse, continued lines",
                                         .run = run_long,
                                         .check = check_long,
                                         .clean = clean_nothing});
}

/* --- settings and credentials -------------------------------------------------------------------
 */

static struct config config;
static struct credentials credentials;

static int run_config(void *ctx, struct err *e)
{
    const struct config_options options = {.profile = "p"};
    (void)ctx;
    return config_load(&config, &options, env_get, e);
}

static void check_config(void *ctx)
{
    (void)ctx;
    assert_string_equal(config.profile, "p");
    assert_string_equal(config.region, "eu-1");
    assert_string_equal(config.endpoint_url, "http://store:1/");
    assert_string_equal(config.ca_bundle, "/ca.pem");
    assert_string_equal(config.config_path, home_path(".aws/config"));
    assert_string_equal(config.credentials_path, home_path(".aws/credentials"));
}

static void config_clean(void *ctx)
{
    (void)ctx;
    config_free(&config);
}

static void test_config(void **state)
{
    (void)state;
    start(CONFIG, CREDENTIALS);
    alloc_fail_each(&(struct alloc_case){
        .name = "config_load", .run = run_config, .check = check_config, .clean = config_clean});
}

/* Without HOME the home directory is looked up. */
static int run_passwd(void *ctx, struct err *e)
{
    const struct config_options options = {.region = "r"};
    (void)ctx;
    return config_load(&config, &options, env_get, e);
}

static void check_passwd(void *ctx)
{
    assert_non_null(config.config_path);
    assert_string_equal(config.config_path, ctx);
}

static void test_home_directory(void **state)
{
    (void)state;
    struct err e;
    env_count = 0;
    assert_int_equal(run_passwd(NULL, &e), 0);
    assert_non_null(config.config_path);
    char path[256];
    snprintf(path, sizeof path, "%s", config.config_path);
    config_clean(NULL);
    alloc_fail_each(&(struct alloc_case){.name = "config_load without HOME",
                                         .run = run_passwd,
                                         .check = check_passwd,
                                         .clean = config_clean,
                                         .ctx = path});
}

static int run_credentials(void *ctx, struct err *e)
{
    (void)ctx;
    return credentials_load(&config, env_get, &credentials, e);
}

static void check_credentials(void *ctx)
{
    assert_string_equal(credentials.access_key_id, "AKID");
    assert_string_equal(credentials.secret_access_key, "hunter2");
    assert_string_equal(credentials.session_token, "tok");
    assert_string_equal(credentials.provider, ctx);
}

static void credentials_clean(void *ctx)
{
    (void)ctx;
    credentials_free(&credentials);
}

static void test_credentials(void **state)
{
    (void)state;
    static char shared[] = "shared credentials file", environment[] = "environment";
    struct alloc_case c = {.name = "credentials_load from a file",
                           .run = run_credentials,
                           .check = check_credentials,
                           .clean = credentials_clean,
                           .ctx = shared};
    struct err e;
    start(CONFIG, CREDENTIALS);
    assert_int_equal(run_config(NULL, &e), 0);
    alloc_fail_each(&c);

    env_set("AWS_ACCESS_KEY_ID", "AKID");
    env_set("AWS_SECRET_ACCESS_KEY", "hunter2");
    env_set("AWS_SESSION_TOKEN", "tok");
    config.profile_by_option = false;
    c.name = "credentials_load from the environment";
    c.ctx = environment;
    alloc_fail_each(&c);
    config_clean(NULL);
}

/* --- addresses and requests ---------------------------------------------------------------------
 */

static struct s3_object object;
static struct s3_address address;
static struct http_request request;

static int run_address(void *ctx, struct err *e)
{
    (void)ctx;
    return s3_address_make(&address, "http://h:9/p", NULL, S3_ADDRESSING_PATH, &object, e);
}

static void check_address(void *ctx)
{
    (void)ctx;
    assert_string_equal(address.host_header.data, "h:9");
    assert_string_equal(address.path.data, "/p/bucket/a%20key");
}

static void address_clean(void *ctx)
{
    (void)ctx;
    s3_address_free(&address);
}

static void test_address(void **state)
{
    (void)state;
    assert_int_equal(s3_object_set(&object, "bucket", "a key", NULL), 0);
    alloc_fail_each(&(struct alloc_case){.name = "s3_address_make",
                                         .run = run_address,
                                         .check = check_address,
                                         .clean = address_clean});
}

static const struct credentials signer = {.access_key_id = (char[]){"AKID"},
                                          .secret_access_key = (char[]){"hunter2"},
                                          .session_token = (char[]){"token"}};
static struct buf head, right_head;

/* ctx: "PUT", "HEAD", or "unsigned PUT" */
static int run_request(void *ctx, struct err *e)
{
    const char *what = ctx;
    const struct s3_client client = {
        .credentials = *what == 'u' ? NULL : &signer, .region = "us-east-1", .user_agent = "test"};
    struct aws_chunked body;
    aws_chunked_init(&body, BODY_CHUNKED, 20000, AWS_CHUNK_BYTES_MIN, S3_TRAILER_NAME, 44);
    const struct s3_put put = {
        .integrity = S3_INTEGRITY_TRAILER, .body = &body, .expect_continue = true};
    buf_init(&head, HTTP_REQUEST_BYTES_MAX);
    int ret = *what == 'H' ? s3_head_request(&request, &client, &address, 1369353600, e)
                           : s3_put_request(&request, &client, &address, &put, 1369353600, e);
    if (ret < 0)
        return ret;
    ret = http_request_write(&request, &head);
    return ret < 0 ? err_set(e, ERR_ENV, -ret, "write") : 0;
}

static void check_request(void *ctx)
{
    (void)ctx;
    assert_string_equal(head.data, right_head.data);
}

static void request_clean(void *ctx)
{
    (void)ctx;
    http_request_free(&request);
    buf_free(&head);
}

static void test_requests(void **state)
{
    (void)state;
    static char whats[][16] = {"PUT", "HEAD", "unsigned PUT"};
    struct err e;
    assert_int_equal(run_address(NULL, &e), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(run_request(whats[i], &e), 0);
        buf_init(&right_head, HTTP_REQUEST_BYTES_MAX);
        buf_add(&right_head, head.data, head.len);
        assert_int_equal(!strstr(head.data, "authorization: AWS4"), i == 2);
        request_clean(NULL);
        alloc_fail_each(&(struct alloc_case){.name = whats[i],
                                             .run = run_request,
                                             .check = check_request,
                                             .clean = request_clean,
                                             .ctx = whats[i]});
        buf_free(&right_head);
    }
    address_clean(NULL);
}

/* --- answers ------------------------------------------------------------------------------------
 */

static struct http_response *response;
static struct s3_object_info info;
static struct err told;

static void answer_set(const char *text)
{
    struct err e;
    size_t used;
    assert_int_equal(http_response_open(&response), 0);
    assert_int_equal(http_response_feed(response, text, strlen(text), &used, &e), 0);
    assert_int_equal(http_response_feed_eof(response, &e), 0);
}

/* A 2xx with an <Error> is a failure; without memory nobody can say that it has none. */
static int run_info(void *ctx, struct err *e)
{
    (void)ctx;
    int ret = s3_object_info_read(response, "PUT s3://b/k", &info, e);
    told = *e;
    return ret == -EREMOTEIO ? 0 : ret;
}

static void check_info(void *ctx)
{
    (void)ctx;
    expect_word(&told, ERR_STORE, "InternalError: try");
}

static int run_refusal(void *ctx, struct err *e)
{
    (void)ctx;
    int ret = s3_refusal(response, "PUT s3://b/k", 0, e);
    told = *e;
    assert_true(ret < 0);
    assert_non_null(strstr(e->text, "refused with 403"));
    return ret == -EACCES ? 0 : ret;
}

static void check_refusal(void *ctx)
{
    (void)ctx;
    expect_word(&told, ERR_STORE, "403 AccessDenied: no (request id 7)");
}

static void test_answers(void **state)
{
    (void)state;
    answer_set("HTTP/1.1 200 OK\r\n\r\n"
               "<Error><Code>InternalError</Code><Message>try</Message></Error>");
    alloc_fail_each(&(struct alloc_case){.name = "s3_object_info_read",
                                         .run = run_info,
                                         .check = check_info,
                                         .clean = clean_nothing});
    http_response_close(response);
    answer_set("HTTP/1.1 403 Forbidden\r\n\r\n<Error><Code>AccessDenied</Code>"
               "<Message>no</Message><RequestId>7</RequestId></Error>");
    alloc_fail_each(&(struct alloc_case){
        .name = "s3_refusal", .run = run_refusal, .check = check_refusal, .clean = clean_nothing});
    http_response_close(response);
}

/* --- digests ------------------------------------------------------------------------------------
 */

static uint8_t digest[SHA256_BYTES];

static int run_digest(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return digest_sha256("abc", 3, digest);
}

static void check_digest(void *ctx)
{
    char hex[SHA256_HEX_SIZE];
    encode_hex(digest, sizeof digest, hex);
    assert_string_equal(hex, ctx);
}

static int run_hmac(void *ctx, struct err *e)
{
    (void)ctx;
    (void)e;
    return digest_hmac_sha256("key", 3, "abc", 3, digest);
}

static void test_digests(void **state)
{
    (void)state;
    static char sha[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    static char hmac[] = "9c196e32dc0175f86f4b1cb89289d6619de6bee699e4c378e68309ed97a1a6ab";
    struct alloc_case c = {.name = "digest_sha256",
                           .run = run_digest,
                           .check = check_digest,
                           .clean = clean_nothing,
                           .ctx = sha,
                           .without_err = true};
    alloc_fail_each(&c);
    c.name = "digest_hmac_sha256";
    c.run = run_hmac;
    c.ctx = hmac;
    alloc_fail_each(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),         cmocka_unit_test(test_ini),
        cmocka_unit_test(test_continued_lines), cmocka_unit_test(test_config),
        cmocka_unit_test(test_home_directory),  cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_address),         cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, home_make, home_remove);
}
