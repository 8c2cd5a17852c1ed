/* SPDX-License-Identifier: Apache-2.0 */
/* Digests as text. */
#ifndef S3_KTLS_HASH_ENCODE_H
#define S3_KTLS_HASH_ENCODE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHA256_HEX_SIZE = 65,    /* 64 digits and the NUL */
    SHA256_BASE64_SIZE = 45, /* 44 characters and the NUL */
};

/* Lower-case hex of n bytes into out, which has room for 2 * n + 1. */
void encode_hex(const uint8_t *bytes, size_t n, char *out);

/* Base64 with padding (RFC 4648, 4) of n bytes into out, which has room for 4 * ((n + 2) / 3) + 1.
 */
void encode_base64(const uint8_t *bytes, size_t n, char *out);

#endif
