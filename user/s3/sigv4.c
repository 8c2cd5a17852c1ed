/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/sigv4.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "hash/digest.h"
#include "hash/encode.h"

enum {
    DATE_SIZE = 9,  /* 20130524 */
    TIME_SIZE = 17, /* 20130524T000000Z */
    QUERY_PARAMETERS_MAX = 32,
    SCOPE_BYTES_MAX = 256,
    /* Method, path, query, header names twice, header values. */
    CANONICAL_BYTES_MAX = 3 * HTTP_REQUEST_BYTES_MAX,
    SECRET_BYTES_MAX = 8 * 1024,
};

static int by_name(const void *a, const void *b)
{
    const struct http_header *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* By name, then by value, as bytes: "a=1" must come before "a-b=1", which strcmp() of the whole
 * would turn round. */
static int by_parameter(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t x_bytes = strcspn(x, "="), y_bytes = strcspn(y, "=");
    int order = memcmp(x, y, x_bytes < y_bytes ? x_bytes : y_bytes);
    if (order || x_bytes != y_bytes)
        return order ? order : (x_bytes < y_bytes ? -1 : 1);
    return strcmp(x + x_bytes, y + y_bytes);
}

/* The sorted query, each parameter with a '='. */
static int canonical_query(struct buf *out, const char *query)
{
    char *parameters[QUERY_PARAMETERS_MAX], *rest, *copy = strdup(query);
    size_t count = 0;
    int ret = 0;
    if (!copy)
        return -ENOMEM;
    for (char *p = strtok_r(copy, "&", &rest); p; p = strtok_r(NULL, "&", &rest)) {
        if (count == QUERY_PARAMETERS_MAX) {
            ret = -E2BIG;
            goto out;
        }
        parameters[count++] = p;
    }
    qsort(parameters, count, sizeof *parameters, by_parameter);
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s%s%s", i ? "&" : "", parameters[i], strchr(parameters[i], '=') ? "" : "=");
out:
    free(copy);
    return ret;
}

/* Without blanks at the ends, runs of them made one. */
static void canonical_value(struct buf *out, const char *value)
{
    bool is_first = true;
    for (const char *p = value + strspn(value, " "); *p; p += strspn(p, " ")) {
        size_t word = strcspn(p, " ");
        if (!is_first)
            buf_add_str(out, " ");
        buf_add(out, p, word);
        p += word;
        is_first = false;
    }
}

/* "host;x-amz-date" of the sorted headers. */
static void signed_names(struct buf *out, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        buf_addf(out, "%s%s", i ? ";" : "", headers[i].name);
}

/* Copies, which own nothing, in the order of their names. */
static size_t signed_headers(const struct http_request *r,
                             struct http_header headers[static HTTP_REQUEST_HEADERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < r->header_count; i++)
        if (r->headers[i].sign)
            headers[count++] = r->headers[i];
    qsort(headers, count, sizeof *headers, by_name);
    return count;
}

static int canonical_request(struct buf *out, const struct http_request *r,
                             const struct http_header *headers, size_t count)
{
    const char *target = r->target.data, *query = strchr(target, '?');
    size_t path_bytes = query ? (size_t)(query - target) : r->target.len;
    buf_addf(out, "%s\n", r->method);
    buf_add(out, target, path_bytes);
    buf_add_str(out, "\n");
    int ret = query ? canonical_query(out, query + 1) : 0;
    if (ret < 0)
        return ret;
    buf_add_str(out, "\n");
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "%s:", headers[i].name);
        canonical_value(out, headers[i].value);
        buf_add_str(out, "\n");
    }
    buf_add_str(out, "\n");
    signed_names(out, headers, count);
    buf_addf(out, "\n%s", http_request_find(r, "x-amz-content-sha256"));
    return out->failed ? -ENOMEM : 0;
}

/* HMAC(HMAC(HMAC(HMAC("AWS4" + secret, date), region), "s3"), "aws4_request") */
static int signing_key(const char *secret, const char *date, const char *region,
                       uint8_t key[static SHA256_BYTES])
{
    const char *const steps[] = {region, "s3", "aws4_request"};
    struct buf first;
    buf_init(&first, SECRET_BYTES_MAX);
    buf_addf(&first, "AWS4%s", secret);
    int ret = first.failed ? buf_error(&first)
                           : digest_hmac_sha256(first.data, first.len, date, strlen(date), key);
    buf_free(&first);
    for (size_t i = 0; ret == 0 && i < sizeof steps / sizeof *steps; i++) {
        uint8_t next[SHA256_BYTES];
        ret = digest_hmac_sha256(key, SHA256_BYTES, steps[i], strlen(steps[i]), next);
        memcpy(key, next, sizeof next);
        explicit_bzero(next, sizeof next);
    }
    return ret;
}

struct scope {
    char date[DATE_SIZE], time[TIME_SIZE], text[SCOPE_BYTES_MAX];
};

static int scope_make(struct scope *s, const char *region, time_t now)
{
    struct tm tm;
    if (!gmtime_r(&now, &tm) || tm.tm_year + 1900 < 1970 || tm.tm_year + 1900 > 9999)
        return -EINVAL;
    strftime(s->date, sizeof s->date, "%Y%m%d", &tm);
    strftime(s->time, sizeof s->time, "%Y%m%dT%H%M%SZ", &tm);
    int n = snprintf(s->text, sizeof s->text, "%s/%s/s3/aws4_request", s->date, region);
    return n >= (int)sizeof s->text ? -E2BIG : 0;
}

static int signature(const struct scope *scope, const char *canonical, size_t canonical_bytes,
                     const char *secret, const char *region, char hex[static SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_BYTES], key[SHA256_BYTES];
    struct buf text;
    int ret = digest_sha256(canonical, canonical_bytes, digest);
    if (ret < 0)
        return ret;
    encode_hex(digest, sizeof digest, hex);
    buf_init(&text, 2 * SCOPE_BYTES_MAX);
    buf_addf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", scope->time, scope->text, hex);
    ret = text.failed ? -ENOMEM : signing_key(secret, scope->date, region, key);
    if (ret == 0)
        ret = digest_hmac_sha256(key, sizeof key, text.data, text.len, digest);
    if (ret == 0)
        encode_hex(digest, sizeof digest, hex);
    explicit_bzero(key, sizeof key);
    buf_free(&text);
    return ret;
}

static int sign(struct http_request *r, const struct credentials *credentials, const char *region,
                const struct scope *scope)
{
    struct http_header headers[HTTP_REQUEST_HEADERS_MAX] = {{0}};
    char hex[SHA256_HEX_SIZE];
    struct buf canonical, names;
    buf_init(&canonical, CANONICAL_BYTES_MAX);
    buf_init(&names, HTTP_REQUEST_BYTES_MAX);
    size_t count = signed_headers(r, headers);
    int ret = canonical_request(&canonical, r, headers, count);
    if (ret == 0)
        ret = signature(scope, canonical.data, canonical.len, credentials->secret_access_key,
                        region, hex);
    if (ret == 0) {
        signed_names(&names, headers, count);
        http_request_addf(r, false, "authorization",
                          "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s",
                          credentials->access_key_id, scope->text, names.data, hex);
        ret = names.failed ? -ENOMEM : r->error;
    }
    buf_free(&names);
    buf_free(&canonical);
    return ret;
}

static bool has_what_is_signed(const struct http_request *r)
{
    bool host = false, content = false;
    for (size_t i = 0; i < r->header_count; i++) {
        host |= r->headers[i].sign && strcmp(r->headers[i].name, "host") == 0;
        content |= r->headers[i].sign && strcmp(r->headers[i].name, "x-amz-content-sha256") == 0;
    }
    return host && content;
}

int sigv4_sign(struct http_request *r, const struct credentials *credentials, const char *region,
               time_t now, struct err *e)
{
    struct scope scope;
    if (!has_what_is_signed(r))
        return err_set(e, ERR_ENV, EINVAL,
                       "a request without host or x-amz-content-sha256 cannot be signed");
    int ret = scope_make(&scope, region, now);
    if (ret == -EINVAL)
        return err_set(e, ERR_ENV, EINVAL, "the clock's time cannot be put into a signature");
    if (ret == 0) {
        http_request_add(r, "x-amz-date", scope.time, true);
        if (credentials->session_token)
            http_request_add(r, "x-amz-security-token", credentials->session_token, true);
        ret = r->error;
    }
    if (ret == 0)
        ret = sign(r, credentials, region, &scope);
    if (ret == -ENOMEM)
        return err_set(e, ERR_ENV, ENOMEM, "no memory to sign the request");
    if (ret == -E2BIG)
        return err_set(e, ERR_USAGE, E2BIG,
                       "the request cannot be signed: region, credentials or key are too long");
    if (ret < 0)
        return err_set(e, ERR_USAGE, EINVAL,
                       "the request cannot be signed: region, access key id or session token have "
                       "characters that no header can have");
    return 0;
}
