/* SPDX-License-Identifier: Apache-2.0 */
#include "http/aws_chunked.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Characters of "HEX\r\n". */
static uint64_t chunk_line_bytes(uint64_t bytes)
{
    return (uint64_t)snprintf(NULL, 0, "%" PRIx64 "\r\n", bytes);
}

/* The zero chunk and the trailer, without what HTTP's framing puts around them. */
static uint64_t ending_bytes(const struct aws_chunked *b)
{
    uint64_t bytes = strlen("0\r\n\r\n");
    if (b->trailer_name)
        bytes += strlen(b->trailer_name) + strlen(":\r\n") + b->trailer_value_bytes;
    return bytes;
}

void aws_chunked_init(struct aws_chunked *b, enum body_framing framing, uint64_t payload_bytes,
                      uint64_t chunk_bytes, const char *trailer_name, size_t trailer_value_bytes)
{
    if (chunk_bytes < AWS_CHUNK_BYTES_MIN)
        chunk_bytes = AWS_CHUNK_BYTES_MIN;
    if (chunk_bytes > AWS_CHUNK_BYTES_MAX)
        chunk_bytes = AWS_CHUNK_BYTES_MAX;
    *b = (struct aws_chunked){.framing = framing,
                              .payload_bytes = payload_bytes,
                              .chunk_bytes = chunk_bytes,
                              .trailer_name = framing == BODY_IDENTITY ? NULL : trailer_name,
                              .trailer_value_bytes = trailer_value_bytes};
}

uint64_t aws_chunked_content_length(const struct aws_chunked *b)
{
    if (b->framing == BODY_IDENTITY)
        return b->payload_bytes;
    uint64_t whole = b->payload_bytes / b->chunk_bytes, rest = b->payload_bytes % b->chunk_bytes;
    uint64_t bytes = b->payload_bytes + whole * (chunk_line_bytes(b->chunk_bytes) + strlen("\r\n"));
    if (rest)
        bytes += chunk_line_bytes(rest) + strlen("\r\n");
    return bytes + ending_bytes(b);
}

static void chunk_end(const struct aws_chunked *b, struct buf *text)
{
    if (b->done_bytes)
        buf_add_str(text, b->framing == BODY_CHUNKED ? "\r\n\r\n" : "\r\n");
}

void aws_chunked_next(struct aws_chunked *b, struct buf *text, uint64_t *bytes)
{
    uint64_t left = b->payload_bytes - b->done_bytes;
    if (b->framing == BODY_IDENTITY) {
        *bytes = left;
        b->done_bytes = b->payload_bytes;
        return;
    }
    *bytes = left < b->chunk_bytes ? left : b->chunk_bytes;
    if (!*bytes)
        return;
    chunk_end(b, text);
    if (b->framing == BODY_CHUNKED)
        buf_addf(text, "%" PRIx64 "\r\n", chunk_line_bytes(*bytes) + *bytes + strlen("\r\n"));
    buf_addf(text, "%" PRIx64 "\r\n", *bytes);
    b->done_bytes += *bytes;
}

void aws_chunked_end(const struct aws_chunked *b, struct buf *text, const char *trailer_value)
{
    bool is_whole = b->done_bytes == b->payload_bytes;
    if (!is_whole || (b->trailer_name && strlen(trailer_value) != b->trailer_value_bytes)) {
        text->failed = true;
        return;
    }
    if (b->framing == BODY_IDENTITY)
        return;
    chunk_end(b, text);
    if (b->framing == BODY_CHUNKED)
        buf_addf(text, "%" PRIx64 "\r\n", ending_bytes(b));
    buf_add_str(text, "0\r\n");
    if (b->trailer_name)
        buf_addf(text, "%s:%s\r\n", b->trailer_name, trailer_value);
    buf_add_str(text, "\r\n");
    if (b->framing == BODY_CHUNKED)
        buf_add_str(text, "\r\n0\r\n\r\n");
}
