/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/resolve.h"
#include "net/tcp.h"

static void add_v4(struct resolve_result *to, const char *address, uint16_t port)
{
    struct resolve_address *a = &to->at[to->n++];
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, address, &sa.sin_addr), 1);
    memset(&a->sa, 0, sizeof a->sa);
    memcpy(&a->sa, &sa, sizeof sa);
    a->len = sizeof sa;
}

static void add_v6(struct resolve_result *to, const char *address, uint16_t port)
{
    struct resolve_address *a = &to->at[to->n++];
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET6, address, &sa.sin6_addr), 1);
    memset(&a->sa, 0, sizeof a->sa);
    memcpy(&a->sa, &sa, sizeof sa);
    a->len = sizeof sa;
}

static uint16_t listen_at(int *fd, const char *address, uint16_t port, int backlog)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof sa;
    inet_pton(AF_INET, address, &sa.sin_addr);
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(*fd, (struct sockaddr *)&sa, sizeof sa), 0);
    if (backlog >= 0)
        assert_int_equal(listen(*fd, backlog), 0);
    assert_int_equal(getsockname(*fd, (struct sockaddr *)&sa, &len), 0);
    return ntohs(sa.sin_port);
}

/* A port that is taken, so that nobody can listen on it, and where nobody listens. */
static uint16_t refuse_at(int *fd, const char *address)
{
    return listen_at(fd, address, 0, -1);
}

/* A place where SYNs are dropped: the accept queue of a listener that never accepts is full. */
struct hole {
    int listener, fillers[4];
    uint16_t port;
};

static void hole_dig(struct hole *h, const char *address, uint16_t port)
{
    h->port = listen_at(&h->listener, address, port, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(h->port)};
    inet_pton(AF_INET, address, &sa.sin_addr);
    for (int i = 0; i < 4; i++) {
        h->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(h->fillers[i], (struct sockaddr *)&sa, sizeof sa);
    }
}

static void hole_fill(struct hole *h)
{
    for (int i = 0; i < 4; i++)
        close(h->fillers[i]);
    close(h->listener);
}

static int64_t ms_since(int64_t start_ns)
{
    return (clock_now_ns() - start_ns) / 1000000;
}

static void test_literal_forms(void **state)
{
    (void)state;
    assert_true(resolve_is_literal("127.0.0.1"));
    assert_true(resolve_is_literal("::1"));
    assert_true(resolve_is_literal("fe80::1%lo"));
    assert_false(resolve_is_literal("localhost"));
    assert_false(resolve_is_literal("127.1"));
    assert_false(resolve_is_literal("127.0.0.1%lo"));
    assert_false(resolve_is_literal("[::1]"));
    assert_false(resolve_is_literal(""));
    assert_false(
        resolve_is_literal("a-name-that-is-longer-than-any-address-can-be.example.invalid"));
}

static void test_resolves_literals_and_names(void **state)
{
    (void)state;
    struct resolve_result r;
    struct err e = {.class = ERR_NONE};
    assert_int_equal(resolve_host(&r, "127.0.0.9", 8080, -1, CLOCK_NEVER, &e), 0);
    assert_int_equal(r.n, 1);
    struct sockaddr_in sa;
    memcpy(&sa, &r.at[0].sa, sizeof sa);
    assert_int_equal(ntohl(sa.sin_addr.s_addr), 0x7f000009);
    assert_int_equal(ntohs(sa.sin_port), 8080);

    assert_int_equal(resolve_host(&r, "::1", 8080, -1, CLOCK_NEVER, &e), 0);
    assert_int_equal(r.at[0].sa.ss_family, AF_INET6);

    assert_int_equal(resolve_host(&r, "localhost", 80, -1, clock_deadline_in_ms(5000), &e), 0);
    assert_true(r.n >= 1 && r.n <= RESOLVE_MAX_ADDRESSES);
}

static void test_name_that_does_not_exist(void **state)
{
    (void)state;
    struct resolve_result r;
    struct err e;
    /* A label of 64 bytes can't be in DNS (RFC 1035), so no server is asked. */
    const char *host = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";
    assert_int_equal(resolve_host(&r, host, 80, -1, clock_deadline_in_ms(5000), &e), -EHOSTUNREACH);
    assert_int_equal(e.class, ERR_NET);
    assert_non_null(strstr(e.text, host));
    assert_non_null(strstr(e.text, "can't be resolved"));
}

static int count_threads(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/task");
    assert_non_null(dir);
    for (struct dirent *d = readdir(dir); d; d = readdir(dir))
        n += d->d_name[0] != '.';
    closedir(dir);
    return n;
}

/* The caller leaves while the thread is under way, or just as it ends. The sanitizers see what is
 * lost or used too late. */
static void test_giving_up_a_lookup(void **state)
{
    (void)state;
    struct resolve_result r;
    struct err e;
    int cancel_fd = eventfd(1, EFD_CLOEXEC);
    int given_up = 0;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(resolve_host(&r, "localhost", 80, cancel_fd, CLOCK_NEVER, &e), -ECANCELED);
        int rc = resolve_host(&r, "localhost", 80, -1, clock_now_ns() + i * 5000, &e);
        assert_true(rc == 0 || rc == -ETIMEDOUT);
        given_up += rc == -ETIMEDOUT;
    }
    assert_true(given_up > 0);
    assert_non_null(strstr(e.text, "localhost"));
    for (int i = 0; i < 500 && count_threads() > 1; i++)
        usleep(10000);
    assert_int_equal(count_threads(), 1);
    close(cancel_fd);
}

static void test_connects(void **state)
{
    (void)state;
    int listener, fd = -1;
    char peer[TCP_PEER_SIZE], expected[TCP_PEER_SIZE];
    struct err e;
    uint16_t port = listen_at(&listener, "127.0.0.1", 0, 4);
    int64_t start = clock_now_ns();
    assert_int_equal(tcp_connect(&fd, peer, "localhost", port, -1, clock_deadline_in_ms(5000), &e),
                     0);
    assert_true(ms_since(start) < 200);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", port);
    assert_string_equal(peer, expected);
    close(fd);
    close(listener);
}

static void test_refused_address_costs_no_delay(void **state)
{
    (void)state;
    int listener, refuser, fd = -1;
    char peer[TCP_PEER_SIZE];
    struct err e;
    struct resolve_result to = {.n = 0};
    uint16_t port = listen_at(&listener, "127.0.0.1", 0, 4);
    uint16_t dead = refuse_at(&refuser, "127.0.0.2");
    add_v6(&to, "::1", dead);
    add_v4(&to, "127.0.0.2", dead);
    add_v4(&to, "127.0.0.1", port);
    int64_t start = clock_now_ns();
    assert_int_equal(
        tcp_connect_any(&fd, peer, &to, "store", port, -1, clock_deadline_in_ms(5000), &e), 0);
    assert_true(ms_since(start) < 200);
    assert_non_null(strstr(peer, "127.0.0.1:"));
    close(fd);
    close(refuser);
    close(listener);
}

static void test_silent_address_costs_one_delay(void **state)
{
    (void)state;
    int listener, fd = -1;
    char peer[TCP_PEER_SIZE];
    struct err e;
    struct hole hole;
    struct resolve_result to = {.n = 0};
    uint16_t port = listen_at(&listener, "127.0.0.1", 0, 4);
    hole_dig(&hole, "127.0.0.3", 0);
    add_v4(&to, "127.0.0.3", hole.port);
    add_v4(&to, "127.0.0.1", port);
    int64_t start = clock_now_ns();
    assert_int_equal(
        tcp_connect_any(&fd, peer, &to, "store", port, -1, clock_deadline_in_ms(5000), &e), 0);
    assert_in_range(ms_since(start), 240, 900);
    assert_non_null(strstr(peer, "127.0.0.1:"));
    close(fd);
    hole_fill(&hole);
    close(listener);
}

/* A slow first address still wins if it answers before the others do. */
static void test_families_take_turns(void **state)
{
    (void)state;
    int refuser, fd = -1;
    char peer[TCP_PEER_SIZE];
    struct err e;
    struct resolve_result to = {.n = 0};
    uint16_t dead = refuse_at(&refuser, "127.0.0.1");
    add_v4(&to, "127.0.0.4", dead);
    add_v4(&to, "127.0.0.5", dead);
    add_v4(&to, "127.0.0.6", dead);
    add_v6(&to, "::1", dead);
    assert_int_equal(
        tcp_connect_any(&fd, peer, &to, "store", dead, -1, clock_deadline_in_ms(5000), &e),
        -ECONNREFUSED);
    const char *first = strstr(e.text, "127.0.0.4:"), *second = strstr(e.text, "[::1]:");
    const char *third = strstr(e.text, "127.0.0.5:"), *last = strstr(e.text, "127.0.0.6:");
    assert_true(first && second && third && last);
    assert_true(first < second && second < third && third < last);
    assert_non_null(strstr(e.text, "store port"));
    assert_non_null(strstr(e.text, "Connection refused"));
    assert_int_equal(e.class, ERR_NET);
    close(refuser);
}

static void test_many_failures_are_counted(void **state)
{
    (void)state;
    int refuser, fd = -1;
    char peer[TCP_PEER_SIZE];
    struct err e;
    struct resolve_result to = {.n = 0};
    uint16_t dead = refuse_at(&refuser, "127.0.0.1");
    for (int i = 0; i < RESOLVE_MAX_ADDRESSES; i++)
        add_v4(&to, "127.0.0.7", dead);
    assert_int_equal(
        tcp_connect_any(&fd, peer, &to, "store", dead, -1, clock_deadline_in_ms(5000), &e),
        -ECONNREFUSED);
    assert_non_null(strstr(e.text, "and 12 more"));
    close(refuser);
}

static void test_deadline_and_cancel(void **state)
{
    (void)state;
    int fd = -1;
    char peer[TCP_PEER_SIZE];
    struct err e;
    struct hole hole;
    hole_dig(&hole, "127.0.0.8", 0);
    int64_t start = clock_now_ns();
    assert_int_equal(
        tcp_connect(&fd, peer, "127.0.0.8", hole.port, -1, clock_deadline_in_ms(300), &e),
        -ETIMEDOUT);
    assert_in_range(ms_since(start), 290, 1000);
    assert_non_null(strstr(e.text, "127.0.0.8"));
    assert_non_null(strstr(e.text, "no answer"));

    int cancel_fd = eventfd(1, EFD_CLOEXEC);
    start = clock_now_ns();
    assert_int_equal(
        tcp_connect(&fd, peer, "127.0.0.8", hole.port, cancel_fd, clock_deadline_in_ms(5000), &e),
        -ECANCELED);
    assert_true(ms_since(start) < 200);
    assert_int_equal(fd, -1);
    close(cancel_fd);
    hole_fill(&hole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literal_forms),
        cmocka_unit_test(test_resolves_literals_and_names),
        cmocka_unit_test(test_name_that_does_not_exist),
        cmocka_unit_test(test_giving_up_a_lookup),
        cmocka_unit_test(test_connects),
        cmocka_unit_test(test_refused_address_costs_no_delay),
        cmocka_unit_test(test_silent_address_costs_one_delay),
        cmocka_unit_test(test_families_take_turns),
        cmocka_unit_test(test_many_failures_are_counted),
        cmocka_unit_test(test_deadline_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
