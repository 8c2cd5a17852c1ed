/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a descriptor with a deadline and a way to be told to stop. */
#ifndef S3_KTLS_BASE_IO_H
#define S3_KTLS_BASE_IO_H

#include "base/clock.h"

/*
 * Wait until `fd` has one of `events` (poll(2) flags) or an error condition, until `deadline`, or
 * until `cancel_fd` is readable (-1: cannot be cancelled). cancel_fd is not read from: it stays
 * readable, so everything that waits afterwards stops too.
 * Returns the poll revents (> 0), -ETIMEDOUT, -ECANCELED, or another negative errno.
 * cancel_fd is looked at first, also when `fd` is ready at once.
 */
int io_wait(int fd, short events, int cancel_fd, deadline_t deadline);

/* close(2) if *fd >= 0, and set it to -1. */
void io_close(int *fd);

/* A pipe (O_CLOEXEC, O_NONBLOCK) with room for at least `bytes`, at best effort; fds[0] is read.
 * Returns the capacity in bytes or a negative errno. */
int io_pipe(int fds[2], int bytes);

#endif
