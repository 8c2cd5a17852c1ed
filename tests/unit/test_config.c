/* SPDX-License-Identifier: Apache-2.0 */
/* Settings: option, environment, files, in the order of the AWS tools. */
#include <errno.h>

#include "config_env.h"

static const struct config_options no_options;

static void load(struct config *c, const struct config_options *options)
{
    struct err e = {0};
    if (config_load(c, options, env_get, &e) != 0)
        fail_msg("%s", e.text);
}

static void expect_refusal(const struct config_options *options, enum err_class class,
                           const char *word)
{
    struct config c;
    struct err e = {0};
    assert_true(config_load(&c, options, env_get, &e) < 0);
    expect_word(&e, class, word);
    config_free(&c);
}

static void expect_endpoint(const struct config_options *options, const char *url)
{
    struct config c;
    load(&c, options);
    if (url)
        assert_string_equal(c.endpoint_url, url);
    else
        assert_null(c.endpoint_url);
    config_free(&c);
}

static void expect_region(const struct config_options *options, const char *region)
{
    struct config c;
    load(&c, options);
    if (region)
        assert_string_equal(c.region, region);
    else
        assert_null(c.region);
    config_free(&c);
}

static void test_nothing_set(void **state)
{
    (void)state;
    struct config c;
    start(NULL, NULL);
    load(&c, &no_options);
    assert_string_equal(c.profile, "default");
    assert_false(c.profile_by_option);
    assert_null(c.region);
    assert_null(c.endpoint_url);
    assert_null(c.ca_bundle);
    assert_string_equal(c.config_path, home_path(".aws/config"));
    assert_string_equal(c.credentials_path, home_path(".aws/credentials"));
    config_free(&c);
    config_free(&c);
}

/* Each source hides the ones below it. */
static void test_region_order(void **state)
{
    (void)state;
    struct config_options o = {.region = "by-option"};
    start("[default]\nregion = by-config\n", NULL);
    expect_region(&no_options, "by-config");
    home_write(".aws/credentials", "[default]\nregion = by-credentials\n");
    expect_region(&no_options, "by-credentials");
    env_set("AWS_DEFAULT_REGION", "by-default-variable");
    expect_region(&no_options, "by-default-variable");
    env_set("AWS_REGION", "by-variable");
    expect_region(&no_options, "by-variable");
    expect_region(&o, "by-option");
    env_set("AWS_REGION", "");
    expect_region(&no_options, "by-default-variable");
}

static void test_region_characters(void **state)
{
    (void)state;
    start("[default]\nregion = a/b\n", NULL);
    expect_refusal(&no_options, ERR_USAGE, "region 'a/b'");
    home_write(".aws/config", "[default]\nregion = a\n  b\n");
    expect_refusal(&no_options, ERR_USAGE, "region 'a?b'");
    home_write(".aws/config", "[default]\nregion =\n");
    expect_region(&no_options, NULL);
    char text[100] = "[default]\nregion = ";
    size_t n = strlen(text);
    memset(text + n, 'r', 64);
    home_write(".aws/config", text);
    expect_refusal(&no_options, ERR_USAGE, "at most 63");
    text[n + 63] = 0;
    home_write(".aws/config", text);
    expect_region(&no_options, text + n);
}

static void test_endpoint_order(void **state)
{
    (void)state;
    struct config_options o = {.endpoint_url = "http://option"};
    start("[services my]\nec2 =\n  endpoint_url = http://wrong\ns3 =\n  endpoint_url = "
          "http://services\n"
          "[default]\nendpoint_url = http://profile\n",
          NULL);
    expect_endpoint(&no_options, "http://profile");
    home_write(".aws/config", "[services my]\ns3 =\n  endpoint_url = http://services\n[default]\n"
                              "services = my\nendpoint_url = http://profile\n");
    expect_endpoint(&no_options, "http://services");
    env_set("AWS_ENDPOINT_URL", "http://variable");
    expect_endpoint(&no_options, "http://variable");
    env_set("AWS_ENDPOINT_URL_S3", "http://s3-variable");
    expect_endpoint(&no_options, "http://s3-variable");
    expect_endpoint(&o, "http://option");

    env_set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "false");
    expect_endpoint(&no_options, "http://s3-variable");
    env_set("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True");
    expect_endpoint(&no_options, NULL);
    expect_endpoint(&o, "http://option");
    start("[default]\nignore_configured_endpoint_urls = true\nendpoint_url = http://profile\n",
          NULL);
    expect_endpoint(&no_options, NULL);
}

static void test_services_missing(void **state)
{
    (void)state;
    start("[services other]\ns3 =\n  endpoint_url = http://x\n[default]\nservices = my\n", NULL);
    expect_refusal(&no_options, ERR_USAGE, "services section 'my'");
    /* There, but without s3 */
    home_write(".aws/config", "[services my]\n[default]\nservices = my\nendpoint_url = http://p\n");
    expect_endpoint(&no_options, "http://p");
}

static void test_ca_bundle(void **state)
{
    (void)state;
    struct config c;
    struct config_options o = {.ca_bundle = "/option"};
    start("[default]\nca_bundle = /file\n", NULL);
    load(&c, &no_options);
    assert_string_equal(c.ca_bundle, "/file");
    config_free(&c);
    env_set("AWS_CA_BUNDLE", "/variable");
    load(&c, &no_options);
    assert_string_equal(c.ca_bundle, "/variable");
    config_free(&c);
    load(&c, &o);
    assert_string_equal(c.ca_bundle, "/option");
    config_free(&c);
}

static void test_profiles(void **state)
{
    (void)state;
    struct config_options a = {.profile = "a"}, quoted = {.profile = "two words"},
                          b = {.profile = "b"}, c = {.profile = "c"};
    start("[default]\nregion = of-default\n[profile a]\nregion = of-a\n[profile   \"two words\"]\n"
          "region = of-two\n[b]\nregion = not-a-profile\n[profilec]\nregion = neither\n",
          NULL);
    expect_region(&no_options, "of-default");
    expect_region(&a, "of-a");
    expect_region(&quoted, "of-two");
    expect_refusal(&b, ERR_USAGE, "profile 'b' is neither in");
    expect_refusal(&c, ERR_USAGE, "profile 'c' is neither in");
    env_set("AWS_PROFILE", "a");
    expect_region(&no_options, "of-a");
    expect_region(&quoted, "of-two");
    env_set("AWS_PROFILE", "b");
    expect_refusal(&no_options, ERR_USAGE, "profile 'b' is neither in");
    expect_refusal(&no_options, ERR_USAGE, home_path(".aws/config"));
    expect_refusal(&no_options, ERR_USAGE, home_path(".aws/credentials"));
    /* In the other file, where sections have no "profile" in front; there it may be empty. */
    home_write(".aws/credentials", "[profile c]\n[b]\n");
    expect_region(&no_options, NULL);
    expect_refusal(&c, ERR_USAGE, "profile 'c' is neither in");
    /* "default" by name must be there, too. */
    start(NULL, NULL);
    env_set("AWS_PROFILE", "default");
    expect_refusal(&no_options, ERR_USAGE, "profile 'default' is neither in");
    home_write(".aws/config", "[profile default]\nregion = r\n");
    expect_region(&no_options, "r");
}

static void test_paths(void **state)
{
    (void)state;
    struct config c;
    start("[default]\nregion = at-home\n", NULL);
    home_write("other", "[default]\nregion = in-other\n");
    env_set("AWS_CONFIG_FILE", home_path("other"));
    env_set("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    load(&c, &no_options);
    assert_string_equal(c.region, "in-other");
    assert_string_equal(c.config_path, home_path("other"));
    assert_string_equal(c.credentials_path, "/dev/null");
    config_free(&c);
    env_set("AWS_CONFIG_FILE", "~/other");
    expect_region(&no_options, "in-other");
    env_set("AWS_CONFIG_FILE", "");
    expect_region(&no_options, "at-home");
    /* Without HOME it is the user's of the password file. */
    env_count = 0;
    env_set("AWS_CONFIG_FILE", "/dev/null");
    load(&c, &no_options);
    assert_non_null(strstr(c.credentials_path, "/.aws/credentials"));
    assert_null(strstr(c.credentials_path, home));
    config_free(&c);
}

static void test_broken_files(void **state)
{
    (void)state;
    start("[default]\nregion = r\nhunter2\n", NULL);
    expect_refusal(&no_options, ERR_USAGE, ".aws/config, line 3");
    start(NULL, "[default\n");
    expect_refusal(&no_options, ERR_USAGE, ".aws/credentials, line 1");
    start(NULL, NULL);
    env_set("AWS_CONFIG_FILE", home);
    expect_refusal(&no_options, ERR_USAGE, home);
}

static void test_empty_options(void **state)
{
    (void)state;
    start(NULL, NULL);
    struct config_options o = {.profile = ""};
    expect_refusal(&o, ERR_USAGE, "--profile: its value is empty");
    o = (struct config_options){.region = ""};
    expect_refusal(&o, ERR_USAGE, "--region: its value is empty");
    o = (struct config_options){.endpoint_url = ""};
    expect_refusal(&o, ERR_USAGE, "--endpoint-url: its value is empty");
    o = (struct config_options){.ca_bundle = ""};
    expect_refusal(&o, ERR_USAGE, "--ca-bundle: its value is empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_set),       cmocka_unit_test(test_region_order),
        cmocka_unit_test(test_region_characters), cmocka_unit_test(test_endpoint_order),
        cmocka_unit_test(test_services_missing),  cmocka_unit_test(test_ca_bundle),
        cmocka_unit_test(test_profiles),          cmocka_unit_test(test_paths),
        cmocka_unit_test(test_broken_files),      cmocka_unit_test(test_empty_options),
    };
    return cmocka_run_group_tests(tests, home_make, home_remove);
}
