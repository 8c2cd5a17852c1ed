/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The SHA-256 block function (FIPS 180-4, 6.2.2), written for BPF and compiled natively too: the
 * last block is hashed in userspace by the same lines that hashed all others in the kernel.
 *
 * Define SHA256_BLOCK_LINKAGE before including it natively (`static`); for BPF the function must
 * stay global and out of line: the verifier then checks it once, for any arguments, instead of
 * once for every call and state that leads to it.
 *
 * What decides the speed: the JIT translates BPF instruction by instruction, BPF has no rotation,
 * and it has ten registers. So every word that is rotated lives twice in a 64-bit register
 * ("doubled"), where one shift to the right rotates the low half.
 */
#ifndef S3_KTLS_SHA256_BPF_H
#define S3_KTLS_SHA256_BPF_H

#include <linux/types.h>

#include "tap_abi.h"

#ifdef __bpf__
#define SHA256_BLOCK_LINKAGE __attribute__((noinline))
/* A loop left rolled would index the schedule by a register, which the verifier has to follow. */
#define SHA256_UNROLL _Pragma("clang loop unroll(full)")
#else
#define SHA256_UNROLL
#endif

/* One block of input. As words: loads of whole words from any address are what the verifier allows
 * where the CPU does, while a packed struct would be loaded byte by byte. */
struct sha256_input {
    __u32 words[SHA256_BLOCK_BYTES / 4];
};

/*
 * Two ways to tell clang that it does not know better. SHA256_AS_WRITTEN: x is computed in just the
 * steps that stand there (clang would double by a multiplication, and add in an order that lets the
 * latest operand wait). SHA256_PIN: and at this point of the program (clang would run ahead, keep
 * more values than there are registers, and exceed BPF's 512 bytes of stack).
 */
#define SHA256_AS_WRITTEN(x) __asm__("" : "+r"(x))
#define SHA256_PIN(x) __asm__ volatile("" : "+r"(x))

static inline __u64 sha256_doubled(__u32 x)
{
    __u64 high = (__u64)x << 32;

    SHA256_AS_WRITTEN(high);
    return high | x;
}

/* The sigmas (FIPS 180-4, 4.1.2) of a doubled word. The big ones rotate twice at a time:
 * (x ^ x >> 11) >> 2 is x >> 2 ^ x >> 13 with one copy less. */
static inline __u32 sha256_big_sigma0(__u64 x)
{
    __u64 two = x ^ x >> 11;

    SHA256_AS_WRITTEN(two);
    return (__u32)(two >> 2) ^ (__u32)(x >> 22);
}

static inline __u32 sha256_big_sigma1(__u64 x)
{
    __u64 two = x ^ x >> 5;

    SHA256_AS_WRITTEN(two);
    return (__u32)(two >> 6) ^ (__u32)(x >> 25);
}

static inline __u32 sha256_small_sigma0(__u64 x)
{
    return (__u32)(x >> 7) ^ (__u32)(x >> 18) ^ (__u32)x >> 3;
}

static inline __u32 sha256_small_sigma1(__u64 x)
{
    return (__u32)(x >> 17) ^ (__u32)(x >> 19) ^ (__u32)x >> 10;
}

/* One block into state->h. `bytes` and `tail` of the state are the caller's business; `input` may
 * be the state's own tail. Always 0, but for the NULLs that the verifier wants to see refused. */
SHA256_BLOCK_LINKAGE int sha256_block(struct sha256_state *state, const struct sha256_input *input)
{
    static const __u32 k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2};
    /* The last sixteen words of the schedule, doubled. Volatile, so that they stay on the stack and
     * the registers are left to the eight variables. */
    volatile __u64 w[16];

    if (!state || !input)
        return 1;

    __u64 a = sha256_doubled(state->h[0]), b = state->h[1], c = state->h[2], d = state->h[3];
    __u64 e = sha256_doubled(state->h[4]), f = state->h[5], g = state->h[6], h = state->h[7];
    __u32 b_xor_c = (__u32)(b ^ c);

    SHA256_UNROLL
    for (int t = 0; t < 64; t++) {
        __u32 word;

        if (t < 16)
            word = __builtin_bswap32(input->words[t]);
        else
            word = (__u32)w[t % 16] + sha256_small_sigma0(w[(t + 1) % 16]) +
                   (__u32)w[(t + 9) % 16] + sha256_small_sigma1(w[(t + 14) % 16]);
        w[t % 16] = sha256_doubled(word);

        /* What is known earliest is added first: e comes last, and the next round waits for it. */
        __u32 sum1 = (__u32)h + k[t];
        SHA256_AS_WRITTEN(sum1);
        sum1 += word;
        SHA256_AS_WRITTEN(sum1);
        sum1 += (__u32)(((f ^ g) & e) ^ g); /* choice */
        SHA256_AS_WRITTEN(sum1);
        sum1 += sha256_big_sigma1(e);
        SHA256_AS_WRITTEN(sum1);

        /* The majority of a, b and c; a ^ b is the next round's b ^ c. */
        __u32 a_xor_b = (__u32)(a ^ b);
        __u32 sum2 = sha256_big_sigma0(a) + ((a_xor_b & b_xor_c) ^ (__u32)b);
        SHA256_AS_WRITTEN(sum2);

        h = g;
        g = f;
        f = e;
        e = sha256_doubled((__u32)d + sum1);
        SHA256_PIN(e);
        d = c;
        c = b;
        b = a;
        a = sha256_doubled(sum1 + sum2);
        SHA256_PIN(a);
        b_xor_c = a_xor_b;
    }

    state->h[0] += (__u32)a;
    state->h[1] += (__u32)b;
    state->h[2] += (__u32)c;
    state->h[3] += (__u32)d;
    state->h[4] += (__u32)e;
    state->h[5] += (__u32)f;
    state->h[6] += (__u32)g;
    state->h[7] += (__u32)h;
    return 0;
}

#endif
