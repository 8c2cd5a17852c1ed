/* SPDX-License-Identifier: Apache-2.0 */
/* SIGINT and SIGTERM as a descriptor that everything which waits also waits for. */
#ifndef S3_KTLS_CLI_CANCEL_H
#define S3_KTLS_CLI_CANCEL_H

#include "base/err.h"

/*
 * Block both signals, and give a signalfd(2) for them; not for one that was ignored at the start:
 * it stays so. Call before any other thread starts. A thread of its own watches too: when the
 * program has not ended by itself within CANCEL_PATIENCE_MS (the kernel holds it in a read from a
 * dead file server, say) it ends it, which leaves whatever is being sent without its last chunk.
 * When this returns that thread has no capabilities, or, where it can't give them away, is gone.
 * -1 without a signalfd: then the signals end the process as usual.
 */
int cancel_open(void);

/* If one of the signals has come (it stays pending, for the thread that watches), make `e` of class
 * ERR_SIGINT or ERR_SIGTERM, and put the signal's name in front of what it says. */
void cancel_explain(struct err *e);

#endif
