/* SPDX-License-Identifier: Apache-2.0 */
/* The body of an upload, written and read back by a second decoder: the payload is what it was, the
 * trailer is there once, the announced length is right. The input is numbers, as text:
 * FRAMING PAYLOAD_BYTES CHUNK_BYTES TRAILER_BYTES (no trailer if that is negative). */
#include "fuzz.h"
#include "http/aws_chunked.h"

enum { PAYLOAD_BYTES_MAX = 256 * 1024, TRAILER_BYTES_MAX = 100 };

static char payload_at(uint64_t i)
{
    return (char)(i * 31 + i / 251);
}

/* Reads one line with a hexadecimal number. */
static uint64_t take_size(const char **p, const char *end)
{
    uint64_t bytes = 0;
    const char *digits = "0123456789abcdef", *start = *p;
    for (; *p < end && **p != '\r'; (*p)++) {
        const char *digit = strchr(digits, **p);
        MUST(digit && *digit && bytes < UINT32_MAX);
        bytes = bytes * 16 + (uint64_t)(digit - digits);
    }
    MUST(*p > start && end - *p >= 2 && (*p)[1] == '\n');
    *p += 2;
    return bytes;
}

static void take(const char **p, const char *end, const char *text)
{
    MUST((size_t)(end - *p) >= strlen(text) && memcmp(*p, text, strlen(text)) == 0);
    *p += strlen(text);
}

/* Undoes Transfer-Encoding: chunked. */
static void undo_http(const struct buf *body, struct buf *out)
{
    const char *p = body->data, *end = p + body->len;
    for (;;) {
        uint64_t bytes = take_size(&p, end);
        if (!bytes)
            break;
        MUST(bytes <= (uint64_t)(end - p));
        buf_add(out, p, bytes);
        p += bytes;
        take(&p, end, "\r\n");
    }
    take(&p, end, "\r\n"); /* no trailers of HTTP's own */
    MUST(p == end && !out->failed);
}

/* What a store does: chunks of at least 8 KiB but for the last, the payload, the trailer. */
static void undo_aws(const struct buf *text, uint64_t payload_bytes, const char *trailer)
{
    const char *p = text->data, *end = p + text->len;
    uint64_t at = 0;
    for (;;) {
        uint64_t bytes = take_size(&p, end);
        if (!bytes)
            break;
        MUST(bytes <= (uint64_t)(end - p));
        MUST(bytes >= AWS_CHUNK_BYTES_MIN || at + bytes == payload_bytes);
        for (uint64_t i = 0; i < bytes; i++)
            MUST(p[i] == payload_at(at + i));
        at += bytes;
        p += bytes;
        take(&p, end, "\r\n");
    }
    MUST(at == payload_bytes);
    take(&p, end, trailer);
    take(&p, end, "\r\n");
    MUST(p == end);
}

static void encode(struct aws_chunked *b, struct buf *body, const char *value)
{
    struct buf text;
    uint64_t at = 0, bytes;
    buf_init(&text, AWS_CHUNKED_TEXT_MAX);
    if (b->payload_bytes && b->framing != BODY_IDENTITY) { /* never too early */
        aws_chunked_end(b, &text, value);
        MUST(text.failed && !text.len);
    }
    do {
        buf_reset(&text);
        aws_chunked_next(b, &text, &bytes);
        MUST(!text.failed && (bytes || !text.len));
        buf_add(body, text.data, text.len);
        for (uint64_t end = at + bytes; at < end; at++)
            buf_add(body, (char[]){payload_at(at)}, 1);
    } while (bytes);
    buf_reset(&text);
    aws_chunked_end(b, &text, value);
    MUST(!text.failed);
    buf_add(body, text.data, text.len);
    MUST(!body->failed);
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned framing;
    unsigned long long payload_bytes, chunk_bytes;
    int trailer_bytes;
    char *text, value[TRAILER_BYTES_MAX + 1] = "", trailer[2 * TRAILER_BYTES_MAX] = "";
    fuzz_split(data, size, false, &text, 1);
    int count =
        sscanf(text, "%u %llu %llu %d", &framing, &payload_bytes, &chunk_bytes, &trailer_bytes);
    free(text);
    if (count != 4 || framing > BODY_IDENTITY || payload_bytes > PAYLOAD_BYTES_MAX ||
        trailer_bytes > TRAILER_BYTES_MAX)
        return 0;
    bool has_trailer = trailer_bytes >= 0;
    if (has_trailer) {
        memset(value, 'v', (size_t)trailer_bytes);
        snprintf(trailer, sizeof trailer, "x-checksum:%s\r\n", value);
    }
    struct aws_chunked b;
    struct buf body, inner;
    buf_init(&body, 4 * 1024 * 1024);
    buf_init(&inner, 4 * 1024 * 1024);
    aws_chunked_init(&b, (enum body_framing)framing, payload_bytes, chunk_bytes,
                     has_trailer ? "x-checksum" : NULL, has_trailer ? strlen(value) : 0);
    uint64_t announced = framing == BODY_CHUNKED ? 0 : aws_chunked_content_length(&b);
    encode(&b, &body, value);
    MUST(framing == BODY_CHUNKED || announced == body.len);
    if (framing == BODY_CHUNKED) {
        undo_http(&body, &inner);
        undo_aws(&inner, payload_bytes, trailer);
    } else if (framing == BODY_LENGTH) {
        undo_aws(&body, payload_bytes, trailer);
    } else {
        MUST(body.len == payload_bytes);
        for (size_t i = 0; i < body.len; i++)
            MUST(body.data[i] == payload_at(i));
    }
    buf_free(&inner);
    buf_free(&body);
    return 0;
}
