/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256: the block function that the BPF program uses, compiled natively, against OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPENSSL_SUPPRESS_DEPRECATED /* the only way to set a SHA256_CTX's state */
#include <openssl/sha.h>

#include "hash/digest.h"
#include "hash/encode.h"

#define SHA256_BLOCK_LINKAGE static
#include "sha256.bpf.h"

static void fill(uint8_t *bytes, size_t n, unsigned seed)
{
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        bytes[i] = (uint8_t)(seed >> 16);
    }
}

/* What the program does with a message, a byte at a time. */
static void update(struct sha256_state *s, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        s->tail[s->bytes % SHA256_BLOCK_BYTES] = bytes[i];
        s->bytes++;
        if (s->bytes % SHA256_BLOCK_BYTES == 0) {
            struct sha256_input block;

            memcpy(&block, s->tail, sizeof block);
            assert_int_equal(sha256_block(s, &block), 0);
        }
    }
}

static void assert_hex(const uint8_t sha256[SHA256_BYTES], const char *expected)
{
    char hex[SHA256_HEX_SIZE];

    encode_hex(sha256, SHA256_BYTES, hex);
    assert_string_equal(hex, expected);
}

static void hashes_the_examples_of_the_standard(void **state)
{
    static const struct {
        const char *text;
        const char *hex;
    } examples[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        struct sha256_state s;
        uint8_t sha256[SHA256_BYTES];

        digest_state_init(&s);
        update(&s, (const uint8_t *)examples[i].text, strlen(examples[i].text));
        digest_state_finish(&s, sha256);
        assert_hex(sha256, examples[i].hex);
        assert_int_equal(digest_sha256(examples[i].text, strlen(examples[i].text), sha256), 0);
        assert_hex(sha256, examples[i].hex);
    }
}

static void hashes_every_length_as_openssl_does(void **state)
{
    uint8_t bytes[300], ours[SHA256_BYTES], theirs[SHA256_BYTES];

    (void)state;
    for (size_t n = 0; n <= sizeof bytes; n++) {
        struct sha256_state s;

        fill(bytes, n, (unsigned)n + 1);
        digest_state_init(&s);
        update(&s, bytes, n);
        digest_state_finish(&s, ours);
        assert_int_equal(digest_sha256(bytes, n, theirs), 0);
        assert_memory_equal(ours, theirs, SHA256_BYTES);
    }
}

static void hashes_random_streams_as_openssl_does(void **state)
{
    enum { BYTES_MAX = 5000 };
    uint8_t *bytes = malloc(BYTES_MAX), ours[SHA256_BYTES], theirs[SHA256_BYTES];

    (void)state;
    assert_non_null(bytes);
    for (unsigned round = 0; round < 200; round++) {
        size_t n = 301 + round * 7919 % (BYTES_MAX - 301);
        struct sha256_state s;

        fill(bytes, n, round);
        digest_state_init(&s);
        update(&s, bytes, n / 3);
        struct sha256_state saved = s; /* a state goes on where it was left */
        update(&saved, bytes + n / 3, n - n / 3);
        digest_state_finish(&saved, ours);
        assert_int_equal(digest_sha256(bytes, n, theirs), 0);
        assert_memory_equal(ours, theirs, SHA256_BYTES);
    }
    free(bytes);
}

static void finishing_changes_nothing(void **state)
{
    uint8_t bytes[100], first[SHA256_BYTES], second[SHA256_BYTES];
    struct sha256_state s, before;

    (void)state;
    fill(bytes, sizeof bytes, 3);
    digest_state_init(&s);
    update(&s, bytes, sizeof bytes);
    before = s;
    digest_state_finish(&s, first);
    assert_memory_equal(&s, &before, sizeof s);
    digest_state_finish(&s, second);
    assert_memory_equal(first, second, SHA256_BYTES);
}

/* Counts that no test can reach by hashing: the length in bits fills its 64 bits. */
static void finishes_long_streams_as_openssl_does(void **state)
{
    static const uint64_t counts[] = {
        UINT64_C(1) << 29,        (UINT64_C(1) << 32) - 1,  UINT64_C(1) << 32,
        (UINT64_C(1) << 32) + 55, (UINT64_C(1) << 32) + 56, UINT64_C(50) << 40,
        (UINT64_C(1) << 60) + 63, (UINT64_C(1) << 61) - 1,
    };

    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct sha256_state s = {.bytes = counts[i]};
        size_t kept = counts[i] % SHA256_BLOCK_BYTES;
        uint8_t ours[SHA256_BYTES], theirs[SHA256_BYTES];
        SHA256_CTX ctx;

        fill((uint8_t *)s.h, sizeof s.h, (unsigned)i);
        fill(s.tail, sizeof s.tail, (unsigned)i + 100);
        digest_state_finish(&s, ours);

        SHA256_Init(&ctx);
        memcpy(ctx.h, s.h, sizeof ctx.h);
        memcpy(ctx.data, s.tail, kept);
        ctx.num = (unsigned)kept;
        ctx.Nl = (SHA_LONG)(counts[i] << 3);
        ctx.Nh = (SHA_LONG)(counts[i] >> 29);
        SHA256_Final(theirs, &ctx);
        assert_memory_equal(ours, theirs, SHA256_BYTES);
    }
}

static void refuses_no_state_and_no_input(void **state)
{
    struct sha256_state s;
    struct sha256_input block = {{0}};

    (void)state;
    digest_state_init(&s);
    assert_int_not_equal(sha256_block(NULL, &block), 0);
    assert_int_not_equal(sha256_block(&s, NULL), 0);
}

/* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
static void authenticates_as_in_rfc_4231(void **state)
{
    uint8_t key[131], mac[SHA256_BYTES];

    (void)state;
    memset(key, 0x0b, 20);
    assert_int_equal(digest_hmac_sha256(key, 20, "Hi There", 8, mac), 0);
    assert_hex(mac, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    assert_int_equal(digest_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac), 0);
    assert_hex(mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof key);
    const char *text = "Test Using Larger Than Block-Size Key - Hash Key First";
    assert_int_equal(digest_hmac_sha256(key, sizeof key, text, strlen(text), mac), 0);
    assert_hex(mac, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    assert_int_equal(digest_hmac_sha256("", 0, "", 0, mac), 0);
    assert_hex(mac, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void encodes_as_in_rfc_4648(void **state)
{
    static const char *const base64[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                         "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    static const char *const hex[] = {"",         "66",         "666f",        "666f6f",
                                      "666f6f62", "666f6f6261", "666f6f626172"};
    const uint8_t all[] = {0x00, 0x10, 0x83, 0x10, 0xff, 0xfe, 0xfb, 0xf0, 0x0f};
    char out[32];

    (void)state;
    for (size_t n = 0; n <= 6; n++) {
        encode_base64((const uint8_t *)"foobar", n, out);
        assert_string_equal(out, base64[n]);
        encode_hex((const uint8_t *)"foobar", n, out);
        assert_string_equal(out, hex[n]);
    }
    encode_base64(all, sizeof all, out);
    assert_string_equal(out, "ABCDEP/++/AP");
    encode_hex(all, sizeof all, out);
    assert_string_equal(out, "00108310fffefbf00f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_the_examples_of_the_standard),
        cmocka_unit_test(hashes_every_length_as_openssl_does),
        cmocka_unit_test(hashes_random_streams_as_openssl_does),
        cmocka_unit_test(finishing_changes_nothing),
        cmocka_unit_test(finishes_long_streams_as_openssl_does),
        cmocka_unit_test(refuses_no_state_and_no_input),
        cmocka_unit_test(authenticates_as_in_rfc_4231),
        cmocka_unit_test(encodes_as_in_rfc_4648),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
