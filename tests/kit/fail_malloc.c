/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program, fails one of its allocations: the one that FAIL_MALLOC_AT numbers, and
 * all that follow it if FAIL_MALLOC_ON is set. Counts them from the start of main(), in all
 * threads, and leaves "COUNT FAILED" in the file FAIL_MALLOC_REPORT when the program ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *old, size_t n);

static atomic_ulong count, failed;
static unsigned long at;
static bool on, started;

__attribute__((constructor)) static void start(void)
{
    const char *number = getenv("FAIL_MALLOC_AT");
    at = number ? strtoul(number, NULL, 10) : 0;
    on = getenv("FAIL_MALLOC_ON") != NULL;
    started = true;
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("FAIL_MALLOC_REPORT");
    char text[64];
    started = false;
    int n = snprintf(text, sizeof text, "%lu %lu\n", atomic_load(&count), atomic_load(&failed));
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        _exit(99);
    close(fd);
}

static bool must_fail(void)
{
    if (!started)
        return false;
    unsigned long now = atomic_fetch_add(&count, 1) + 1;
    if (!at || now < at || (now > at && !on))
        return false;
    atomic_fetch_add(&failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return must_fail() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t bytes)
{
    return must_fail() ? NULL : __libc_calloc(n, bytes);
}

void *realloc(void *old, size_t n)
{
    return must_fail() ? NULL : __libc_realloc(old, n);
}
