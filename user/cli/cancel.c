/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cancel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/log.h"

enum { CANCEL_PATIENCE_MS = 800 };

static void *cancel_watch(void *arg)
{
    const int *cancel_fd = arg;
    struct pollfd p = {.fd = *cancel_fd, .events = POLLIN};
    (void)caps_drop(false, NULL);
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    poll(NULL, 0, CANCEL_PATIENCE_MS);

    /* Not read from the signalfd, which has to stay readable for all others. */
    sigset_t pending;
    sigpending(&pending);
    bool term = sigismember(&pending, SIGTERM) == 1;
    log_error("stopped by %s while waiting for the kernel; unless the whole body had been sent, "
              "nothing was stored",
              term ? "SIGTERM" : "SIGINT");
    _exit(term ? ERR_SIGTERM : ERR_SIGINT);
}

/* What whoever started the program had it ignore (nohup, a shell's background job) stays ignored.
 * Blocked for the signalfd, it would be delivered all the same. */
static void add_unless_ignored(sigset_t *set, int number)
{
    struct sigaction action;
    if (sigaction(number, NULL, &action) < 0 || action.sa_handler != SIG_IGN)
        sigaddset(set, number);
}

int cancel_open(void)
{
    sigset_t set;
    sigemptyset(&set);
    add_unless_ignored(&set, SIGINT);
    add_unless_ignored(&set, SIGTERM);
    static int fd; /* the thread reads it whenever it starts */
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -1;
    pthread_t thread;
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, cancel_watch, &fd) == 0)
        pthread_detach(thread);
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
