/* SPDX-License-Identifier: Apache-2.0 */
/* Error documents of real stores, and what is no error document. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "s3/xml.h"

#define DECLARATION "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"

static bool parse(struct xml_error *out, const char *text, size_t n)
{
    char *copy = malloc(n ? n : 1); /* for ASan */
    assert_non_null(copy);
    memcpy(copy, text, n);
    memset(out, 'x', sizeof *out);
    bool found = xml_error_parse(out, copy, n);
    free(copy);
    if (!found) {
        static const struct xml_error nothing;
        assert_memory_equal(out, &nothing, sizeof nothing);
    }
    return found;
}

static const struct {
    const char *text, *code, *message, *request_id, *region, *server_time;
} good[] = {
    /* AWS */
    {DECLARATION
     "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization header "
     "is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message>"
     "<Region>eu-west-1</Region><RequestId>4442587FB7D0A2F9</RequestId>"
     "<HostId>abc=</HostId></Error>",
     "AuthorizationHeaderMalformed",
     "The authorization header is malformed; the region 'us-east-1' is wrong; expecting "
     "'eu-west-1'",
     "4442587FB7D0A2F9", "eu-west-1", ""},
    {DECLARATION "<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the "
                 "request time and the current time is too large.</Message><RequestTime>"
                 "20240101T000000Z</RequestTime><ServerTime>2024-01-01T01:00:00Z</ServerTime>"
                 "<MaxAllowedSkewMilliseconds>900000</MaxAllowedSkewMilliseconds></Error>",
     "RequestTimeTooSkewed",
     "The difference between the request time and the current time is too large.", "", "",
     "2024-01-01T01:00:00Z"},
    /* Ceph RGW: no message */
    {"<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchBucket</Code><Message></Message>"
     "<BucketName>b</BucketName><RequestId>tx0000-default</RequestId><HostId>1-x</HostId></Error>",
     "NoSuchBucket", "", "tx0000-default", "", ""},
    /* Swift: apostrophes in the declaration, line breaks */
    {"<?xml version='1.0' encoding='UTF-8'?>\n<Error>\n  <Code>\n BadDigest </Code>\n"
     "<Message>a &lt;b&gt; &amp;&#x20;&#99;</Message><RequestId>tx1</RequestId></Error>\n",
     "BadDigest", "a <b> & c", "tx1", "", ""},
    /* the wrapper of other AWS services, prefixes, a namespace */
    {"<ErrorResponse><Error><Type>Sender</Type><Code>X</Code></Error><RequestId>r</RequestId>"
     "</ErrorResponse>",
     "X", "", "", "", ""},
    {"<s:Error xmlns:s=\"http://s3.amazonaws.com/doc/2006-03-01/\"><s:Code>X</s:Code></s:Error>",
     "X", "", "", "", ""},
    {"<Error xmlns=\"urn:x\"><Code><![CDATA[a<b]]></Code></Error>", "a<b", "", "", "", ""},
    /* the first one holds; what is nested deeper is something else */
    {"<Error><Detail><Code>no</Code></Detail><Code>yes</Code><Code>late</Code></Error>", "yes", "",
     "", "", ""},
    {"<Error><Code>A<b>no</b>no</Code></Error>", "A", "", "", "", ""},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct xml_error out;
        if (!parse(&out, good[i].text, strlen(good[i].text)))
            fail_msg("not read: %s", good[i].text);
        assert_string_equal(out.code, good[i].code);
        assert_string_equal(out.message, good[i].message);
        assert_string_equal(out.request_id, good[i].request_id);
        assert_string_equal(out.region, good[i].region);
        assert_string_equal(out.server_time, good[i].server_time);
    }
}

static const char *const bad[] = {
    "",
    " ",
    "Not found",
    "{\"Code\": \"X\"}",
    "<html><head><title>502</title></head><body>x</body></html>",
    "<!DOCTYPE html><Error><Code>X</Code></Error>",
    "<!DOCTYPE Error [<!ENTITY a \"b\">]><Error><Code>&a;</Code></Error>",
    "<!DOCTYPE Error SYSTEM \"file:///etc/passwd\"><Error><Code>X</Code></Error>",
    "<Error><Code>&a;</Code></Error>",
    "<Error></Error>",
    "<Error/>",
    "<Error><Code/></Error>",
    "<Error><Code> \n </Code></Error>",
    "<Error><Message>x</Message></Error>",
    "<error><code>X</code></error>",
    "<Other><Error><Code>X</Code></Error></Other>",
    "<ErrorResponse><a><Error><Code>X</Code></Error></a></ErrorResponse>",
    "<ErrorResponse><Code>X</Code></ErrorResponse>",
    "<Error><Code>X</Code>",
    "<Error><Code>X</Code></Error><Error/>",
    "<Error><Code>X</Code></Error>junk",
    "<Error><Code>X</Message></Error>",
    "<Error><Code>\xff</Code></Error>",
    "<Error><Code>X</Code>\x01</Error>",
    "<?xml version=\"1.0\" encoding=\"no-such\"?><Error><Code>X</Code></Error>",
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct xml_error out;
        if (parse(&out, bad[i], strlen(bad[i])))
            fail_msg("read: %s", bad[i]);
    }
    struct xml_error out;
    static const char nul[] = "<Error><Code>X\0</Code></Error>";
    assert_false(parse(&out, nul, sizeof nul - 1));
}

/* Every truncation of a document is none. */
static void test_prefixes(void **state)
{
    (void)state;
    struct xml_error out;
    for (size_t n = 0; n < strlen(good[0].text); n++)
        assert_false(parse(&out, good[0].text, n));
}

static void test_depth(void **state)
{
    (void)state;
    for (int depth = XML_DEPTH_MAX; depth <= XML_DEPTH_MAX + 1; depth++) {
        struct xml_error out;
        struct buf text;
        buf_init(&text, 4096);
        buf_add_str(&text, "<Error><Code>X</Code>");
        for (int i = 1; i < depth; i++)
            buf_add_str(&text, "<a>");
        for (int i = 1; i < depth; i++)
            buf_add_str(&text, "</a>");
        buf_add_str(&text, "</Error>");
        assert_int_equal(parse(&out, text.data, text.len), depth <= XML_DEPTH_MAX);
        buf_free(&text);
    }
}

static void test_long_text(void **state)
{
    (void)state;
    struct xml_error out;
    struct buf text;
    buf_init(&text, 256 * 1024);
    buf_add_str(&text, "<Error><Code>C</Code><Message>");
    for (int i = 0; i < 50000; i++)
        buf_add_str(&text, i == 254 ? "\xe2\x82\xac" : "m"); /* would be cut in its middle */
    buf_add_str(&text, "</Message><RequestId>r</RequestId></Error>");
    assert_true(parse(&out, text.data, text.len));
    assert_int_equal(strlen(out.message), 254);
    assert_int_equal(strspn(out.message, "m"), 254);
    assert_string_equal(out.request_id, "r");
    buf_free(&text);
}

static void test_random(void **state)
{
    (void)state;
    uint32_t seed = 7;
    size_t found = 0;
    for (int i = 0; i < 20000; i++) {
        char text[600];
        size_t n = strlen(good[i % 5].text);
        memcpy(text, good[i % 5].text, n);
        for (int changes = i % 4; changes; changes--) {
            seed = seed * 1664525 + 1013904223;
            text[(seed >> 8) % n] = (char)(i % 2 ? "<>&;/!\0\xff"[seed >> 29] : (int)(seed >> 24));
        }
        struct xml_error out;
        found += parse(&out, text, n);
    }
    assert_true(found > 5000 && found < 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),      cmocka_unit_test(test_bad),
        cmocka_unit_test(test_prefixes),  cmocka_unit_test(test_depth),
        cmocka_unit_test(test_long_text), cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
