/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "base/secret.h"
#include "cli/cancel.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/report.h"

/* With 0, 1 or 2 closed, the next socket would get that number, and messages would go into it. */
static void open_standard_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) < 0 &&
            /* Without /dev: what can neither be read nor written. */
            open("/", O_PATH) < 0)
            _exit(ERR_ENV); /* no way to say why */
}

static int run(const struct options *o, int cancel_fd, struct err *e)
{
    switch (o->command) {
    case COMMAND_PUT:
    case COMMAND_SEED:
        return command_put(o, cancel_fd, e);
    case COMMAND_HASH:
        return command_hash(o, cancel_fd, e);
    case COMMAND_DOCTOR:
        return command_doctor(o, cancel_fd, e);
    case COMMAND_HELP:
        options_print_help(o->help_for);
        return report_flush(e);
    case COMMAND_VERSION:
        puts("s3-ktls " S3_KTLS_VERSION);
        return report_flush(e);
    }
    return -EINVAL;
}

int main(int argc, char **argv)
{
    open_standard_descriptors();
    secret_protect_process();
    /* splice(2) and sendfile(2) have no MSG_NOSIGNAL. */
    signal(SIGPIPE, SIG_IGN);
    /* A file in memory is a file to RLIMIT_FSIZE: let it be an error. */
    signal(SIGXFSZ, SIG_IGN);
    /* What was said stays said when the program is ended in the middle. */
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);

    struct options o;
    struct err e = {0};
    int rc = options_parse(&o, argc, argv, &e);
    if (rc == 0) {
        log_set_level(o.verbose ? LOG_LEVEL_VERBOSE : o.quiet ? LOG_LEVEL_QUIET : LOG_LEVEL_NORMAL);
        rc = run(&o, cancel_open(), &e);
        if (rc == -ECANCELED)
            cancel_explain(&e);
    }
    if (rc == 0)
        return 0;
    log_error("%s", e.text);
    if (o.json)
        report_print_json_error(&e);
    return e.class;
}
