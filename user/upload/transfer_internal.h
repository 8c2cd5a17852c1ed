/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by transfer.c (the PUT) and transfer_confirm.c (what its success is worth) only. */
#ifndef S3_KTLS_UPLOAD_TRANSFER_INTERNAL_H
#define S3_KTLS_UPLOAD_TRANSFER_INTERNAL_H

#include "upload/exchange.h"
#include "upload/transfer.h"

/* One upload on its way. */
struct transfer {
    const struct transfer_plan *plan;
    struct transfer_result *result;
    struct conn *conn;
    struct http_response *response;
    struct exchange exchange;
    struct aws_chunked body;
    bool body_complete; /* its end is with the kernel: from here on an object may appear */
    bool outcome_known; /* and whether it did is what the error says */
    char what[S3_BUCKET_SIZE + S3_KEY_SIZE + 16];
};

/* "PUT s3://bucket/key", in t->what. */
const char *transfer_target(struct transfer *t, const char *method);

/* A connection to the plan's address, in t->conn. */
int transfer_open_conn(struct transfer *t, struct err *e);

/* After a success answer to the PUT: compare its checksum, or ask by HEAD; sets the verdict. */
int transfer_confirm(struct transfer *t, struct err *e);

#endif
