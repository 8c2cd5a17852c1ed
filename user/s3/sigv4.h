/* SPDX-License-Identifier: Apache-2.0 */
/* AWS Signature Version 4 in the Authorization header (S3 API reference, "Authenticating Requests:
 * Using the Authorization Header"). */
#ifndef S3_KTLS_S3_SIGV4_H
#define S3_KTLS_S3_SIGV4_H

#include <time.h>

#include "base/err.h"
#include "http/request.h"
#include "s3/config.h"

/*
 * Sign `r`, which has its host header and target: adds x-amz-date, x-amz-security-token (if there
 * is one) and authorization. All headers marked `sign` are signed, and x-amz-content-sha256 must be
 * among them: its value is the payload hash of the canonical request. The target's path is taken as
 * it is (it was encoded once), its query is sorted by name.
 * 0, -E2BIG or -ENOMEM (ERR_USAGE/ERR_ENV).
 */
int sigv4_sign(struct http_request *r, const struct credentials *credentials, const char *region,
               time_t now, struct err *e);

#endif
