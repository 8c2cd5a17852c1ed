/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak: many transfers file -> sender -> tap -> TLS -> sink at a time, by the program's own
 * modules, while other processes attack them. Every digest that a tap gives away is compared with
 * that of the bytes that arrived, and with the file's. Wants root; all of it lives in a network
 * namespace of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/tls.h"
#include "soak_attack.h"
#include "soak_judge.h"
#include "soak_sink.h"
#include "soak_upload.h"

enum { STUCK_MS = 120000, ALL_ATTACKS = SOAK_CRAMPED * 2 - 1 };

static const char usage[] =
    "usage: soak [--seconds N] [--transfers N] [--taps N] [--processes N] [--seed N]\n"
    "            [--attacks all|none|stop,signals,ptrace,rewrite,slow,cramped]\n"
    "            [--large PERMILLE] [--dir FOLDER] [--require-ktls]\n"
    "Defaults: 60 seconds, 64 taps in 4 processes, all attacks, 20 transfers of 1000 up to 12 "
    "MiB.\n";

static const struct {
    const char *name;
    unsigned attacks;
} attack_names[] = {
    {"all", ALL_ATTACKS},    {"none", 0},
    {"stop", SOAK_STOP},     {"signals", SOAK_SIGNALS},
    {"ptrace", SOAK_PTRACE}, {"rewrite", SOAK_REWRITE},
    {"slow", SOAK_SLOW},     {"cramped", SOAK_CRAMPED},
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "soak: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t read_number(const char *text, uint64_t min, uint64_t max)
{
    char *end;

    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno || *end || end == text || n < min || n > max) {
        fprintf(stderr, "soak: %s is no number from %" PRIu64 " to %" PRIu64 "\n", text, min, max);
        exit(2);
    }
    return n;
}

static unsigned read_attacks(char *text)
{
    unsigned attacks = 0;

    for (char *name = strtok(text, ","); name; name = strtok(NULL, ",")) {
        size_t i = 0, n = sizeof attack_names / sizeof attack_names[0];

        while (i < n && strcmp(name, attack_names[i].name) != 0)
            i++;
        if (i == n) {
            fputs(usage, stderr);
            exit(2);
        }
        attacks |= attack_names[i].attacks;
    }
    return attacks;
}

/* SIGINT or SIGTERM, once it came: it ends the run, and its folder is removed. */
static volatile sig_atomic_t ended_by;

static void note_end(int number)
{
    ended_by = number;
}

static void handle_end(void)
{
    /* Inherited by the children, which the end of the run ends. */
    const struct sigaction action = {.sa_handler = note_end, .sa_flags = SA_RESTART};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

struct settings {
    double seconds;
    const char *dir;
    bool require_ktls;
};

static void read_options(int argc, char **argv, struct soak_board *board, struct settings *settings)
{
    static const struct option options[] = {
        {"seconds", required_argument, NULL, 's'}, {"transfers", required_argument, NULL, 'n'},
        {"taps", required_argument, NULL, 't'},    {"processes", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 'r'},    {"attacks", required_argument, NULL, 'a'},
        {"large", required_argument, NULL, 'l'},   {"dir", required_argument, NULL, 'd'},
        {"require-ktls", no_argument, NULL, 'k'},  {NULL, 0, NULL, 0},
    };
    bool has_seconds = false;
    int option;

    if (getrandom(&board->seed, sizeof board->seed, 0) < 0)
        fail("getrandom");
    board->seed >>= 32;
    const char *dir = getenv("TMPDIR");
    *settings = (struct settings){.seconds = 60, .dir = dir && *dir ? dir : "/tmp"};
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 's':
            settings->seconds = (double)read_number(optarg, 1, 1000000);
            has_seconds = true;
            break;
        case 'n':
            board->transfers_max = read_number(optarg, 1, UINT64_MAX);
            break;
        case 't':
            board->taps = (unsigned)read_number(optarg, 1, SOAK_TAPS_MAX);
            break;
        case 'p':
            board->processes = (unsigned)read_number(optarg, 1, SOAK_PROCESSES_MAX);
            break;
        case 'r':
            board->seed = read_number(optarg, 0, UINT64_MAX);
            break;
        case 'a':
            board->attacks = read_attacks(optarg);
            break;
        case 'l':
            board->large_permille = (unsigned)read_number(optarg, 0, 1000);
            break;
        case 'd':
            settings->dir = optarg;
            break;
        case 'k':
            settings->require_ktls = true;
            break;
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    if (optind < argc || board->processes > board->taps) {
        fputs(usage, stderr);
        exit(2);
    }
    /* Given a number alone, it is the number that ends the run. */
    if (board->transfers_max && !has_seconds)
        settings->seconds = 1000000;
    if (!board->transfers_max)
        board->transfers_max = UINT64_MAX;
}

/* --- what the run stands on --- */

static void own_network(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};

    if (unshare(CLONE_NEWNET) < 0)
        fail("a network namespace (run as root)");
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
        fail("lo");
    close(fd);
}

static void write_file(const char *folder, const char *name, uint64_t seed)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, SOAK_FILE_BYTES) < 0)
        fail(path);
    uint64_t *words = mmap(NULL, SOAK_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED)
        fail(path);
    for (size_t i = 0; i < SOAK_FILE_BYTES / sizeof *words; i++)
        words[i] = soak_random(&seed);
    munmap(words, SOAK_FILE_BYTES);
    close(fd);
}

static void remove_folder(const struct soak_board *board)
{
    static const char *const names[] = {SOAK_STEADY_FILE, SOAK_CHANGING_FILE, SOAK_CERTIFICATE};
    char path[200];

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", board->folder, names[i]);
        unlink(path);
    }
    rmdir(board->folder);
}

/* --- watching --- */

static void show_file(const struct soak_slot *slot, const char *name)
{
    char path[100], text[1000];

    snprintf(path, sizeof path, "/proc/%d/task/%d/%s", slot->pid, slot->tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    printf("soak:   %s: %s\n", path, text);
}

static void report_stuck(struct soak_board *board, const struct soak_slot *slot)
{
    struct soak_plan plan;
    char what[100];

    soak_plan_make(&plan, board, slot->number);
    snprintf(what, sizeof what, "stuck while %s", soak_phase_name(slot->phase));
    soak_judge_stuck(board, &plan, what);
    show_file(slot, "wchan");
    show_file(slot, "syscall");
    show_file(slot, "stack");
}

/* True if a transfer lasts longer than anything may. */
static bool find_stuck(struct soak_board *board)
{
    int64_t now_ns = clock_now_ns();
    bool found = false;

    for (unsigned i = 0; i < board->taps; i++) {
        int64_t started_ns = board->slots[i].started_ns;

        if (started_ns && now_ns - started_ns > (int64_t)STUCK_MS * 1000000) {
            report_stuck(board, &board->slots[i]);
            found = true;
        }
    }
    return found;
}

/* How many uploaders are left. They are not waited for yet: attackers aim at their ids, which no
 * other process may get meanwhile. */
static unsigned count_running(struct soak_board *board, bool *died)
{
    unsigned running = 0;

    *died = false;
    for (unsigned i = 0; i < board->processes; i++) {
        siginfo_t info = {.si_pid = 0};

        if (waitid(P_PID, (id_t)board->uploaders[i], &info, WEXITED | WNOHANG | WNOWAIT) < 0)
            fail("waitid");
        if (info.si_pid == 0)
            running++;
        else
            *died |= info.si_code != CLD_EXITED || info.si_status != 0;
    }
    return running;
}

/* Until all uploaders have ended, or one of them badly. */
static void watch(struct soak_board *board)
{
    static const struct soak_plan none;
    bool died = false;

    while (!ended_by && count_running(board, &died) && !died && !find_stuck(board))
        usleep(20000);
    if (died)
        soak_judge_wrong(board, &none, "a process that uploads has died");
}

static bool start_uploaders(struct soak_board *board)
{
    for (unsigned i = 0; i < board->processes; i++) {
        unsigned first = board->taps * i / board->processes;
        unsigned end = board->taps * (i + 1) / board->processes;

        if (soak_upload_start(board, i, first, end - first) < 0)
            fail("fork");
    }
    /* Loading is no part of the attack: the verifier gives up when a signal is pending. */
    deadline_t deadline = clock_deadline_in_ms(STUCK_MS);
    bool died = false;
    while (!ended_by && board->ready < board->taps && clock_left_ms(deadline) &&
           count_running(board, &died) == board->processes)
        usleep(1000);
    return board->ready == board->taps && !died;
}

/* Stuck uploaders are killed, all others have ended. */
static void end_all(struct soak_board *board, pid_t sink, const pid_t *attackers, int attacking)
{
    board->over = true;
    for (int i = 0; i < attacking; i++)
        waitpid(attackers[i], NULL, 0);
    for (unsigned i = 0; i < board->processes; i++) {
        kill(board->uploaders[i], SIGKILL);
        waitpid(board->uploaders[i], NULL, 0);
    }
    kill(sink, SIGKILL);
    waitpid(sink, NULL, 0);
}

int main(int argc, char **argv)
{
    struct soak_board *board =
        mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct settings settings;
    struct tls_self_test test;
    struct err e;
    pid_t attackers[SOAK_ATTACKERS_MAX];
    const struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};

    if (board == MAP_FAILED)
        fail("mmap");
    *board = (struct soak_board){
        .taps = 64, .processes = 4, .attacks = ALL_ATTACKS, .large_permille = 20};
    read_options(argc, argv, board, &settings);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("soak: seed %" PRIu64 "\n", board->seed);
    setrlimit(RLIMIT_NOFILE, &files);
    /* Have the kernel load its tls module and the common cipher before all taps ask for them. */
    (void)tls_probe_module();
    if (tls_self_test_run(&test, &e) < 0)
        fprintf(stderr, "soak: %s\n", e.text);
    own_network();
    handle_end();
    snprintf(board->folder, sizeof board->folder, "%s/s3-ktls-soak.XXXXXX", settings.dir);
    if (!mkdtemp(board->folder))
        fail(board->folder);
    write_file(board->folder, SOAK_STEADY_FILE, board->seed);
    write_file(board->folder, SOAK_CHANGING_FILE, board->seed + 1);

    int64_t begin_ns = clock_now_ns();
    board->end_ns = INT64_MAX;
    pid_t sink = soak_sink_start(board);
    int code = 2, attacking = 0;
    if (start_uploaders(board)) {
        board->end_ns = clock_now_ns() + (int64_t)(settings.seconds * 1e9);
        attacking = soak_attack_start(board, attackers);
        board->attacked = true;
        watch(board);
        code =
            soak_judge_run(board, (double)(clock_now_ns() - begin_ns) / 1e9, settings.require_ktls);
    } else if (!ended_by) {
        fprintf(stderr, "soak: the uploaders did not start\n");
    }
    if (ended_by) {
        fprintf(stderr, "soak: ended by a signal, nothing is proven\n");
        code = 128 + ended_by;
    }
    end_all(board, sink, attackers, attacking);
    remove_folder(board);
    return code;
}
