/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared config and credentials files of the AWS tools: sections, key = value, comments with #
 * or ;, and indented lines below a key with an empty value, which are its sub-keys.
 * Of our own because lines reach 8 KiB here (session tokens).
 */
#ifndef S3_KTLS_S3_INI_H
#define S3_KTLS_S3_INI_H

#include <stddef.h>

#include "base/err.h"

enum {
    INI_LINE_BYTES_MAX = 8 * 1024,
    INI_FILE_BYTES_MAX = 1024 * 1024,
};

/*
 * One entry, or with key and value NULL the begin of a section (which may have none). `section` is
 * what stands between the brackets, trimmed ("default", "profile x", "services y"); `key` is lower
 * case, a sub-key as "parent.key". The lines of a value that goes on are joined by '\n'. A key that
 * is there twice is given twice: the last one holds. Return 0 to go on, anything else ends the
 * reading and is returned.
 */
typedef int ini_entry_fn(void *ctx, const char *section, const char *key, const char *value);

/*
 * Read a file. A file that does not exist is -ENOENT without a word in `e`; anything else that
 * keeps it from being read, and any line that is malformed or too long, is ERR_USAGE with file and
 * line, and never the line's text; without memory it is ERR_ENV, -ENOMEM. What was read is wiped
 * from memory.
 */
int ini_read(const char *path, ini_entry_fn *fn, void *ctx, struct err *e);

/* The same for text in memory; `name` stands for the file in messages. */
int ini_parse(const char *name, const char *text, size_t n, ini_entry_fn *fn, void *ctx,
              struct err *e);

#endif
