/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of an upload, as text around payload. The same for every integrity and framing:
 *
 * BODY_CHUNKED   HEX CRLF (HEX CRLF payload CRLF) CRLF ... HEX CRLF (0 CRLF trailer CRLF CRLF) CRLF
 *                0 CRLF CRLF         where ( ) is aws-chunked, and outside of it HTTP's chunks
 * BODY_LENGTH    HEX CRLF payload CRLF ... 0 CRLF trailer CRLF CRLF
 * BODY_IDENTITY  payload
 *
 * The inner trailer is `name:value` in lower case without a space after the colon: Ceph refuses the
 * space, Swift the upper case. It stands inside the aws-chunked body; HTTP's own trailer section
 * stays empty. Source: S3 API reference, "Signature calculations ... trailing headers (chunked
 * uploads)".
 */
#ifndef S3_KTLS_HTTP_AWS_CHUNKED_H
#define S3_KTLS_HTTP_AWS_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum body_framing {
    BODY_CHUNKED,  /* aws-chunked inside Transfer-Encoding: chunked */
    BODY_LENGTH,   /* aws-chunked with a Content-Length */
    BODY_IDENTITY, /* the payload alone, with a Content-Length; no trailer */
};

/* Stores refuse inner chunks below 8 KiB except the last (S3), and above 16 MiB (MinIO). */
enum {
    AWS_CHUNK_BYTES_MIN = 8 * 1024,
    AWS_CHUNK_BYTES_MAX = 16 * 1024 * 1024,
    AWS_CHUNK_BYTES_DEFAULT = 8 * 1024 * 1024,
    AWS_CHUNKED_TEXT_MAX = 512, /* of any one piece of text between payload */
};

struct aws_chunked {
    enum body_framing framing;
    uint64_t payload_bytes; /* all of it */
    uint64_t chunk_bytes;
    uint64_t done_bytes;        /* payload that chunks were begun for */
    const char *trailer_name;   /* lower case; NULL: none, as always in BODY_IDENTITY */
    size_t trailer_value_bytes; /* its length is known before its value is */
};

/* chunk_bytes is clamped to AWS_CHUNK_BYTES_MIN..MAX. trailer_name NULL: the body has no trailer.
 * It is not copied. */
void aws_chunked_init(struct aws_chunked *b, enum body_framing framing, uint64_t payload_bytes,
                      uint64_t chunk_bytes, const char *trailer_name, size_t trailer_value_bytes);

/* Bytes of the whole body as HTTP's Content-Length counts them (not for BODY_CHUNKED). */
uint64_t aws_chunked_content_length(const struct aws_chunked *b);

/* Append to `text` what comes before the next chunk of payload (with the end of the last one);
 * *bytes is how much payload follows it. *bytes is 0, and no text is added, once all chunks were
 * begun. At most AWS_CHUNKED_TEXT_MAX bytes. */
void aws_chunked_next(struct aws_chunked *b, struct buf *text, uint64_t *bytes);

/* Append the text that ends the body: what ends the last chunk, the zero chunk, the trailer.
 * Without it no store takes the body for complete; so unless all chunks were begun and
 * trailer_value has trailer_value_bytes characters, text->failed is set and nothing is added. */
void aws_chunked_end(const struct aws_chunked *b, struct buf *text, const char *trailer_value);

#endif
