/* SPDX-License-Identifier: Apache-2.0 */
/* The way of the payload bytes: file -> sender -> tap -> connection, one window at a time. */
#ifndef S3_KTLS_UPLOAD_PAYLOAD_H
#define S3_KTLS_UPLOAD_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "hash/tap.h"
#include "net/conn.h"
#include "net/sender.h"
#include "upload/source.h"

struct payload {
    const struct source *source;
    off_t offset; /* where the next byte is read */
    struct sender *sender;
    struct tap *tap; /* NULL: --hash none, file straight to the connection */
    struct conn *conn;
    int cancel_fd;       /* looked at once a window, since nothing may ever wait; -1 for none */
    uint64_t sent_bytes; /* taken out of the tap (or the file) and given to the connection */
};

/*
 * Feed the next n bytes (at most a window) of the file into the tap: how many, fewer only at the
 * end of the file; or a negative errno with `e` filled. -ECANCELED when cancel_fd is readable.
 */
ssize_t payload_feed(struct payload *p, size_t n, struct err *e);

/*
 * Send the next n bytes; `more`: something follows them at once (MSG_MORE). 0 when all are with the
 * connection; CONN_ANSWERED when the peer answered first; a negative errno with `e` filled:
 * ERR_FILE when the file ended early or can't be read.
 */
int payload_send(struct payload *p, uint64_t n, bool more, struct err *e);

/* Is there a byte more, whatever the sender says? 1 (and it is in *byte), 0, or a negative errno
 * with `e` filled. */
int payload_has_more(const struct payload *p, char *byte, struct err *e);

/* Read the next byte into the program, for one that must leave the file before it leaves the
 * machine. 0 or a negative errno with `e` filled. sent_bytes does not count it. */
int payload_take_byte(struct payload *p, char *byte, struct err *e);

#endif
