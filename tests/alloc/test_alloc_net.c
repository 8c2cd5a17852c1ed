/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and a whole transfer when memory runs out, against a real peer. What OpenSSL does
 * without memory has many names; each must end as an error of class ERR_ENV all the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit/net_peer.h"
#include "alloc_fail.h"
#include "net/conn.h"
#include "net/resolve.h"
#include "net/sender.h"
#include "net/tls.h"

static void clean_nothing(void *ctx)
{
    (void)ctx;
}

/* --- what has no peer ---------------------------------------------------------------------------
 */

static struct sender *sender;

static int run_sender(void *ctx, struct err *e)
{
    sender = NULL;
    return sender_open(&sender, *(enum sender_kind *)ctx, 65536, e);
}

static void sender_clean(void *ctx)
{
    (void)ctx;
    sender_close(sender);
}

static void test_senders(void **state)
{
    (void)state;
    enum sender_kind kinds[] = {SENDER_SENDFILE, SENDER_SPLICE};
    for (size_t i = 0; i < 2; i++)
        alloc_fail_each(&(struct alloc_case){.name = i ? "sender_open splice" : "sender_open",
                                             .run = run_sender,
                                             .clean = sender_clean,
                                             .ctx = &kinds[i]});
}

static struct resolve_result found;

static int run_resolve(void *ctx, struct err *e)
{
    return resolve_host(&found, ctx, 80, -1, clock_deadline_in_ms(5000), e);
}

static void check_resolve(void *ctx)
{
    (void)ctx;
    assert_true(found.n >= 1);
}

static void test_resolve(void **state)
{
    (void)state;
    static char hosts[][16] = {"127.0.0.1", "localhost"};
    for (size_t i = 0; i < 2; i++)
        alloc_fail_each(&(struct alloc_case){.name = hosts[i],
                                             .run = run_resolve,
                                             .check = check_resolve,
                                             .clean = clean_nothing,
                                             .ctx = hosts[i],
                                             .from_library = i == 1}); /* pthread_create(3) */
}

/* --- connections --------------------------------------------------------------------------------
 */

static struct peer_cert ca, certificate;
static struct tls_client *client;
static struct peer peer;
static struct conn *conn;
static bool peer_runs;

static int run_client(void *ctx, struct err *e)
{
    client = NULL;
    return tls_client_open(&client, ctx, e);
}

static void client_clean(void *ctx)
{
    (void)ctx;
    tls_client_close(client);
    client = NULL;
}

static void test_tls_client(void **state)
{
    (void)state;
    alloc_fail_each(&(struct alloc_case){.name = "tls_client_open",
                                         .run = run_client,
                                         .clean = client_clean,
                                         .ctx = ca.pem,
                                         .from_library = true});
}

/* A peer waits for just one connection: one that the client never made is made here. */
static void peer_end(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(peer.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (peer_runs) {
        assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
        shutdown(fd, SHUT_RDWR);
        peer_join(&peer);
    }
    close(fd);
    peer_runs = false;
}

static void peer_begin(bool tls, peer_script *script)
{
    peer = (struct peer){.cert = tls ? &certificate : NULL, .script = script};
    peer_start(&peer);
    peer_runs = true;
}

static void answer_three_bytes(struct peer *p)
{
    int on =
        1; /* else the answer waits for a delayed ACK of the session tickets, 40 ms each time */
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer_sink(p, 3);
    /* A client without memory may be gone: not peer_write(), which insists. */
    if (p->got == 3 && !p->differs)
        (void)(p->ssl ? SSL_write(p->ssl, "yes", 3) : (int)send(p->fd, "yes", 3, MSG_NOSIGNAL));
    peer_await_end(p);
}

/* Open, send, receive. ctx: whether over TLS. The peer is a thread of its own, and is started where
 * allocations do not fail yet: by the clean-up of the run before. */
static char received[3];

static int run_conn(void *ctx, struct err *e)
{
    const struct conn_options options = {.host = "127.0.0.1",
                                         .port = peer.port,
                                         .tls = *(bool *)ctx ? client : NULL,
                                         .connect_timeout_ms = 1000,
                                         .idle_timeout_ms = 1000,
                                         .cancel_fd = -1};
    unsigned char bytes[3];
    conn = NULL;
    memset(received, 0, sizeof received);
    int ret = conn_open(&conn, &options, e);
    if (ret < 0)
        return ret;
    pattern_fill(bytes, 0, sizeof bytes);
    ret = conn_send(conn, bytes, sizeof bytes, false, e);
    if (ret < 0)
        return ret;
    ssize_t n = conn_recv(conn, received, sizeof received, clock_deadline_in_ms(5000), e);
    return n < 0 ? (int)n : 0;
}

static void check_conn(void *ctx)
{
    (void)ctx;
    assert_memory_equal(received, "yes", 3);
}

static void conn_clean(void *ctx)
{
    if (received[0])
        conn_close(conn);
    else
        conn_abort(conn);
    peer_end();
    peer_begin(*(bool *)ctx, answer_three_bytes);
}

static void test_connections(void **state)
{
    (void)state;
    static bool plain = false, tls = true;
    struct err e;
    assert_int_equal(run_client(ca.pem, &e), 0);
    peer_begin(plain, answer_three_bytes);
    alloc_fail_each(&(struct alloc_case){.name = "a plain connection",
                                         .run = run_conn,
                                         .check = check_conn,
                                         .clean = conn_clean,
                                         .ctx = &plain});
    peer_end();
    peer_begin(tls, answer_three_bytes);
    alloc_fail_each(&(struct alloc_case){.name = "a TLS connection",
                                         .run = run_conn,
                                         .check = check_conn,
                                         .clean = conn_clean,
                                         .ctx = &tls,
                                         .from_library = true,
                                         .step = 7});
    peer_end();
    client_clean(NULL);
}

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    peer_cert_make(&ca, NULL, "test CA", NULL, -3600, 3600);
    peer_cert_make(&certificate, &ca, "store", "IP:127.0.0.1", -3600, 3600);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_cert_free(&certificate);
    peer_cert_free(&ca);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_senders),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_tls_client),
        cmocka_unit_test(test_connections),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
