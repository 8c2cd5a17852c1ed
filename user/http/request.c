/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

void http_request_init(struct http_request *r, const char *method)
{
    *r = (struct http_request){0};
    buf_init(&r->target, HTTP_REQUEST_BYTES_MAX);
    size_t n = strlen(method);
    if (!n || n >= sizeof r->method || strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != n)
        r->error = -EINVAL;
    else
        memcpy(r->method, method, n + 1);
}

void http_request_free(struct http_request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        free(r->headers[i].name);
        secret_free(r->headers[i].value);
    }
    buf_free(&r->target);
    *r = (struct http_request){.target = r->target};
}

static bool name_is_valid(const char *name)
{
    size_t n = strlen(name);
    return n && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if (*s < ' ' || *s > '~')
            return false;
    return true;
}

static void request_fail(struct http_request *r, int error)
{
    if (!r->error)
        r->error = error;
}

void http_request_add(struct http_request *r, const char *name, const char *value, bool sign)
{
    if (r->error)
        return;
    if (!name_is_valid(name) || !is_printable(value) || http_request_find(r, name)) {
        request_fail(r, -EINVAL);
        return;
    }
    if (r->header_count == HTTP_REQUEST_HEADERS_MAX || strlen(value) > HTTP_REQUEST_BYTES_MAX) {
        request_fail(r, -E2BIG);
        return;
    }
    struct http_header header = {.name = strdup(name), .value = secret_dup(value), .sign = sign};
    if (!header.name || !header.value) {
        free(header.name);
        secret_free(header.value);
        request_fail(r, -ENOMEM);
        return;
    }
    r->headers[r->header_count++] = header;
}

void http_request_addf(struct http_request *r, bool sign, const char *name, const char *fmt, ...)
{
    char *value = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&value, fmt, ap);
    va_end(ap);
    if (n < 0) {
        request_fail(r, -ENOMEM);
        return;
    }
    http_request_add(r, name, value, sign);
    secret_free(value);
}

const char *http_request_find(const struct http_request *r, const char *name)
{
    for (size_t i = 0; i < r->header_count; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

int http_request_write(const struct http_request *r, struct buf *out)
{
    static const char version[] = " HTTP/1.1\r\n";
    if (r->error)
        return r->error;
    if (r->target.failed)
        return buf_error(&r->target);
    if (*r->target.data != '/' || !is_printable(r->target.data) || strchr(r->target.data, ' '))
        return -EINVAL;
    size_t bytes = strlen(r->method) + 1 + r->target.len + strlen(version) + strlen("\r\n");
    for (size_t i = 0; i < r->header_count; i++)
        bytes += strlen(r->headers[i].name) + strlen(r->headers[i].value) + strlen(": \r\n");
    if (bytes > HTTP_REQUEST_BYTES_MAX || bytes > out->ceiling - out->len)
        return -E2BIG;
    buf_addf(out, "%s %s%s", r->method, r->target.data, version);
    for (size_t i = 0; i < r->header_count; i++)
        buf_addf(out, "%s: %s\r\n", r->headers[i].name, r->headers[i].value);
    buf_add_str(out, "\r\n");
    return out->failed ? -ENOMEM : 0;
}
