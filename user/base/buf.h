/* SPDX-License-Identifier: Apache-2.0 */
/* A byte buffer that is born with a ceiling and remembers that something did not fit. */
#ifndef S3_KTLS_BASE_BUF_H
#define S3_KTLS_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

/*
 * `data` is always followed by a NUL that `len` does not count, and is never NULL after
 * buf_init(): an empty buffer points at a static empty string. Once an append failed (ceiling or
 * memory), `failed` stays set, `data` keeps what it had, and further appends do nothing: a caller
 * appends piece by piece and asks once at the end.
 */
struct buf {
    char *data;
    size_t len;
    size_t size;    /* bytes allocated */
    size_t ceiling; /* most bytes that `len` may reach */
    bool failed;
    bool out_of_memory; /* that is why it failed, and not the ceiling */
};

void buf_init(struct buf *b, size_t ceiling);

/* Frees the memory, wiping it first (request heads hold a signature and a session token). The
 * buffer is empty and usable again afterwards. */
void buf_free(struct buf *b);

/* Why an append failed: -ENOMEM, or -E2BIG for the ceiling; 0 if none did. */
int buf_error(const struct buf *b);

/* Empties the buffer, keeps memory and ceiling, clears `failed`. */
void buf_reset(struct buf *b);

void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_add_str(struct buf *b, const char *s);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Drop the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);

#endif
