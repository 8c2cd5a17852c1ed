/* SPDX-License-Identifier: Apache-2.0 */
/* The S3 operations that an upload needs: what they ask, and what their answers mean. */
#ifndef S3_KTLS_S3_OPS_H
#define S3_KTLS_S3_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"
#include "http/aws_chunked.h"
#include "http/request.h"
#include "http/response.h"
#include "s3/address.h"
#include "s3/config.h"

#define S3_TRAILER_NAME "x-amz-checksum-sha256"

/* Who asks, where. Nothing is owned. */
struct s3_client {
    const struct credentials *credentials; /* NULL: --no-sign-request */
    const char *region;
    const char *user_agent; /* NULL: none */
};

enum s3_integrity {
    S3_INTEGRITY_NONE,    /* UNSIGNED-PAYLOAD, no checksum: --hash none */
    S3_INTEGRITY_TRAILER, /* STREAMING-UNSIGNED-PAYLOAD-TRAILER with x-amz-checksum-sha256 */
};

struct s3_put {
    enum s3_integrity integrity;
    const struct aws_chunked *body; /* framing and lengths */
    bool expect_continue;
};

/*
 * PUT Object, signed. Left out of the signature is what a proxy may touch: transfer-encoding,
 * content-length, expect, user-agent. Without credentials there is neither authorization nor date.
 * -EINVAL (ERR_ENV) if integrity and framing do not go together: a trailer needs one of the two
 * aws-chunked framings and a body with that trailer, no checksum needs BODY_IDENTITY. `r` is
 * initialised here, free it with http_request_free() whatever comes.
 */
int s3_put_request(struct http_request *r, const struct s3_client *client,
                   const struct s3_address *address, const struct s3_put *put, time_t now,
                   struct err *e);

/* HEAD Object with x-amz-checksum-mode: ENABLED, signed. */
int s3_head_request(struct http_request *r, const struct s3_client *client,
                    const struct s3_address *address, time_t now, struct err *e);

/* What a 2xx answer to PUT or HEAD says of the object. Empty strings where it says nothing. */
struct s3_object_info {
    char sha256_base64[45]; /* only a whole-object SHA-256: a composite ("-N") counts as nothing */
    char etag[128];
    char version_id[256];
    char request_id[256];
    int64_t content_length; /* HEAD; -1 if absent */
};

/* ERR_INTEGRITY if the answer names two different checksums, or one that is no SHA-256. An <Error>
 * document in a 2xx (S3 sends one for operations that fail late) is ERR_STORE; without memory to
 * look for one it is -ENOMEM (ERR_ENV). `what` ("PUT s3://bucket/key") begins the message. */
int s3_object_info_read(const struct http_response *response, const char *what,
                        struct s3_object_info *out, struct err *e);

/*
 * Turn a refusal (status 3xx, 4xx, 5xx) into `e`: ERR_STORE with `what` ("PUT s3://b/k") in front,
 * status, S3's code and message and request id (from the XML body, or from headers where there
 * is no body), and the mend where one is known: the right region (x-amz-bucket-region, or the
 * document's Region), the clock's skew in seconds (RequestTimeTooSkewed: ServerTime or Date against
 * `now`), NoSuchBucket, AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch, 501/NotImplemented
 * for a store that takes no trailer. A checksum mismatch (BadDigest, XAmzContentChecksumMismatch,
 * XAmzContentSHA256Mismatch, InvalidDigest with our trailer) is ERR_INTEGRITY. What the store wrote
 * is shown in printable ASCII only, and cut. Returns -EBADMSG for a mismatch, -EACCES for 401 and
 * 403, -ENOENT for 404, -EREMOTEIO for the rest; -ENOMEM (ERR_ENV) when there is no memory to tell.
 */
int s3_refusal(const struct http_response *response, const char *what, time_t now, struct err *e);

#endif
