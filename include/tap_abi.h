/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the BPF program and userspace share: the state of one SHA-256 stream, as it lies in the
 * SK_STORAGE of tap.in. Fixed width, no holes, layout asserted on both sides.
 */
#ifndef S3_KTLS_TAP_ABI_H
#define S3_KTLS_TAP_ABI_H

#include <linux/types.h>

/* Changes whenever a stored state would be read differently. */
#define TAP_ABI_VERSION 1

#define SHA256_BLOCK_BYTES 64

/*
 * SHA-256 between two pieces of input (FIPS 180-4): `h` covers the whole blocks among the first
 * `bytes` bytes, and tail[0 .. bytes % 64) holds the rest. Saving this struct and putting it back
 * goes on with the stream.
 */
struct sha256_state {
    __u32 h[8];
    __u64 bytes;
    __u8 tail[SHA256_BLOCK_BYTES];
};

/* Why the program refused a message (SK_DROP): counted, so that a refusal has a name. */
struct tap_errors {
    __u32 pull;    /* bpf_msg_pull_data failed (memory) */
    __u32 bounds;  /* a message longer than promised, or a range outside it */
    __u32 version; /* the state is not of TAP_ABI_VERSION */
    __u32 after;   /* messages that came after the first error: never hashed, always dropped */
};

/* Below 4 KiB: it is charged to net.core.optmem_max, which is 20,480 bytes on Linux 6.1. */
struct tap_state {
    __u32 version;
    __u32 messages; /* how many the program saw */
    struct sha256_state sha;
    struct tap_errors errors;
};

_Static_assert(sizeof(struct sha256_state) == 104, "layout of sha256_state");
_Static_assert(sizeof(struct tap_errors) == 16, "layout of tap_errors");
_Static_assert(sizeof(struct tap_state) == 128, "layout of tap_state");
_Static_assert(__builtin_offsetof(struct tap_state, sha) == 8, "sha at 8");
_Static_assert(__builtin_offsetof(struct tap_state, errors) == 112, "errors at 112");

/* The longest message that the program takes, twice what a tap may hold: sendfile and splice hand
 * over 64 KiB at most, a send() of the same bytes may come as one message. */
#define TAP_MESSAGE_BYTES_MAX (256 * 1024)

#endif
