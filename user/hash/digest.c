/* SPDX-License-Identifier: Apache-2.0 */
#include "hash/digest.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define SHA256_BLOCK_LINKAGE static
#include "sha256.bpf.h"

int digest_sha256(const void *bytes, size_t n, uint8_t out[static SHA256_BYTES])
{
    return EVP_Digest(bytes, n, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;
}

int digest_hmac_sha256(const void *key, size_t key_bytes, const void *bytes, size_t n,
                       uint8_t out[static SHA256_BYTES])
{
    if (key_bytes > INT32_MAX)
        return -ENOMEM;
    return HMAC(EVP_sha256(), key, (int)key_bytes, bytes, n, out, NULL) ? 0 : -ENOMEM;
}

void digest_state_init(struct sha256_state *s)
{
    *s = (struct sha256_state){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f,
                                     0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

static void put_be(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        out[i] = (uint8_t)value;
        value >>= 8;
    }
}

void digest_state_finish(const struct sha256_state *s, uint8_t out[static SHA256_BYTES])
{
    enum { LENGTH_BYTES = 8 };
    struct sha256_state state = *s;
    /* Twice the size of a block: with the 0x80 and the length a long tail needs a second one. */
    union {
        uint8_t bytes[2 * SHA256_BLOCK_BYTES];
        struct sha256_input blocks[2];
    } last = {{0}};
    size_t kept = s->bytes % SHA256_BLOCK_BYTES;
    int blocks = kept + 1 + LENGTH_BYTES > SHA256_BLOCK_BYTES ? 2 : 1;

    memcpy(last.bytes, s->tail, kept);
    last.bytes[kept] = 0x80;
    put_be(last.bytes + (size_t)blocks * SHA256_BLOCK_BYTES - LENGTH_BYTES, s->bytes * 8,
           LENGTH_BYTES);
    for (int i = 0; i < blocks; i++)
        sha256_block(&state, &last.blocks[i]);
    for (int i = 0; i < 8; i++)
        put_be(out + 4 * i, state.h[i], 4);
}
