/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

int io_wait(int fd, short events, int cancel_fd, deadline_t deadline)
{
    for (;;) {
        /* poll(2) skips negative descriptors, so cancel_fd == -1 needs no case of its own. */
        struct pollfd p[2] = {{.fd = cancel_fd, .events = POLLIN}, {.fd = fd, .events = events}};
        int n = poll(p, 2, clock_left_ms(deadline));
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0 && p[0].revents)
            return -ECANCELED;
        if (n > 0)
            return p[1].revents;
        if (n == 0)
            return -ETIMEDOUT;
    }
}

void io_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

int io_pipe(int fds[2], int bytes)
{
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    /* Beyond fs.pipe-max-size or the user's share it stays as it is: smaller, not wrong. */
    (void)fcntl(fds[1], F_SETPIPE_SZ, bytes);
    return fcntl(fds[1], F_GETPIPE_SZ);
}
