/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "soak_plan.h"
#include "soak_upload.h"

/* Each has a generator of its own; what it does when is the machine's to decide anyway. */
static uint64_t state;

static void pause_below_us(unsigned us)
{
    usleep((useconds_t)soak_random_below(&state, us));
}

static pid_t choose_uploader(struct soak_board *board)
{
    return board->uploaders[soak_random_below(&state, board->processes)];
}

static struct soak_slot *choose_slot(struct soak_board *board)
{
    return &board->slots[soak_random_below(&state, board->taps)];
}

static void stop_and_continue(struct soak_board *board)
{
    while (!board->over) {
        pid_t pid = choose_uploader(board);

        if (kill(pid, SIGSTOP) == 0) {
            board->stops++;
            pause_below_us(4000);
            kill(pid, SIGCONT);
        }
        pause_below_us(10000);
    }
}

static void storm(struct soak_board *board)
{
    static const int numbers[] = {SIGALRM, SIGUSR1, SIGIO};

    while (!board->over) {
        for (unsigned i = (unsigned)soak_random_below(&state, 16); i; i--) {
            struct soak_slot *slot = choose_slot(board);
            int number = numbers[soak_random_below(&state, 3)];

            board->signals += syscall(SYS_tgkill, slot->pid, slot->tid, number) == 0;
        }
        pause_below_us(4000);
    }
}

/* --- ptrace --- */

/* Wait until the tracee stands, however long that takes: given up it would stand for ever. Then let
 * it go on as a debugger does. False: it has ended, or everything has. */
static bool resume_stopped(const struct soak_board *board, pid_t tid, bool detach)
{
    int status;
    pid_t got;

    while ((got = waitpid(tid, &status, WNOHANG | __WALL)) == 0) {
        if (board->over)
            return false;
        usleep(200);
    }
    if (got < 0 || !WIFSTOPPED(status))
        return false;
    int number = WSTOPSIG(status);
    bool is_event = status >> 16 == PTRACE_EVENT_STOP;

    if (detach)
        return ptrace(PTRACE_DETACH, tid, 0, is_event ? 0 : number) == 0;
    /* A stop of the whole process goes on until SIGCONT; other signals are the tracee's. */
    if (is_event && number == SIGSTOP)
        return ptrace(PTRACE_LISTEN, tid, 0, 0) == 0;
    return ptrace(PTRACE_CONT, tid, 0, is_event ? 0 : number) == 0;
}

static void trace(struct soak_board *board)
{
    while (!board->over) {
        pid_t tid = choose_slot(board)->tid;

        if (ptrace(PTRACE_SEIZE, tid, 0, 0) == 0) {
            bool goes_on = true;

            for (unsigned i = (unsigned)soak_random_below(&state, 30); goes_on && i; i--) {
                if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0)
                    board->interrupts++;
                pause_below_us(300);
                goes_on = resume_stopped(board, tid, false);
                pause_below_us(1000);
            }
            ptrace(PTRACE_INTERRUPT, tid, 0, 0);
            resume_stopped(board, tid, true);
        }
        pause_below_us(2000);
    }
}

/* --- the file --- */

/* Writes into what is being sent just now, so that it changes under the feet of the sender. */
static void rewrite(struct soak_board *board)
{
    char path[200];

    snprintf(path, sizeof path, "%s/%s", board->folder, SOAK_CHANGING_FILE);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t *bytes = mmap(NULL, SOAK_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd < 0 || bytes == MAP_FAILED) {
        perror("soak: cannot rewrite");
        _exit(2);
    }
    while (!board->over) {
        for (unsigned i = 0; i < board->taps / 4; i++) {
            struct soak_slot *slot = choose_slot(board);
            struct soak_plan plan;

            soak_plan_make(&plan, board, slot->number);
            if (slot->started_ns == 0 || !plan.changing || !plan.bytes)
                continue;
            for (int n = 0; n < 32; n++)
                bytes[(size_t)plan.offset + soak_random_below(&state, plan.bytes)] ^= 0xff;
            board->rewrites++;
        }
        pause_below_us(1000);
    }
}

/* --- start --- */

int soak_attack_start(struct soak_board *board, pid_t pids[static SOAK_ATTACKERS_MAX])
{
    static const struct {
        unsigned attack;
        void (*run)(struct soak_board *board);
    } attackers[] = {
        {SOAK_STOP, stop_and_continue},
        {SOAK_SIGNALS, storm},
        {SOAK_PTRACE, trace},
        {SOAK_REWRITE, rewrite},
    };
    int started = 0;

    for (size_t i = 0; i < sizeof attackers / sizeof attackers[0]; i++) {
        if (!(board->attacks & attackers[i].attack))
            continue;
        pid_t child = fork();

        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            state = board->seed + i;
            attackers[i].run(board);
            _exit(0);
        }
        pids[started++] = child;
    }
    return started;
}
