/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of the AWS tools' shared files. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "s3/ini.h"

/* Entries as text: "[section]", "[section]key=value", one a line. */
static int collect(void *ctx, const char *section, const char *key, const char *value)
{
    if (key)
        buf_addf(ctx, "[%s]%s=%s\n", section, key, value);
    else
        buf_addf(ctx, "[%s]\n", section);
    return 0;
}

/* From the heap without a NUL behind it, so that ASan sees a read beyond the end. */
static int parse(const char *text, size_t n, struct buf *out, struct err *e)
{
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    buf_init(out, 4 * 1024 * 1024);
    int ret = ini_parse("the file", copy, n, collect, out, e);
    free(copy);
    return ret;
}

static const struct {
    const char *text, *entries;
} good[] = {
    {"", ""},
    {"\n\n  \n\t\n# only\n; comments\n  # indented", ""},
    {"[default]", "[default]\n"},
    {"[default]\naws_access_key_id = AKID\naws_secret_access_key=abc/+=\n",
     "[default]\n[default]aws_access_key_id=AKID\n[default]aws_secret_access_key=abc/+=\n"},
    {"[ default ]\nRegion\t=  eu-1 \t\n", "[default]\n[default]region=eu-1\n"},
    {"[profile x] # said\nregion = a\n[profile x]\nregion = b",
     "[profile x]\n[profile x]region=a\n[profile x]\n[profile x]region=b\n"},
    {"\xef\xbb\xbf[default]\r\nk = v\r\n", "[default]\n[default]k=v\n"},
    /* no comments behind values */
    {"[a]\nk = v # w\nl = v;w", "[a]\n[a]k=v # w\n[a]l=v;w\n"},
    /* empty values, other delimiters */
    {"[a]\nk =\nl=\nm: n=o\nn=m:o", "[a]\n[a]k=\n[a]l=\n[a]m=n=o\n[a]n=m:o\n"},
    /* keys that are indented alike do not go on with each other */
    {"[a]\n  k = v\n  l = w\n m = x", "[a]\n[a]k=v\n[a]l=w\n[a]m=x\n"},
    /* sub-keys, with comments and blank lines between them */
    {"[services s]\ns3 =\n  endpoint_url = http://h:1/\n\n  # c\n\tRegion=r=s\nec2 =\n    x = y\n",
     "[services s]\n[services s]s3.endpoint_url=http://h:1/\n[services s]s3.region=r=s\n"
     "[services s]ec2.x=y\n"},
    {"[a]\ns3 =\n  k = v\n[b]\nk = v", "[a]\n[a]s3.k=v\n[b]\n[b]k=v\n"},
    /* a value that goes on */
    {"[a]\nk = v\n  w = x\n\n  y", "[a]\n[a]k=v\nw = x\ny\n"},
    {"[a]\nk = v\n  [b]\n", "[a]\n[a]k=v\n[b]\n"},
    {"[a]\n  [b]\nk=\xff\xfe", "[a]\n[b]\n[b]k=\xff\xfe\n"},
};

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        struct buf out;
        struct err e = {0};
        if (parse(good[i].text, strlen(good[i].text), &out, &e) != 0)
            fail_msg("%s: %s", good[i].text, e.text);
        assert_string_equal(out.data, good[i].entries);
        buf_free(&out);
    }
}

static const struct {
    const char *text, *word;
} bad[] = {
    {"k = hunter2", "the file, line 1: a key in front of the first [section]"},
    {"\n[a\nk = hunter2", "line 2: '[' without ']'"},
    {"[]\n", "line 1: a section without a name"},
    {"[ \t ]\n", "line 1: a section without a name"},
    {"[a] hunter2\n", "line 1: something behind ']'"},
    {"[a]\nhunter2\n", "line 2: neither [section] nor key = value"},
    {"[a]\n= hunter2\n", "line 2: no key in front of '='"},
    {"[a]\nk =\n hunter2\n", "line 3: an indented line that is not key = value"},
    {"[a]\nk =\n = hunter2\n", "line 3: no key in front of '='"},
    {"[a]\nk = hunter2\x01\n", "line 2: a control character"},
    {"[a]\nk = hunter2\x7f\n", "line 2: a control character"},
    {"[a]\nk = hunter2\rl = x\n", "line 2: a control character"},
    {"[a]\r\r\n", "line 1: a control character"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct buf out;
        struct err e = {0};
        if (parse(bad[i].text, strlen(bad[i].text), &out, &e) != -EINVAL)
            fail_msg("not refused: %s", bad[i].text);
        assert_int_equal(e.class, ERR_USAGE);
        if (!strstr(e.text, bad[i].word))
            fail_msg("'%s' is not in: %s", bad[i].word, e.text);
        assert_null(strstr(e.text, "hunter2")); /* a line may be a secret */
        buf_free(&out);
    }
    struct buf out;
    struct err e = {0};
    static const char nul[] = "[a]\nk = v\0w\n";
    assert_int_equal(parse(nul, sizeof nul - 1, &out, &e), -EINVAL);
    assert_non_null(strstr(e.text, "line 2: a control character"));
    buf_free(&out);
}

static void test_line_length(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        struct buf text, out;
        struct err e = {0};
        buf_init(&text, 64 * 1024);
        buf_add_str(&text, "[a]\nk=");
        for (size_t i = 0; i < INI_LINE_BYTES_MAX - 2 + over; i++)
            buf_add_str(&text, "v");
        buf_add_str(&text, "\r\n");
        assert_int_equal(parse(text.data, text.len, &out, &e), over ? -EINVAL : 0);
        if (over)
            assert_non_null(strstr(e.text, "the file, line 2: longer than 8 KiB"));
        else
            assert_int_equal(out.len, strlen("[a]\n[a]k=\n") + INI_LINE_BYTES_MAX - 2);
        buf_free(&text);
        buf_free(&out);
    }
}

static int stop_at_key(void *ctx, const char *section, const char *key, const char *value)
{
    (void)section;
    (void)value;
    ++*(int *)ctx;
    return key ? -EXDEV : 0;
}

static void test_callback_stops(void **state)
{
    (void)state;
    int calls = 0;
    static const char text[] = "[a]\nk = v\nl = w\n";
    assert_int_equal(ini_parse("x", text, sizeof text - 1, stop_at_key, &calls, NULL), -EXDEV);
    assert_int_equal(calls, 2);
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/test_ini.XXXXXX", path[64];
    struct buf out;
    struct err e = {0};
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/config", dir);
    buf_init(&out, 2 * INI_FILE_BYTES_MAX);

    assert_int_equal(ini_read(path, collect, &out, &e), -ENOENT);
    assert_string_equal(e.text, "");
    snprintf(path, sizeof path, "%s/config/below", dir);
    assert_int_equal(ini_read(path, collect, &out, &e), -ENOENT);
    assert_int_equal(ini_read("/dev/null", collect, &out, &e), 0);
    assert_int_equal(out.len, 0);

    assert_true(ini_read(dir, collect, &out, &e) < 0);
    assert_int_equal(e.class, ERR_USAGE);
    assert_non_null(strstr(e.text, dir));
    assert_non_null(strstr(e.text, "directory"));

    snprintf(path, sizeof path, "%s/config", dir);
    write_file(path, "[a]\nk = v", 9);
    assert_int_equal(ini_read(path, collect, &out, &e), 0);
    assert_string_equal(out.data, "[a]\n[a]k=v\n");
    write_file(path, "[a]\nk", 5);
    assert_int_equal(ini_read(path, collect, &out, &e), -EINVAL);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, "line 2"));

    char *big = malloc(INI_FILE_BYTES_MAX + 1);
    assert_non_null(big);
    memset(big, '\n', INI_FILE_BYTES_MAX + 1);
    write_file(path, big, INI_FILE_BYTES_MAX);
    assert_int_equal(ini_read(path, collect, &out, &e), 0);
    write_file(path, big, INI_FILE_BYTES_MAX + 1);
    assert_int_equal(ini_read(path, collect, &out, &e), -EINVAL);
    assert_non_null(strstr(e.text, "larger than 1048576"));
    free(big);
    buf_free(&out);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static int count(void *ctx, const char *section, const char *key, const char *value)
{
    assert_true(*section && !strchr(section, '\n'));
    if (key)
        assert_true(*key && value);
    ++*(size_t *)ctx;
    return 0;
}

static void test_random(void **state)
{
    (void)state;
    static const char alphabet[] = "[]==:ab \t\n\n\n#;\r\x01\xff";
    uint32_t seed = 1;
    size_t entries = 0;
    for (int i = 0; i < 100000; i++) {
        char text[64] = "[s]\n";
        size_t n = i % 2 ? 4 : 0, end = n + (size_t)i % 40;
        for (; n < end; n++) {
            seed = seed * 1664525 + 1013904223;
            text[n] = alphabet[(seed >> 8) % sizeof alphabet];
        }
        char *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, text, n);
        int ret = ini_parse("x", copy, n, count, &entries, NULL);
        assert_true(ret == 0 || ret == -EINVAL);
        free(copy);
    }
    assert_true(entries > 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_line_length), cmocka_unit_test(test_callback_stops),
        cmocka_unit_test(test_files),       cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
