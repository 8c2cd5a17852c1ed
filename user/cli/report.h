/* SPDX-License-Identifier: Apache-2.0 */
/* What a command says on stdout: a line for people, an object for programs. */
#ifndef S3_KTLS_CLI_REPORT_H
#define S3_KTLS_CLI_REPORT_H

#include <stdbool.h>

#include "base/err.h"
#include "hash/tap.h"
#include "upload/transfer.h"

struct report {
    const struct s3_object *object;
    const struct transfer_result *result;
    const char *endpoint;                      /* its URL */
    const char *moved_by;                      /* "sendfile", "splice", "read" */
    const struct tap_engine_info *engine_info; /* NULL with --hash none */
};

/* Both print one line and flush. ERR_ENV if stdout does not take it: the upload is done then, and
 * the text says so. */
int report_print_line(const struct report *report, struct err *e);
int report_print_json(const struct report *report, struct err *e);

/* Flush stdout, and see whether it took everything. */
int report_flush(struct err *e);

/* {"error": {...}} on stdout, for --json. */
void report_print_json_error(const struct err *error);

#endif
