/* SPDX-License-Identifier: Apache-2.0 */
/* What a transfer is to be like: chosen by (seed, number of the transfer) alone, so that a run can
 * be repeated, whichever tap takes the number. */
#ifndef S3_KTLS_TESTS_SOAK_PLAN_H
#define S3_KTLS_TESTS_SOAK_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/sender.h"
#include "soak_board.h"

/* The largest payload, and a page and a bit so that it can begin anywhere. */
#define SOAK_BYTES_MAX (12 * 1024 * 1024)
#define SOAK_FILE_BYTES (SOAK_BYTES_MAX + 64 * 1024)

/* splitmix64 */
uint64_t soak_random(uint64_t *state);

/* 0 .. n - 1 */
uint64_t soak_random_below(uint64_t *state, uint64_t n);

enum soak_feed {
    SOAK_FEED_WINDOWS, /* payload_send(): what an upload does */
    SOAK_FEED_RANDOM,  /* random pushes below the window */
    /* The rule that a push never sleeps is broken, to see that a digest is refused all the same: */
    SOAK_FEED_CRAMPED,  /* too small buffers, so that pushes come back short */
    SOAK_FEED_SLEEPING, /* and blocking, so that pushes sleep and are interrupted */
};

struct soak_plan {
    uint64_t number;
    uint64_t random; /* state, for what is chosen on the way */
    size_t bytes;
    off_t offset;
    enum sender_kind sender;
    enum soak_feed feed;
    bool changing; /* of the file that is rewritten */
    bool slow;     /* the sink pauses */
    bool narrow;   /* the next connection, if one is made, has a small receive buffer */
    bool new_tap, new_connection;
};

void soak_plan_make(struct soak_plan *plan, const struct soak_board *board, uint64_t number);

bool soak_plan_is_cramped(const struct soak_plan *plan);

#endif
