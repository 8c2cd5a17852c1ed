/* SPDX-License-Identifier: Apache-2.0 */
/* The commands. Each returns 0 or a negative errno with `e` filled; its class is the exit code. */
#ifndef S3_KTLS_CLI_COMMANDS_H
#define S3_KTLS_CLI_COMMANDS_H

#include "base/err.h"
#include "cli/options.h"

/* Upload one file. Also the seed's command line. */
int command_put(const struct options *o, int cancel_fd, struct err *e);

/* SHA-256 of files. Goes on after a file that fails (its error is told at once), and fails in the
 * end. */
int command_hash(const struct options *o, int cancel_fd, struct err *e);

/* What this machine can do, a line a fact. Fails if the main job cannot run here. */
int command_doctor(const struct options *o, int cancel_fd, struct err *e);

#endif
