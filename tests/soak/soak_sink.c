/* SPDX-License-Identifier: Apache-2.0 */
#include "soak_sink.h"

#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "soak_plan.h"

enum { NARROW_BYTES = 4096, KINDS = 4 };

/* So that each way of the kernel to encrypt has its turn. */
static SSL_CTX *contexts[KINDS];

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    perror(what);
    exit(2);
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");

    must(cert && names && X509_set_version(cert, X509_VERSION_3) &&
             ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
             X509_gmtime_adj(X509_getm_notBefore(cert), -86400) &&
             X509_gmtime_adj(X509_getm_notAfter(cert), 30 * 86400) && X509_set_pubkey(cert, key) &&
             X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                        (const unsigned char *)"soak", -1, -1, 0) &&
             X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
             X509_add_ext(cert, names, -1) && X509_sign(cert, key, EVP_sha256()),
         "certificate");
    X509_EXTENSION_free(names);
    return cert;
}

static SSL_CTX *make_context(EVP_PKEY *key, X509 *cert, int version, const char *ciphers)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    must(ctx && SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1 &&
             SSL_CTX_set_min_proto_version(ctx, version) &&
             SSL_CTX_set_max_proto_version(ctx, version) &&
             (version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(ctx, ciphers)
                                        : SSL_CTX_set_cipher_list(ctx, ciphers)) == 1,
         "TLS context");
    return ctx;
}

static void make_contexts(const char *folder)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    must(key, "key");
    X509 *cert = make_certificate(key);
    char path[200];

    snprintf(path, sizeof path, "%s/%s", folder, SOAK_CERTIFICATE);
    FILE *file = fopen(path, "we");
    must(file && PEM_write_X509(file, cert) == 1 && fclose(file) == 0, path);
    contexts[0] = make_context(key, cert, TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384");
    contexts[1] = make_context(key, cert, TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256");
    contexts[2] = make_context(key, cert, TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256");
    contexts[3] = make_context(key, cert, TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256");
    X509_free(cert);
    EVP_PKEY_free(key);
}

static int listen_on_loopback(int receive_bytes, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0, "socket");
    if (receive_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    must(bind(fd, (struct sockaddr *)&at, size) == 0 && listen(fd, 1024) == 0 &&
             getsockname(fd, (struct sockaddr *)&at, &size) == 0,
         "listen");
    *port = ntohs(at.sin_port);
    return fd;
}

static bool read_whole(SSL *ssl, void *to, size_t n)
{
    for (size_t done = 0, got; done < n; done += got)
        if (SSL_read_ex(ssl, (char *)to + done, n - done, &got) != 1)
            return false;
    return true;
}

/* Read and hash a payload. false: the connection ended. */
static bool take_payload(SSL *ssl, EVP_MD_CTX *md, const struct soak_head *head)
{
    unsigned char bytes[16384];
    uint64_t random = head->slow;

    for (uint64_t left = head->bytes; left;) {
        size_t want = left < sizeof bytes ? left : sizeof bytes, got;

        if (head->slow) {
            size_t few = 1 + soak_random_below(&random, sizeof bytes);

            want = few < want ? few : want;
            usleep((useconds_t)soak_random_below(&random, 1000));
        }
        if (SSL_read_ex(ssl, bytes, want, &got) != 1)
            return false;
        EVP_DigestUpdate(md, bytes, got);
        left -= got;
    }
    return true;
}

static bool serve_transfer(SSL *ssl, EVP_MD_CTX *md)
{
    struct soak_head head;
    struct soak_tail tail;
    struct soak_receipt receipt = {0};
    size_t sent;

    if (!read_whole(ssl, &head, sizeof head) || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1 ||
        !take_payload(ssl, md, &head) || !read_whole(ssl, &tail, sizeof tail))
        return false;
    receipt.bytes = head.bytes;
    receipt.tail_was_right = tail.magic == SOAK_TAIL_MAGIC && tail.number == head.number;
    EVP_DigestFinal_ex(md, receipt.sha256, NULL);
    return SSL_write_ex(ssl, &receipt, sizeof receipt, &sent) == 1;
}

static void *serve_connection(void *argument)
{
    int fd = (int)(intptr_t)argument;
    static _Atomic unsigned number;
    SSL *ssl = SSL_new(contexts[number++ % KINDS]);
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    if (ssl && md && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1)
        while (serve_transfer(ssl, md))
            ;
    EVP_MD_CTX_free(md);
    SSL_free(ssl);
    close(fd);
    return NULL;
}

static void *serve_listener(void *argument)
{
    int listener = (int)(intptr_t)argument;

    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;

        if (fd < 0)
            continue;
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd))
            close(fd);
        else
            pthread_detach(thread);
    }
    return NULL;
}

pid_t soak_sink_start(struct soak_board *board)
{
    make_contexts(board->folder);
    int listener = listen_on_loopback(0, &board->port);
    int narrow = listen_on_loopback(NARROW_BYTES, &board->narrow_port);
    pid_t child = fork();

    must(child >= 0, "fork");
    if (child == 0) {
        pthread_t thread;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN); /* refused transfers end in the middle */
        must(pthread_create(&thread, NULL, serve_listener, (void *)(intptr_t)narrow) == 0,
             "thread");
        serve_listener((void *)(intptr_t)listener);
    }
    close(listener);
    close(narrow);
    for (int i = 0; i < KINDS; i++)
        SSL_CTX_free(contexts[i]);
    return child;
}
