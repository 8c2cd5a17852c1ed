/* SPDX-License-Identifier: Apache-2.0 */
/* The dates of a store whose clock differs, read by hand for fear of the locale, against
 * strptime(3) in the C locale. The input is a date: once as Date, once as ServerTime. */
#include <time.h>

#include "fuzz.h"
#include "s3/ops.h"

static const time_t now = 1704067200;

static void refuse(const char *date, const char *server_time, struct err *e)
{
    struct http_response *r;
    struct buf text;
    size_t used;
    buf_init(&text, 4096);
    buf_addf(&text,
             "HTTP/1.1 403 Forbidden\r\nDate: %s\r\n\r\n<Error><Code>RequestTimeTooSkewed</Code>"
             "<ServerTime>%s</ServerTime></Error>",
             date, server_time);
    MUST(!text.failed && http_response_open(&r) == 0);
    MUST(http_response_feed(r, text.data, text.len, &used, e) == 0);
    MUST(http_response_feed_eof(r, e) == 0);
    fuzz_check_err(e, s3_refusal(r, "PUT", now, e));
    http_response_close(r);
    buf_free(&text);
}

/* If the sentence names a difference, it must be the one that strptime(3) finds. */
static void check(const struct err *e, const char *date, const char *format)
{
    static const char start[] = "this machine's clock is ";
    const char *said = strstr(e->text, start);
    if (!said)
        return;
    struct tm tm = {0};
    MUST(strptime(date, format, &tm));
    long long seconds = (long long)now - (long long)timegm(&tm);
    char expected[100];
    snprintf(expected, sizeof expected, "%s%lld seconds %s the store's", start, llabs(seconds),
             seconds < 0 ? "behind" : "ahead of");
    MUST(strncmp(said, expected, strlen(expected)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char date[64];
    struct err e = {.text = ""};
    if (size >= sizeof date)
        return 0;
    memcpy(date, data, size);
    date[size] = 0;
    for (size_t i = 0; date[i]; i++)
        if (date[i] < ' ' || date[i] > '~' || strchr("<>&", date[i]))
            return 0; /* the other targets' business */
    refuse(date, "", &e);
    const char *value = date + strspn(date, " "); /* of the header field */
    check(&e, strlen(value) > 3 ? value + 3 : "",
          ", %d %b %Y %H:%M:%S GMT"); /* any day of the week */
    refuse("", date, &e);
    check(&e, date, "%Y-%m-%dT%H:%M:%S");
    return 0;
}
