/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. Each target is one function that libFuzzer calls with an input; a
 * property that does not hold aborts. */
#ifndef S3_KTLS_TESTS_FUZZ_H
#define S3_KTLS_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert(3), but never compiled away. */
#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Nothing that a terminal would obey: neither C0 nor DEL nor C1, in UTF-8's form. */
static inline bool fuzz_is_harmless(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f || (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f))
            return false;
    return true;
}

/* What must hold for the error of a function that returned `ret`. */
static inline void fuzz_check_err(const struct err *e, int ret)
{
    MUST(ret < 0);
    MUST(e->class != ERR_NONE);
    MUST(*e->text && strlen(e->text) < sizeof e->text);
    MUST(fuzz_is_harmless(e->text));
}

static inline void fuzz_check_buf(const struct buf *b)
{
    MUST(b->len <= b->ceiling);
    MUST(b->data[b->len] == 0);
}

/* The input as strings, divided at NULs (a line feed ends one too, if `by_line`). Those that are
 * missing are "". Each is on the heap, and free of what follows it. */
static inline void fuzz_split(const uint8_t *data, size_t size, bool by_line, char **parts,
                              size_t count)
{
    const uint8_t *end = data + size;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *p = data;
        while (p < end && *p && !(by_line && *p == '\n'))
            p++;
        size_t n = (size_t)(p - data);
        parts[i] = malloc(n + 1);
        MUST(parts[i]);
        if (n)
            memcpy(parts[i], data, n);
        parts[i][n] = 0;
        data = p < end ? p + 1 : end;
    }
}

static inline void fuzz_free_parts(char **parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(parts[i]);
}

#endif
