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
#include "net_peer.h"

enum {
    BIG_BYTES = 5 * 1024 * 1024,
    WINDOW_BYTES = 256 * 1024,
    HEAD_BYTES = 700, /* the pattern's first bytes stand for a request head */
    ODD_BYTES = 12345,
    SMALL_BUFFER = 100000, /* on both sides, so that the sender must wait */
};

static void sink_and_confirm(struct peer *p)
{
    peer_sink(p, p->expect);
    peer_write(p, "whole");
    peer_await_end(p);
}

/* 100 after the head and more than once in the middle, as a server may (RFC 9110 section 15.2);
 * each when the sender has had to stop, with bytes on their way. */
static void sink_with_interim_answers(struct peer *p)
{
    for (size_t part = 0; part < 4; part++) {
        peer_sink(p, p->expect / 5);
        usleep(50000);
        peer_write(p, "100 ");
        usleep(20000);
    }
    peer_sink(p, p->expect - p->got);
    peer_write(p, "whole");
    peer_await_end(p);
}

static int interim_answers;

static int take_interim(void *ctx, const void *bytes, size_t n, struct err *e)
{
    (void)e;
    assert_ptr_equal(ctx, &interim_answers);
    assert_int_equal(n % 4, 0);
    for (size_t i = 0; i < n; i += 4)
        assert_memory_equal((const char *)bytes + i, "100 ", 4);
    interim_answers += (int)n / 4;
    return 0;
}

static void send_bytes(struct conn *conn, size_t from, size_t n, bool more)
{
    static unsigned char bytes[ODD_BYTES];
    struct err e = {.text = ""};
    assert_true(n <= sizeof bytes);
    pattern_fill(bytes, from, n);
    if (conn_send(conn, bytes, n, more, &e))
        fail_msg("%s", e.text);
}

static void finish(struct peer *p, struct conn *conn)
{
    peer_assert_answer(conn, "whole");
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
        size_t moved;
        if (conn_send_from_socket(conn, out, n, tail || at + n < total, &moved, &e))
            fail_msg("%s", e.text);
        assert_int_equal(moved, n);
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
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = BIG_BYTES};
        struct conn *conn;
        peer_open_conn(&p, &conn, way, sink_and_confirm, 5000, -1);
        relay(conn, BIG_BYTES, 0);
        finish(&p, conn);
    }
}

static void test_from_socket_to_a_slow_peer(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = BIG_BYTES / 2,
                         .receive_buffer = SMALL_BUFFER,
                         .send_buffer = SMALL_BUFFER,
                         .pause_us = 1000};
        struct conn *conn;
        peer_open_conn(&p, &conn, way, sink_and_confirm, 5000, -1);
        relay(conn, p.expect, 20);
        finish(&p, conn);
    }
}

static void test_from_socket_with_interim_answers(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {
            .expect = BIG_BYTES, .receive_buffer = SMALL_BUFFER, .send_buffer = SMALL_BUFFER};
        struct conn *conn;
        interim_answers = 0;
        peer_open_conn(&p, &conn, way, sink_with_interim_answers, 5000, -1);
        conn_set_answer_fn(conn, take_interim, &interim_answers);
        relay(conn, p.expect, 20);
        finish(&p, conn);
        assert_int_equal(interim_answers, 4);
    }
}

static void test_socket_that_ends_or_stops(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        int in, out;
        size_t moved;
        peer_open_conn(&p, &conn, way, peer_await_end, 5000, -1);
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
        if (conn_send_from_file(conn, sender, file, &offset, n, tail || n < left, &moved, &e))
            fail_msg("%s", e.text);
        assert_int_equal(moved, n);
        assert_int_equal(offset - before, moved);
    }
    if (tail)
        send_bytes(conn, (size_t)offset, tail, false);
}

static void send_files(size_t total, size_t tail, int buffers, peer_script *script,
                       int interim_expected)
{
    for (int way = 0; way < PEER_WAYS; way++)
        for (int kind = SENDER_SENDFILE; kind <= SENDER_SPLICE; kind++) {
            struct peer p = {.expect = total, .receive_buffer = buffers, .send_buffer = buffers};
            struct conn *conn;
            struct sender *sender;
            struct err e;
            int file = pattern_file(total + 1000);
            interim_answers = 0;
            assert_int_equal(sender_open(&sender, kind, WINDOW_BYTES, &e), 0);
            peer_open_conn(&p, &conn, way, script, 5000, -1);
            conn_set_answer_fn(conn, take_interim, &interim_answers);
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
    send_files(BIG_BYTES / 2, 10, SMALL_BUFFER, sink_and_confirm, 0);
}

static void test_from_file_with_interim_answers(void **state)
{
    (void)state;
    send_files(BIG_BYTES, 10, SMALL_BUFFER, sink_with_interim_answers, 4);
}

static void test_file_that_ends_or_fails(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++)
        for (int kind = SENDER_SENDFILE; kind <= SENDER_SPLICE; kind++)
            for (int fails = 0; fails < 2; fails++) {
                struct peer p = {.expect = 0};
                struct conn *conn;
                struct sender *sender;
                struct err e;
                off_t offset = 1000;
                size_t moved;
                int fds[2], file = pattern_file(5000);
                assert_int_equal(pipe(fds), 0);
                assert_int_equal(sender_open(&sender, kind, WINDOW_BYTES, &e), 0);
                peer_open_conn(&p, &conn, way, peer_await_end, 5000, -1);
                int rc = conn_send_from_file(conn, sender, fails ? fds[1] : file, &offset, 9000,
                                             false, &moved, &e);
                if (fails) { /* the pipe is not open for reading */
                    assert_true(rc < 0);
                    assert_int_equal(e.class, ERR_FILE);
                } else
                    assert_int_equal(rc, 0);
                assert_int_equal(moved, fails ? 0 : 4000);
                assert_int_equal(offset, fails ? 1000 : 5000);
                assert_int_equal(conn_send(conn, "x", 1, false, &e), -EPIPE);
                conn_close(conn);
                peer_join(&p);
                assert_true(peer_was_reset(&p));
                sender_close(sender);
                close(fds[0]);
                close(fds[1]);
                close(file);
            }
}

static void change_keys(struct peer *p)
{
    peer_sink(p, WINDOW_BYTES);
    SSL_key_update(p->ssl, p->key_update);
    peer_write(p, "new keys");
    peer_sink(p, WINDOW_BYTES);
    peer_write(p, "all here");
    peer_await_end(p);
}

/* RFC 8446 section 4.6.3. Reading is OpenSSL's, so the peer may change its keys. If it asks for
 * new ones of ours, the kernel keeps the old ones, which the peer must accept until it sees a
 * KeyUpdate. */
static void test_peer_changes_its_keys(void **state)
{
    (void)state;
    static const int KINDS[] = {SSL_KEY_UPDATE_NOT_REQUESTED, SSL_KEY_UPDATE_REQUESTED};
    static unsigned char bytes[2 * WINDOW_BYTES];
    pattern_fill(bytes, 0, sizeof bytes);
    for (int i = 0; i < 2; i++) {
        struct peer p = {.key_update = KINDS[i]};
        struct conn *conn;
        struct err e;
        peer_open_conn(&p, &conn, PEER_TLS13, change_keys, 5000, -1);
        assert_int_equal(conn_send(conn, bytes, WINDOW_BYTES, false, &e), 0);
        peer_assert_answer(conn, "new keys");
        assert_int_equal(conn_send(conn, bytes + WINDOW_BYTES, WINDOW_BYTES, false, &e), 0);
        peer_assert_answer(conn, "all here");
        conn_close(conn);
        peer_join(&p);
        assert_int_equal(p.got, 2 * WINDOW_BYTES);
        assert_false(p.differs);
        assert_true(p.close_notified);
    }
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
        cmocka_unit_test(test_peer_changes_its_keys),
    };
    return cmocka_run_group_tests(tests, peer_fixture_set_up, peer_fixture_tear_down);
}
