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
#include "net/tls.h"
#include "net_peer.h"

enum { HOUR_S = 3600, BLOCK_BYTES = 100000 };

static struct peer_cert ca, server_cert;
static struct tls_client *tls;

enum { PLAIN, TLS13, TLS12, N_WAYS };

/* A peer that runs `script`, and a connection to it. */
static void open_to(struct peer *p, struct conn **conn, int way, peer_script *script,
                    int idle_timeout_ms, int cancel_fd)
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
                             .idle_timeout_ms = idle_timeout_ms,
                             .cancel_fd = cancel_fd};
    if (conn_open(conn, &o, &e))
        fail_msg("%s", e.text);
    struct conn_info info;
    conn_get_info(*conn, &info);
    assert_ktls(info.ktls_send, way != PLAIN);
    assert_int_equal(conn_moves_in_kernel(*conn), way == PLAIN || info.ktls_send);
}

static void assert_receives(struct conn *conn, const char *text)
{
    char got[256];
    size_t n = 0, want = strlen(text);
    struct err e = {.text = ""};
    while (n < want) {
        ssize_t r = conn_recv(conn, got + n, want - n, clock_deadline_in_ms(5000), &e);
        if (r <= 0)
            fail_msg("%zd %s", r, e.text);
        n += (size_t)r;
    }
    assert_memory_equal(got, text, want);
}

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
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct conn_info info;
        struct err e;
        unsigned char bytes[3000];
        pattern_fill(bytes, 0, sizeof bytes);
        open_to(&p, &conn, way, answer_small_request, 5000, -1);
        conn_get_info(conn, &info);
        assert_non_null(strstr(info.peer, "127.0.0.1:"));
        if (way == PLAIN) {
            assert_null(info.tls_version);
            assert_null(info.tls_cipher);
        } else {
            assert_string_equal(info.tls_version, way == TLS13 ? "TLSv1.3" : "TLSv1.2");
            assert_non_null(strstr(info.tls_cipher, "AES"));
        }
        assert_int_equal(conn_send(conn, bytes, 1, true, &e), 0);
        assert_int_equal(conn_send(conn, bytes + 1, 1999, true, &e), 0);
        assert_int_equal(conn_send(conn, bytes + 2000, 0, true, &e), 0);
        assert_int_equal(conn_send(conn, bytes + 2000, 1000, false, &e), 0);
        assert_int_equal(conn_wait_answer(conn, clock_deadline_in_ms(5000), &e), 0);
        assert_true(conn_is_answered(conn));
        assert_receives(conn, "HTTP/1.1 ");
        assert_receives(conn, "200 OK\r\n\r\n");
        assert_false(conn_is_answered(conn));
        conn_close(conn);
        peer_join(&p);
        assert_int_equal(p.got, 3000);
        assert_false(p.differs);
        assert_int_equal(p.read_errno, 0);
        assert_int_equal(p.close_notified, way != PLAIN);
    }
}

/* A request given up must not look whole to the peer: no close_notify, no FIN. */
static void test_abort_is_no_end(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        open_to(&p, &conn, way, peer_await_end, 5000, -1);
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
    open_to(&p, &conn, TLS13, peer_await_end, 5000, -1);
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
    peer_write(p, "half an ans");
    shutdown(p->fd, SHUT_WR);
    peer_await_end(p);
}

static void test_end_without_close_notify(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        open_to(&p, &conn, way, hang_up, 5000, -1);
        assert_receives(conn, "half an ans");
        for (int i = 0; i < 2; i++) {
            ssize_t got = conn_recv(conn, &byte, 1, clock_deadline_in_ms(5000), &e);
            if (way == PLAIN)
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
    peer_write(p, "bye");
}

static void test_proper_end(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        open_to(&p, &conn, way, say_goodbye, 5000, -1);
        assert_receives(conn, "bye");
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
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        open_to(&p, &conn, way, peer_await_end, 150, -1);
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
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.receive_buffer = 20000};
        struct conn *conn;
        struct err e;
        open_to(&p, &conn, way, stand_still, 200, -1);
        int64_t start = clock_now_ns();
        assert_int_equal(send_on(conn, &e), -ETIMEDOUT);
        assert_in_range(ms_since(start), 190, 3000);
        assert_int_equal(e.class, ERR_NET);
        assert_non_null(strstr(e.text, "no progress for 0.2 s while sending to 127.0.0.1"));
        /* Bytes are in doubt: the connection is of no use any more, and is not ended like a good
         * one. */
        assert_int_equal(conn_send(conn, "x", 1, false, &e), -EPIPE);
        assert_int_equal(conn_resume(conn, &e), -EPIPE);
        conn_close(conn);
        peer_join(&p);
    }
}

static int cancel_fd = -1;

static void cancel_soon(struct peer *p)
{
    usleep(100000);
    eventfd_write(cancel_fd, 1);
    stand_still(p);
}

static void test_cancel(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.receive_buffer = 20000};
        struct conn *conn;
        struct err e;
        char byte;
        cancel_fd = eventfd(0, EFD_CLOEXEC);
        open_to(&p, &conn, way, cancel_soon, 10000, cancel_fd);
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

static void refuse_and_stop(struct peer *p)
{
    char head[2000];
    peer_read(p, head, sizeof head);
    peer_write(p, REFUSAL);
    stand_still(p);
}

static void test_early_answer(void **state)
{
    (void)state;
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.receive_buffer = 20000};
        struct conn *conn;
        struct err e;
        open_to(&p, &conn, way, refuse_and_stop, 5000, -1);
        assert_int_equal(send_on(conn, &e), CONN_ANSWERED);
        assert_receives(conn, REFUSAL);
        /* Until conn_resume() says that the answer was an interim one. */
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
    for (int way = 0; way < N_WAYS; way++) {
        struct peer p = {.expect = 0};
        struct conn *conn;
        struct err e;
        char byte;
        open_to(&p, &conn, way, refuse_and_reset, 5000, -1);
        assert_int_equal(conn_send(conn, "PUT", 3, false, &e), 0);
        peer_join(&p);
        assert_int_equal(send_on(conn, &e), CONN_ANSWERED);
        assert_receives(conn, REFUSAL);
        ssize_t end = conn_recv(conn, &byte, 1, clock_deadline_in_ms(5000), &e);
        if (way == PLAIN) /* with TLS, close_notify may have come before the reset */
            assert_true(end < 0);
        conn_close(conn);
    }
}

static void change_keys(struct peer *p)
{
    peer_sink(p, BLOCK_BYTES);
    SSL_key_update(p->ssl, p->key_update);
    peer_write(p, "new keys");
    peer_sink(p, BLOCK_BYTES);
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
    static unsigned char bytes[2 * BLOCK_BYTES];
    pattern_fill(bytes, 0, sizeof bytes);
    for (int i = 0; i < 2; i++) {
        struct peer p = {.key_update = KINDS[i]};
        struct conn *conn;
        struct err e;
        open_to(&p, &conn, TLS13, change_keys, 5000, -1);
        assert_int_equal(conn_send(conn, bytes, BLOCK_BYTES, false, &e), 0);
        assert_receives(conn, "new keys");
        assert_int_equal(conn_send(conn, bytes + BLOCK_BYTES, BLOCK_BYTES, false, &e), 0);
        assert_receives(conn, "all here");
        conn_close(conn);
        peer_join(&p);
        assert_int_equal(p.got, 2 * BLOCK_BYTES);
        assert_false(p.differs);
        assert_true(p.close_notified);
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
    struct conn_options o = {
        .host = "127.0.0.1", .port = 1, .tls = tls, .connect_timeout_ms = 500, .cancel_fd = -1};
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
        cmocka_unit_test(test_request_and_answer),
        cmocka_unit_test(test_abort_is_no_end),
        cmocka_unit_test(test_tickets_are_no_answer),
        cmocka_unit_test(test_end_without_close_notify),
        cmocka_unit_test(test_proper_end),
        cmocka_unit_test(test_recv_has_two_limits),
        cmocka_unit_test(test_peer_stops_reading),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_answer_before_reset),
        cmocka_unit_test(test_peer_changes_its_keys),
        cmocka_unit_test(test_errors_of_opening),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
