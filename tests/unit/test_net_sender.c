/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "net/sender.h"
#include "net_peer.h"

enum { WINDOW_BYTES = 64 * 1024, BIG_BYTES = 5 * 1024 * 1024 + 77 };

static const enum sender_kind KINDS[] = {SENDER_SENDFILE, SENDER_SPLICE};
static const size_t N_KINDS = sizeof KINDS / sizeof KINDS[0];

/* A sender between a file of the pattern and a socket pair, and the reader's place in it. */
struct line {
    struct sender *sender;
    int file, in, out;
    off_t offset;
    size_t read;
};

static void line_lay(struct line *l, enum sender_kind kind, size_t file_bytes, off_t offset)
{
    struct err e;
    memset(l, 0, sizeof *l);
    assert_int_equal(sender_open(&l->sender, kind, WINDOW_BYTES, &e), 0);
    l->file = pattern_file(file_bytes);
    l->offset = offset;
    l->read = (size_t)offset;
    loopback_pair(&l->in, &l->out, 0);
}

/* Small buffers, soon full, but not smaller than a segment of loopback: a window that closes is
 * opened by a timer (RFC 9293 section 3.8.6.2), which takes 200 ms. */
static void line_narrow(const struct line *l)
{
    int bytes = 150000;
    setsockopt(l->in, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    setsockopt(l->out, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
}

static void line_remove(struct line *l)
{
    sender_close(l->sender);
    close(l->file);
    close(l->in);
    close(l->out);
}

/* Read up to n bytes that are there, and compare them with the file's. */
static size_t drain(struct line *l, size_t n)
{
    unsigned char bytes[16384], right[16384];
    size_t total = 0;
    while (total < n) {
        size_t piece = n - total < sizeof bytes ? n - total : sizeof bytes;
        ssize_t got = recv(l->out, bytes, piece, MSG_DONTWAIT);
        if (got <= 0)
            break;
        pattern_fill(right, l->read, (size_t)got);
        assert_memory_equal(bytes, right, (size_t)got);
        l->read += (size_t)got;
        total += (size_t)got;
    }
    return total;
}

/* On loopback what was sent is there, but not always at once. */
static void drain_all(struct line *l)
{
    for (int i = 0; i < 1000 && l->read < (size_t)l->offset; i++)
        if (drain(l, SIZE_MAX) == 0)
            usleep(1000);
    assert_int_equal(l->read, l->offset);
    assert_int_equal(drain(l, 1), 0);
}

static ssize_t push(struct line *l, size_t n, bool *from_source)
{
    off_t before = l->offset;
    ssize_t moved = sender_push(l->sender, l->file, &l->offset, l->in, n, false, from_source);
    assert_int_equal(l->offset - before, moved > 0 ? moved : 0);
    assert_true(moved <= (ssize_t)n);
    return moved;
}

static void test_names(void **state)
{
    (void)state;
    struct sender *s;
    struct err e;
    assert_int_equal(sender_open(&s, SENDER_SENDFILE, WINDOW_BYTES, &e), 0);
    assert_string_equal(sender_name(s), "sendfile");
    sender_close(s);
    assert_int_equal(sender_open(&s, SENDER_SPLICE, WINDOW_BYTES, &e), 0);
    assert_string_equal(sender_name(s), "splice");
    sender_close(s);
    sender_close(NULL);
}

/* A push is whole wherever it begins and however long it is, or the tap would be poisoned. */
static void test_pushes_are_whole(void **state)
{
    (void)state;
    static const struct {
        off_t offset;
        size_t n;
    } cases[] = {
        {0, 1},    {0, WINDOW_BYTES}, {1, WINDOW_BYTES},     {4095, WINDOW_BYTES},
        {4097, 2}, {100, 100000},     {5, WINDOW_BYTES + 1}, {0, 3 * WINDOW_BYTES},
    };
    for (size_t k = 0; k < N_KINDS; k++)
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct line l;
            bool from_source;
            line_lay(&l, KINDS[k], BIG_BYTES, cases[i].offset);
            assert_int_equal(push(&l, cases[i].n, &from_source), cases[i].n);
            drain_all(&l);
            line_remove(&l);
        }
}

static void test_end_of_file(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct line l;
        bool from_source;
        line_lay(&l, KINDS[k], 10000, 4000);
        assert_int_equal(push(&l, 20000, &from_source), 6000);
        assert_int_equal(push(&l, 20000, &from_source), 0);
        drain_all(&l);
        line_remove(&l);

        line_lay(&l, KINDS[k], 0, 0);
        assert_int_equal(push(&l, 1, &from_source), 0);
        line_remove(&l);

        line_lay(&l, KINDS[k], 10, 0);
        assert_int_equal(push(&l, 0, &from_source), 0);
        assert_int_equal(l.offset, 0);
        line_remove(&l);
    }
}

/* 1 to n, the same sequence in every run. */
static size_t random_up_to(size_t n)
{
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return 1 + (size_t)(state >> 8) % n;
}

/* The socket is full most of the time, and is read in pieces of any size. */
static void test_full_socket_loses_and_doubles_nothing(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct line l;
        bool from_source;
        int refusals = 0;
        line_lay(&l, KINDS[k], BIG_BYTES, 13);
        line_narrow(&l);
        while (l.offset < BIG_BYTES) {
            ssize_t moved = push(&l, random_up_to(2L * WINDOW_BYTES), &from_source);
            if (moved < 0) {
                assert_int_equal(moved, -EAGAIN);
                assert_false(from_source);
                refusals++;
                if (drain(&l, random_up_to(100000)) == 0)
                    poll((struct pollfd[]){{l.out, POLLIN, 0}, {l.in, POLLOUT, 0}}, 2, 1000);
            }
        }
        assert_int_equal(l.offset, BIG_BYTES);
        assert_int_equal(push(&l, 1, &from_source), 0);
        assert_true(refusals > 10);
        drain_all(&l);
        line_remove(&l);
    }
}

static void fill_socket(struct line *l)
{
    bool from_source;
    ssize_t moved;
    while ((moved = push(l, WINDOW_BYTES, &from_source)) > 0)
        ;
    assert_int_equal(moved, -EAGAIN);
}

/* An upload is given up with bytes in the pipe. The next one, of another file or place, must not
 * get them. */
static void test_leftovers_go_nowhere_else(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct line l;
        bool from_source;
        unsigned char got[3000], right[3000];
        line_lay(&l, KINDS[k], BIG_BYTES, 0);
        line_narrow(&l);
        fill_socket(&l);

        int other = pattern_file(0), in, out;
        loopback_pair(&in, &out, 0);
        memset(right, 'x', sizeof right);
        assert_int_equal(pwrite(other, right, sizeof right, l.offset), sizeof right);
        off_t place = l.offset;
        assert_int_equal(
            sender_push(l.sender, other, &place, in, sizeof right, false, &from_source),
            sizeof right);
        usleep(10000);
        assert_int_equal(recv(out, got, sizeof got, MSG_WAITALL), sizeof got);
        assert_memory_equal(got, right, sizeof right);

        /* Back to the first file, at another place. */
        fill_socket(&l);
        place = 5;
        assert_int_equal(
            sender_push(l.sender, l.file, &place, in, sizeof right, false, &from_source),
            sizeof right);
        pattern_fill(right, 5, sizeof right);
        usleep(10000);
        assert_int_equal(recv(out, got, sizeof got, MSG_WAITALL), sizeof got);
        assert_memory_equal(got, right, sizeof right);
        close(in);
        close(out);
        close(other);
        line_remove(&l);
    }
}

static void test_tells_which_end_failed(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_KINDS; k++) {
        struct line l;
        bool from_source;
        struct linger reset = {.l_onoff = 1, .l_linger = 0};
        line_lay(&l, KINDS[k], BIG_BYTES, 0);
        int readable = l.file;
        l.file = open("/tmp", O_RDONLY | O_DIRECTORY);
        from_source = false;
        assert_true(push(&l, 100, &from_source) < 0);
        assert_true(from_source);
        close(l.file);
        int pipe_fds[2];
        assert_int_equal(pipe(pipe_fds), 0);
        l.file = pipe_fds[1]; /* not open for reading */
        from_source = false;
        assert_true(push(&l, 100, &from_source) < 0);
        assert_true(from_source);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        l.file = readable;

        setsockopt(l.out, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        close(l.out);
        l.out = -1;
        usleep(10000);
        from_source = true;
        ssize_t moved = push(&l, 100, &from_source);
        assert_true(moved == -ECONNRESET || moved == -EPIPE);
        assert_false(from_source);
        line_remove(&l);
    }
}

static void on_alarm(int signal_number)
{
    (void)signal_number;
}

/* Signals interrupt waits, and nothing else. */
static void test_signals_do_not_matter(void **state)
{
    (void)state;
    struct sigaction act = {.sa_handler = on_alarm}; /* no SA_RESTART */
    struct itimerval fast = {{0, 300}, {0, 300}}, off = {{0, 0}, {0, 0}};
    sigaction(SIGALRM, &act, NULL);
    for (size_t k = 0; k < N_KINDS; k++) {
        struct line l;
        bool from_source;
        line_lay(&l, KINDS[k], BIG_BYTES, 0);
        setitimer(ITIMER_REAL, &fast, NULL);
        while (l.offset < BIG_BYTES) {
            ssize_t moved = push(&l, 4096, &from_source); /* often, so that waits are hit */
            assert_true(moved > 0 || moved == -EAGAIN || moved == -EINTR);
            drain(&l, SIZE_MAX);
        }
        setitimer(ITIMER_REAL, &off, NULL);
        drain_all(&l);
        line_remove(&l);
    }
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_pushes_are_whole),
        cmocka_unit_test(test_end_of_file),
        cmocka_unit_test(test_full_socket_loses_and_doubles_nothing),
        cmocka_unit_test(test_leftovers_go_nowhere_else),
        cmocka_unit_test(test_tells_which_end_failed),
        cmocka_unit_test(test_signals_do_not_matter),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
