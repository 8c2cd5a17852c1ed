/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/transfer_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "hash/encode.h"

/* 0: the answer is complete. CONN_ANSWERED: the peer spoke before it was asked, so what it said
 * answers nothing. */
static int transfer_head_once(struct transfer *t, struct err *e)
{
    struct http_request request;
    exchange_begin(&t->exchange, t->conn, t->response, true, t->plan->connection.idle_timeout_ms);
    int rc = s3_head_request(&request, t->plan->client, t->plan->address, time(NULL), e);
    if (rc == 0)
        rc = exchange_send_head(&t->exchange, &request, false, e);
    http_request_free(&request);
    return rc ? rc : exchange_read_answer(&t->exchange, e);
}

/* Ask what the store has, on the same connection if it is still good, else on a new one. */
static int transfer_head(struct transfer *t, struct s3_object_info *info, struct err *e)
{
    int rc = CONN_ANSWERED;
    if (exchange_can_reuse(&t->exchange))
        rc = transfer_head_once(t, e);
    if (rc && rc != -ECANCELED) {
        conn_close(t->conn);
        t->conn = NULL;
        rc = transfer_open_conn(t, e);
        if (rc == 0)
            rc = transfer_head_once(t, e);
    }
    if (rc == CONN_ANSWERED)
        return err_set(e, ERR_NET, EPROTO, "%s: the peer answered before it was asked",
                       transfer_target(t, "HEAD"));
    if (rc < 0)
        return rc;
    if (http_response_status(t->response) != 200)
        return s3_refusal(t->response, transfer_target(t, "HEAD"), time(NULL), e);
    return s3_object_info_read(t->response, transfer_target(t, "HEAD"), info, e);
}

/* Is what the store says about its checksum ours? 1: yes, 0: it says nothing, negative: no. */
static int transfer_compare_checksum(struct transfer *t, const struct s3_object_info *info,
                                     struct err *e)
{
    if (!t->result->hashed || !info->sha256_base64[0])
        return 0;
    char ours[SHA256_BASE64_SIZE];
    encode_base64(t->result->sha256, SHA256_BYTES, ours);
    if (strcmp(ours, info->sha256_base64) == 0)
        return 1;
    return err_set(e, ERR_INTEGRITY, EBADMSG,
                   "s3://%s/%s: the store says SHA-256 %s, but %s was sent; an object exists "
                   "there: do not trust it, delete it and find out why%s",
                   t->plan->object->bucket, t->plan->object->key, info->sha256_base64, ours,
                   t->plan->client->credentials
                       ? ""
                       : " (Ceph, for one, keeps the aws-chunked framing of unsigned requests as "
                         "content: sign the request, or use --hash none)");
}

static bool differ(const char *a, const char *b)
{
    return a[0] && b[0] && strcmp(a, b) != 0;
}

/* Does HEAD show the object that was just put, and not an older or a newer one of its name? */
static int transfer_compare_object(struct transfer *t, const struct s3_object_info *info,
                                   struct err *e)
{
    const struct s3_object_info *put = &t->result->stored;
    if (differ(put->etag, info->etag) || differ(put->version_id, info->version_id))
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "s3://%s/%s: the upload was answered with ETag %s, but the object there has "
                       "%s: another upload of the same name came between, or the store did not "
                       "take this one",
                       t->plan->object->bucket, t->plan->object->key, put->etag, info->etag);
    if (info->content_length < 0)
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "s3://%s/%s: the store returned no checksum and does not tell the length of "
                       "what it has, so nothing is verified; an object probably exists",
                       t->plan->object->bucket, t->plan->object->key);
    if ((uint64_t)info->content_length != t->result->bytes)
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "s3://%s/%s: the store has %" PRId64 " bytes, but %" PRIu64
                       " were sent; it may have kept the aws-chunked framing as content: delete "
                       "the object, and do not use this store with trailers",
                       t->plan->object->bucket, t->plan->object->key, info->content_length,
                       t->result->bytes);
    return 0;
}

/* Some stores keep the aws-chunked framing as content, with 200: ask for the length. */
static int transfer_confirm_by_head(struct transfer *t, struct err *e)
{
    struct s3_object_info info = {.content_length = -1};
    log_step("the store returned no checksum: asking by HEAD");
    int rc = transfer_head(t, &info, e);
    if (rc == -ECANCELED)
        return rc;
    t->outcome_known = true;
    if (rc < 0 && http_response_has_head(t->response) && http_response_status(t->response) == 404)
        return err_set(e, ERR_INTEGRITY, ENOENT,
                       "s3://%s/%s: the upload was answered with success, but there is no such "
                       "object; is it a store that answers at this endpoint?",
                       t->plan->object->bucket, t->plan->object->key);
    if (rc < 0) {
        struct err why = *e;
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "s3://%s/%s: the store answered 200 without a checksum, and what it has "
                       "could not be looked at (%s); an object probably exists",
                       t->plan->object->bucket, t->plan->object->key, why.text);
    }
    rc = transfer_compare_object(t, &info, e);
    return rc < 0 ? rc : transfer_compare_checksum(t, &info, e);
}

int transfer_confirm(struct transfer *t, struct err *e)
{
    int rc = transfer_compare_checksum(t, &t->result->stored, e);
    if (rc == 0)
        rc = transfer_confirm_by_head(t, e);
    else
        t->outcome_known = true;
    if (rc < 0)
        return rc;
    t->result->verdict = rc == 1 ? TRANSFER_CONFIRMED : TRANSFER_ACCEPTED;
    return 0;
}
