/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the tap share: a file of random bytes, ways to push it, and a way to empty the
 * tap. */
#ifndef S3_KTLS_TESTS_BPF_TAP_KIT_H
#define S3_KTLS_TESTS_BPF_TAP_KIT_H

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "hash/tap_internal.h"

enum { KIT_FILE_BYTES = 1024 * 1024, KIT_DRAIN_TIMEOUT_MS = 5000 };

/* The loaded program and one file; `content` is the file, mapped shared. */
struct kit {
    struct tap_engine *engine;
    int file;
    uint8_t *content;
    uint8_t *received; /* room for what comes out, KIT_FILE_BYTES */
};

/* A small generator of its own, so that a failure can be repeated. */
static inline uint32_t kit_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(*seed >> 33);
}

static inline void kit_open_file(struct kit *kit)
{
    uint64_t seed = 1;

    kit->file = memfd_create("tap test", MFD_CLOEXEC);
    assert_true(kit->file >= 0);
    assert_int_equal(ftruncate(kit->file, KIT_FILE_BYTES), 0);
    kit->content = mmap(NULL, KIT_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, kit->file, 0);
    assert_true(kit->content != MAP_FAILED);
    for (size_t i = 0; i < KIT_FILE_BYTES; i++)
        kit->content[i] = (uint8_t)kit_random(&seed);
    kit->received = malloc(KIT_FILE_BYTES);
    assert_non_null(kit->received);
}

/* For cmocka's group set-up: the file alone, for tests that open engines of their own. */
static inline int kit_set_up_file(void **state)
{
    static struct kit kit;

    kit_open_file(&kit);
    *state = &kit;
    return 0;
}

/* The file and an engine. A program that cannot be loaded is a failure, never a skip. */
static inline int kit_set_up(void **state)
{
    struct err e;

    kit_set_up_file(state);
    struct kit *kit = *state;
    if (tap_engine_open(&kit->engine, &e) < 0) {
        print_error("tap_engine_open: %s\n", e.text);
        return -1;
    }
    return 0;
}

static inline int kit_tear_down(void **state)
{
    struct kit *kit = *state;

    tap_engine_close(kit->engine);
    munmap(kit->content, KIT_FILE_BYTES);
    close(kit->file);
    free(kit->received);
    return 0;
}

static inline int kit_tear_down_file(void **state)
{
    struct kit *kit = *state;

    kit->engine = NULL; /* the tests have closed theirs */
    return kit_tear_down(state);
}

/* Starts a process that runs `body`, a test of its own with cmocka's assertions; it exits with 0 if
 * none fails, and tells what failed if one does. It has the file and no engine: the parent's has
 * its thread there. */
static inline pid_t kit_fork(struct kit *kit, void (*body)(void **state))
{
    struct kit mine = *kit;
    const struct CMUnitTest test[] = {
        {.name = "in a child", .test_func = body, .initial_state = &mine}};

    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int told = memfd_create("told by a child", MFD_CLOEXEC);
        int standard_error = dup(STDERR_FILENO);

        mine.engine = NULL;
        if (told < 0 || standard_error < 0 || dup2(told, STDOUT_FILENO) < 0 ||
            dup2(told, STDERR_FILENO) < 0)
            _exit(2);
        int failed = cmocka_run_group_tests(test, NULL, NULL);
        fflush(NULL);
        if (failed)
            (void)sendfile(standard_error, told, &(off_t){0}, 65536);
        _exit(failed != 0);
    }
    return child;
}

static inline void kit_run_in_child(struct kit *kit, void (*body)(void **state))
{
    int status = 0;
    pid_t child = kit_fork(kit, body);

    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define KIT_ASSERT_OK(call, e)                                                                     \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, (e)->text);                                                  \
    } while (0)

static inline struct tap *kit_open_tap(struct kit *kit)
{
    struct tap *tap = NULL;
    struct err e;

    KIT_ASSERT_OK(tap_open(kit->engine, &tap, &e), &e);
    return tap;
}

/* A push from a place in the file, up to its end, in sendfile calls of at most `call_bytes`. */
struct kit_source {
    int file;
    off_t offset;
    off_t end;
    size_t call_bytes; /* 0: as much as is asked for */
};

static inline ssize_t kit_push(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct kit_source *source = ctx;
    size_t left = (size_t)(source->end - source->offset);
    size_t pushed = 0;

    if (n > left)
        n = left;
    while (pushed < n) {
        size_t bytes = n - pushed;

        if (source->call_bytes && bytes > source->call_bytes)
            bytes = source->call_bytes;
        ssize_t sent = sendfile(in_fd, source->file, &source->offset, bytes);
        if (sent < 0)
            return pushed ? (ssize_t)pushed : err_sys(e, ERR_ENV, errno, "sendfile");
        pushed += (size_t)sent;
        if ((size_t)sent < bytes)
            break;
    }
    return (ssize_t)pushed;
}

/* Takes n bytes out and reports them. */
static inline void kit_drain(struct tap *tap, uint8_t *to, size_t n)
{
    while (n > 0) {
        ssize_t got = read(tap_out_fd(tap), to, n);

        if (got < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = tap_out_fd(tap), .events = POLLIN};

            assert_int_equal(poll(&p, 1, KIT_DRAIN_TIMEOUT_MS), 1);
            continue;
        }
        assert_true(got > 0);
        tap_drained(tap, (size_t)got);
        to += got;
        n -= (size_t)got;
    }
}

/* One payload: `bytes` of the file from `offset`, in feeds of `feed_bytes` (0: whole windows). What
 * comes out is in kit->received; its digest must be the tap's. */
static inline void kit_pass(struct kit *kit, struct tap *tap, off_t offset, size_t bytes,
                            size_t feed_bytes, size_t call_bytes)
{
    struct kit_source source = {
        .file = kit->file,
        .offset = offset,
        .end = offset + (off_t)bytes,
        .call_bytes = call_bytes,
    };
    struct tap_result result;
    uint8_t expected[SHA256_BYTES];
    struct err e;

    KIT_ASSERT_OK(tap_begin(tap, &e), &e);
    for (size_t done = 0; done < bytes;) {
        size_t n = feed_bytes ? feed_bytes : TAP_WINDOW_BYTES;

        if (n > bytes - done)
            n = bytes - done;
        ssize_t fed = tap_feed(tap, n, kit_push, &source, &e);
        KIT_ASSERT_OK(fed, &e);
        assert_int_equal(fed, n);
        kit_drain(tap, kit->received + done, n);
        done += n;
    }
    KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);
    assert_int_equal(result.bytes, bytes);
    assert_int_equal(digest_sha256(kit->received, bytes, expected), 0);
    assert_memory_equal(result.sha256, expected, SHA256_BYTES);
}

/* As kit_pass(), for a file that nobody changes meanwhile. */
static inline void kit_pass_same(struct kit *kit, struct tap *tap, off_t offset, size_t bytes,
                                 size_t feed_bytes, size_t call_bytes)
{
    kit_pass(kit, tap, offset, bytes, feed_bytes, call_bytes);
    assert_memory_equal(kit->received, kit->content + offset, bytes);
}

#endif
