/* SPDX-License-Identifier: Apache-2.0 */
#include "upload/exchange.h"

#include <errno.h>

enum { READ_BYTES = 16 * 1024 };

/* Bytes from the peer, whenever they come. CONN_ANSWERED once a final head is complete. */
static int exchange_take(void *ctx, const void *bytes, size_t n, struct err *e)
{
    struct exchange *x = ctx;
    size_t used = 0;
    int rc = http_response_feed(x->response, bytes, n, &used, e);
    if (rc < 0)
        return rc;
    if (used < n)
        x->excess = true;
    return http_response_has_head(x->response) ? CONN_ANSWERED : 0;
}

void exchange_begin(struct exchange *x, struct conn *conn, struct http_response *response,
                    bool to_head, int timeout_ms)
{
    *x = (struct exchange){.conn = conn, .response = response, .timeout_ms = timeout_ms};
    http_response_begin(response, to_head);
    conn_set_answer_fn(conn, exchange_take, x);
}

int exchange_send_head(struct exchange *x, const struct http_request *request, bool more,
                       struct err *e)
{
    struct buf head;
    buf_init(&head, HTTP_REQUEST_BYTES_MAX);
    int rc = http_request_write(request, &head);
    if (rc == -ENOMEM)
        rc = err_set(e, ERR_ENV, ENOMEM, "no memory for the request");
    else if (rc < 0)
        rc = err_set(e, ERR_USAGE, -rc, "the request's headers are longer than %d bytes",
                     HTTP_REQUEST_BYTES_MAX);
    else
        rc = conn_send(x->conn, head.data, head.len, more, e);
    buf_free(&head);
    return rc;
}

/* One conn_recv() into the parser. 1: something came, 0: the connection has ended. */
static int exchange_read_some(struct exchange *x, deadline_t deadline, struct err *e)
{
    char bytes[READ_BYTES];
    ssize_t n = conn_recv(x->conn, bytes, sizeof bytes, deadline, e);
    if (n < 0)
        return (int)n;
    if (n == 0)
        return 0;
    int rc = exchange_take(x, bytes, (size_t)n, e);
    return rc < 0 ? rc : 1;
}

int exchange_wait_continue(struct exchange *x, int wait_ms, struct err *e)
{
    deadline_t deadline = clock_deadline_in_ms(wait_ms);
    while (http_response_interim(x->response) != 100) {
        int rc = conn_wait_answer(x->conn, deadline, e);
        if (rc == -ETIMEDOUT)
            return 0;
        if (rc < 0)
            return rc;
        rc = exchange_read_some(x, clock_deadline_in_ms(x->timeout_ms), e);
        if (rc < 0)
            return rc;
        if (rc == 0 || http_response_has_head(x->response))
            return CONN_ANSWERED;
    }
    return 0;
}

int exchange_read_answer(struct exchange *x, struct err *e)
{
    bool begun = http_response_has_begun(x->response);
    deadline_t deadline = clock_deadline_in_ms(x->timeout_ms);
    while (!http_response_is_done(x->response)) {
        int rc = exchange_read_some(x, deadline, e);
        if (rc < 0)
            return rc;
        if (rc == 0)
            return http_response_feed_eof(x->response, e);
        /* A peer that sends a byte a second always makes progress: it gets one timeout more. */
        if (!begun && http_response_has_begun(x->response)) {
            deadline = clock_deadline_in_ms(x->timeout_ms);
            begun = true;
        }
    }
    return 0;
}

bool exchange_can_reuse(const struct exchange *x)
{
    return http_response_is_done(x->response) && http_response_keeps_alive(x->response) &&
           !x->excess && !conn_is_answered(x->conn) && conn_can_go_on(x->conn);
}
