/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <limits.h>
#include <time.h>

enum { NS_PER_MS = 1000000 };

int64_t clock_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

deadline_t clock_deadline_in_ms(int64_t ms)
{
    int64_t now = clock_now_ns();
    if (ms > (INT64_MAX - now) / NS_PER_MS)
        return CLOCK_NEVER;
    return now + ms * NS_PER_MS;
}

int clock_left_ms(deadline_t deadline)
{
    if (deadline == CLOCK_NEVER)
        return -1;
    int64_t left = deadline - clock_now_ns();
    if (left <= 0)
        return 0;
    int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
    return ms > INT_MAX ? INT_MAX : (int)ms;
}
