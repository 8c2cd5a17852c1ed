/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time and deadlines. */
#ifndef S3_KTLS_BASE_CLOCK_H
#define S3_KTLS_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t clock_now_ns(void);

/* A point on the monotonic clock, in ns; CLOCK_NEVER waits for ever. */
typedef int64_t deadline_t;
#define CLOCK_NEVER INT64_MAX

deadline_t clock_deadline_in_ms(int64_t ms);

/* Milliseconds left, rounded up, 0 when past, as poll(2) takes it; -1 for CLOCK_NEVER. */
int clock_left_ms(deadline_t deadline);

#endif
