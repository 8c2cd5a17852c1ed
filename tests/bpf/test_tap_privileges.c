/* SPDX-License-Identifier: Apache-2.0 */
/* What the tap needs at the start and what it needs later, and that it leaves nothing behind. Each
 * test of privileges runs in a child. Wants root. */
#include "tap_kit.h"

#include <netinet/in.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { NOBODY = 65534 };

/* Of this thread, as the kernel sees it: glibc's setuid() would want the pair thread to follow. */
static void keep_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
        {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
    };

    assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static uint64_t bit(int capability)
{
    return UINT64_C(1) << capability;
}

#define WANTED (bit(CAP_BPF) | bit(CAP_NET_ADMIN) | bit(CAP_PERFMON))

static void become_nobody(void)
{
    assert_int_equal(syscall(SYS_setgroups, 0, NULL), 0);
    assert_int_equal(syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY), 0);
    assert_int_equal(syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY), 0);
    keep_capabilities(0);
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), 0);
}

static void open_and_pass(struct kit *kit, int taps)
{
    struct tap *open[8] = {NULL};
    struct err e;

    assert_true(taps <= 8);
    for (int i = 0; i < taps; i++) {
        open[i] = kit_open_tap(kit);
        KIT_ASSERT_OK(tap_prove(open[i], &e), &e);
        kit_pass_same(kit, open[i], i, 300000, 0, 0);
    }
    for (int i = 0; i < taps; i++)
        tap_close(open[i]);
}

/* --- with all of them at the start, and none later --- */

static void open_drop_and_pass(void **state)
{
    struct kit *kit = *state;
    struct tap_engine_info info;
    struct err e;

    keep_capabilities(WANTED | bit(CAP_SYS_ADMIN) | bit(CAP_SETUID) | bit(CAP_SETGID));
    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    tap_engine_get_info(kit->engine, &info);
    assert_true(info.private_network);
    struct tap *before = kit_open_tap(kit);
    become_nobody();
    kit_pass_same(kit, before, 0, 100000, 0, 0);
    open_and_pass(kit, 8);
    tap_close(before);
    tap_engine_close(kit->engine);
}

static void works_after_privileges_are_dropped(void **state)
{
    kit_run_in_child(*state, open_drop_and_pass);
}

static void pass_on_the_shared_loopback(void **state)
{
    struct kit *kit = *state;
    struct tap_engine_info info;
    struct err e;

    keep_capabilities(WANTED);
    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    tap_engine_get_info(kit->engine, &info);
    assert_false(info.private_network);
    keep_capabilities(0);
    open_and_pass(kit, 8);
    tap_engine_close(kit->engine);
}

static void works_without_a_network_namespace(void **state)
{
    kit_run_in_child(*state, pass_on_the_shared_loopback);
}

static void look_at_all_threads(void **state)
{
    struct kit *kit = *state;
    struct err e;
    int threads = 0;

    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    keep_capabilities(0);
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task = readdir(tasks); task; task = readdir(tasks)) {
        char path[300], line[256];

        if (task->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", task->d_name);
        FILE *status = fopen(path, "re");
        assert_non_null(status);
        while (fgets(line, sizeof line, status)) {
            if (strncmp(line, "CapEff:", 7) == 0 || strncmp(line, "CapPrm:", 7) == 0 ||
                strncmp(line, "CapInh:", 7) == 0)
                assert_int_equal(strtoull(line + 7, NULL, 16), 0);
        }
        fclose(status);
        threads++;
    }
    closedir(tasks);
    assert_true(threads >= 2);
    tap_engine_close(kit->engine);
}

static void leaves_no_thread_with_a_capability(void **state)
{
    kit_run_in_child(*state, look_at_all_threads);
}

/* --- without one of them --- */

static uint64_t held;
static const char *missing;

static void fail_to_open(void **state)
{
    struct kit *kit = *state;
    char expected[128];
    struct err e;

    snprintf(expected, sizeof expected, "without %s:", missing);
    keep_capabilities(held);
    assert_true(tap_engine_open(&kit->engine, &e) < 0);
    assert_int_equal(e.class, ERR_ENV);
    if (!strstr(e.text, expected))
        fail_msg("%s", e.text);
}

static void names_the_capability_that_is_missing(void **state)
{
    const struct {
        uint64_t held;
        const char *missing;
    } cases[] = {
        {WANTED & ~bit(CAP_BPF), "CAP_BPF"},
        {WANTED & ~bit(CAP_PERFMON), "CAP_PERFMON"},
        {WANTED & ~bit(CAP_NET_ADMIN), "CAP_NET_ADMIN"},
        {bit(CAP_SYS_ADMIN), "CAP_NET_ADMIN"},
        {bit(CAP_NET_ADMIN), "CAP_BPF, CAP_PERFMON"},
        {0, "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        held = cases[i].held;
        missing = cases[i].missing;
        kit_run_in_child(*state, fail_to_open);
    }
}

/* --- strangers on the shared loopback --- */

static int listen_somewhere(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(fd, 2 * TAP_STRANGERS_MAX), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static int connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = 2};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

/* Whoever is faster than our own end is turned away, up to a limit. */
static void accepts_its_own_end_only(void **state)
{
    (void)state;
    for (int strangers = 0; strangers <= TAP_STRANGERS_MAX + 1; strangers++) {
        struct sockaddr_in address;
        int listener = listen_somewhere(&address);
        int fds[TAP_STRANGERS_MAX + 1];
        int in = -1;
        char byte = 0;
        struct err e;

        for (int i = 0; i < strangers; i++)
            fds[i] = connect_to(&address);
        int out = connect_to(&address);
        int result = tap_pairs_accept(listener, clock_deadline_in_ms(2000), out, &in, &e);
        if (strangers <= TAP_STRANGERS_MAX) {
            assert_int_equal(result, 0);
            assert_int_equal(send(in, "x", 1, 0), 1);
            assert_int_equal(recv(out, &byte, 1, 0), 1);
            close(in);
        } else {
            assert_int_equal(result, -ECONNABORTED);
            assert_int_equal(e.class, ERR_ENV);
            assert_int_equal(in, -1);
        }
        for (int i = 0; i < strangers; i++) {
            assert_int_equal(recv(fds[i], &byte, 1, 0), 0); /* closed by the other end */
            close(fds[i]);
        }
        close(out);
        close(listener);
    }
}

static void gives_up_when_its_own_end_does_not_come(void **state)
{
    struct sockaddr_in address;
    int listener = listen_somewhere(&address);
    int stranger = connect_to(&address);
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int in = -1;
    struct err e;

    (void)state;
    assert_int_equal(tap_pairs_accept(listener, clock_deadline_in_ms(50), out, &in, &e),
                     -ETIMEDOUT);
    assert_int_equal(e.class, ERR_ENV);
    assert_int_equal(in, -1);
    close(out);
    close(stranger);
    close(listener);
}

/* --- what is left --- */

static int count_entries(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* The kernel tells pthread_join() of a thread's end before the thread has left /proc. */
static bool comes_down_to(const char *path, int expected)
{
    deadline_t deadline = clock_deadline_in_ms(5000);

    while (count_entries(path) != expected) {
        if (clock_left_ms(deadline) == 0)
            return false;
        usleep(1000);
    }
    return true;
}

static void leaves_no_descriptor_and_no_thread(void **state)
{
    struct kit *kit = *state;
    int descriptors = count_entries("/proc/self/fd");
    int threads = count_entries("/proc/self/task");
    struct err e;

    for (int i = 0; i < 10; i++) {
        KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
        open_and_pass(kit, 2);
        tap_engine_close(kit->engine);
    }
    tap_close(NULL);
    tap_engine_close(NULL);
    assert_int_equal(count_entries("/proc/self/fd"), descriptors);
    assert_true(comes_down_to("/proc/self/task", threads));
}

static void closes_all_on_exec(void **state)
{
    struct kit *kit = *state;
    int before = count_entries("/proc/self/fd");
    int ours = 0, close_on_exec = 0;
    struct err e;

    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    struct tap *tap = kit_open_tap(kit);
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        ours += flags >= 0;
        close_on_exec += flags >= 0 && flags & FD_CLOEXEC;
    }
    tap_close(tap);
    tap_engine_close(kit->engine);
    assert_true(ours > before - 3); /* "." and ".." and the directory itself were counted */
    for (int fd = 0; fd < 1024; fd++) {
        int flags = fcntl(fd, F_GETFD);

        ours -= flags >= 0;
        close_on_exec -= flags >= 0 && flags & FD_CLOEXEC;
    }
    assert_int_equal(ours, close_on_exec);
    assert_true(ours >= 5); /* two maps, the program, the two ends of a pair */
}

static atomic_int signalled_thread;

static void remember_thread(int number)
{
    (void)number;
    signalled_thread = (int)syscall(SYS_gettid);
}

/* A signal to the process while its main thread has it blocked must wait for that thread. */
static void never_handles_signals_in_its_thread(void **state)
{
    struct kit *kit = *state;
    struct sigaction action = {.sa_handler = remember_thread}, before;
    sigset_t set, mask;
    struct err e;

    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &set, &mask), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    usleep(20000);
    assert_int_equal(signalled_thread, 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &mask, NULL), 0);
    assert_int_equal(signalled_thread, syscall(SYS_gettid));
    assert_int_equal(sigaction(SIGUSR1, &before, NULL), 0);
    tap_engine_close(kit->engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(works_after_privileges_are_dropped),
        cmocka_unit_test(works_without_a_network_namespace),
        cmocka_unit_test(leaves_no_thread_with_a_capability),
        cmocka_unit_test(names_the_capability_that_is_missing),
        cmocka_unit_test(accepts_its_own_end_only),
        cmocka_unit_test(gives_up_when_its_own_end_does_not_come),
        cmocka_unit_test(leaves_no_descriptor_and_no_thread),
        cmocka_unit_test(closes_all_on_exec),
        cmocka_unit_test(never_handles_signals_in_its_thread),
    };

    return cmocka_run_group_tests(tests, kit_set_up_file, kit_tear_down_file);
}
