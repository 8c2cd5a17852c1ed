/* SPDX-License-Identifier: Apache-2.0 */
/* The proof that a tap hashes what passes through it, on the kernel that runs. */
#include "hash/tap_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"

/* Sizes of the pushes: borders of a block, a page, a piece and a message of the program, and sizes
 * that leave every later push at an odd place. */
static const size_t push_bytes[] = {1,     62,    1,     64,    65,  127,   4096,
                                    4095,  16384, 16383, 16385, 3,   65536, 65537,
                                    70001, 4,     32768, 60,    129, 9999,  1};

enum { DRAIN_TIMEOUT_MS = 10000 }; /* as long as a pair may take to connect */

struct proof {
    size_t bytes;
    uint8_t *sent;     /* what the file has */
    uint8_t *received; /* what came out */
    int file;
};

static ssize_t push_file(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct proof *proof = ctx;
    ssize_t pushed = sendfile(in_fd, proof->file, NULL, n);

    if (pushed < 0 && errno == EINTR)
        return -EINTR;
    return pushed < 0 ? err_sys(e, ERR_ENV, errno, "sendfile into the tap") : pushed;
}

static int drain(struct tap *tap, uint8_t *to, size_t n, struct err *e)
{
    deadline_t deadline = clock_deadline_in_ms(DRAIN_TIMEOUT_MS);

    while (n > 0) {
        ssize_t got = read(tap_out_fd(tap), to, n);
        if (got > 0) {
            tap_drained(tap, (size_t)got);
            to += got;
            n -= (size_t)got;
            continue;
        }
        int events = got < 0 && errno == EAGAIN ? io_wait(tap_out_fd(tap), POLLIN, -1, deadline)
                                                : -(got < 0 ? errno : EPIPE);
        if (events < 0)
            return err_sys(e, ERR_ENV, -events, "reading from the tap, %zu bytes missing", n);
    }
    return 0;
}

/* Bytes without a pattern that a block, a page or a piece could repeat. */
static int fill_file(struct proof *proof, struct err *e)
{
    uint32_t x = 0x9e3779b9;

    for (size_t i = 0; i < proof->bytes; i++) {
        x = x * 1664525 + 1013904223;
        proof->sent[i] = (uint8_t)(x >> 24);
    }
    proof->file = memfd_create("s3-ktls tap proof", MFD_CLOEXEC);
    if (proof->file < 0 ||
        pwrite(proof->file, proof->sent, proof->bytes, 0) != (ssize_t)proof->bytes)
        return err_sys(e, ERR_ENV, errno, "a file in memory of %zu bytes", proof->bytes);
    return 0;
}

static int pass_through(struct tap *tap, struct proof *proof, struct tap_result *result,
                        struct err *e)
{
    size_t done = 0;
    int error = tap_begin(tap, e);

    for (size_t i = 0; error == 0 && i < sizeof push_bytes / sizeof push_bytes[0]; i++) {
        ssize_t fed = tap_feed(tap, push_bytes[i], push_file, proof, e);
        if (fed >= 0 && (size_t)fed < push_bytes[i])
            return err_set(e, ERR_ENV, EIO, "sendfile stopped inside the file");
        error = fed < 0 ? (int)fed : drain(tap, proof->received + done, push_bytes[i], e);
        done += push_bytes[i];
    }
    return error < 0 ? error : tap_finish(tap, result, e);
}

static int compare(const struct proof *proof, const struct tap_result *result, struct err *e)
{
    uint8_t expected[SHA256_BYTES];

    if (digest_sha256(proof->sent, proof->bytes, expected) < 0)
        return err_set(e, ERR_ENV, ENOMEM, "OpenSSL has no SHA-256");
    if (memcmp(proof->sent, proof->received, proof->bytes) != 0)
        return err_set(e, ERR_ENV, EBADMSG, "other bytes came out than went in");
    if (result->bytes != proof->bytes || memcmp(expected, result->sha256, SHA256_BYTES) != 0)
        return err_set(e, ERR_ENV, EBADMSG, "the digest differs from OpenSSL's");
    return 0;
}

int tap_prove(struct tap *tap, struct err *e)
{
    struct proof proof = {.file = -1};
    struct tap_result result;
    struct err cause = {.class = ERR_NONE};

    for (size_t i = 0; i < sizeof push_bytes / sizeof push_bytes[0]; i++)
        proof.bytes += push_bytes[i];
    proof.sent = malloc(proof.bytes);
    proof.received = malloc(proof.bytes);

    int error = -ENOMEM;
    if (!proof.sent || !proof.received)
        err_set(&cause, ERR_ENV, ENOMEM, "no memory");
    else
        error = fill_file(&proof, &cause);
    if (error == 0)
        error = lseek(proof.file, 0, SEEK_SET) == 0 ? 0 : -errno;
    if (error == 0)
        error = pass_through(tap, &proof, &result, &cause);
    if (error == 0)
        error = compare(&proof, &result, &cause);
    if (error < 0) {
        tap_poison(tap, "it did not pass the proof");
        err_set(e, ERR_ENV, -error, "the tap does not hash rightly on this kernel: %s", cause.text);
    }
    io_close(&proof.file);
    free(proof.received);
    free(proof.sent);
    return error;
}
