/* SPDX-License-Identifier: Apache-2.0 */
/* Where payload comes from: a range of an open file. */
#ifndef S3_KTLS_UPLOAD_SOURCE_H
#define S3_KTLS_UPLOAD_SOURCE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct source {
    int fd;
    const char *path; /* for messages; not owned */
    off_t offset;     /* first byte of the range */
    uint64_t length;  /* bytes of the range */
};

/*
 * Open a regular file for reading, whole. Never blocks on a FIFO. ERR_FILE names what it is if it
 * is no regular file, and why it can't be opened.
 */
int source_open(struct source *source, const char *path, struct err *e);
void source_close(struct source *source);

#endif
