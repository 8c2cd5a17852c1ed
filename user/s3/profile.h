/* SPDX-License-Identifier: Apache-2.0 */
/* One profile, or one services section, out of the shared files of the AWS tools. */
#ifndef S3_KTLS_S3_PROFILE_H
#define S3_KTLS_S3_PROFILE_H

#include <stdbool.h>

#include "base/err.h"

/* How a profile's section is called: [default] in both files, otherwise ... */
enum profile_kind {
    PROFILE_IN_CONFIG,      /* [profile NAME] */
    PROFILE_IN_CREDENTIALS, /* [NAME] */
    PROFILE_SERVICES,       /* [services NAME] in the config file */
};

/* `key` as in ini.h. Return 0 to go on, a negative errno to end the reading. */
typedef int profile_entry_fn(void *ctx, const char *key, const char *value);

/*
 * Give all entries of the section to fn, in the file's order. *found says whether the section is
 * there. A path that is NULL or does not exist has no section. 0, what fn returned, or ERR_USAGE
 * for a file that can't be read or parsed.
 */
int profile_read(const char *path, enum profile_kind kind, const char *name, profile_entry_fn *fn,
                 void *ctx, bool *found, struct err *e);

#endif
