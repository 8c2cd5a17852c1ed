/* SPDX-License-Identifier: Apache-2.0 */
/* The SHA-256 of a file, computed by a tap whose far end is spliced into /dev/null. */
#ifndef S3_KTLS_UPLOAD_HASH_FILE_H
#define S3_KTLS_UPLOAD_HASH_FILE_H

#include "base/err.h"
#include "hash/tap.h"
#include "net/sender.h"
#include "upload/source.h"

/* Reads to the end of the file, as sha256sum does, wherever that is by then. -ECANCELED when
 * cancel_fd became readable. */
int hash_file(struct tap_result *result, struct tap *tap, struct sender *sender,
              const struct source *source, int cancel_fd, struct err *e);

#endif
