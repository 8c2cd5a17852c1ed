/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processes of a soak share: one board in anonymous shared memory, on which each tap says
 * what it is doing, and everybody counts. The controller reads it, so it can tell what happened
 * also in a process that hangs or has died.
 */
#ifndef S3_KTLS_TESTS_SOAK_BOARD_H
#define S3_KTLS_TESTS_SOAK_BOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SOAK_TAPS_MAX = 128,
    SOAK_PROCESSES_MAX = 8,
    SOAK_TEXT_BYTES = 400,
};

/* The attacks; each is a process of its own but `slow` and `cramped`, which are how a transfer is
 * done. */
enum soak_attack {
    SOAK_STOP = 1 << 0,    /* SIGSTOP and SIGCONT */
    SOAK_SIGNALS = 1 << 1, /* signals to single threads, with and without SA_RESTART */
    SOAK_PTRACE = 1 << 2,  /* PTRACE_INTERRUPT of single threads */
    SOAK_REWRITE = 1 << 3, /* the file's content changes while it is sent */
    SOAK_SLOW = 1 << 4,    /* the sink reads in small pieces and pauses, with a small buffer */
    SOAK_CRAMPED = 1 << 5, /* some taps get small socket buffers: the rule against it broken */
};

/* Why a transfer was refused: stable names for what struct err says in words. */
enum soak_cause {
    SOAK_HASHED_DIFFERS,
    SOAK_SHORT_OF_MEMORY,
    SOAK_TCP_DIFFERS,
    SOAK_LEFT_INSIDE,
    SOAK_DROPPED,
    SOAK_PUSH_FAILED,
    SOAK_FILE,
    SOAK_NETWORK,
    SOAK_ENVIRONMENT,
    SOAK_OTHER,
    SOAK_CAUSES,
};

enum soak_phase {
    SOAK_IDLE,
    SOAK_OPENING_TAP,
    SOAK_CONNECTING,
    SOAK_BEGINNING,
    SOAK_SENDING,
    SOAK_FINISHING,
    SOAK_ASKING_SINK,
    SOAK_PHASES,
};

/* What one tap is doing. */
struct soak_slot {
    _Atomic pid_t pid, tid;
    _Atomic int phase;
    _Atomic int64_t started_ns; /* of the transfer under way; 0: none */
    _Atomic uint64_t number;
};

struct soak_board {
    /* The parameters, written before anybody else starts. */
    uint64_t seed;
    uint64_t transfers_max;
    int64_t end_ns; /* no transfer begins afterwards */
    unsigned attacks;
    unsigned taps, processes;
    unsigned large_permille;
    uint16_t port, narrow_port; /* of the sink; the second has small receive buffers */
    char folder[128];

    _Atomic uint64_t next;  /* number of the next transfer */
    _Atomic unsigned ready; /* taps that have started */
    _Atomic bool attacked;  /* the attackers have started: so may the transfers */
    _Atomic bool over;      /* all uploaders have ended: everybody else may */
    _Atomic pid_t uploaders[SOAK_PROCESSES_MAX];
    struct soak_slot slots[SOAK_TAPS_MAX];

    /* [1]: with cramped buffers. */
    _Atomic uint64_t right[2];
    _Atomic uint64_t refused[2][SOAK_CAUSES];
    _Atomic uint64_t wrong, stuck, bytes;
    _Atomic uint64_t by_sendfile, by_splice, of_changing_file, changed;
    _Atomic uint64_t ktls_connections, openssl_connections;

    /* What the attackers did. */
    _Atomic uint64_t stops, signals, interrupts, rewrites;

    /* The first words of each kind. */
    _Atomic bool said[SOAK_CAUSES], said_wrong;
    char text[SOAK_CAUSES][SOAK_TEXT_BYTES], wrong_text[SOAK_TEXT_BYTES];
};

#endif
