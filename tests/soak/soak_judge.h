/* SPDX-License-Identifier: Apache-2.0 */
/* What a transfer counts as, and what a run is worth. */
#ifndef S3_KTLS_TESTS_SOAK_JUDGE_H
#define S3_KTLS_TESTS_SOAK_JUDGE_H

#include "base/err.h"
#include "soak_plan.h"

const char *soak_phase_name(int phase);

/* The tap, or what is around it, refused with `e`. A network that gave no progress has hung. */
void soak_judge_refused(struct soak_board *board, const struct soak_plan *plan,
                        const struct err *e);

/* A digest came out that is not what it must be, or a process died: the worst there is. */
void soak_judge_wrong(struct soak_board *board, const struct soak_plan *plan, const char *what);

/* It neither ended nor refused. */
void soak_judge_stuck(struct soak_board *board, const struct soak_plan *plan, const char *what);

/* Print what happened, one line of JSON at the end. The exit code: 0 if no transfer was wrong or
 * stuck, and none refused that had no reason to be. */
int soak_judge_run(const struct soak_board *board, double seconds, bool require_ktls);

#endif
