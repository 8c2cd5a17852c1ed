/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/io.h"
#include "net/tls_internal.h"

#ifndef TCP_ULP
#define TCP_ULP 31
#endif

#define SELF_TEST_HOST "self-test.invalid"
enum { SELF_TEST_BYTES = 40000, SELF_TEST_TIMEOUT_MS = 10000 };

/* Both ends of a TCP connection over loopback, blocking. */
static int make_pair(int *client, int *server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in mine = {0}, peer = {0};
    socklen_t len = sizeof at, mine_len = sizeof mine, peer_len = sizeof peer;
    int rc = 0;
    *client = *server = -1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 ||
        listen(listener, 1) < 0 || getsockname(listener, (struct sockaddr *)&at, &len) < 0 ||
        (*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
        connect(*client, (struct sockaddr *)&at, sizeof at) < 0 ||
        (*server = accept4(listener, (struct sockaddr *)&peer, &peer_len, SOCK_CLOEXEC)) < 0 ||
        getsockname(*client, (struct sockaddr *)&mine, &mine_len) < 0)
        rc = -errno;
    else if (mine.sin_port != peer.sin_port)
        rc = -EBUSY; /* somebody else on this machine was faster */
    io_close(&listener);
    if (rc) {
        io_close(client);
        io_close(server);
    }
    return rc;
}

int tls_probe_module(void)
{
    int client, server;
    int rc = make_pair(&client, &server);
    if (rc)
        return rc;
    if (setsockopt(client, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls") < 0)
        rc = -errno;
    io_close(&client);
    io_close(&server);
    return rc;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_EXTENSION *names =
        X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:" SELF_TEST_HOST);
    bool made = cert && names && X509_set_version(cert, X509_VERSION_3) &&
                ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
                X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
                X509_gmtime_adj(X509_getm_notAfter(cert), 3600) && X509_set_pubkey(cert, key) &&
                X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                           (const unsigned char *)"s3-ktls self test", -1, -1, 0) &&
                X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
                X509_add_ext(cert, names, -1) && X509_sign(cert, key, EVP_sha256());
    X509_EXTENSION_free(names);
    if (!made) {
        X509_free(cert);
        cert = NULL;
    }
    return cert;
}

struct server {
    SSL_CTX *ctx;
    int fd;
    size_t got;
    bool differs;
};

static unsigned char pattern_at(size_t i)
{
    return (unsigned char)(i * 7 + i / 251);
}

static void *server_run(void *arg)
{
    struct server *s = arg;
    unsigned char bytes[4096];
    SSL *ssl = SSL_new(s->ctx);
    if (ssl && SSL_set_fd(ssl, s->fd) == 1 && SSL_accept(ssl) == 1) {
        int n;
        while (s->got < SELF_TEST_BYTES && (n = SSL_read(ssl, bytes, sizeof bytes)) > 0)
            for (int i = 0; i < n; i++)
                s->differs |= bytes[i] != pattern_at(s->got++);
        /* Lets the client see that all has been read. */
        (void)SSL_write(ssl, "", 1);
    }
    SSL_free(ssl);
    ERR_clear_error();
    return NULL;
}

static int start_server(pthread_t *thread, struct server *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(thread, NULL, server_run, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

/* The way of a conn: past OpenSSL where the kernel encrypts. */
static int send_pattern(SSL *ssl, int fd, bool ktls)
{
    unsigned char *bytes = malloc(SELF_TEST_BYTES);
    size_t done = 0;
    if (!bytes)
        return -ENOMEM;
    for (size_t i = 0; i < SELF_TEST_BYTES; i++)
        bytes[i] = pattern_at(i);
    while (done < SELF_TEST_BYTES) {
        size_t piece = SELF_TEST_BYTES - done < 10000 ? SELF_TEST_BYTES - done : 10000;
        int more = done + piece < SELF_TEST_BYTES ? MSG_MORE : 0;
        ssize_t n = ktls ? send(fd, bytes + done, piece, MSG_NOSIGNAL | more)
                         : SSL_write(ssl, bytes + done, (int)piece);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    free(bytes);
    unsigned char answer;
    return done == SELF_TEST_BYTES && SSL_read(ssl, &answer, 1) == 1 ? 0 : -EIO;
}

static int run_client(struct tls_client *client, int fd, struct tls_self_test *result,
                      struct err *e)
{
    SSL *ssl;
    int rc = tls_client_handshake(client, &ssl, fd, SELF_TEST_HOST, -1,
                                  clock_deadline_in_ms(SELF_TEST_TIMEOUT_MS), e);
    if (rc)
        return rc;
    result->ktls_send = BIO_get_ktls_send(SSL_get_wbio(ssl));
    snprintf(result->version, sizeof result->version, "%s", SSL_get_version(ssl));
    snprintf(result->cipher, sizeof result->cipher, "%s", SSL_get_cipher_name(ssl));
    /* On this socket reading waits, past the session tickets that come first. */
    SSL_set_mode(ssl, SSL_MODE_AUTO_RETRY);
    rc = send_pattern(ssl, fd, result->ktls_send);
    SSL_free(ssl);
    ERR_clear_error();
    if (rc)
        return err_set(e, ERR_ENV, -rc, "TLS self-test: sending by %s %s over loopback failed",
                       result->cipher, result->ktls_send ? "in the kernel" : "in OpenSSL");
    return 0;
}

int tls_self_test_run(struct tls_self_test *result, struct err *e)
{
    struct server server = {.fd = -1};
    struct tls_client *client = NULL;
    struct timeval timeout = {.tv_sec = SELF_TEST_TIMEOUT_MS / 1000};
    pthread_t thread;
    int fd = -1;
    memset(result, 0, sizeof *result);

    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(key) : NULL;
    server.ctx = SSL_CTX_new(TLS_server_method());
    int rc = make_pair(&fd, &server.fd);
    if (rc) {
        rc = err_sys(e, ERR_ENV, -rc, "TLS self-test: no loopback connection");
        goto out;
    }
    if (!cert || !server.ctx || SSL_CTX_use_certificate(server.ctx, cert) != 1 ||
        SSL_CTX_use_PrivateKey(server.ctx, key) != 1) {
        rc = err_set(e, ERR_ENV, EIO, "TLS self-test: OpenSSL can't make a certificate");
        goto out;
    }
    rc = tls_client_open_anchor(&client, cert, e);
    if (rc)
        goto out;
    /* Blocking ends with a time limit: nothing here may wait for ever. */
    setsockopt(server.fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(server.fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    rc = start_server(&thread, &server);
    if (rc) {
        rc = err_sys(e, ERR_ENV, -rc, "TLS self-test: no thread");
        goto out;
    }
    rc = run_client(client, fd, result, e);
    shutdown(fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    if (!rc && (server.differs || server.got != SELF_TEST_BYTES))
        rc = err_set(e, ERR_ENV, EIO,
                     "TLS self-test: %zu of %d bytes arrived%s; don't use kTLS on this kernel",
                     server.got, SELF_TEST_BYTES, server.differs ? ", not as they were sent" : "");
out:
    io_close(&fd);
    io_close(&server.fd);
    tls_client_close(client);
    SSL_CTX_free(server.ctx);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}
