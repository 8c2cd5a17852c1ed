/* SPDX-License-Identifier: Apache-2.0 */
/* Many bytes over connections: from a socket as from a tap, and from a file with both senders, to
 * fast and slow peers, with answers in between. The peer compares every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net/sender.h"
#include "net/tls.h"
#include "net_peer.h"

enum {
    HOUR_S = 3600,
    BIG_BYTES = 5 * 1024 * 1024,
    WINDOW_BYTES = 256 * 1024,
    HEAD_BYTES = 700, /* the pattern's first bytes stand for a request head */
    ODD_BYTES = 12345,
};

static struct peer_cert ca, server_cert;
static struct tls_client *tls;

enum { PLAIN, TLS13, TLS12, N_WAYS };

static void open_to(struct peer *p, struct conn **conn, int way, peer_script *script)
{
    struct err e = {.text = ""};
    p->cert = way == PLAIN ? NULL : &server_cert;
    p->tls_version = way == TLS12 ? TLS1_2_VERSION : 0;
    p->script = script;
    peer_start(p);
    struct conn_options o = {.host = "127.0.0.1",
                             .port = p->port,
                             .tls = way == PLAIN ? NULL : tls,
                             .connect_timeout_ms = 5000,
                             .idle_timeout_ms = 5000,
                             .cancel_fd = -1};
    if (conn_open(conn, &o, &e))
        fail_msg("%s", e.text);
}

static void sink_and_confirm(struct peer *p)
{
    peer_sink(p, p->expect);
    peer_write(p, "whole");
    peer_await_end(p);
}

/* 100 after the head and more than once in the middle, as a server may (RFC 9110 section 15.2). */
static void sink_with_interim_answers(struct peer *p)
{
    for (size_t part = 0; part < 4; part++) {
        peer_sink(p, p->expect / 5);
        peer_write(p, "100 ");
        usleep(30000);
    }
    peer_sink(p, p->expect - p->got);
    peer_write(p, "whole");
    peer_await_end(p);
}

static int interim_answers;

/* Take in an interim answer and go on, as long as one comes. */
static void resume(struct conn *conn)
{
    struct err e = {.text = ""};
    int rc = CONN_ANSWERED;
    while (rc == CONN_ANSWERED) {
        char got[64];
        ssize_t n = conn_recv(conn, got, sizeof got, clock_deadline_in_ms(5000), &e);
        if (n <= 0)
            fail_msg("%zd %s", n, e.text);
        for (ssize_t i = 0; i < n; i += 4)
            assert_memory_equal(got + i, "100 ", 4);
        interim_answers += (int)n / 4;
        rc = conn_resume(conn, &e);
        if (rc < 0)
            fail_msg("%s", e.text);
    }
}

static void send_bytes(struct conn *conn, size_t from, size_t n, bool more)
{
    static unsigned char bytes[ODD_BYTES];
    struct err e = {.text = ""};
    assert_true(n <= sizeof bytes);
    pattern_fill(bytes, from, n);
    int rc = conn_send(conn, bytes, n, more, &e);
    if (rc == CONN_ANSWERED)
        resume(conn);
    else if (rc)
        fail_msg("%s", e.text);
}

static void finish(struct peer *p, struct conn *conn)
{
    char got[5];
    struct err e = {.text = ""};
    for (size_t n = 0; n < sizeof got;) {
        ssize_t r = conn_recv(conn, got + n, sizeof got - n, clock_deadline_in_ms(10000), &e);
        if (r <= 0)
            fail_msg("%zd %s", r, e.text);
        n += (size_t)r;
        if (n >= 4 && memcmp(got, "100 ", 4) == 0) { /* one that came after the last byte */
            n -= 4;
            memmove(got, got + 4, n);
            interim_answers++;
        }
    }
    assert_memory_equal(got, "whole", 5);
    conn_close(conn);
    peer_join(p);
    assert_int_equal(p->got, p->expect);
    assert_false(p->differs);
}

/* Feed a window into a pair, drain it into the connection, and so on, with some bytes past the
 * pair before, between and after (`tail`, if any), as chunk framing goes. */
static void relay(struct conn *conn, size_t total, size_t tail)
{
    static unsigned char window[WINDOW_BYTES];
    int in, out;
    size_t at = 0;
    struct err e = {.text = ""};
    loopback_pair(&in, &out, 4 * WINDOW_BYTES);
    send_bytes(conn, at, HEAD_BYTES, true);
    at = HEAD_BYTES;
    while (at < total - tail) {
        send_bytes(conn, at, 10, true);
        at += 10;
        size_t left = total - tail - at, n = left < WINDOW_BYTES - 99 ? left : WINDOW_BYTES - 99;
        pattern_fill(window, at, n);
        assert_int_equal(send(in, window, n, MSG_DONTWAIT), n);
        for (size_t done = 0, moved; done < n; done += moved) {
            int rc = conn_send_from_socket(conn, out, n - done, tail || at + n < total, &moved, &e);
            if (rc == CONN_ANSWERED)
                resume(conn);
            else if (rc || moved != n - done)
                fail_msg("%d %zu %s", rc, moved, e.text);
        }
        at += n;
    }
    if (tail)
        send_bytes(conn, at, tail, false);
    close(in);
    close(out);
}

static void test_from_socket(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = BIG_BYTES};
        struct conn *conn;
        open_to(&p, &conn, way, sink_and_confirm);
        relay(conn, BIG_BYTES, 0);
        finish(&p, conn);
    }
}

static void test_from_socket_to_a_slow_peer(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = BIG_BYTES / 2, .receive_buffer = 30000, .pause_us = 1000};
        struct conn *conn;
        open_to(&p, &conn, way, sink_and_confirm);
        relay(conn, p.expect, 20);
        finish(&p, conn);
    }
}

static void test_from_socket_with_interim_answers(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = BIG_BYTES, .receive_buffer = 30000};
        struct conn *conn;
        interim_answers = 0;
        open_to(&p, &conn, way, sink_with_interim_answers);
        relay(conn, p.expect, 20);
        finish(&p, conn);
        assert_int_equal(interim_answers, 4);
    }
}

static void test_socket_that_ends_or_stops(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        int in, out;
        size_t moved;
        open_to(&p, &conn, way, peer_await_end);
        loopback_pair(&in, &out, 0);
        assert_int_equal(send(in, "12345", 5, 0), 5);
        close(in);
        assert_int_equal(conn_send_from_socket(conn, out, 6, false, &moved, &e), -EPIPE);
        assert_int_equal(moved, 5);
        assert_int_equal(e.class, ERR_ENV);
        assert_int_equal(conn_send(conn, "x", 1, false, &e), -EPIPE);
        conn_close(conn);
        close(out);
        peer_join(&p);
        assert_true(peer_was_reset(&p));
    }
}

/* `total` bytes, all but head and `tail` from `file`, in pieces, from an offset that is no page's.
 */
static void send_file(struct conn *conn, struct sender *sender, int file, size_t total, size_t tail)
{
    off_t offset = HEAD_BYTES;
    struct err e = {.text = ""};
    send_bytes(conn, 0, HEAD_BYTES, true);
    while ((size_t)offset < total - tail) {
        size_t left = total - tail - (size_t)offset, n = left < 1000000 ? left : 1000000, moved;
        off_t before = offset;
        int rc = conn_send_from_file(conn, sender, file, &offset, n, tail || n < left, &moved, &e);
        assert_int_equal(offset - before, moved);
        if (rc == CONN_ANSWERED)
            resume(conn);
        else if (rc || moved != n)
            fail_msg("%d %zu %s", rc, moved, e.text);
    }
    if (tail)
        send_bytes(conn, (size_t)offset, tail, false);
}

static void send_files(size_t total, size_t tail, int receive_buffer, peer_script *script,
                       int interim_expected)
{
    for (int way = 0; way < N_WAYS; way++)
        for (int kind = SENDER_SENDFILE; kind <= SENDER_SPLICE; kind++) {
            struct peer p = {.expect = total, .receive_buffer = receive_buffer};
            struct conn *conn;
            struct sender *sender;
            struct err e;
            int file = pattern_file(total + 1000);
            interim_answers = 0;
            assert_int_equal(sender_open(&sender, kind, WINDOW_BYTES, &e), 0);
            open_to(&p, &conn, way, script);
            send_file(conn, sender, file, total, tail);
            finish(&p, conn);
            assert_int_equal(interim_answers, interim_expected);
            sender_close(sender);
            close(file);
        }
}

static void test_from_file(void **state)
{
    (void)state;
    send_files(BIG_BYTES, 0, 0, sink_and_confirm, 0);
}

static void test_from_file_to_a_slow_peer(void **state)
{
    (void)state;
    send_files(BIG_BYTES / 2, 10, 30000, sink_and_confirm, 0);
}

static void test_from_file_with_interim_answers(void **state)
{
    (void)state;
    send_files(BIG_BYTES, 10, 30000, sink_with_interim_answers, 4);
}

static void test_file_that_ends_or_fails(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++)
        for (int kind = SENDER_SENDFILE; kind <= SENDER_SPLICE; kind++) {
            struct peer p = {.expect = 0};
            struct conn *conn;
            struct sender *sender;
            struct err e;
            off_t offset = 1000;
            size_t moved;
            int file = pattern_file(5000), fds[2];
            assert_int_equal(sender_open(&sender, kind, WINDOW_BYTES, &e), 0);
            open_to(&p, &conn, way, peer_await_end);
            assert_int_equal(
                conn_send_from_file(conn, sender, file, &offset, 9000, false, &moved, &e), 0);
            assert_int_equal(moved, 4000);
            assert_int_equal(offset, 5000);

            assert_int_equal(pipe(fds), 0);
            assert_true(conn_send_from_file(conn, sender, fds[1], &offset, 9, false, &moved, &e) <
                        0);
            assert_int_equal(e.class, ERR_FILE);
            assert_int_equal(moved, 0);
            close(fds[0]);
            close(fds[1]);
            conn_close(conn);
            peer_join(&p);
            assert_true(peer_was_reset(&p));
            sender_close(sender);
            close(file);
        }
}

static int set_up(void **state)
{
    (void)state;
    struct err e;
    signal(SIGPIPE, SIG_IGN);
    peer_cert_make(&ca, NULL, "test CA", NULL, -HOUR_S, HOUR_S);
    peer_cert_make(&server_cert, &ca, "store", "IP:127.0.0.1", -HOUR_S, HOUR_S);
    return tls_client_open(&tls, ca.pem, &e);
}

static int tear_down(void **state)
{
    (void)state;
    tls_client_close(tls);
    peer_cert_free(&server_cert);
    peer_cert_free(&ca);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_socket),
        cmocka_unit_test(test_from_socket_to_a_slow_peer),
        cmocka_unit_test(test_from_socket_with_interim_answers),
        cmocka_unit_test(test_socket_that_ends_or_stops),
        cmocka_unit_test(test_from_file),
        cmocka_unit_test(test_from_file_to_a_slow_peer),
        cmocka_unit_test(test_from_file_with_interim_answers),
        cmocka_unit_test(test_file_that_ends_or_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
