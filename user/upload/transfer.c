/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "hash/encode.h"
#include "upload/payload.h"
#include "upload/transfer_internal.h"

enum {
    /* Below it a refusal costs less than the round trip that would save the body. */
    EXPECT_FROM_BYTES = 1024 * 1024,
    CONTINUE_WAIT_MS = 1000,
};

const char *transfer_target(struct transfer *t, const char *method)
{
    snprintf(t->what, sizeof t->what, "%s s3://%s/%s", method, t->plan->object->bucket,
             t->plan->object->key);
    return t->what;
}

int transfer_open_conn(struct transfer *t, struct err *e)
{
    struct conn_options options = t->plan->connection;
    options.host = t->plan->address->endpoint.host;
    options.port = t->plan->address->endpoint.port;
    return conn_open(&t->conn, &options, e);
}

/* What carries the payload, for the result; and whether that will do. */
static int transfer_note_facts(struct transfer *t, struct err *e)
{
    struct transfer_result *r = t->result;
    struct conn_info info;
    conn_get_info(t->conn, &info);
    snprintf(r->peer, sizeof r->peer, "%s", info.peer);
    r->ktls_send = info.ktls_send;
    if (!info.tls_version) {
        log_step("connected to %s without encryption", info.peer);
        return 0;
    }
    snprintf(r->tls_version, sizeof r->tls_version, "%s", info.tls_version);
    snprintf(r->tls_cipher, sizeof r->tls_cipher, "%s", info.tls_cipher);
    log_step("connected to %s, %s %s, encrypted by %s", info.peer, info.tls_version,
             info.tls_cipher, info.ktls_send ? "the kernel (kTLS)" : "OpenSSL");
    if (info.ktls_send)
        return 0;
    if (t->plan->require_ktls)
        return err_set(e, ERR_ENV, EOPNOTSUPP,
                       "--require-ktls: the kernel cannot encrypt %s %s here; load the tls "
                       "module (modprobe tls), and see what s3-ktls doctor says",
                       info.tls_version, info.tls_cipher);
    log_warning("no kTLS here: OpenSSL encrypts in the program, and payload passes through its "
                "memory");
    return 0;
}

/*
 * The one place that lets a trailer out. bytes hashed == bytes drained from the tap is
 * tap_finish()'s to say; that they are also the bytes sent and the length announced is said here.
 */
static int transfer_finish_tap(struct transfer *t, const struct payload *payload,
                               char trailer[static SHA256_BASE64_SIZE], struct err *e)
{
    struct tap_result hashed;
    int rc = tap_finish(t->plan->tap, &hashed, e);
    if (rc < 0)
        return rc;
    if (hashed.bytes != payload->sent_bytes || hashed.bytes != t->body.payload_bytes ||
        hashed.bytes != t->plan->source->length) {
        tap_poison(t->plan->tap, "bytes hashed, sent and announced differ");
        return err_set(e, ERR_INTEGRITY, EBADMSG,
                       "%s: %" PRIu64 " bytes hashed, %" PRIu64 " sent, %" PRIu64
                       " announced, %" PRIu64 " in the file; no trailer was sent and nothing was "
                       "stored",
                       transfer_target(t, "PUT"), hashed.bytes, payload->sent_bytes,
                       t->body.payload_bytes, t->plan->source->length);
    }
    memcpy(t->result->sha256, hashed.sha256, SHA256_BYTES);
    t->result->hashed = true;
    encode_base64(hashed.sha256, SHA256_BYTES, trailer);
    return 0;
}

/* A piece of framing. Never a part of one: a store could take what is left for something else. */
static int transfer_send_text(struct transfer *t, const struct buf *text, bool more, struct err *e)
{
    if (text->failed)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for the framing of a chunk");
    return text->len ? conn_send(t->conn, text->data, text->len, more, e) : 0;
}

/*
 * Is the file what it was when it was opened? Asked when all payload has left it and nothing that
 * ends the body has left the machine: what happens to the file later can't get in any more, as the
 * trailer fixes the bytes. (For --hash none see transfer_check_after().)
 */
static int transfer_check_source(struct transfer *t, struct err *e)
{
    if (!source_describe_change(t->plan->source, t->result->source_change) ||
        !t->plan->require_stable)
        return 0;
    return err_set(e, ERR_FILE, ESTALE,
                   "--require-stable: %s changed since it was opened (%s); nothing was stored; "
                   "upload it when nobody writes to it, or a snapshot or copy of it",
                   t->plan->source->name, t->result->source_change);
}

/*
 * The last byte of a body without a trailer ends it, so with --require-stable it is read before the
 * file is looked at and sent after: the only byte of payload that the program itself handles.
 */
static int transfer_send_last_byte(struct transfer *t, struct payload *payload, struct err *e)
{
    char last;
    int rc = payload_take_byte(payload, &last, e);
    if (rc == 0)
        rc = transfer_check_source(t, e);
    if (rc == 0)
        rc = conn_send(t->conn, &last, 1, false, e);
    if (rc == 0)
        payload->sent_bytes++;
    return rc;
}

/* All chunks, and the end of the body. As conn_send(). */
static int transfer_send_body(struct transfer *t, struct err *e)
{
    const struct transfer_plan *plan = t->plan;
    bool tapped = plan->integrity == S3_INTEGRITY_TRAILER;
    struct payload payload = {
        .source = plan->source,
        .offset = plan->source->offset,
        .sender = plan->sender,
        .tap = tapped ? plan->tap : NULL,
        .conn = t->conn,
        .cancel_fd = plan->connection.cancel_fd,
    };
    /* Of a body without a trailer, which is one chunk. */
    uint64_t held = !tapped && plan->require_stable ? 1 : 0;
    struct buf text;
    buf_init(&text, AWS_CHUNKED_TEXT_MAX);
    int rc = tapped ? tap_begin(plan->tap, e) : 0;
    while (rc == 0) {
        uint64_t bytes = 0;
        buf_reset(&text);
        aws_chunked_next(&t->body, &text, &bytes);
        if (!bytes)
            break;
        rc = transfer_send_text(t, &text, true, e);
        if (rc == 0)
            rc = payload_send(&payload, bytes - held, tapped || held, e);
        if (rc == 0 && held)
            rc = transfer_send_last_byte(t, &payload, e);
    }
    if (rc)
        goto out;
    t->result->bytes = payload.sent_bytes;
    if (tapped) {
        char trailer[SHA256_BASE64_SIZE];
        rc = transfer_finish_tap(t, &payload, trailer, e);
        if (rc == 0)
            rc = transfer_check_source(t, e);
        if (rc < 0)
            goto out;
        buf_reset(&text);
        aws_chunked_end(&t->body, &text, trailer);
        rc = transfer_send_text(t, &text, false, e);
    }
out:
    buf_free(&text);
    return rc;
}

static int transfer_send_put(struct transfer *t, struct err *e)
{
    const struct transfer_plan *plan = t->plan;
    bool expect = plan->source->length >= EXPECT_FROM_BYTES;
    struct s3_put put = {.integrity = plan->integrity, .body = &t->body, .expect_continue = expect};
    struct http_request request;
    int rc = s3_put_request(&request, plan->client, plan->address, &put, time(NULL), e);
    if (rc == 0) {
        bool body_follows = !expect && (plan->source->length || plan->integrity);
        rc = exchange_send_head(&t->exchange, &request, body_follows, e);
    }
    http_request_free(&request);
    if (rc == 0 && expect) {
        rc = exchange_wait_continue(&t->exchange, CONTINUE_WAIT_MS, e);
        if (rc == 0)
            log_step("%s", http_response_interim(t->response) == 100
                               ? "the store said 100 Continue"
                               : "no 100 Continue within a second: sending all the same");
    }
    return rc ? rc : transfer_send_body(t, e);
}

/* The peer answered, or broke the connection, before the body was complete. */
static int transfer_answered_early(struct transfer *t, struct err *e)
{
    int rc = exchange_read_answer(&t->exchange, e);
    if (rc < 0)
        return rc;
    int status = http_response_status(t->response);
    if (status / 100 == 2)
        return err_set(e, ERR_STORE, EPROTO,
                       "%s: the store answered %d before the body was complete; nothing that it "
                       "may have stored can be trusted",
                       transfer_target(t, "PUT"), status);
    return s3_refusal(t->response, transfer_target(t, "PUT"), time(NULL), e);
}

/* The PUT itself, to the store's success answer. */
static int transfer_put(struct transfer *t, struct err *e)
{
    const struct transfer_plan *plan = t->plan;
    bool tapped = plan->integrity == S3_INTEGRITY_TRAILER;
    aws_chunked_init(&t->body, tapped ? plan->framing : BODY_IDENTITY, plan->source->length,
                     plan->chunk_bytes, tapped ? S3_TRAILER_NAME : NULL, SHA256_BASE64_SIZE - 1);
    exchange_begin(&t->exchange, t->conn, t->response, false, plan->connection.idle_timeout_ms);

    /* The head alone is the end of an empty body. */
    int rc = transfer_check_source(t, e);
    if (rc == 0)
        rc = transfer_send_put(t, e);
    if (rc == CONN_ANSWERED)
        return transfer_answered_early(t, e);
    if ((rc == -EPIPE || rc == -ECONNRESET) && e->class == ERR_NET) {
        /* A store that refuses and hangs up: the refusal says more than the reset. */
        struct err why = *e;
        rc = transfer_answered_early(t, e);
        if (e->class == ERR_NET)
            *e = why;
        return rc;
    }
    if (rc < 0)
        return rc;
    t->body_complete = true;
    log_step("body complete: %" PRIu64 " bytes of payload sent", t->result->bytes);

    rc = exchange_read_answer(&t->exchange, e);
    if (rc < 0)
        return rc;
    int status = http_response_status(t->response);
    log_step("the store answered %d", status);
    if (status / 100 != 2) {
        /* A 5xx or 408 after the whole body says little: a gateway gives them for a store that went
         * on. */
        t->outcome_known = status / 100 == 4 && status != 408;
        return s3_refusal(t->response, transfer_target(t, "PUT"), time(NULL), e);
    }
    return s3_object_info_read(t->response, transfer_target(t, "PUT"), &t->result->stored, e);
}

/*
 * Without a hash, nothing fixes the bytes: on http they stay pages of the file until the peer has
 * them, which it has when it answers. So the file is looked at once more.
 */
static int transfer_check_after(struct transfer *t, struct err *e)
{
    if (t->result->hashed || !source_describe_change(t->plan->source, t->result->source_change) ||
        !t->plan->require_stable)
        return 0;
    return err_set(e, ERR_INTEGRITY, ESTALE,
                   "--require-stable: %s changed before the store had answered (%s), and without a "
                   "hash nothing tells which bytes s3://%s/%s got: an object exists there; delete "
                   "it, and upload the file when nobody writes to it",
                   t->plan->source->name, t->result->source_change, t->plan->object->bucket,
                   t->plan->object->key);
}

/* It failed: of what, and may an object exist all the same? */
static void transfer_explain_outcome(struct transfer *t, int rc, struct err *e)
{
    struct err why = *e;
    bool may_exist = t->body_complete && !t->outcome_known;
    /* What the connection and the parser say does not name the request. */
    bool is_unnamed = why.class == ERR_NET && t->conn;
    if (rc == -ECANCELED && !may_exist)
        err_set(e, why.class, -rc, "%s: ended without its last chunk, nothing was stored",
                transfer_target(t, "PUT"));
    else if (may_exist || is_unnamed)
        err_set(e, why.class, -rc, "%s%s%s%s", is_unnamed ? transfer_target(t, "PUT") : "",
                is_unnamed ? ": " : "", why.text,
                may_exist ? "; the whole body had been sent, so an object may exist: look before "
                            "you send it again"
                          : "");
}

int transfer_run(const struct transfer_plan *plan, struct transfer_result *result, struct err *e)
{
    struct transfer t = {.plan = plan, .result = result};
    *result = (struct transfer_result){0};
    int64_t start_ns = clock_now_ns();

    int rc = http_response_open(&t.response);
    if (rc < 0)
        return err_sys(e, ERR_ENV, -rc, "cannot start");
    rc = transfer_open_conn(&t, e);
    if (rc == 0)
        rc = transfer_note_facts(&t, e);
    if (rc == 0)
        rc = transfer_put(&t, e);
    if (rc == 0)
        rc = transfer_confirm(&t, e);
    if (rc == 0)
        rc = transfer_check_after(&t, e);
    if (rc < 0)
        transfer_explain_outcome(&t, rc, e);
    /* Without a success nothing that was sent may look complete, so no orderly end either. */
    if (rc == 0)
        conn_close(t.conn);
    else
        conn_abort(t.conn);
    http_response_close(t.response);
    result->elapsed_ns = clock_now_ns() - start_ns;
    return rc;
}
