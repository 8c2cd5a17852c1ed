/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cancel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/log.h"

enum { CANCEL_PATIENCE_MS = 800 };

static sigset_t watched;
static sem_t dropped; /* the thread's capabilities, or the thread will not stay */

/* ERR_SIGTERM, ERR_SIGINT, or ERR_NONE while neither has come. Not read from the signalfd, which
 * has to stay readable for all others. */
static enum err_class stopped_by(void)
{
    /* A signal that is blocked becomes pending also where it is ignored. */
    sigset_t pending, come;
    sigpending(&pending);
    sigandset(&come, &pending, &watched);
    return sigismember(&come, SIGTERM) == 1  ? ERR_SIGTERM
           : sigismember(&come, SIGINT) == 1 ? ERR_SIGINT
                                             : ERR_NONE;
}

static const char *signal_name(enum err_class class)
{
    return class == ERR_SIGTERM ? "SIGTERM" : "SIGINT";
}

static void *cancel_watch(void *arg)
{
    const int *cancel_fd = arg;
    struct pollfd p = {.fd = *cancel_fd, .events = POLLIN};
    bool keeps_caps = caps_drop(false, NULL) < 0;
    sem_post(&dropped);
    if (keeps_caps) /* rather no patience than a thread with capabilities */
        return NULL;
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    poll(NULL, 0, CANCEL_PATIENCE_MS);

    enum err_class class = stopped_by();
    if (class == ERR_NONE) /* poll(2) failed */
        return NULL;
    log_error("stopped by %s while waiting for the kernel; unless the whole body had been sent, "
              "nothing was stored",
              signal_name(class));
    _exit((int)class);
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
    sigemptyset(&watched);
    add_unless_ignored(&watched, SIGINT);
    add_unless_ignored(&watched, SIGTERM);
    static int fd; /* the thread reads it whenever it starts */
    fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return -1;
    pthread_t thread;
    sigprocmask(SIG_BLOCK, &watched, NULL);
    sem_init(&dropped, 0, 0);
    if (pthread_create(&thread, NULL, cancel_watch, &fd) == 0) {
        pthread_detach(thread);
        while (sem_wait(&dropped) < 0 && errno == EINTR)
            ;
    }
    return fd;
}

void cancel_explain(struct err *e)
{
    enum err_class class = stopped_by();
    if (class == ERR_NONE)
        return;
    struct err what = *e;
    err_set(e, class, ECANCELED, "stopped by %s: %s", signal_name(class), what.text);
}
