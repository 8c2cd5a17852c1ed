/* SPDX-License-Identifier: Apache-2.0 */
/* The AWS tools' files: entries are what they may be, errors name a line and nothing of it, and
 * line ends of DOS change nothing. */
#include <ctype.h>
#include <errno.h>

#include "fuzz.h"
#include "s3/ini.h"

static void check_text(const char *s, const char *allowed)
{
    for (; *s; s++)
        MUST((unsigned char)*s >= 0x20 || strchr(allowed, *s));
}

static int collect(void *ctx, const char *section, const char *key, const char *value)
{
    MUST(*section && strlen(section) <= INI_LINE_BYTES_MAX && !strchr(section, ']'));
    MUST(!key == !value);
    check_text(section, "\t");
    if (key) {
        MUST(*key && strlen(key) <= (size_t)2 * INI_LINE_BYTES_MAX);
        for (const char *p = key; *p; p++)
            MUST(*p < 'A' || *p > 'Z');
        check_text(key, "\t");
        check_text(value, "\t\n");
        MUST(strlen(value) <= INI_FILE_BYTES_MAX);
    }
    buf_addf(ctx, "[%s]%s=%s\n", section, key ? key : "", value ? value : "");
    return 0;
}

static int parse(const void *text, size_t n, struct buf *entries, struct err *e)
{
    *e = (struct err){.text = ""};
    buf_init(entries, 64 * 1024 * 1024);
    int ret = ini_parse("/the/file", text, n, collect, entries, e);
    MUST(ret == 0 || ret == -EINVAL);
    if (ret == 0)
        return 0;
    fuzz_check_err(e, ret);
    MUST(e->class == ERR_USAGE && strncmp(e->text, "/the/file, line ", 16) == 0);
    MUST(isdigit((unsigned char)e->text[16]) && strlen(e->text) < 120);
    return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf dos, entries, dos_entries;
    struct err e, dos_e;
    char *text = malloc(size ? size : 1);
    MUST(text);
    if (size)
        memcpy(text, data, size);
    int ret = parse(text, size, &entries, &e);
    free(text);

    buf_init(&dos, 4 * 1024 * 1024);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
            buf_add_str(&dos, "\r");
        buf_add(&dos, data + i, 1);
    }
    MUST(!dos.failed);
    MUST(parse(dos.data, dos.len, &dos_entries, &dos_e) == ret);
    MUST(strcmp(e.text, dos_e.text) == 0 && strcmp(entries.data, dos_entries.data) == 0);
    buf_free(&dos);
    buf_free(&entries);
    buf_free(&dos_entries);
    return 0;
}
