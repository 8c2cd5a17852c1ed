/* SPDX-License-Identifier: Apache-2.0 */
/* Taps that are worse off than the program lets them be. */
#ifndef S3_KTLS_TESTS_SOAK_CRAMPED_H
#define S3_KTLS_TESTS_SOAK_CRAMPED_H

#include "soak_plan.h"
#include "upload/payload.h"

/*
 * As payload_send(), through the descriptors that tap_feed() and tap_out_fd() show, with socket
 * buffers far below the window: pushes come back short (SOAK_FEED_CRAMPED), or block, sleep, and
 * are interrupted (SOAK_FEED_SLEEPING; another thread then empties the tap). Most such transfers
 * have to be refused; if a digest comes out it has to be right as any other.
 */
int soak_cramped_send(struct payload *payload, struct soak_plan *plan, struct err *e);

#endif
