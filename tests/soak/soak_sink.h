/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the transfers end: a process with a TLS server (OpenSSL encrypts and decrypts there, in its
 * own memory) that reads a payload and tells its length and SHA-256.
 *
 * A connection carries transfers one after the other, in the host's byte order:
 *     uploader -> struct soak_head, payload, struct soak_tail
 *     sink     -> struct soak_receipt
 */
#ifndef S3_KTLS_TESTS_SOAK_SINK_H
#define S3_KTLS_TESTS_SOAK_SINK_H

#include <stdint.h>

#include "hash/digest.h"
#include "soak_board.h"

struct soak_head {
    uint64_t number;
    uint64_t bytes;
    uint64_t slow; /* 0, or the seed of its pauses */
};

#define SOAK_TAIL_MAGIC UINT64_C(0x736f616b7461696c)

/* If bytes were lost or added on the way, what stands here is no tail. */
struct soak_tail {
    uint64_t magic;
    uint64_t number;
};

struct soak_receipt {
    uint64_t bytes;
    uint64_t tail_was_right;
    uint8_t sha256[SHA256_BYTES];
};

/* The name in `folder` of the sink's certificate. */
#define SOAK_CERTIFICATE "sink.pem"

/* Make a certificate in board->folder, listen on two ports (written to the board) and start the
 * process. Ends the program if it cannot. */
pid_t soak_sink_start(struct soak_board *board);

#endif
