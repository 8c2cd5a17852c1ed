/* SPDX-License-Identifier: Apache-2.0 */
/* Where payload comes from: a range of an open file. */
#ifndef S3_KTLS_UPLOAD_SOURCE_H
#define S3_KTLS_UPLOAD_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/err.h"

enum {
    SOURCE_NAME_SIZE = 512,
    SOURCE_CHANGE_SIZE = 320,
};

struct source {
    int fd;
    char name[SOURCE_NAME_SIZE];         /* the path for messages: a long one without its middle */
    off_t offset;                        /* first byte of the range */
    uint64_t length;                     /* bytes of the range */
    struct statx_timestamp mtime, ctime; /* when it was opened */
};

/*
 * Open a regular file for reading, whole. Never blocks on a FIFO, nor until somebody else gives up
 * a lease on it. ERR_FILE names what it is if it is no regular file, and why it can't be opened.
 * EOPNOTSUPP for a file of FUSE with direct_io, of which sendfile(2) and splice(2) may make zeros;
 * one whose daemon negotiated FUSE_DIRECT_IO_ALLOW_MMAP is not recognised.
 */
int source_open(struct source *source, const char *path, struct err *e);

/*
 * Have size, mtime or ctime moved since it was opened? Then true, and `text` says what moved, from
 * where and to where. What was sent is then still what its digest says, but maybe a mix of the old
 * and the new. ctime can't be set back, but moves with the name, links and attributes too. It is
 * the open file that is looked at, whatever its path leads to now, on network file systems as the
 * server has it (AT_STATX_FORCE_SYNC, statx(2)), not as it was cached. Writes through a shared
 * mapping move both times only where the page was clean (mmap(2), NOTES).
 */
bool source_describe_change(const struct source *source, char text[static SOURCE_CHANGE_SIZE]);
void source_close(struct source *source);

#endif
