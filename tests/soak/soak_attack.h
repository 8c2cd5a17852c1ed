/* SPDX-License-Identifier: Apache-2.0 */
/* The attackers, each a process of its own, so that they really preempt the uploaders. */
#ifndef S3_KTLS_TESTS_SOAK_ATTACK_H
#define S3_KTLS_TESTS_SOAK_ATTACK_H

#include "soak_board.h"

enum { SOAK_ATTACKERS_MAX = 8 };

/* Start those that the board asks for; they end when board->over. Returns how many. */
int soak_attack_start(struct soak_board *board, pid_t pids[static SOAK_ATTACKERS_MAX]);

#endif
