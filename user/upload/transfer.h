/* SPDX-License-Identifier: Apache-2.0 */
/* One upload: a source, a destination, and everything in between, to the store's confirmation. */
#ifndef S3_KTLS_UPLOAD_TRANSFER_H
#define S3_KTLS_UPLOAD_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "hash/digest.h"
#include "hash/tap.h"
#include "net/conn.h"
#include "net/sender.h"
#include "s3/ops.h"
#include "upload/source.h"

/* What to do. Nothing is owned, everything must outlive the transfer. */
struct transfer_plan {
    const struct source *source;
    const struct s3_object *object;   /* for messages */
    const struct s3_address *address; /* where it goes */
    const struct s3_client *client;
    enum s3_integrity integrity;
    enum body_framing framing;
    uint64_t chunk_bytes;
    struct tap *tap; /* for S3_INTEGRITY_TRAILER */
    struct sender *sender;
    struct conn_options connection; /* host and port are the address's */
    bool require_ktls;
    bool require_stable;
};

enum transfer_verdict {
    TRANSFER_CONFIRMED, /* the store returned a checksum, and it is ours */
    TRANSFER_ACCEPTED,  /* 200 without a checksum, and a HEAD that shows the right length */
};

/* What happened: all that the result line and the JSON object say. */
struct transfer_result {
    uint64_t bytes;
    /* What of the file moved while it was sent, which is maybe a mix of the old and the new then;
     * "" if nothing did. */
    char source_change[SOURCE_CHANGE_SIZE];
    bool hashed;
    uint8_t sha256[SHA256_BYTES];
    enum transfer_verdict verdict;
    struct s3_object_info stored;
    char peer[TCP_PEER_SIZE];
    char tls_version[16]; /* "" on http */
    char tls_cipher[64];
    bool ktls_send;
    int64_t elapsed_ns; /* from connecting to the store's last answer */
};

/*
 * Run it. 0: the store has the object, and `result` says how that is known. Negative: `e` says why
 * not; the connection was ended so that no complete body reached the store, or the store itself
 * refused. When an object may exist all the same (a success answer that could not be verified) the
 * text says so.
 */
int transfer_run(const struct transfer_plan *plan, struct transfer_result *result, struct err *e);

#endif
