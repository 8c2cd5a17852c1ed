/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_plan.h"

#include "hash/tap.h"

uint64_t soak_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t soak_random_below(uint64_t *state, uint64_t n)
{
    return soak_random(state) % n;
}

static bool one_in(uint64_t *state, unsigned n)
{
    return soak_random_below(state, n) == 0;
}

/* Around the borders of a block, page, TLS record, message and window; or as long as it may be, in
 * the share asked for; else anything, each order of magnitude as often as another. */
static size_t choose_bytes(uint64_t *state, unsigned large_permille)
{
    static const size_t borders[] = {64,    128,   4096,  8192,   16384,
                                     32768, 65536, 98304, 131072, 2 * TAP_WINDOW_BYTES};
    const size_t n = sizeof borders / sizeof borders[0];

    if (soak_random_below(state, 1000) < large_permille)
        return soak_random_below(state, SOAK_BYTES_MAX + 1);
    switch (soak_random_below(state, 8)) {
    case 0:
        return soak_random_below(state, 200);
    case 1:
    case 2:
    case 3:
        return borders[soak_random_below(state, n)] - 1 + soak_random_below(state, 3);
    default:
        return soak_random_below(state, UINT64_C(1) << (8 + soak_random_below(state, 13)));
    }
}

static enum soak_feed choose_feed(uint64_t *state, bool cramped)
{
    if (cramped && one_in(state, 8))
        return one_in(state, 2) ? SOAK_FEED_CRAMPED : SOAK_FEED_SLEEPING;
    return one_in(state, 2) ? SOAK_FEED_WINDOWS : SOAK_FEED_RANDOM;
}

void soak_plan_make(struct soak_plan *plan, const struct soak_board *board, uint64_t number)
{
    uint64_t state = board->seed ^ number * UINT64_C(0xd1342543de82ef95);

    *plan = (struct soak_plan){.number = number};
    plan->bytes = choose_bytes(&state, board->large_permille);
    plan->offset = (off_t)soak_random_below(&state, SOAK_FILE_BYTES - plan->bytes);
    plan->sender = one_in(&state, 2) ? SENDER_SPLICE : SENDER_SENDFILE;
    plan->feed = choose_feed(&state, board->attacks & SOAK_CRAMPED);
    /* A splice asleep in a worker thread of io_uring may stay there until the ring is closed. */
    if (plan->feed == SOAK_FEED_SLEEPING)
        plan->sender = SENDER_SENDFILE;
    plan->changing = one_in(&state, 3) && board->attacks & SOAK_REWRITE;
    plan->slow = one_in(&state, 6) && board->attacks & SOAK_SLOW;
    plan->narrow = one_in(&state, 3) && board->attacks & SOAK_SLOW;
    plan->new_tap = one_in(&state, 8);
    plan->new_connection = one_in(&state, 12);
    plan->random = state;
}

bool soak_plan_is_cramped(const struct soak_plan *plan)
{
    return plan->feed == SOAK_FEED_CRAMPED || plan->feed == SOAK_FEED_SLEEPING;
}
