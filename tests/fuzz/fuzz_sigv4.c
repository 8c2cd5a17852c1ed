/* SPDX-License-Identifier: Apache-2.0 */
/* Signing what comes from outside: key, query, region, credentials, a header's value, a time. What
 * can't be signed is refused; what is signed has a header of the right form without the secret, and
 * the signature is the same in whatever order headers and parameters stand. */
#include <ctype.h>

#include "fuzz.h"
#include "http/uri.h"
#include "s3/sigv4.h"

enum { KEY, QUERY, REGION, ID, SECRET, TOKEN, VALUE, NOW, PARTS };

/* The parameters from the last to the first. */
static void add_reversed(struct buf *out, const char *query)
{
    const char *end = query + strlen(query);
    while (end > query) {
        const char *start = end;
        while (start > query && start[-1] != '&')
            start--;
        buf_addf(out, "%.*s%s", (int)(end - start), start, start > query ? "&" : "");
        end = start > query ? start - 1 : start;
    }
}

static int sign(struct http_request *r, char **parts, bool reversed, struct err *e)
{
    static const char *const names[] = {"host", "x-amz-content-sha256", "x-amz-meta-value"};
    const char *values[] = {"store.example", "UNSIGNED-PAYLOAD", parts[VALUE]};
    const struct credentials c = {.access_key_id = parts[ID],
                                  .secret_access_key = parts[SECRET],
                                  .session_token = *parts[TOKEN] ? parts[TOKEN] : NULL};
    http_request_init(r, "PUT");
    buf_add_str(&r->target, "/");
    uri_encode(&r->target, parts[KEY], true);
    if (*parts[QUERY]) {
        buf_add_str(&r->target, "?");
        if (reversed)
            add_reversed(&r->target, parts[QUERY]);
        else
            buf_add_str(&r->target, parts[QUERY]);
    }
    for (size_t i = 0; i < 3; i++) {
        size_t at = reversed ? 2 - i : i;
        http_request_add(r, names[at], values[at], true);
    }
    return sigv4_sign(r, &c, parts[REGION], (time_t)strtoll(parts[NOW], NULL, 10), e);
}

static const char *signature(const struct http_request *r)
{
    const char *value = http_request_find(r, "authorization");
    MUST(value && strncmp(value, "AWS4-HMAC-SHA256 Credential=", 28) == 0);
    const char *last = strstr(value, ", Signature=");
    for (const char *next = last; next; next = strstr(next + 1, ", Signature="))
        last = next;
    MUST(last && strlen(last) == 12 + 64);
    for (const char *p = last + 12; *p; p++)
        MUST(isdigit((unsigned char)*p) || (*p >= 'a' && *p <= 'f'));
    return last + 12;
}

static void check_head(const struct http_request *r, int target_is_valid)
{
    struct buf head;
    buf_init(&head, HTTP_REQUEST_BYTES_MAX);
    int ret = http_request_write(r, &head);
    MUST(ret == 0 || !target_is_valid || r->target.len > 16 * 1024);
    fuzz_check_buf(&head);
    /* One line a header, and the empty one: nothing has put a line of its own between them. */
    size_t lines = 0;
    for (size_t i = 0; i < head.len; i++) {
        MUST((unsigned char)head.data[i] < 0x7f && (unsigned char)head.data[i] >= '\n');
        lines += head.data[i] == '\n';
    }
    MUST(ret < 0 || lines == r->header_count + 2);
    buf_free(&head);
}

static bool is_clean_query(const char *query)
{
    for (const char *p = query; *p; p++)
        if (*p <= ' ' || *p > '~')
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *parts[PARTS];
    struct http_request r, other;
    struct err e = {.text = ""};
    fuzz_split(data, size, true, parts, PARTS);
    int ret = sign(&r, parts, false, &e);
    if (ret < 0) {
        fuzz_check_err(&e, ret);
        MUST(e.class == ERR_USAGE || e.class == ERR_ENV);
        MUST(!http_request_find(&r, "authorization"));
    } else {
        check_head(&r, is_clean_query(parts[QUERY]));
        MUST(sign(&other, parts, true, &e) == 0);
        MUST(strcmp(signature(&r), signature(&other)) == 0);
        http_request_free(&other);
    }
    http_request_free(&r);
    fuzz_free_parts(parts, PARTS);
    return 0;
}
