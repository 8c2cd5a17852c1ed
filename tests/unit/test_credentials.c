/* SPDX-License-Identifier: Apache-2.0 */
/* The chain of credential providers. */
#include <errno.h>

#include "config_env.h"

#define PAIR(x) "aws_access_key_id = id-" x "\naws_secret_access_key = secret-" x "\n"

static const struct config_options no_options;

static int load(const struct config_options *options, struct credentials *out, struct err *e)
{
    struct config c;
    if (config_load(&c, options, env_get, e) != 0)
        fail_msg("%s", e->text);
    int ret = credentials_load(&c, env_get, out, e);
    config_free(&c);
    return ret;
}

static void expect(const struct config_options *options, const char *provider, const char *id,
                   const char *secret, const char *token)
{
    struct credentials c;
    struct err e = {0};
    if (load(options, &c, &e) != 0)
        fail_msg("%s", e.text);
    assert_string_equal(c.provider, provider);
    assert_string_equal(c.access_key_id, id);
    assert_string_equal(c.secret_access_key, secret);
    if (token)
        assert_string_equal(c.session_token, token);
    else
        assert_null(c.session_token);
    credentials_free(&c);
    assert_null(c.access_key_id);
    credentials_free(&c);
}

static void expect_refusal(const struct config_options *options, const char *word)
{
    struct credentials c;
    struct err e = {0};
    assert_true(load(options, &c, &e) < 0);
    expect_word(&e, ERR_USAGE, word);
    assert_null(strstr(e.text, "secret-"));
    assert_null(c.access_key_id);
    assert_null(c.secret_access_key);
    assert_null(c.session_token);
}

static void test_order(void **state)
{
    (void)state;
    start("[default]\n" PAIR("config"), NULL);
    expect(&no_options, "config file", "id-config", "secret-config", NULL);
    home_write(".aws/credentials", "[default]\n" PAIR("shared") "aws_session_token = t/+=\n");
    expect(&no_options, "shared credentials file", "id-shared", "secret-shared", "t/+=");
    env_set("AWS_ACCESS_KEY_ID", "id-env");
    env_set("AWS_SECRET_ACCESS_KEY", "secret-env");
    expect(&no_options, "environment", "id-env", "secret-env", NULL);
    env_set("AWS_SESSION_TOKEN", "token-env");
    expect(&no_options, "environment", "id-env", "secret-env", "token-env");
    /* A profile by environment does not hide them, one by option does. */
    env_set("AWS_PROFILE", "default");
    expect(&no_options, "environment", "id-env", "secret-env", "token-env");
    struct config_options o = {.profile = "default"};
    expect(&o, "shared credentials file", "id-shared", "secret-shared", "t/+=");
    env_set("AWS_ACCESS_KEY_ID", "");
    env_set("AWS_SECRET_ACCESS_KEY", "");
    expect(&no_options, "shared credentials file", "id-shared", "secret-shared", "t/+=");
}

static void test_profiles_do_not_mix(void **state)
{
    (void)state;
    struct config_options a = {.profile = "a"}, b = {.profile = "b"};
    start("[profile b]\nregion = r\n[profile a]\n" PAIR("config-a"), "[default]\n" PAIR("default"));
    expect(&a, "config file", "id-config-a", "secret-config-a", NULL);
    expect_refusal(&b, "no credentials: looked for profile 'b' in");
    expect_refusal(&b, home_path(".aws/credentials"));
    home_write(".aws/credentials", "[default]\n" PAIR("default") "[b]\n" PAIR("b") PAIR("b2"));
    expect(&b, "shared credentials file", "id-b2", "secret-b2", NULL);
}

/* Half a pair ends the chain: nothing else is used in its place. */
static void test_half_pairs(void **state)
{
    (void)state;
    start(NULL, "[default]\n" PAIR("shared"));
    env_set("AWS_ACCESS_KEY_ID", "id");
    expect_refusal(&no_options, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not");
    start(NULL, "[default]\n" PAIR("shared"));
    env_set("AWS_SECRET_ACCESS_KEY", "secret-x");
    expect_refusal(&no_options, "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not");

    start("[default]\n" PAIR("config"), "[default]\naws_access_key_id = x\n");
    expect_refusal(&no_options, "aws_access_key_id is set and aws_secret_access_key is not");
    expect_refusal(&no_options, home_path(".aws/credentials"));
    start("[default]\n" PAIR("config"), "[default]\n" PAIR("a") "aws_access_key_id =\n");
    expect_refusal(&no_options, "aws_secret_access_key is set and aws_access_key_id is not");
    start("[default]\naws_secret_access_key = secret-x\n", NULL);
    expect_refusal(&no_options, home_path(".aws/config"));

    /* A token alone is nothing. */
    start("[default]\n" PAIR("config"), "[default]\naws_session_token = t\n");
    env_set("AWS_SESSION_TOKEN", "u");
    expect(&no_options, "config file", "id-config", "secret-config", NULL);
}

static void test_characters(void **state)
{
    (void)state;
    start(NULL, NULL);
    env_set("AWS_ACCESS_KEY_ID", "id");
    env_set("AWS_SECRET_ACCESS_KEY", "secret-x\n");
    expect_refusal(&no_options, "AWS_SECRET_ACCESS_KEY has a space, a line end");
    env_set("AWS_SECRET_ACCESS_KEY", "secret-x");
    env_set("AWS_ACCESS_KEY_ID", " id");
    expect_refusal(&no_options, "AWS_ACCESS_KEY_ID has a space");
    env_set("AWS_ACCESS_KEY_ID", "id");
    env_set("AWS_SESSION_TOKEN", "secret-t\xc3\xa4");
    expect_refusal(&no_options, "AWS_SESSION_TOKEN has a space");
    start(NULL, "[default]\n" PAIR("a") "  secret-going-on\n");
    expect_refusal(&no_options, "aws_secret_access_key has a space");
}

/* Long lines, as session tokens are */
static void test_long_token(void **state)
{
    (void)state;
    static char token[6001], text[7000];
    memset(token, 't', 6000);
    snprintf(text, sizeof text, "[default]\n" PAIR("a") "aws_session_token = %s\n", token);
    start(NULL, text);
    expect(&no_options, "shared credentials file", "id-a", "secret-a", token);
}

static void test_unsupported(void **state)
{
    (void)state;
    static const char *const keys[] = {"role_arn",      "web_identity_token_file",
                                       "sso_session",   "sso_start_url",
                                       "login_session", "credential_process"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char text[200];
        snprintf(text, sizeof text, "[default]\n%s = x\n", keys[i]);
        start(text, NULL);
        expect_refusal(&no_options, keys[i]);
        expect_refusal(&no_options, "not supported");
        /* The AWS tools run a process before they look into the config file ... */
        snprintf(text, sizeof text, "[default]\n%s = x\n" PAIR("config"), keys[i]);
        start(text, NULL);
        expect_refusal(&no_options, keys[i]);
        /* ... but after the credentials file, and the rest before. */
        home_write(".aws/credentials", "[default]\n" PAIR("shared"));
        if (strcmp(keys[i], "credential_process") == 0)
            expect(&no_options, "shared credentials file", "id-shared", "secret-shared", NULL);
        else
            expect_refusal(&no_options, keys[i]);
        env_set("AWS_ACCESS_KEY_ID", "id-env");
        env_set("AWS_SECRET_ACCESS_KEY", "secret-env");
        expect(&no_options, "environment", "id-env", "secret-env", NULL);
    }
    /* Another profile's are nothing to this one. */
    struct config_options a = {.profile = "a"};
    start("[default]\nrole_arn = x\n[profile a]\n" PAIR("a"), NULL);
    expect(&a, "config file", "id-a", "secret-a", NULL);

    start(NULL, "[default]\n" PAIR("shared"));
    env_set("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token");
    expect_refusal(&no_options, "AWS_WEB_IDENTITY_TOKEN_FILE");
    struct config_options o = {.profile = "default"};
    expect(&o, "shared credentials file", "id-shared", "secret-shared", NULL);
}

static void test_none(void **state)
{
    (void)state;
    start(NULL, NULL);
    expect_refusal(&no_options, "no credentials: looked in the environment and for profile "
                                "'default' in");
    expect_refusal(&no_options, home_path(".aws/config"));
    expect_refusal(&no_options, "set AWS_ACCESS_KEY_ID");
    expect_refusal(&no_options, "--no-sign-request");
}

/* A file that breaks between the two readings must not look like one without credentials. */
static void test_broken_file(void **state)
{
    (void)state;
    struct config c;
    struct credentials out;
    struct err e = {0};
    start("[default]\n" PAIR("config"), NULL);
    assert_int_equal(config_load(&c, &no_options, env_get, &e), 0);
    home_write(".aws/credentials", "[default]\nsecret-x\n");
    assert_int_equal(credentials_load(&c, env_get, &out, &e), -EINVAL);
    expect_word(&e, ERR_USAGE, ".aws/credentials, line 2");
    assert_null(strstr(e.text, "secret-x"));
    config_free(&c);
}

static void masked(const struct credentials *c, const char *text, const char *expected)
{
    char copy[200];
    snprintf(copy, sizeof copy, "%s", text);
    credentials_mask(c, copy);
    assert_string_equal(copy, expected);
}

static void test_masks(void **state)
{
    (void)state;
    char id[] = "id-id-id-id", secret[] = "secretsecret", token[] = "token12345";
    struct credentials c = {
        .access_key_id = id, .secret_access_key = secret, .session_token = token};
    masked(&c, "", "");
    masked(&c, "id-id-id-id of secretsecret", "id-id-id-id of ************");
    masked(&c, "token12345token12345, token12345", "********************, **********");
    masked(&c, "cut off: token123...", "cut off: ***********");
    masked(&c, "cut off: token12...", "cut off: token12...");
    masked(&c, "ttoken12345", "t**********");
    masked(&c, "AWS4-HMAC-SHA256 Credential=a, Signature=0af; try again",
           "********************************************; try again");
    masked(&c, "AWS4-HMAC-SHA256 Credential=a, Signa", "************************************");
    masked(&c, "please use AWS4-HMAC-SHA256", "please use AWS4-HMAC-SHA256");
    masked(&(struct credentials){0}, "secretsecret", "secretsecret");
}

/* Percent-encoded, escaped for XML or JSON: from its first special character on it is another text,
 * and no less secret. */
static void test_masks_what_is_encoded(void **state)
{
    (void)state;
    char token[] = "IQoJb3JpZ2luX2Vj+AAAABBBB/CCCCDDDD";
    struct credentials c = {.session_token = token};
    masked(&c, "token=IQoJb3JpZ2luX2Vj%2BAAAABBBB%2FCCCCDDDD, no",
           "token=**************************************, no");
    masked(&c, "<T>IQoJb3JpZ2luX2Vj&#43;AAAABBBB/CCCCDDDD</T>",
           "<T>**************************************</T>");
    masked(&c, "\"IQoJb3JpZ2luX2Vj+AAAABBBB\\/CCCCDDDD\"; 'IQoJb3JpZ2lu' IQoJb3Jp",
           "\"***********************************\"; '************' ********");
    masked(&c, "IQoJb3JpZ2luX2Vj+AAAABBBB/CCCCDDDD: expired",
           "**********************************: expired");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),       cmocka_unit_test(test_profiles_do_not_mix),
        cmocka_unit_test(test_half_pairs),  cmocka_unit_test(test_characters),
        cmocka_unit_test(test_long_token),  cmocka_unit_test(test_unsupported),
        cmocka_unit_test(test_masks),       cmocka_unit_test(test_none),
        cmocka_unit_test(test_broken_file), cmocka_unit_test(test_masks_what_is_encoded),
    };
    return cmocka_run_group_tests(tests, home_make, home_remove);
}
