/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes of a file into a socket without reading them: sendfile(2), or io_uring splices. */
#ifndef S3_KTLS_NET_SENDER_H
#define S3_KTLS_NET_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

enum sender_kind {
    SENDER_SENDFILE,
    SENDER_SPLICE, /* file -> pipe -> socket, each a splice of io_uring */
};

struct sender;

/* SENDER_SPLICE makes a ring and a pipe of `window_bytes`; at most so much is on its way at a time.
 * ERR_ENV names io_uring and kernel.io_uring_disabled where it can't be had. */
int sender_open(struct sender **sender, enum sender_kind kind, size_t window_bytes, struct err *e);
void sender_close(struct sender *sender);

/* "sendfile" or "splice" */
const char *sender_name(const struct sender *sender);

/*
 * Move up to n bytes of file_fd, from *offset on, into the non-blocking socket sock_fd, and move
 * *offset on. `more` as MSG_MORE; sendfile(2) has no such flag, and sends what it has.
 * Returns bytes moved: n, or less when the file ends, the socket is full or the kernel cut it short
 * (the next call then says what); 0 at the end of the file, -EAGAIN if the socket takes nothing
 * now, -EINTR if a signal or a stop kept it from moving anything (call again), or another negative
 * errno. `*offset` is always where the next call must go on: bytes that
 * were taken into the pipe but not out of it are kept, and go first if the next call asks for that
 * place of that file, else they are dropped. *from_source tells, after a negative errno, whether
 * the file (true) or the socket (false) failed.
 * The process must ignore SIGPIPE.
 */
ssize_t sender_push(struct sender *sender, int file_fd, off_t *offset, int sock_fd, size_t n,
                    bool more, bool *from_source);

#endif
