/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char empty[1];

void buf_init(struct buf *b, size_t ceiling)
{
    *b = (struct buf){.data = empty, .ceiling = ceiling};
}

void buf_free(struct buf *b)
{
    if (b->size) {
        explicit_bzero(b->data, b->size);
        free(b->data);
    }
    buf_init(b, b->ceiling);
}

void buf_reset(struct buf *b)
{
    b->len = 0;
    b->failed = b->out_of_memory = false;
    if (b->size)
        b->data[0] = 0;
}

int buf_error(const struct buf *b)
{
    if (!b->failed)
        return 0;
    return b->out_of_memory ? -ENOMEM : -E2BIG;
}

/* Room for n more bytes and the NUL. realloc() would leave the old copy unwiped. */
static bool buf_reserve(struct buf *b, size_t n)
{
    if (b->failed || n > b->ceiling || b->len > b->ceiling - n) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + n + 1;
    if (need <= b->size)
        return true;
    size_t size = b->size ? b->size : 256;
    while (size < need)
        size *= 2;
    if (size > b->ceiling + 1)
        size = b->ceiling + 1;
    char *data = malloc(size);
    if (!data) {
        b->failed = b->out_of_memory = true;
        return false;
    }
    memcpy(data, b->data, b->len + 1);
    if (b->size) {
        explicit_bzero(b->data, b->size);
        free(b->data);
    }
    b->data = data;
    b->size = size;
    return true;
}

void buf_add(struct buf *b, const void *bytes, size_t n)
{
    if (!n || !buf_reserve(b, n))
        return;
    memcpy(b->data + b->len, bytes, n);
    b->len += n;
    b->data[b->len] = 0;
}

void buf_add_str(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if (!n || !buf_reserve(b, (size_t)n))
        return;
    va_start(ap, fmt);
    vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
    if (!n)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len + 1);
}
