/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/ops.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/sigv4.h"
#include "s3/xml.h"

/* SHA-256 of no bytes: the payload hash of a request without a body. */
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum { SHA256_BASE64_BYTES = 44 };

static void request_begin(struct http_request *r, const char *method,
                          const struct s3_address *address, const char *content_sha256)
{
    http_request_init(r, method);
    buf_add(&r->target, address->path.data, address->path.len);
    r->error = r->error ? r->error : buf_error(&r->target);
    http_request_add(r, "host", address->host_header.data, true);
    http_request_add(r, "x-amz-content-sha256", content_sha256, true);
}

static int request_end(struct http_request *r, const struct s3_client *client, time_t now,
                       struct err *e)
{
    if (client->user_agent)
        http_request_add(r, "user-agent", client->user_agent, false);
    if (client->credentials && !r->error)
        return sigv4_sign(r, client->credentials, client->region, now, e);
    if (r->error == -ENOMEM)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for the request");
    if (r->error)
        return err_set(e, ERR_USAGE, -r->error,
                       "the request's headers are too long, or have characters that no header has");
    return 0;
}

static void put_trailer_headers(struct http_request *r, const struct aws_chunked *body)
{
    http_request_add(r, "content-encoding", "aws-chunked", true);
    http_request_addf(r, true, "x-amz-decoded-content-length", "%" PRIu64, body->payload_bytes);
    http_request_add(r, "x-amz-trailer", body->trailer_name, true);
    /* Without this one Ceph RGW (20.2.4) takes a wrong trailer for a right one. */
    http_request_add(r, "x-amz-sdk-checksum-algorithm", "SHA256", true);
}

int s3_put_request(struct http_request *r, const struct s3_client *client,
                   const struct s3_address *address, const struct s3_put *put, time_t now,
                   struct err *e)
{
    const struct aws_chunked *body = put->body;
    bool has_trailer = put->integrity == S3_INTEGRITY_TRAILER;
    request_begin(r, "PUT", address,
                  has_trailer ? "STREAMING-UNSIGNED-PAYLOAD-TRAILER" : "UNSIGNED-PAYLOAD");
    if (has_trailer != (body->framing != BODY_IDENTITY) || has_trailer != !!body->trailer_name)
        return err_set(e, ERR_ENV, EINVAL, "this integrity and this framing do not go together");
    if (has_trailer)
        put_trailer_headers(r, body);
    if (body->framing == BODY_CHUNKED)
        http_request_add(r, "transfer-encoding", "chunked", false);
    else
        http_request_addf(r, false, "content-length", "%" PRIu64, aws_chunked_content_length(body));
    if (put->expect_continue)
        http_request_add(r, "expect", "100-continue", false);
    return request_end(r, client, now, e);
}

int s3_head_request(struct http_request *r, const struct s3_client *client,
                    const struct s3_address *address, time_t now, struct err *e)
{
    request_begin(r, "HEAD", address, EMPTY_SHA256);
    http_request_add(r, "x-amz-checksum-mode", "ENABLED", true);
    return request_end(r, client, now, e);
}

/* Values go into results and JSON, which must be UTF-8: others than ASCII become '?'. */
static void copy_header(const struct http_response *response, const char *name, char *out,
                        size_t size)
{
    const char *value = http_response_header(response, name, NULL);
    snprintf(out, size, "%s", value ? value : "");
    for (; *out; out++)
        if (*out < ' ' || *out > '~')
            *out = '?';
}

static bool is_sha256_base64(const char *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    return strlen(s) == SHA256_BASE64_BYTES && strspn(s, digits) == SHA256_BASE64_BYTES - 1 &&
           s[SHA256_BASE64_BYTES - 1] == '=';
}

static int checksum_read(const struct http_response *response, const char *what,
                         struct s3_object_info *out, struct err *e)
{
    bool conflict;
    const char *value = http_response_header(response, S3_TRAILER_NAME, &conflict);
    const char *type = http_response_header(response, "x-amz-checksum-type", NULL);
    if (!value || !*value)
        return 0;
    if (conflict)
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "%s: the store's answer names two different SHA-256 checksums", what);
    bool is_composite = (type && strcmp(type, "COMPOSITE") == 0) || strchr(value, '-');
    if (is_composite)
        return 0;
    if (!is_sha256_base64(value))
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "%s: the store's answer has a " S3_TRAILER_NAME
                       " that is no SHA-256: '%.64s'",
                       what, value);
    memcpy(out->sha256_base64, value, SHA256_BASE64_BYTES + 1);
    return 0;
}

int s3_object_info_read(const struct http_response *response, const char *what,
                        struct s3_object_info *out, struct err *e)
{
    const struct buf *body = http_response_body(response);
    struct xml_error document;
    *out = (struct s3_object_info){.content_length = -1};
    int found = xml_error_parse(&document, body->data, body->len);
    if (found < 0)
        return err_set(e, ERR_ENV, ENOMEM, "%s: no memory to read the store's answer", what);
    if (found)
        return err_set(e, ERR_STORE, EREMOTEIO,
                       "%s: the store answered with status %d, but then with an error: %s: %s",
                       what, http_response_status(response), document.code, document.message);
    copy_header(response, "etag", out->etag, sizeof out->etag);
    copy_header(response, "x-amz-version-id", out->version_id, sizeof out->version_id);
    copy_header(response, "x-amz-request-id", out->request_id, sizeof out->request_id);
    const char *length = http_response_header(response, "content-length", NULL);
    /* The parser has checked that it is one number that fits. */
    if (length)
        out->content_length = (int64_t)strtoll(length, NULL, 10);
    return checksum_read(response, what, out, e);
}
