/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_fail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sanitizer/lsan_interface.h>

/* The ways of ASan, which defines malloc() and the others as weak names of these. */
void *__interceptor_malloc(size_t n);
void *__interceptor_calloc(size_t count, size_t n);
void *__interceptor_realloc(void *old, size_t n);
void *__interceptor_reallocarray(void *old, size_t count, size_t n);
int __interceptor_posix_memalign(void **out, size_t alignment, size_t n);
void *__interceptor_aligned_alloc(size_t alignment, size_t n);

/* The loader calls malloc() before ASan is there. */
#define UNINSTRUMENTED __attribute__((no_sanitize("address", "undefined")))

/* Of the thread under test alone: a peer in another thread goes on. */
static __thread unsigned long countdown, failed;
static __thread bool armed, all_that_follow;

UNINSTRUMENTED static bool must_fail(void)
{
    if (!armed)
        return false;
    if (countdown && --countdown)
        return false;
    if (failed && !all_that_follow)
        return false;
    failed++;
    errno = ENOMEM;
    return true;
}

UNINSTRUMENTED void *malloc(size_t n)
{
    return must_fail() ? NULL : __interceptor_malloc(n);
}

UNINSTRUMENTED void *calloc(size_t count, size_t n)
{
    return must_fail() ? NULL : __interceptor_calloc(count, n);
}

UNINSTRUMENTED void *realloc(void *old, size_t n)
{
    return must_fail() ? NULL : __interceptor_realloc(old, n);
}

UNINSTRUMENTED void *reallocarray(void *old, size_t count, size_t n)
{
    return must_fail() ? NULL : __interceptor_reallocarray(old, count, n);
}

UNINSTRUMENTED int posix_memalign(void **out, size_t alignment, size_t n)
{
    return must_fail() ? ENOMEM : __interceptor_posix_memalign(out, alignment, n);
}

UNINSTRUMENTED void *aligned_alloc(size_t alignment, size_t n)
{
    return must_fail() ? NULL : __interceptor_aligned_alloc(alignment, n);
}

/* ASan's own would go past the malloc() above. */
UNINSTRUMENTED char *strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, s, n) : NULL;
}

UNINSTRUMENTED char *strndup(const char *s, size_t n)
{
    size_t bytes = strnlen(s, n);
    char *copy = malloc(bytes + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, bytes);
    copy[bytes] = 0;
    return copy;
}

static void check_failure(const struct alloc_case *c, unsigned long n, int ret, const struct err *e)
{
    const char *wrong = NULL;
    if (ret >= 0 || (ret != -ENOMEM && !c->from_library))
        wrong = "is not -ENOMEM";
    else if (!c->without_err && e->class != ERR_ENV && (e->class == ERR_NONE || !c->from_library))
        wrong = "is of the wrong class";
    else if (!c->without_err && !*e->text)
        wrong = "has no text";
    if (wrong)
        fail_msg("%s, allocation %lu failed: %d %s (class %d: %s)", c->name, n, ret, wrong,
                 (int)e->class, e->text);
}

/* Returns whether an allocation failed. n = 0: none is to. */
static bool fail_one(const struct alloc_case *c, unsigned long n, bool and_all_that_follow)
{
    struct err e = {.text = ""};
    countdown = n;
    failed = 0;
    all_that_follow = and_all_that_follow;
    armed = n > 0;
    int ret = c->run(c->ctx, &e);
    armed = false;
    if (ret)
        check_failure(c, n, ret, &e);
    if (ret && !failed)
        fail_msg("%s fails by itself: %s", c->name, e.text);
    if (!ret && c->check)
        c->check(c->ctx);
    c->clean(c->ctx);
    return failed != 0;
}

void alloc_fail_each(const struct alloc_case *c)
{
    unsigned long last = 0;
    unsigned step = c->step ? c->step : 1;
    /* What libraries set up once must not be what fails: OpenSSL would not try it again. */
    fail_one(c, 0, false);
    for (int all = 0; all < 2; all++) {
        unsigned long n = 1;
        while (fail_one(c, n, all))
            n += step;
        if (n == 1)
            fail_msg("%s: allocates nothing", c->name);
        last = n - 1;
        if (__lsan_do_recoverable_leak_check())
            fail_msg("%s: leaks when allocations fail", c->name);
    }
    print_message("%s: %lu allocations\n", c->name, last);
}
