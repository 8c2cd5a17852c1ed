/* SPDX-License-Identifier: Apache-2.0 */
/* The chunked body of an answer (RFC 9112, 7.1), against a second decoder that is as plain as the
 * grammar: what the parser takes for whole must be whole, with the same content and the same end.
 */
#include "fuzz.h"
#include "http/response.h"

static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

static int hex_value(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Bytes of the line at p with its CRLF, 0 if it does not end. */
static size_t line_bytes(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i + 1 < n; i++)
        if (p[i] == '\r' && p[i + 1] == '\n')
            return i + 2;
    return 0;
}

/* Bytes of the whole body with its framing, 0 if it is none; the content goes into `out`. */
static size_t decode(const uint8_t *p, size_t n, struct buf *out)
{
    size_t at = 0;
    for (;;) {
        size_t line = line_bytes(p + at, n - at), bytes = 0, digits = 0;
        for (; line && digits < line && hex_value(p[at + digits]) >= 0 && bytes <= n; digits++)
            bytes = bytes * 16 + (size_t)hex_value(p[at + digits]);
        if (!line || !digits || bytes > n)
            return 0;
        at += line;
        if (!bytes)
            break;
        if (n - at < bytes + 2 || p[at + bytes] != '\r' || p[at + bytes + 1] != '\n')
            return 0;
        buf_add(out, p + at, bytes);
        at += bytes + 2;
    }
    for (;;) { /* trailers */
        size_t line = line_bytes(p + at, n - at);
        at += line;
        if (line <= 2)
            return line ? at : 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_response *r;
    struct err e = {.text = ""};
    struct buf content;
    size_t used;
    buf_init(&content, 1024 * 1024);
    size_t whole = decode(data, size, &content);

    MUST(http_response_open(&r) == 0);
    MUST(http_response_feed(r, head, sizeof head - 1, &used, &e) == 0 && used == sizeof head - 1);
    int ret = http_response_feed(r, data, size, &used, &e);
    const struct buf *body = http_response_body(r);
    fuzz_check_buf(body);
    if (ret < 0)
        fuzz_check_err(&e, ret);
    MUST(used <= size);
    if (http_response_is_done(r)) {
        MUST(whole == used && http_response_keeps_alive(r));
        size_t kept = content.len < HTTP_BODY_KEPT_MAX ? content.len : HTTP_BODY_KEPT_MAX;
        MUST(body->len == kept && memcmp(body->data, content.data, kept) == 0);
    } else {
        MUST(http_response_feed_eof(r, &e) < 0);
        fuzz_check_err(&e, -1);
    }
    http_response_close(r);
    buf_free(&content);
    return 0;
}
