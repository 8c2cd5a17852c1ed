/* SPDX-License-Identifier: Apache-2.0 */
/* Where payload comes from: a range of an open file. */
#ifndef S3_KTLS_UPLOAD_SOURCE_H
#define S3_KTLS_UPLOAD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"

struct source {
    int fd;
    const char *path;      /* for messages; not owned */
    off_t offset;          /* first byte of the range */
    uint64_t length;       /* bytes of the range */
    struct timespec mtime; /* when it was opened */
};

/*
 * Open a regular file for reading, whole. Never blocks on a FIFO. ERR_FILE names what it is if it
 * is no regular file, and why it can't be opened.
 */
int source_open(struct source *source, const char *path, struct err *e);
/* Has its size or time of modification moved since it was opened? What was sent is then what its
 * digest says, but maybe a mix of the old and the new. */
bool source_has_changed(const struct source *source);
void source_close(struct source *source);

#endif
