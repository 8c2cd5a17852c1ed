/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/x509.h>

#include "net/tcp.h"
#include "net/tls.h"
#include "net_peer.h"

enum { HOUR_S = 3600 };

static struct peer_cert ca, good;

static int set_up(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    peer_cert_make(&ca, NULL, "test CA", NULL, -HOUR_S, HOUR_S);
    peer_cert_make(&good, &ca, "store", "DNS:localhost,DNS:*.s3.test,IP:127.0.0.1", -HOUR_S,
                   HOUR_S);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    peer_cert_free(&good);
    peer_cert_free(&ca);
    return 0;
}

/* What a handshake came to. */
struct outcome {
    int rc;
    struct err e;
    char version[16], cipher[64];
    bool ktls_send, ktls_recv;
};

static void shake(struct outcome *o, struct peer *p, const char *bundle, const char *host)
{
    struct tls_client *client = NULL;
    SSL *ssl = NULL;
    char peer[TCP_PEER_SIZE];
    int fd = -1;
    memset(o, 0, sizeof *o);
    peer_start(p);
    assert_int_equal(
        tcp_connect(&fd, peer, "127.0.0.1", p->port, -1, clock_deadline_in_ms(5000), &o->e), 0);
    assert_int_equal(tls_client_open(&client, bundle, &o->e), 0);
    o->rc = tls_client_handshake(client, &ssl, fd, host, -1, clock_deadline_in_ms(5000), &o->e);
    if (o->rc == 0) {
        snprintf(o->version, sizeof o->version, "%s", SSL_get_version(ssl));
        snprintf(o->cipher, sizeof o->cipher, "%s", SSL_get_cipher_name(ssl));
        o->ktls_send = BIO_get_ktls_send(SSL_get_wbio(ssl));
        o->ktls_recv = BIO_get_ktls_recv(SSL_get_rbio(ssl));
        SSL_shutdown(ssl);
        SSL_free(ssl);
    } else
        assert_null(ssl);
    tls_client_close(client);
    close(fd);
    peer_join(p);
}

static void assert_says(const struct outcome *o, const char *text)
{
    if (!strstr(o->e.text, text))
        fail_msg("no \"%s\" in: %s", text, o->e.text);
}

static void test_accepts_a_good_server(void **state)
{
    (void)state;
    struct outcome o;
    struct peer p = {.cert = &good, .script = peer_await_end};
    shake(&o, &p, ca.pem, "localhost");
    assert_int_equal(o.rc, 0);
    assert_string_equal(o.version, "TLSv1.3");
    assert_string_equal(o.cipher, "TLS_AES_256_GCM_SHA384");
    assert_ktls(o.ktls_send, true);
    assert_false(o.ktls_recv);
    assert_string_equal(p.sni, "localhost");
    assert_true(p.close_notified);
}

static void test_tls12_prefers_what_ktls_can(void **state)
{
    (void)state;
    static const struct {
        const char *server, *chosen;
        bool ktls;
    } cases[] = {
        {"DEFAULT", "ECDHE-ECDSA-AES256-GCM-SHA384", true},
        {"ECDHE-ECDSA-AES256-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
         true},
        {"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-ECDSA-CHACHA20-POLY1305", true},
        {"ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES256-SHA384", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o;
        struct peer p = {.cert = &good,
                         .tls_version = TLS1_2_VERSION,
                         .ciphers = cases[i].server,
                         .script = peer_await_end};
        shake(&o, &p, ca.pem, "localhost");
        assert_int_equal(o.rc, 0);
        assert_string_equal(o.version, "TLSv1.2");
        assert_string_equal(o.cipher, cases[i].chosen);
        assert_ktls(o.ktls_send, cases[i].ktls);
        assert_false(o.ktls_recv);
    }
}

static void test_host_names(void **state)
{
    (void)state;
    static const struct {
        const char *host, *sni;
        int rc;
    } cases[] = {
        {"127.0.0.1", "", 0},
        {"bucket.s3.test", "bucket.s3.test", 0},
        {"127.0.0.2", "", -EACCES},
        {"::1", "", -EACCES},
        {"other.test", "other.test", -EACCES},
        {"s3.test", "s3.test", -EACCES},
        {"a.b.s3.test", "a.b.s3.test", -EACCES},
        {"store", "store", -EACCES}, /* the common name is no host name */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct outcome o;
        struct peer p = {.cert = &good, .script = peer_await_end};
        shake(&o, &p, ca.pem, cases[i].host);
        assert_int_equal(o.rc, cases[i].rc);
        if (o.rc == 0)
            assert_string_equal(p.sni, cases[i].sni);
        else {
            assert_int_equal(o.e.class, ERR_NET);
            assert_says(&o, cases[i].host);
            assert_says(&o, "its certificate is for localhost, *.s3.test, 127.0.0.1, not for");
        }
    }
}

static void test_names_that_do_not_count(void **state)
{
    (void)state;
    struct outcome o;
    struct peer_cert nameless, partial;
    peer_cert_make(&nameless, &ca, "localhost", NULL, -HOUR_S, HOUR_S);
    peer_cert_make(&partial, &ca, "store", "DNS:loc*.s3.test", -HOUR_S, HOUR_S);
    struct peer p = {.cert = &nameless, .script = peer_await_end};
    shake(&o, &p, ca.pem, "localhost");
    assert_int_equal(o.rc, -EACCES);
    assert_says(&o, "no subjectAltName");
    p.cert = &partial;
    shake(&o, &p, ca.pem, "localhost.s3.test");
    assert_int_equal(o.rc, -EACCES);
    assert_says(&o, "its certificate is for loc*.s3.test, not for localhost.s3.test");
    peer_cert_free(&nameless);
    peer_cert_free(&partial);
}

static void test_unknown_ca(void **state)
{
    (void)state;
    struct outcome o;
    struct peer_cert other;
    peer_cert_make(&other, NULL, "another CA", NULL, -HOUR_S, HOUR_S);
    struct peer p = {.cert = &good, .script = peer_await_end};
    shake(&o, &p, other.pem, "localhost");
    assert_int_equal(o.rc, -EACCES);
    assert_says(&o, "localhost is not trusted");
    assert_says(&o, "CN=store");
    assert_says(&o, "issued by CN=test CA");
    assert_says(&o, "--ca-bundle");
    assert_false(p.shaken);

    /* The system's store knows our CA no better. */
    shake(&o, &p, NULL, "localhost");
    assert_int_equal(o.rc, -EACCES);
    assert_says(&o, "issued by CN=test CA");
    peer_cert_free(&other);
}

static void test_dates(void **state)
{
    (void)state;
    struct outcome o;
    struct peer_cert old, young;
    peer_cert_make(&old, &ca, "old", "DNS:localhost", -2L * HOUR_S, -HOUR_S);
    peer_cert_make(&young, &ca, "young", "DNS:localhost", HOUR_S, 2L * HOUR_S);
    struct peer p = {.cert = &old, .script = peer_await_end};
    shake(&o, &p, ca.pem, "localhost");
    assert_int_equal(o.rc, -EACCES);
    assert_says(&o, "CN=old");
    assert_says(&o, "expired at");
    assert_says(&o, "GMT");
    p.cert = &young;
    shake(&o, &p, ca.pem, "localhost");
    assert_int_equal(o.rc, -EACCES);
    assert_says(&o, "check the clock");
    peer_cert_free(&old);
    peer_cert_free(&young);
}

/* A bundle may hold the server's very certificate. */
static void test_pinned_certificate(void **state)
{
    (void)state;
    struct outcome o;
    struct peer p = {.cert = &good, .script = peer_await_end};
    shake(&o, &p, good.pem, "localhost");
    assert_int_equal(o.rc, 0);
}

static void test_old_tls_is_refused(void **state)
{
    (void)state;
    struct outcome o;
    struct peer p = {.cert = &good, .tls_version = TLS1_1_VERSION, .script = peer_await_end};
    shake(&o, &p, ca.pem, "localhost");
    assert_true(o.rc < 0);
    assert_says(&o, "no TLS 1.2 or newer");
    assert_false(p.shaken);
}

static void say_http(struct peer *p)
{
    char request[512];
    peer_read(p, request, sizeof request);
    peer_write(p, "HTTP/1.1 400 Bad Request\r\n\r\n");
    peer_await_end(p);
}

static void read_and_leave(struct peer *p)
{
    char request[4096];
    peer_read(p, request, sizeof request);
}

static void test_peers_that_do_not_speak_tls(void **state)
{
    (void)state;
    struct outcome o;
    struct peer p = {.script = say_http};
    shake(&o, &p, ca.pem, "localhost");
    assert_true(o.rc < 0);
    assert_says(&o, "not TLS; is it a port for plain http?");

    struct peer leaver = {.script = read_and_leave};
    shake(&o, &leaver, ca.pem, "localhost");
    assert_int_equal(o.rc, -ECONNRESET);
    assert_says(&o, "localhost");
}

static void test_silent_peer(void **state)
{
    (void)state;
    struct tls_client *client = NULL;
    SSL *ssl = NULL;
    struct err e;
    int fd, listener, cancel_fd = eventfd(1, EFD_CLOEXEC);
    loopback_pair(&fd, &listener, 0);
    assert_int_equal(tls_client_open(&client, ca.pem, &e), 0);
    assert_int_equal(
        tls_client_handshake(client, &ssl, fd, "localhost", -1, clock_deadline_in_ms(200), &e),
        -ETIMEDOUT);
    assert_non_null(strstr(e.text, "localhost"));
    assert_int_equal(tls_client_handshake(client, &ssl, fd, "localhost", cancel_fd,
                                          clock_deadline_in_ms(5000), &e),
                     -ECANCELED);
    assert_null(ssl);
    tls_client_close(client);
    close(cancel_fd);
    close(fd);
    close(listener);
}

static void assert_bundle_refused(const char *path, int rc, const char *text)
{
    struct tls_client *client = NULL;
    struct err e;
    assert_int_equal(tls_client_open(&client, path, &e), rc);
    assert_int_equal(e.class, ERR_USAGE);
    assert_non_null(strstr(e.text, path));
    assert_non_null(strstr(e.text, text));
    assert_null(client);
}

static void test_bundles(void **state)
{
    (void)state;
    char dir[] = "/tmp/s3-ktls-test-XXXXXX", junk[64], hashed[64];
    assert_non_null(mkdtemp(dir));
    assert_bundle_refused("/nonexistent/ca.pem", -ENOENT, "No such file");
    assert_bundle_refused("/dev/null", -EINVAL, "no certificate");
    assert_bundle_refused(dir, -EINVAL, "openssl rehash");
    snprintf(junk, sizeof junk, "%s/junk.pem", dir);
    FILE *f = fopen(junk, "w");
    assert_non_null(f);
    fputs("this is no certificate\n", f);
    fclose(f);
    assert_bundle_refused(junk, -EINVAL, "no certificate");

    struct outcome o;
    struct peer p = {.cert = &good, .script = peer_await_end};
    snprintf(hashed, sizeof hashed, "%s/%08lx.0", dir, X509_subject_name_hash(ca.cert));
    assert_int_equal(symlink(ca.pem, hashed), 0);
    shake(&o, &p, dir, "localhost");
    assert_int_equal(o.rc, 0);
    unlink(hashed);
    unlink(junk);
    rmdir(dir);
}

static void test_self_test(void **state)
{
    (void)state;
    struct tls_self_test result;
    struct err e;
    int probe = tls_probe_module();
    assert_true(probe == 0 || probe == -ENOENT);
    assert_int_equal(tls_self_test_run(&result, &e), 0);
    assert_string_equal(result.version, "TLSv1.3");
    assert_string_equal(result.cipher, "TLS_AES_256_GCM_SHA384");
    assert_ktls(result.ktls_send, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts_a_good_server),
        cmocka_unit_test(test_tls12_prefers_what_ktls_can),
        cmocka_unit_test(test_host_names),
        cmocka_unit_test(test_names_that_do_not_count),
        cmocka_unit_test(test_unknown_ca),
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_pinned_certificate),
        cmocka_unit_test(test_old_tls_is_refused),
        cmocka_unit_test(test_peers_that_do_not_speak_tls),
        cmocka_unit_test(test_silent_peer),
        cmocka_unit_test(test_bundles),
        cmocka_unit_test(test_self_test),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
