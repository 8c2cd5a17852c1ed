/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: opening, ending, receiving, waiting, answers that come early. Each test runs over
 * plain TCP, TLS 1.3 and TLS 1.2; the bulk of bytes is in test_net_conn_bulk.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <linux/sockios.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"
#include "net_peer.h"

enum { BLOCK_BYTES = 100000 };

static int64_t ms_since(int64_t start_ns)
{
    return (clock_now_ns() - start_ns) / 1000000;
}

static void answer_small_request(struct peer *p)
{
    peer_sink(p, 3000);
    peer_write(p, "HTTP/1.1 200 OK\r\n\r\n");
    peer_await_end(p);
}

static void test_request_and_answer(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct conn_info info;
        struct err e;
        unsigned char bytes[3000];
        pattern_fill(bytes, 0, sizeof bytes);
        peer_open_conn(&p, &conn, way, answer_small_request, 5000, -1);
        conn_get_info(conn, &info);
        assert_non_null(strstr(info.peer, "127.0.0.1:"));
        if (way == PEER_PLAIN) {
            assert_null(info.tls_version);
            assert_null(info.tls_cipher);
        } else {
            assert_string_equal(info.tls_version, way == PEER_TLS13 ? "TLSv1.3" : "TLSv1.2");
            assert_non_null(strstr(info.tls_cipher, "AES"));
        }
        assert_int_equal(conn_send(conn, bytes, 1, true, &e), 0);
        assert_int_equal(conn_send(conn, bytes + 1, 1999, true, &e), 0);
        assert_int_equal(conn_send(conn, bytes + 2000, 0, true, &e), 0);
        assert_int_equal(conn_send(conn, bytes + 2000, 1000, false, &e), 0);
        assert_int_equal(conn_wait_answer(conn, clock_deadline_in_ms(5000), &e), 0);
        assert_true(conn_is_answered(conn));
        peer_assert_answer(conn, "HTTP/1.1 ");
        peer_assert_answer(conn, "200 OK\r\n\r\n");
        assert_false(conn_is_answered(conn));
        conn_close(conn);
        peer_join(&p);
        assert_int_equal(p.got, 3000);
        assert_false(p.differs);
        assert_int_equal(p.read_errno, 0);
        assert_int_equal(p.close_notified, way != PEER_PLAIN);
    }
}

/* A request given up must not look whole to the peer: no close_notify, no FIN. */
static void test_abort_is_no_end(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        peer_open_conn(&p, &conn, way, peer_await_end, 5000, -1);
        assert_int_equal(conn_send(conn, "PUT", 3, true, &e), 0);
        conn_abort(conn);
        peer_join(&p);
        assert_true(peer_was_reset(&p));
    }
    conn_abort(NULL);
    conn_close(NULL);
}

static void test_tickets_are_no_answer(void **state)
{
    (void)state;
    struct peer p = {.expect = 0};
    struct conn *conn;
    struct err e = {.text = "untouched"};
    peer_open_conn(&p, &conn, PEER_TLS13, peer_await_end, 5000, -1);
    int64_t start = clock_now_ns();
    assert_int_equal(conn_wait_answer(conn, clock_deadline_in_ms(100), &e), -ETIMEDOUT);
    assert_in_range(ms_since(start), 95, 1000);
    assert_string_equal(e.text, "untouched");
    assert_false(conn_is_answered(conn));
    assert_int_equal(conn_send(conn, "x", 1, false, &e), 0);
    conn_close(conn);
    peer_join(&p);
}

static void hang_up(struct peer *p)
{
    char byte;
    peer_read(p, &byte, 1);
    peer_write(p, "half an ans");
    shutdown(p->fd, SHUT_WR);
    peer_await_end(p);
}

static void test_end_without_close_notify(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        peer_open_conn(&p, &conn, way, hang_up, 5000, -1);
        assert_int_equal(conn_send(conn, "x", 1, false, &e), 0);
        peer_assert_answer(conn, "half an ans");
        for (int i = 0; i < 2; i++) {
            ssize_t got = conn_recv(conn, &byte, 1, clock_deadline_in_ms(5000), &e);
            if (way == PEER_PLAIN)
                assert_int_equal(got, 0);
            else {
                assert_int_equal(got, -ECONNRESET);
                assert_int_equal(e.class, ERR_NET);
                assert_non_null(strstr(e.text, "close_notify"));
            }
            assert_true(conn_is_answered(conn));
        }
        assert_int_equal(conn_send(conn, "x", 1, false, &e), CONN_ANSWERED);
        conn_close(conn);
        peer_join(&p);
    }
}

static void say_goodbye(struct peer *p)
{
    char byte;
    peer_read(p, &byte, 1);
    peer_write(p, "bye");
}

static void test_proper_end(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        peer_open_conn(&p, &conn, way, say_goodbye, 5000, -1);
        assert_int_equal(conn_send(conn, "x", 1, false, &e), 0);
        peer_assert_answer(conn, "bye");
        assert_int_equal(conn_recv(conn, &byte, 1, clock_deadline_in_ms(5000), &e), 0);
        conn_close(conn);
        peer_join(&p);
    }
}

/* Read nothing, and stay until the other side is gone. */
static void stand_still(struct peer *p)
{
    struct pollfd gone = {.fd = p->fd, .events = POLLRDHUP};
    poll(&gone, 1, 15000);
}

static void test_recv_has_two_limits(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        peer_open_conn(&p, &conn, way, peer_await_end, 150, -1);
        int64_t start = clock_now_ns();
        assert_int_equal(conn_recv(conn, &byte, 1, CLOCK_NEVER, &e), -ETIMEDOUT);
        assert_in_range(ms_since(start), 140, 1000);
        assert_non_null(strstr(e.text, "no progress for 0.15 s while waiting for an answer"));
        assert_non_null(strstr(e.text, "127.0.0.1"));
        start = clock_now_ns();
        assert_int_equal(conn_recv(conn, &byte, 1, clock_deadline_in_ms(50), &e), -ETIMEDOUT);
        assert_in_range(ms_since(start), 45, 140);
        assert_non_null(strstr(e.text, "in the time allowed"));
        conn_close(conn);
        peer_join(&p);
    }
}

/* Send until something else than 0 comes back; what it was. */
static int send_on(struct conn *conn, struct err *e)
{
    static unsigned char block[BLOCK_BYTES];
    int rc = 0;
    for (int i = 0; i < 1000 && rc == 0; i++)
        rc = conn_send(conn, block, sizeof block, true, e);
    return rc;
}

static void test_peer_stops_reading(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.receive_buffer = 20000};
        struct conn *conn;
        struct err e;
        peer_open_conn(&p, &conn, way, stand_still, 200, -1);
        int64_t start = clock_now_ns();
        assert_int_equal(send_on(conn, &e), -ETIMEDOUT);
        assert_in_range(ms_since(start), 190, 3000);
        assert_int_equal(e.class, ERR_NET);
        assert_non_null(strstr(e.text, "no progress for 0.2 s while sending to 127.0.0.1"));
        /* Bytes are in doubt: the connection is of no use any more, and is not ended like a good
         * one. */
        assert_int_equal(conn_send(conn, "x", 1, false, &e), -EPIPE);
        conn_close(conn);
        peer_join(&p);
    }
}

static int cancel_fd = -1;

static void cancel_soon(struct peer *p)
{
    char byte;
    peer_read(p, &byte, 1);
    usleep(100000);
    eventfd_write(cancel_fd, 1);
    stand_still(p);
}

static void test_cancel(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.receive_buffer = 20000};
        struct conn *conn;
        struct err e;
        char byte;
        cancel_fd = eventfd(0, EFD_CLOEXEC);
        peer_open_conn(&p, &conn, way, cancel_soon, 10000, cancel_fd);
        int64_t start = clock_now_ns();
        assert_int_equal(send_on(conn, &e), -ECANCELED);
        assert_in_range(ms_since(start), 50, 2000);
        assert_int_equal(conn_recv(conn, &byte, 1, CLOCK_NEVER, &e), -ECANCELED);
        assert_int_equal(conn_wait_answer(conn, CLOCK_NEVER, &e), -ECANCELED);
        conn_abort(conn);
        peer_join(&p);
        close(cancel_fd);
    }
}

#define REFUSAL "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"

/* When the sender has had to stop. */
static void refuse_and_stop(struct peer *p)
{
    char head[2000];
    peer_read(p, head, sizeof head);
    usleep(100000);
    peer_write(p, REFUSAL);
    stand_still(p);
}

static void test_early_answer(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.receive_buffer = 20000};
        struct conn *conn;
        struct err e;
        peer_open_conn(&p, &conn, way, refuse_and_stop, 5000, -1);
        assert_int_equal(send_on(conn, &e), CONN_ANSWERED);
        peer_assert_answer(conn, REFUSAL);
        /* Whatever comes now would be taken for the rest of the request. */
        assert_int_equal(conn_send(conn, "x", 1, false, &e), -EPIPE);
        conn_close(conn);
        peer_join(&p);
        assert_false(p.close_notified);
    }
}

/* What a conn_answer_fn has seen, and says. */
struct judge {
    char seen[sizeof REFUSAL];
    size_t n;
    int verdict;
};

static int judge_take(void *ctx, const void *bytes, size_t n, struct err *e)
{
    struct judge *j = ctx;
    assert_true(n > 0 && j->n + n < sizeof j->seen);
    memcpy(j->seen + j->n, bytes, n);
    j->n += n;
    return j->verdict < 0 ? err_set(e, ERR_STORE, -j->verdict, "no HTTP") : j->verdict;
}

static void test_answer_function(void **state)
{
    (void)state;
    static const int VERDICTS[] = {CONN_ANSWERED, -EPROTO};
    for (int way = 0; way < PEER_WAYS; way++)
        for (int i = 0; i < 2; i++) {
            struct peer p = {.receive_buffer = 20000};
            struct judge judge = {.verdict = VERDICTS[i]};
            struct conn *conn;
            struct err e;
            peer_open_conn(&p, &conn, way, refuse_and_stop, 5000, -1);
            conn_set_answer_fn(conn, judge_take, &judge);
            assert_int_equal(send_on(conn, &e), VERDICTS[i]);
            assert_string_equal(judge.seen, REFUSAL);
            if (VERDICTS[i] < 0)
                assert_string_equal(e.text, "no HTTP");
            assert_false(conn_is_answered(conn));
            assert_int_equal(conn_send(conn, "x", 1, false, &e), -EPIPE);
            conn_abort(conn);
            peer_join(&p);
        }
}

static void refuse_and_reset(struct peer *p)
{
    char head[2000];
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    int unsent = 1;
    peer_read(p, head, sizeof head);
    peer_write(p, REFUSAL);
    while (ioctl(p->fd, SIOCOUTQ, &unsent) == 0 && unsent > 0)
        usleep(1000);
    setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

/* The answer that came before a reset is read, and the reset is no proper end. */
static void test_answer_before_reset(void **state)
{
    (void)state;
    for (int way = 0; way < PEER_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        peer_open_conn(&p, &conn, way, refuse_and_reset, 5000, -1);
        assert_int_equal(conn_send(conn, "PUT", 3, false, &e), 0);
        peer_join(&p);
        assert_int_equal(send_on(conn, &e), CONN_ANSWERED);
        peer_assert_answer(conn, REFUSAL);
        ssize_t end = conn_recv(conn, &byte, 1, clock_deadline_in_ms(5000), &e);
        if (way == PEER_PLAIN) /* with TLS, close_notify may have come before the reset */
            assert_true(end < 0);
        conn_close(conn);
    }
}

static void test_errors_of_opening(void **state)
{
    (void)state;
    struct conn *conn = NULL;
    struct err e;
    int in, out;
    struct sockaddr_storage at;
    socklen_t len = sizeof at;
    loopback_pair(&in, &out, 0);
    getsockname(in, (struct sockaddr *)&at, &len);
    struct conn_options o = {.host = "127.0.0.1",
                             .port = 1,
                             .tls = peer_fixture_tls(),
                             .connect_timeout_ms = 500,
                             .cancel_fd = -1};
    assert_true(conn_open(&conn, &o, &e) < 0);
    assert_int_equal(e.class, ERR_NET);
    assert_null(conn);
    close(in);
    close(out);

    /* The time for connecting covers the handshake. */
    struct peer p = {.script = stand_still};
    peer_start(&p);
    o.port = p.port;
    int64_t start = clock_now_ns();
    assert_int_equal(conn_open(&conn, &o, &e), -ETIMEDOUT);
    assert_in_range(ms_since(start), 490, 2000);
    assert_non_null(strstr(e.text, "handshake"));
    peer_join(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_and_answer),
        cmocka_unit_test(test_abort_is_no_end),
        cmocka_unit_test(test_tickets_are_no_answer),
        cmocka_unit_test(test_end_without_close_notify),
        cmocka_unit_test(test_proper_end),
        cmocka_unit_test(test_recv_has_two_limits),
        cmocka_unit_test(test_peer_stops_reading),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_answer_function),
        cmocka_unit_test(test_answer_before_reset),
        cmocka_unit_test(test_errors_of_opening),
    };
    return cmocka_run_group_tests(tests, peer_fixture_set_up, peer_fixture_tear_down);
}
