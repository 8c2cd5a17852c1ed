/* SPDX-License-Identifier: Apache-2.0 */
/* The tap on this kernel: the digest is that of the bytes that came out, whatever their number and
 * however they were pushed. Wants root. */
#include "tap_kit.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include "base/clock.h"

static void digests_small_sizes(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);

    for (size_t bytes = 0; bytes <= 200; bytes++)
        kit_pass_same(kit, tap, (off_t)bytes, bytes, 0, 0);
    tap_close(tap);
}

/* Where something begins or ends: a block, a page, the program's pieces and fragments, a sendfile
 * message, the window. */
static void digests_at_borders(void **state)
{
    static const size_t borders[] = {
        128,        4096,          8192,  16384,      32768,      49152,      65536,
        65536 + 64, 65536 + 16384, 98304, 128 * 1024, 192 * 1024, 256 * 1024, TAP_WINDOW_BYTES * 3};
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);

    for (size_t i = 0; i < sizeof borders / sizeof borders[0]; i++) {
        for (size_t bytes = borders[i] - 1; bytes <= borders[i] + 1; bytes++) {
            kit_pass_same(kit, tap, 0, bytes, 0, 0);
            kit_pass_same(kit, tap, 4095, bytes, 0, 0);
            kit_pass_same(kit, tap, 1, bytes,
                          borders[i] > TAP_WINDOW_BYTES ? 65537 : borders[i] / 2, 16385);
        }
    }
    tap_close(tap);
}

/* One tap for all of them: each payload starts from the hash of no bytes. */
static void digests_random_sizes(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    uint64_t seed = 7;

    for (int i = 0; i < 1000; i++) {
        size_t bytes = kit_random(&seed) % (i % 10 ? 100000 : KIT_FILE_BYTES / 2);
        off_t offset = kit_random(&seed) % (KIT_FILE_BYTES / 2);
        size_t feed_bytes = 1 + kit_random(&seed) % TAP_WINDOW_BYTES;
        size_t call_bytes = 1 + kit_random(&seed) % 70000;

        kit_pass_same(kit, tap, offset, bytes, feed_bytes, call_bytes);
    }
    tap_close(tap);
}

/* Many small messages: each leaves its rest to the next one. */
static void digests_tiny_pushes(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);

    for (size_t call_bytes = 1; call_bytes <= 130; call_bytes += 3)
        kit_pass_same(kit, tap, 5, 3000, 0, call_bytes);
    tap_close(tap);
}

/* A program that sends its own buffers makes other messages than sendfile does: several fragments
 * in one. */
static ssize_t push_by_send(void *ctx, int in_fd, size_t n, struct err *e)
{
    ssize_t sent = send(in_fd, ctx, n, MSG_DONTWAIT | MSG_NOSIGNAL);

    return sent < 0 ? err_sys(e, ERR_ENV, errno, "send") : sent;
}

static void digests_sent_buffers(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    struct tap_result result;
    uint8_t expected[SHA256_BYTES];
    uint64_t seed = 9;
    struct err e;

    for (int i = 0; i < 200; i++) {
        size_t bytes = kit_random(&seed) % (TAP_WINDOW_BYTES + 1);

        KIT_ASSERT_OK(tap_begin(tap, &e), &e);
        assert_int_equal(tap_feed(tap, bytes, push_by_send, kit->content + i, &e), bytes);
        kit_drain(tap, kit->received, bytes);
        KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);
        assert_memory_equal(kit->received, kit->content + i, bytes);
        assert_int_equal(digest_sha256(kit->received, bytes, expected), 0);
        assert_memory_equal(result.sha256, expected, SHA256_BYTES);
    }
    tap_close(tap);
}

/* The source may end before the window is full; the caller learns it, and the digest is right. */
static void ends_with_the_source(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    struct tap_result result;
    uint8_t expected[SHA256_BYTES];
    struct err e;

    for (off_t bytes = 0; bytes <= 40000; bytes += 4000) {
        struct kit_source source = {.file = kit->file, .end = bytes};

        KIT_ASSERT_OK(tap_begin(tap, &e), &e);
        assert_int_equal(tap_feed(tap, TAP_WINDOW_BYTES, kit_push, &source, &e), bytes);
        assert_int_equal(tap_inside(tap), bytes);
        kit_drain(tap, kit->received, (size_t)bytes);
        KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);
        assert_int_equal(digest_sha256(kit->content, (size_t)bytes, expected), 0);
        assert_memory_equal(result.sha256, expected, SHA256_BYTES);
    }
    tap_close(tap);
}

/* A push that announces more bytes, as sendfile does inside a file, and then meets the end: TCP
 * holds back the last ones and waits for the rest. They have to come out all the same, and soon. */
static ssize_t push_and_announce_more(void *ctx, int in_fd, size_t n, struct err *e)
{
    struct kit_source *source = ctx;
    uint8_t bytes[1000];
    ssize_t got = pread(source->file, bytes, n < sizeof bytes ? n : sizeof bytes, source->offset);
    ssize_t sent = got > 0 ? send(in_fd, bytes, (size_t)got, MSG_DONTWAIT | MSG_MORE) : got;

    if (sent < 0)
        return err_sys(e, ERR_ENV, errno, "send");
    source->offset += sent;
    return sent;
}

static void does_not_hold_back_the_end_of_a_file(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    struct tap_result result;
    struct err e;
    int64_t start_ns = clock_now_ns();

    for (off_t left = 1; left <= 20; left++) {
        struct kit_source source = {.file = kit->file, .offset = KIT_FILE_BYTES - left * 997};

        KIT_ASSERT_OK(tap_begin(tap, &e), &e);
        assert_int_equal(tap_feed(tap, TAP_WINDOW_BYTES, push_and_announce_more, &source, &e),
                         left * 997);
        kit_drain(tap, kit->received, (size_t)left * 997);
        KIT_ASSERT_OK(tap_finish(tap, &result, &e), &e);
    }
    /* Held back they take 200 ms each. */
    assert_true(clock_now_ns() - start_ns < 2000000000);
    tap_close(tap);
}

/* --- a file that changes while it is sent --- */

struct scribbler {
    uint8_t *content;
    atomic_bool stop;
};

static void *scribble(void *argument)
{
    struct scribbler *scribbler = argument;
    uint64_t seed = 11;

    while (!scribbler->stop)
        __atomic_fetch_xor(&scribbler->content[kit_random(&seed) % KIT_FILE_BYTES], 0xff,
                           __ATOMIC_RELAXED);
    return NULL;
}

static void digests_what_left_of_a_changing_file(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    uint8_t *before = malloc(KIT_FILE_BYTES);
    struct scribbler scribbler = {.content = kit->content};
    pthread_t thread;
    int changed = 0;

    assert_non_null(before);
    memcpy(before, kit->content, KIT_FILE_BYTES);
    assert_int_equal(pthread_create(&thread, NULL, scribble, &scribbler), 0);
    for (int i = 0; i < 30; i++) {
        kit_pass(kit, tap, 0, KIT_FILE_BYTES, 0, i % 2 ? 0 : 10001);
        changed += memcmp(kit->received, before, KIT_FILE_BYTES) != 0;
    }
    scribbler.stop = true;
    pthread_join(thread, NULL);
    memcpy(kit->content, before, KIT_FILE_BYTES);
    free(before);
    assert_true(changed > 0); /* or nothing was tried */
    tap_close(tap);
}

/* --- several taps at a time --- */

enum { PARALLEL_TAPS = 8 };

struct worker {
    struct kit kit;
    uint64_t seed;
    pthread_t thread;
    int passed;
};

/* Without cmocka's assertions, which belong to the main thread. */
static void *pass_many(void *argument)
{
    struct worker *worker = argument;
    struct tap *tap = NULL;
    struct tap_result result;
    uint8_t expected[SHA256_BYTES];
    struct err e;

    if (tap_open(worker->kit.engine, &tap, &e) < 0)
        return NULL;
    for (int i = 0; i < 20; i++) {
        size_t bytes = kit_random(&worker->seed) % TAP_WINDOW_BYTES;
        struct kit_source source = {
            .file = worker->kit.file, .end = (off_t)bytes, .call_bytes = 5000};

        if (tap_begin(tap, &e) < 0 || tap_feed(tap, bytes, kit_push, &source, &e) != (ssize_t)bytes)
            break;
        for (size_t left = bytes; left > 0;) {
            struct pollfd p = {.fd = tap_out_fd(tap), .events = POLLIN};
            ssize_t got = poll(&p, 1, KIT_DRAIN_TIMEOUT_MS) == 1
                              ? read(p.fd, worker->kit.received, left)
                              : -1;
            if (got <= 0)
                break;
            tap_drained(tap, (size_t)got);
            left -= (size_t)got;
        }
        digest_sha256(worker->kit.content, bytes, expected);
        if (tap_finish(tap, &result, &e) < 0 || memcmp(result.sha256, expected, SHA256_BYTES) != 0)
            break;
        worker->passed++;
    }
    tap_close(tap);
    return NULL;
}

static void keeps_parallel_taps_apart(void **state)
{
    struct kit *kit = *state;
    struct worker workers[PARALLEL_TAPS];

    for (int i = 0; i < PARALLEL_TAPS; i++) {
        workers[i] = (struct worker){.kit = *kit, .seed = 100 + (uint64_t)i};
        workers[i].kit.received = malloc(TAP_WINDOW_BYTES);
        assert_non_null(workers[i].kit.received);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, pass_many, &workers[i]), 0);
    }
    for (int i = 0; i < PARALLEL_TAPS; i++) {
        pthread_join(workers[i].thread, NULL);
        free(workers[i].kit.received);
    }
    for (int i = 0; i < PARALLEL_TAPS; i++)
        assert_int_equal(workers[i].passed, 20);
}

/* --- interruptions --- */

static int ready_pipe[2];

static void pass_while_stopped(void **state)
{
    struct kit *kit = *state;
    struct err e;

    KIT_ASSERT_OK(tap_engine_open(&kit->engine, &e), &e);
    struct tap *tap = kit_open_tap(kit);
    assert_int_equal(write(ready_pipe[1], "r", 1), 1);
    for (int i = 0; i < 24; i++)
        kit_pass_same(kit, tap, 0, KIT_FILE_BYTES, 0, 0);
    tap_close(tap);
    tap_engine_close(kit->engine);
}

/* A push that slept would let bytes pass unhashed when its process is stopped; one that does not
 * sleep returns early at worst. */
static void survives_being_stopped(void **state)
{
    enum { STOPS = 50 };
    int status = 0;
    int stops = 0;
    char ready = 0;

    assert_int_equal(pipe(ready_pipe), 0);
    pid_t child = kit_fork(*state, pass_while_stopped);
    close(ready_pipe[1]);
    assert_int_equal(read(ready_pipe[0], &ready, 1), 1);
    close(ready_pipe[0]);
    pid_t ended = 0;
    while (stops < STOPS && ended == 0) {
        kill(child, SIGSTOP);
        usleep(500);
        kill(child, SIGCONT);
        usleep(1500);
        stops++;
        ended = waitpid(child, &status, WNOHANG);
    }
    if (ended == 0)
        assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_true(stops > 10); /* or it was hardly interrupted */
}

static void proves_itself_and_goes_on(void **state)
{
    struct kit *kit = *state;
    struct tap *tap = kit_open_tap(kit);
    struct err e;

    for (int i = 0; i < 3; i++) {
        KIT_ASSERT_OK(tap_prove(tap, &e), &e);
        kit_pass_same(kit, tap, 3, 100000, 0, 0);
    }
    tap_close(tap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_small_sizes),
        cmocka_unit_test(digests_at_borders),
        cmocka_unit_test(digests_random_sizes),
        cmocka_unit_test(digests_tiny_pushes),
        cmocka_unit_test(digests_sent_buffers),
        cmocka_unit_test(ends_with_the_source),
        cmocka_unit_test(does_not_hold_back_the_end_of_a_file),
        cmocka_unit_test(digests_what_left_of_a_changing_file),
        cmocka_unit_test(keeps_parallel_taps_apart),
        cmocka_unit_test(survives_being_stopped),
        cmocka_unit_test(proves_itself_and_goes_on),
    };

    return cmocka_run_group_tests(tests, kit_set_up, kit_tear_down);
}
