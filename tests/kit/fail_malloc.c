/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into a program, fails one of its allocations: the one that FAIL_MALLOC_AT numbers, and
 * all that follow it if FAIL_MALLOC_ON is set. Counts them from the start of main(), in all
 * threads, and leaves "COUNT FAILED" in the file FAIL_MALLOC_REPORT when the program ends.
 *
 * OpenSSL 3.0 itself crashes when one of the first allocations of its library context fails (it
 * takes a lock that is not there, in EVP_MD_fetch() and others). A crash whose innermost frame
 * outside of libc is OpenSSL's ends with exit code 98 here; any other stays the signal that it is.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *old, size_t n);

static atomic_ulong count, failed;
static unsigned long at;
static bool on, started;

enum { FRAMES = 32, EXIT_OPENSSL_CRASHED = 98 };

static void report(void);

static void on_crash(int number)
{
    void *frames[FRAMES];
    int n = backtrace(frames, FRAMES);
    for (int i = 1; i < n; i++) { /* behind this function */
        Dl_info where;
        if (!dladdr(frames[i], &where) || !where.dli_fname)
            break;
        if (strstr(where.dli_fname, "/libc.so"))
            continue; /* the signal's frame, and the lock's function */
        if (!strstr(where.dli_fname, "/libcrypto.so") && !strstr(where.dli_fname, "/libssl.so"))
            break;
        report();
        _exit(EXIT_OPENSSL_CRASHED);
    }
    signal(number, SIG_DFL);
    raise(number);
}

__attribute__((constructor)) static void start(void)
{
    const char *number = getenv("FAIL_MALLOC_AT");
    at = number ? strtoul(number, NULL, 10) : 0;
    on = getenv("FAIL_MALLOC_ON") != NULL;
    void *frame;
    (void)backtrace(&frame, 1); /* loads what it needs now, and not after a crash */
    signal(SIGSEGV, on_crash);
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
