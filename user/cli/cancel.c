/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cancel.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <unistd.h>

int cancel_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd >= 0)
        sigprocmask(SIG_BLOCK, &set, NULL);
    return fd;
}

void cancel_explain(int cancel_fd, struct err *e)
{
    struct signalfd_siginfo info;
    if (cancel_fd < 0 || read(cancel_fd, &info, sizeof info) != sizeof info)
        return;
    bool term = info.ssi_signo == SIGTERM;
    struct err what = *e;
    err_set(e, term ? ERR_SIGTERM : ERR_SIGINT, ECANCELED, "stopped by %s: %s",
            term ? "SIGTERM" : "SIGINT", what.text);
}
