/* SPDX-License-Identifier: Apache-2.0 */
/* The privileged moment at the start: what it takes to hash, made and proven before capabilities
 * go. */
#ifndef S3_KTLS_CLI_SESSION_H
#define S3_KTLS_CLI_SESSION_H

#include <stdbool.h>

#include "base/err.h"
#include "hash/tap.h"
#include "net/sender.h"

struct session {
    struct tap_engine *engine; /* NULL without BPF hashing */
    struct tap *tap;           /* proven */
    struct sender *sender;
};

/*
 * Load the program and make a tap (if `hashing`), have the tls module loaded (if `tls`), give all
 * capabilities away, and then prove the tap: as it will be used. Call before anything is read from
 * the network. session_close() whatever it returns.
 */
int session_open(struct session *s, bool hashing, bool tls, enum sender_kind sender, struct err *e);

/* Another tap, proven, in the place of one that is poisoned. */
int session_renew_tap(struct session *s, struct err *e);
void session_close(struct session *s);

#endif
