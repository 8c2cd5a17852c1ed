/* SPDX-License-Identifier: Apache-2.0 */
/* One request and its answer on a connection: what joins the HTTP parser and the socket. */
#ifndef S3_KTLS_UPLOAD_EXCHANGE_H
#define S3_KTLS_UPLOAD_EXCHANGE_H

#include <stdbool.h>

#include "base/err.h"
#include "http/request.h"
#include "http/response.h"
#include "net/conn.h"

struct exchange {
    struct conn *conn;              /* not owned */
    struct http_response *response; /* not owned */
    int timeout_ms;                 /* for the first byte of an answer, and again for all of it */
    bool excess;                    /* the peer sent more than its answer */
};

/* Begin: `x` gets the answers from now on, also while something is sent. */
void exchange_begin(struct exchange *x, struct conn *conn, struct http_response *response,
                    bool to_head, int timeout_ms);

/* Send the head of `request`; `more`: a body follows at once. As conn_send(). */
int exchange_send_head(struct exchange *x, const struct http_request *request, bool more,
                       struct err *e);

/*
 * After a head with Expect: 100-continue: wait for at most wait_ms. 0: send the body (100 came, or
 * nothing did: RFC 9110 10.1.1 tells a client not to wait for ever); CONN_ANSWERED: a final answer
 * has come; or a negative errno.
 */
int exchange_wait_continue(struct exchange *x, int wait_ms, struct err *e);

/* Read until the final answer is complete. 0 or a negative errno. */
int exchange_read_answer(struct exchange *x, struct err *e);

/* Another request may follow on this connection: it is kept, and the peer has said nothing since.
 */
bool exchange_can_reuse(const struct exchange *x);

#endif
