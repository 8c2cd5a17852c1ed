/* SPDX-License-Identifier: Apache-2.0 */
#include "net_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "net/conn.h"
#include "net/tls.h"

enum { PEER_TIMEOUT_S = 15 };

/* A peer that can't be set up is no result of a test. */
static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    ERR_print_errors_fp(stderr);
    abort();
}

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *x = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(x && X509_add_ext(cert, x, -1), value);
    X509_EXTENSION_free(x);
}

void peer_cert_make(struct peer_cert *c, const struct peer_cert *ca, const char *common_name,
                    const char *names, long from_s, long to_s)
{
    static int serial;
    c->key = EVP_EC_gen("P-256");
    c->cert = X509_new();
    must(c->key && c->cert, "key");
    X509 *issuer = ca ? ca->cert : c->cert;
    X509_set_version(c->cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(c->cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(c->cert), from_s);
    X509_gmtime_adj(X509_getm_notAfter(c->cert), to_s);
    X509_set_pubkey(c->cert, c->key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(c->cert), "CN", MBSTRING_UTF8,
                               (const unsigned char *)common_name, -1, -1, 0);
    X509_set_issuer_name(c->cert, X509_get_subject_name(issuer));
    if (!ca)
        add_extension(c->cert, issuer, NID_basic_constraints, "critical,CA:TRUE");
    if (names)
        add_extension(c->cert, issuer, NID_subject_alt_name, names);
    must(X509_sign(c->cert, ca ? ca->key : c->key, EVP_sha256()), "sign");

    snprintf(c->pem, sizeof c->pem, "/tmp/s3-ktls-test-XXXXXX");
    FILE *f = fdopen(mkstemp(c->pem), "w");
    must(f && PEM_write_X509(f, c->cert), "pem");
    fclose(f);
}

void peer_cert_free(struct peer_cert *c)
{
    unlink(c->pem);
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
}

static void set_timeouts(int fd)
{
    struct timeval t = {.tv_sec = PEER_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
}

static bool accept_tls(struct peer *p)
{
    p->ssl = SSL_new(p->ctx);
    must(p->ssl && SSL_set_fd(p->ssl, p->fd) == 1, "server SSL");
    if (SSL_accept(p->ssl) != 1)
        return false;
    const char *name = SSL_get_servername(p->ssl, TLSEXT_NAMETYPE_host_name);
    snprintf(p->sni, sizeof p->sni, "%s", name ? name : "");
    return true;
}

static void *peer_run(void *arg)
{
    struct peer *p = arg;
    p->fd = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    must(p->fd >= 0, "accept");
    set_timeouts(p->fd);
    p->shaken = !p->ctx || accept_tls(p);
    if (p->shaken && p->script)
        p->script(p);
    if (p->ssl && p->shaken && p->script)
        SSL_shutdown(p->ssl);
    SSL_free(p->ssl);
    close(p->fd);
    ERR_clear_error();
    return NULL;
}

static SSL_CTX *make_ctx(const struct peer *p)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    must(ctx && SSL_CTX_use_certificate(ctx, p->cert->cert) == 1 &&
             SSL_CTX_use_PrivateKey(ctx, p->cert->key) == 1,
         "server certificate");
    if (p->tls_version && p->tls_version < TLS1_2_VERSION)
        SSL_CTX_set_security_level(ctx, 0);
    if (p->tls_version)
        must(SSL_CTX_set_min_proto_version(ctx, p->tls_version) &&
                 SSL_CTX_set_max_proto_version(ctx, p->tls_version),
             "server version");
    if (p->ciphers)
        must(SSL_CTX_set_cipher_list(ctx, p->ciphers), p->ciphers);
    return ctx;
}

static int listen_on_loopback(uint16_t *port, int receive_buffer)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    if (receive_buffer)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    must(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 4) == 0 &&
             getsockname(fd, (struct sockaddr *)&at, &len) == 0,
         "listen");
    *port = ntohs(at.sin_port);
    return fd;
}

void peer_start(struct peer *p)
{
    p->listener = listen_on_loopback(&p->port, p->receive_buffer);
    set_timeouts(p->listener);
    p->ctx = p->cert ? make_ctx(p) : NULL;
    must(pthread_create(&p->thread, NULL, peer_run, p) == 0, "thread");
}

void peer_join(struct peer *p)
{
    pthread_join(p->thread, NULL);
    close(p->listener);
    SSL_CTX_free(p->ctx);
    p->ctx = NULL;
}

static struct peer_cert fixture_ca, fixture_cert;
static struct tls_client *fixture_tls;

int peer_fixture_set_up(void **state)
{
    (void)state;
    struct err e = {.text = ""};
    signal(SIGPIPE, SIG_IGN);
    peer_cert_make(&fixture_ca, NULL, "test CA", NULL, -3600, 3600);
    peer_cert_make(&fixture_cert, &fixture_ca, "store", "IP:127.0.0.1", -3600, 3600);
    must(tls_client_open(&fixture_tls, fixture_ca.pem, &e) == 0, e.text);
    return 0;
}

int peer_fixture_tear_down(void **state)
{
    (void)state;
    tls_client_close(fixture_tls);
    peer_cert_free(&fixture_cert);
    peer_cert_free(&fixture_ca);
    return 0;
}

struct tls_client *peer_fixture_tls(void)
{
    return fixture_tls;
}

/* A conn does not show its socket; it is the one that is connected to the peer's port. */
static void narrow_other_side(const struct peer *p)
{
    bool found = false;
    for (int fd = 3; fd < 64; fd++) {
        struct sockaddr_in at = {.sin_port = 0};
        socklen_t len = sizeof at;
        if (getpeername(fd, (struct sockaddr *)&at, &len) < 0 || ntohs(at.sin_port) != p->port)
            continue;
        found = true;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &p->send_buffer, sizeof p->send_buffer);
    }
    must(found, "the connection's socket");
}

void peer_open_conn(struct peer *p, struct conn **conn, int way, peer_script *script,
                    int idle_timeout_ms, int cancel_fd)
{
    struct err e = {.text = ""};
    p->cert = way == PEER_PLAIN ? NULL : &fixture_cert;
    p->tls_version = way == PEER_TLS12 ? TLS1_2_VERSION : 0;
    p->script = script;
    peer_start(p);
    struct conn_options o = {.host = "127.0.0.1",
                             .port = p->port,
                             .tls = way == PEER_PLAIN ? NULL : fixture_tls,
                             .connect_timeout_ms = 5000,
                             .idle_timeout_ms = idle_timeout_ms,
                             .cancel_fd = cancel_fd};
    must(conn_open(conn, &o, &e) == 0, e.text);
    if (p->send_buffer)
        narrow_other_side(p);
    struct conn_info info = {.peer = NULL};
    conn_get_info(*conn, &info);
    assert_ktls(info.ktls_send, way != PEER_PLAIN);
    must(conn_moves_in_kernel(*conn) == (way == PEER_PLAIN || info.ktls_send), "moves in kernel");
}

void peer_assert_answer(struct conn *conn, const char *text)
{
    char got[256];
    size_t n = 0, want = strlen(text);
    struct err e = {.text = "the end"};
    while (n < want) {
        ssize_t r = conn_recv(conn, got + n, want - n, clock_deadline_in_ms(10000), &e);
        must(r > 0, e.text);
        n += (size_t)r;
    }
    must(memcmp(got, text, want) == 0, text);
}

bool peer_was_reset(const struct peer *p)
{
    return !p->close_notified &&
           (p->read_errno == ECONNRESET || (p->cert && p->read_errno == EPIPE));
}

ssize_t peer_read(struct peer *p, void *bytes, size_t n)
{
    if (!p->ssl) {
        ssize_t got = recv(p->fd, bytes, n, 0);
        p->read_errno = got < 0 ? errno : 0;
        return got;
    }
    ERR_clear_error();
    errno = 0;
    int got = SSL_read(p->ssl, bytes, (int)n);
    if (got > 0)
        return got;
    p->close_notified = SSL_get_error(p->ssl, got) == SSL_ERROR_ZERO_RETURN;
    p->read_errno = p->close_notified ? 0 : errno ? errno : EPROTO;
    return p->close_notified ? 0 : -1;
}

void peer_write(struct peer *p, const char *text)
{
    size_t n = strlen(text);
    must(p->ssl ? SSL_write(p->ssl, text, (int)n) == (int)n
                : send(p->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n,
         "peer_write");
}

void peer_sink(struct peer *p, size_t expect)
{
    static const size_t PIECE = 64 * 1024;
    unsigned char *bytes = malloc(2 * PIECE), *right = bytes + PIECE;
    must(bytes, "malloc");
    for (size_t until = p->got + expect; p->got < until;) {
        if (p->pause_us)
            usleep((useconds_t)p->pause_us);
        ssize_t n = peer_read(p, bytes, until - p->got < PIECE ? until - p->got : PIECE);
        if (n <= 0)
            break;
        pattern_fill(right, p->got, (size_t)n);
        p->differs |= memcmp(bytes, right, (size_t)n) != 0;
        p->got += (size_t)n;
    }
    free(bytes);
}

void peer_await_end(struct peer *p)
{
    char bytes[4096];
    while (peer_read(p, bytes, sizeof bytes) > 0)
        ;
}

void assert_ktls(bool found, bool suitable)
{
    const char *expect = getenv("S3_KTLS_EXPECT_KTLS");
    bool module = tls_probe_module() == 0;
    must(module || !expect || strcmp(expect, "1") != 0, "the tls module");
    must(found == (suitable && module), found ? "unexpected kTLS" : "kTLS");
}

unsigned char pattern_at(size_t i)
{
    uint64_t x = (i / 8 + 1) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 29;
    return (unsigned char)(x >> (i % 8 * 8));
}

void pattern_fill(unsigned char *bytes, size_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bytes[i] = pattern_at(from + i);
}

int pattern_file(size_t n)
{
    char path[] = "/tmp/s3-ktls-test-XXXXXX";
    int fd = mkstemp(path);
    unsigned char *bytes = malloc(n + 1);
    must(fd >= 0 && bytes, "temporary file");
    unlink(path);
    pattern_fill(bytes, 0, n);
    must(pwrite(fd, bytes, n, 0) == (ssize_t)n, "temporary file");
    free(bytes);
    return fd;
}

void loopback_pair(int *in, int *out, int buffer)
{
    uint16_t port;
    int listener = listen_on_loopback(&port, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *in = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(*in >= 0 && connect(*in, (struct sockaddr *)&at, sizeof at) == 0, "connect");
    *out = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    must(*out >= 0, "accept");
    must(fcntl(*in, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    if (buffer)
        setsockopt(*in, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    close(listener);
}
