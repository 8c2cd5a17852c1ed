/* SPDX-License-Identifier: Apache-2.0 */
/* The command line, one argument a line (or up to a NUL). Reading it may make no system call at
 * all: the kernel is asked to turn any into SIGSYS meanwhile (syscall user dispatch, Linux 5.11).
 */
#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>

#include "cli/options.h"
#include "fuzz.h"
#include "http/aws_chunked.h"

enum { ARGUMENTS_MAX = 24 };

static char selector;

static void on_system_call(int number)
{
    (void)number;
    *(volatile char *)&selector = SYSCALL_DISPATCH_FILTER_ALLOW;
    MUST(!"a system call while options are read");
}

/* libFuzzer's timer must wait meanwhile: the end of a signal handler is a system call. */
static void forbid_system_calls(bool forbid)
{
    static bool is_set_up;
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    if (!is_set_up) {
        MUST(signal(SIGSYS, on_system_call) != SIG_ERR);
        MUST(prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0);
    }
    is_set_up = true;
    if (forbid)
        sigprocmask(SIG_BLOCK, &alarm, NULL);
    *(volatile char *)&selector =
        forbid ? SYSCALL_DISPATCH_FILTER_BLOCK : SYSCALL_DISPATCH_FILTER_ALLOW;
    if (!forbid)
        sigprocmask(SIG_UNBLOCK, &alarm, NULL);
}

static bool is_argument(const char *s, char **parts)
{
    for (int i = 0; i < ARGUMENTS_MAX; i++)
        if (s >= parts[i] && s <= parts[i] + strlen(parts[i]))
            return true;
    return false;
}

static void check(const struct options *o, char **parts, int argc)
{
    const char *texts[] = {o->endpoint_url, o->region, o->profile,
                           o->ca_bundle,    o->file,   o->bucket};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        MUST(!texts[i] || (*texts[i] && is_argument(texts[i], parts)));
    MUST(o->command && (o->command & (o->command - 1)) == 0);
    if (o->command == COMMAND_HELP || o->command == COMMAND_VERSION)
        return; /* what else is there is not looked at */
    MUST(o->chunk_bytes >= AWS_CHUNK_BYTES_MIN && o->chunk_bytes <= AWS_CHUNK_BYTES_MAX);
    /* An int is what takes them in the end. */
    MUST(o->connect_timeout_ms >= 1 && o->connect_timeout_ms <= INT32_MAX);
    MUST(o->timeout_ms >= 1 && o->timeout_ms <= INT32_MAX);
    MUST(o->addressing >= 0 && o->addressing <= OPTION_ADDRESSING_VIRTUAL);
    MUST(o->sender >= 0 && o->sender <= OPTION_SENDER_SPLICE);
    MUST(o->hash >= 0 && o->hash <= OPTION_HASH_NONE);
    MUST(o->framing >= 0 && o->framing <= OPTION_FRAMING_LENGTH);
    MUST(o->operand_count >= 0 && o->operand_count < argc);
    for (int i = 0; i < o->operand_count; i++)
        MUST(is_argument(o->operands[i], parts));
    MUST(o->command != COMMAND_PUT || o->operand_count == 2);
    MUST(o->command != COMMAND_HASH || o->operand_count >= 1);
    MUST(o->command != COMMAND_SEED || (o->file && o->bucket && o->region));
}

static bool ends_argument(uint8_t c)
{
    return c == '\n' || !c;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char name[] = "s3-ktls";
    char *parts[ARGUMENTS_MAX], *argv[ARGUMENTS_MAX + 2] = {name};
    struct options o;
    struct err e = {.text = ""};
    size_t count = size && !ends_argument(data[size - 1]);
    for (size_t i = 0; i < size; i++)
        count += ends_argument(data[i]);
    fuzz_split(data, size, true, parts, ARGUMENTS_MAX);
    int argc = 1;
    while ((size_t)argc <= count && argc <= ARGUMENTS_MAX) {
        argv[argc] = parts[argc - 1];
        argc++;
    }
    forbid_system_calls(true);
    int ret = options_parse(&o, argc, argv, &e);
    forbid_system_calls(false);
    if (ret == 0)
        check(&o, parts, argc);
    else {
        fuzz_check_err(&e, ret);
        MUST(e.class == ERR_USAGE);
    }
    fuzz_free_parts(parts, ARGUMENTS_MAX);
    return 0;
}
