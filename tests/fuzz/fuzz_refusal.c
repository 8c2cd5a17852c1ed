/* SPDX-License-Identifier: Apache-2.0 */
/* What a user is told of an answer: a whole answer, head and body, up to the sentence on the
 * terminal and to the values that go into JSON. */
#include <errno.h>

#include "fuzz.h"
#include "s3/ops.h"

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            return false;
    return true;
}

static void check_refusal(const struct http_response *r)
{
    static const char what[] = "PUT s3://bucket/key";
    struct err e = {.text = ""};
    int ret = s3_refusal(r, what, 1704067200, &e);
    fuzz_check_err(&e, ret);
    MUST(e.class == ERR_STORE || e.class == ERR_INTEGRITY);
    MUST((e.class == ERR_INTEGRITY) == (ret == -EBADMSG));
    MUST(strncmp(e.text, what, sizeof what - 1) == 0 && is_printable(e.text));
    char status[8];
    snprintf(status, sizeof status, " %d", http_response_status(r));
    MUST(strstr(e.text, status));
}

static void check_info(const struct http_response *r)
{
    struct s3_object_info info;
    struct err e = {.text = ""};
    int ret = s3_object_info_read(r, "PUT s3://b/k", &info, &e);
    MUST(is_printable(info.sha256_base64) && is_printable(info.etag));
    MUST(is_printable(info.version_id) && is_printable(info.request_id));
    MUST(info.content_length >= -1);
    size_t n = strlen(info.sha256_base64);
    MUST(n == 0 || n == 44);
    if (ret < 0) {
        fuzz_check_err(&e, ret);
        MUST(e.class == ERR_STORE || e.class == ERR_INTEGRITY);
        MUST(n == 0);
    } else
        MUST(ret == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_response *r;
    struct err e;
    size_t used;
    MUST(http_response_open(&r) == 0);
    if (http_response_feed(r, data, size, &used, &e) == 0)
        http_response_feed_eof(r, &e);
    if (http_response_is_done(r)) {
        check_refusal(r);
        check_info(r);
    }
    http_response_close(r);
    return 0;
}
