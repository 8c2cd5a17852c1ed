/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes allocations fail, one after the other. The program that is linked with this has malloc(3)
 * and its relatives from here, and so have the libraries it uses: those of libc, OpenSSL, expat and
 * jansson fail too. ASan's own do the work underneath, so leaks and wild accesses still show.
 */
#ifndef S3_KTLS_TESTS_ALLOC_FAIL_H
#define S3_KTLS_TESTS_ALLOC_FAIL_H

#include <stdbool.h>

#include "base/err.h"

struct alloc_case {
    const char *name;
    /* What is tried, with failing allocations. 0 or a negative errno with `e` filled. */
    int (*run)(void *ctx, struct err *e);
    /* After a run that reported success, whatever failed in it: is the result right? By cmocka's
     * assertions. May be NULL. */
    void (*check)(void *ctx);
    /* Frees what the run made. */
    void (*clean)(void *ctx);
    void *ctx;
    bool without_err;  /* `run` fills no `e` */
    bool from_library; /* another errno and class will do: OpenSSL does not always say why */
    unsigned step;     /* try every step-th allocation only; 0: each */
};

/*
 * Fail the first, the second, the third ... allocation of this thread in the run, until a run has
 * no failed one: each one alone, and each with all that come after it. Every run must end with a
 * right result, or with an error of class ERR_ENV that has a text, and without a leak. Prints how
 * many allocations there were.
 */
void alloc_fail_each(const struct alloc_case *c);

#endif
