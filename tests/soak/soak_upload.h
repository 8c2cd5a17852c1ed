/* SPDX-License-Identifier: Apache-2.0 */
/* The uploading side: processes with some taps each, one thread a tap. */
#ifndef S3_KTLS_TESTS_SOAK_UPLOAD_H
#define S3_KTLS_TESTS_SOAK_UPLOAD_H

#include "soak_board.h"

/* Names in board->folder. */
#define SOAK_STEADY_FILE "steady"
#define SOAK_CHANGING_FILE "changing"

/* Start uploader number `which` with the slots first_slot .. first_slot + taps - 1. It ends when no
 * transfer is left, or the time is up. */
pid_t soak_upload_start(struct soak_board *board, unsigned which, unsigned first_slot,
                        unsigned taps);

#endif
