/* SPDX-License-Identifier: Apache-2.0 */
/* Loading the program, and the one moment that wants privileges. */
#include "hash/tap_internal.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/buf.h"
#include "base/caps.h"
#include "base/clock.h"
#include "base/kernel.h"

#include "tap.skel.h" /* a system header to the compiler: bpftool's text is not ours to mend */

struct tap_engine {
    struct tap_bpf *bpf;
    struct tap_pairs *pairs;
    struct tap_engine_info info;
};

/* What libbpf and the verifier say, kept while a program is loaded: libbpf has one global printer.
 * The verifier gives its reason at the end, so the end is what is kept. */
enum { SAID_BYTES_MAX = 600, LOAD_TRIES = 10 };
static pthread_mutex_t said_lock = PTHREAD_MUTEX_INITIALIZER;
static struct buf *said;

__attribute__((format(printf, 2, 0))) static int
keep_what_libbpf_says(enum libbpf_print_level level, const char *fmt, va_list ap)
{
    char *line = NULL;

    if (level != LIBBPF_WARN || vasprintf(&line, fmt, ap) < 0)
        return 0;
    size_t n = strlen(line);
    const char *end = n > SAID_BYTES_MAX ? line + n - SAID_BYTES_MAX : line;
    n = strlen(end);
    if (said->len + n > SAID_BYTES_MAX)
        buf_consume(said, said->len + n - SAID_BYTES_MAX);
    buf_add(said, end, n);
    free(line);
    return 0;
}

/* One line of it: the sentence goes on one line. */
static const char *said_in_one_line(void)
{
    for (char *c = said->data; said->len && *c; c++)
        if (*c == '\n')
            *c = ' ';
    return said->len ? said->data : "nothing more";
}

/* The two commonest reasons why a program cannot be loaded, asked before the kernel refuses with a
 * number that says neither. */
static int check_environment(struct err *e)
{
    char release[KERNEL_RELEASE_SIZE];
    char missing[CAPS_NAMES_SIZE];

    if (!kernel_is_new_enough(release))
        return err_set(e, ERR_ENV, ENOSYS,
                       "Linux %s is too old to hash in the kernel: bpf_loop() came with %d.%d",
                       release, KERNEL_MAJOR_MIN, KERNEL_MINOR_MIN);
    caps_missing(missing);
    if (*missing)
        return err_set(e, ERR_ENV, EPERM,
                       "cannot load the BPF program without %s: run as root, or: setcap "
                       "cap_bpf,cap_net_admin,cap_perfmon+ep on the binary",
                       missing);
    return 0;
}

static int explain_failure(const char *step, int errnum, struct err *e)
{
    struct utsname kernel = {.release = "?"};

    uname(&kernel);
    if (errnum == EAGAIN)
        return err_set(e, ERR_ENV, errnum,
                       "cannot %s the BPF program: signals keep interrupting it; try again", step);
    return err_set(e, ERR_ENV, errnum,
                   "cannot %s the BPF program on Linux %s: %s. The capabilities are there; the "
                   "kernel needs CONFIG_BPF_SYSCALL, CONFIG_BPF_STREAM_PARSER and CONFIG_INET, and "
                   "no seccomp filter (container), security module or lockdown may forbid it. "
                   "libbpf said: %s",
                   step, kernel.release, strerrordesc_np(errnum), said_in_one_line());
}

static int load_program(struct tap_engine *engine, struct err *e)
{
    engine->bpf = tap_bpf__open();
    if (!engine->bpf)
        return explain_failure("open", errno, e);

    int result = tap_bpf__load(engine->bpf);
    if (result < 0)
        return explain_failure("load", -result, e);
    /* To the map, so that every socket added later is seen from its first byte. */
    result = bpf_prog_attach(bpf_program__fd(engine->bpf->progs.tap),
                             bpf_map__fd(engine->bpf->maps.taps_in), BPF_SK_MSG_VERDICT, 0);
    if (result < 0)
        return explain_failure("attach", -result, e);

    struct bpf_prog_info info = {0};
    __u32 size = sizeof info;
    if (bpf_obj_get_info_by_fd(bpf_program__fd(engine->bpf->progs.tap), &info, &size) == 0) {
        engine->info.verified_insns = info.verified_insns;
        memcpy(engine->info.program_tag, info.tag, sizeof engine->info.program_tag);
    }
    return 0;
}

static int load_program_quietly(struct tap_engine *engine, struct err *e)
{
    struct buf text;
    int64_t start_ns = clock_now_ns();

    pthread_mutex_lock(&said_lock);
    buf_init(&text, SAID_BYTES_MAX);
    said = &text;
    libbpf_print_fn_t before = libbpf_set_print(keep_what_libbpf_says);
    int result = load_program(engine, e);
    /* The verifier gives up with EAGAIN when a signal is pending, a stop too; libbpf tries five
     * times at once, which on a busy machine is not enough. */
    for (int tries = 1; result == -EAGAIN && tries < LOAD_TRIES; tries++) {
        tap_bpf__destroy(engine->bpf);
        result = load_program(engine, e);
    }
    libbpf_set_print(before);
    said = NULL;
    buf_free(&text);
    pthread_mutex_unlock(&said_lock);
    engine->info.load_ns = clock_now_ns() - start_ns;
    return result;
}

int tap_engine_open(struct tap_engine **engine_out, struct err *e)
{
    struct tap_engine *engine = calloc(1, sizeof *engine);
    if (!engine)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for the tap's engine");

    int result = check_environment(e);
    if (result == 0)
        result = load_program_quietly(engine, e);
    if (result == 0)
        result = tap_pairs_open(&engine->pairs, e);
    if (result < 0) {
        tap_engine_close(engine);
        return result;
    }
    engine->info.private_network = tap_pairs_are_private(engine->pairs);
    *engine_out = engine;
    return 0;
}

void tap_engine_close(struct tap_engine *engine)
{
    if (!engine)
        return;
    tap_pairs_close(engine->pairs);
    tap_bpf__destroy(engine->bpf);
    free(engine);
}

void tap_engine_get_info(const struct tap_engine *engine, struct tap_engine_info *info)
{
    *info = engine->info;
}

int tap_engine_make_pair(struct tap_engine *engine, struct tap_pair *pair, struct err *e)
{
    return tap_pairs_make(engine->pairs, pair, e);
}

int tap_engine_add(struct tap_engine *engine, int in_fd, struct err *e)
{
    __u64 cookie = 0, fd = (__u64)in_fd;
    socklen_t size = sizeof cookie;

    if (getsockopt(in_fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0)
        return err_sys(e, ERR_ENV, errno, "cannot read the cookie of the tap's socket");
    int result =
        bpf_map_update_elem(bpf_map__fd(engine->bpf->maps.taps_in), &cookie, &fd, BPF_NOEXIST);
    if (result == -E2BIG)
        return err_set(e, ERR_ENV, EMFILE,
                       "too many taps are open: the BPF program's sockhash holds %u",
                       bpf_map__max_entries(engine->bpf->maps.taps_in));
    if (result < 0)
        return err_sys(e, ERR_ENV, -result,
                       "cannot put the tap's socket under the BPF program (sockhash)");
    return 0;
}

int tap_engine_write_state(struct tap_engine *engine, int in_fd, const struct tap_state *state)
{
    return bpf_map_update_elem(bpf_map__fd(engine->bpf->maps.tap_states), &in_fd, state, BPF_ANY);
}

int tap_engine_read_state(struct tap_engine *engine, int in_fd, struct tap_state *state)
{
    return bpf_map_lookup_elem(bpf_map__fd(engine->bpf->maps.tap_states), &in_fd, state);
}
