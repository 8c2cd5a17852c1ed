/* SPDX-License-Identifier: Apache-2.0 */
/* Linux capabilities: which the tap needs, which are held, and giving them away. */
#ifndef S3_KTLS_BASE_CAPS_H
#define S3_KTLS_BASE_CAPS_H

#include <stdbool.h>

#include "base/err.h"

enum { CAPS_NAMES_SIZE = 128 };

/* Those that loading the tap needs and this thread does not have effective, as
 * "CAP_BPF, CAP_PERFMON"; "" if none is missing. CAP_SYS_ADMIN stands in for CAP_BPF and
 * CAP_PERFMON (capabilities(7)). */
void caps_missing(char out[static CAPS_NAMES_SIZE]);

/*
 * Give away every capability of the calling thread, for good: no_new_privs, ambient set empty. With
 * `keep_read_search`, CAP_DAC_READ_SEARCH stays if it is held: a backup that runs as root reads
 * files of others. Capabilities belong to a thread, so call it before others start, or in each.
 */
int caps_drop(bool keep_read_search, struct err *e);

#endif
