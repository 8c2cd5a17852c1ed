/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 in userspace, for what is not payload: signatures, the last padding block, self-tests. */
#ifndef S3_KTLS_HASH_DIGEST_H
#define S3_KTLS_HASH_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "tap_abi.h"

enum { SHA256_BYTES = 32 };

/* SHA-256 of n bytes, by OpenSSL. 0 or -ENOMEM. */
int digest_sha256(const void *bytes, size_t n, uint8_t out[static SHA256_BYTES]);

/* HMAC-SHA-256 (RFC 2104), by OpenSSL. 0 or -ENOMEM. */
int digest_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t n,
                       uint8_t out[static SHA256_BYTES]);

/* The state of a stream of no bytes (FIPS 180-4, 5.3.3). */
void digest_state_init(struct sha256_state *s);

/* The padding (FIPS 180-4, 5.1.1) over a copy of the state, by the C form of the block function
 * that the BPF program uses (bpf/sha256.bpf.h). The state is not changed. */
void digest_state_finish(const struct sha256_state *s, uint8_t out[static SHA256_BYTES]);

#endif
