/* SPDX-License-Identifier: Apache-2.0 */
/* Hex and base64: decoded by somebody else it is the input again; and SHA-256, by OpenSSL and by
 * the block function of the BPF program. */
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "fuzz.h"
#include "hash/digest.h"
#include "hash/encode.h"

#define SHA256_BLOCK_LINKAGE static
#include "sha256.bpf.h"

static void check_hex(const uint8_t *data, size_t size)
{
    char *text = malloc(2 * size + 1);
    long n = 0;
    MUST(text);
    encode_hex(data, size, text);
    MUST(strlen(text) == 2 * size);
    unsigned char *back = OPENSSL_hexstr2buf(text, &n);
    MUST(back && (size_t)n == size && memcmp(back, data, size) == 0);
    OPENSSL_free(back);
    free(text);
}

static void check_base64(const uint8_t *data, size_t size)
{
    size_t bytes = 4 * ((size + 2) / 3);
    char *text = malloc(bytes + 1);
    unsigned char *back = malloc(bytes + 1);
    MUST(text && back);
    encode_base64(data, size, text);
    MUST(strlen(text) == bytes);
    int n = EVP_DecodeBlock(back, (const unsigned char *)text, (int)bytes);
    MUST(n >= 0 && (size_t)n == bytes / 4 * 3 && memcmp(back, data, size) == 0);
    size_t padding = (3 - size % 3) % 3;
    for (size_t i = 0; i < bytes; i++)
        MUST((text[i] == '=') == (i >= bytes - padding));
    free(back);
    free(text);
}

static void check_digest(const uint8_t *data, size_t size)
{
    uint8_t theirs[SHA256_BYTES], ours[SHA256_BYTES];
    struct sha256_state state;
    struct sha256_input block;
    digest_state_init(&state);
    for (size_t at = 0; size - at >= sizeof block; at += sizeof block) {
        memcpy(&block, data + at, sizeof block);
        sha256_block(&state, &block);
    }
    state.bytes = size;
    if (size % sizeof block)
        memcpy(state.tail, data + size - size % sizeof block, size % sizeof block);
    digest_state_finish(&state, ours);
    MUST(digest_sha256(data, size, theirs) == 0 && memcmp(ours, theirs, sizeof ours) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    check_hex(data, size);
    check_base64(data, size);
    check_digest(data, size);
    return 0;
}
