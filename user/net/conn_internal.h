/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by conn.c (life, receiving) and conn_send.c only. */
#ifndef S3_KTLS_NET_CONN_INTERNAL_H
#define S3_KTLS_NET_CONN_INTERNAL_H

#include <openssl/types.h>

#include "net/conn.h"
#include "net/tls.h"

enum {
    CONN_AHEAD_BYTES = 16 * 1024, /* a whole TLS record */
    CONN_PIECE_BYTES = 64 * 1024,
    CONN_PIPE_BYTES = 256 * 1024,
    CONN_LOOK_RECORDS = 32, /* without data in them (session tickets) */
};

enum conn_end {
    CONN_OPEN,
    CONN_ENDED,  /* close_notify, or FIN on plain TCP */
    CONN_BROKEN, /* end_errnum and end_text say how */
};

struct conn {
    struct conn_options options;
    int fd;
    SSL *ssl;  /* NULL: plain TCP */
    bool ktls; /* the kernel makes the records: never SSL_write() */
    char peer[TCP_PEER_SIZE];

    /* Receiving. */
    enum conn_end end;
    int end_errnum;
    char end_text[TLS_ERROR_SIZE];
    bool read_wants_room; /* OpenSSL must write before it can read on (an answer to KeyUpdate) */
    size_t ahead_pos, ahead_len;
    unsigned char ahead[CONN_AHEAD_BYTES]; /* read to see whether there is an answer */
    conn_answer_fn *answer_fn;             /* takes it while something is sent; may be NULL */
    void *answer_ctx;

    /* Sending. */
    bool cut;             /* a request is incomplete: no more sending, no close_notify */
    int send_errnum;      /* what the socket said, if it was that */
    deadline_t send_late; /* has passed, and sending was tried once more all the same */
    int pipe[2];          /* from the first conn_send_from_socket() on */
    size_t pipe_size;
    unsigned char *piece; /* CONN_PIECE_BYTES on their way to OpenSSL, from the first use on */
};

/* Take in what has arrived, without waiting. True if there is an answer, or an end of any kind. */
bool conn_look(struct conn *conn);

deadline_t conn_idle_deadline(const struct conn *conn);

/* Fill e for a failed io_wait() of the connection; `doing` as in "while sending to". */
int conn_fail_wait(const struct conn *conn, int rc, const char *doing, struct err *e);

#endif
