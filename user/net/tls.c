/* SPDX-License-Identifier: Apache-2.0 */
#include "net/tls.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/io.h"
#include "net/resolve.h"
#include "net/tls_internal.h"

struct tls_client {
    SSL_CTX *ctx;
};

/* TLS 1.2: what the kernel can encrypt first, then OpenSSL's own default. The suites of TLS 1.3 are
 * left as they are: kTLS can do all three of the default. */
#define CIPHERS_TLS12                                                                              \
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ALL:!COMPLEMENTOFDEFAULT:!aNULL:!eNULL"

static int fail_openssl(struct err *e, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return err_set(e, ERR_ENV, EIO, "%s: %s", what, reason ? reason : "OpenSSL gives no reason");
}

/* A bundle that can't be read is the user's to mend, but not for want of memory or descriptors. */
static int fail_bundle(struct err *e, const char *what, const char *path, int errnum)
{
    return err_sys(e, err_class_of(errnum, ERR_USAGE), errnum, "the CA %s %s can't be read", what,
                   path);
}

static int new_ctx(SSL_CTX **out, struct err *e)
{
    ERR_clear_error();
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) ||
        !SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12)) {
        SSL_CTX_free(ctx);
        return fail_openssl(e, "OpenSSL can't be set up");
    }
    SSL_CTX_set_options(ctx, SSL_OP_ENABLE_KTLS | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_clear_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
    /* A record is sent when the socket has room for it, and tried again from wherever the bytes
     * are then. */
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* One record a call: else SSL_read() does not come back while a peer keeps sending session
     * tickets or KeyUpdates, and no deadline holds. */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    /* With read-ahead off, what OpenSSL has not looked at yet is in the socket, where poll(2) sees
     * it. */
    SSL_CTX_set_read_ahead(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, tls_trouble_note);
    *out = ctx;
    return 0;
}

/* c_rehash(1ssl): eight hexadecimal digits, a dot, a number. */
static bool is_hashed_name(const char *name)
{
    for (int i = 0; i < 8; i++)
        if (!isxdigit((unsigned char)name[i]))
            return false;
    return name[8] == '.' && isdigit((unsigned char)name[9]);
}

static int trust_directory(SSL_CTX *ctx, const char *path, struct err *e)
{
    DIR *dir = opendir(path);
    bool found = false;
    if (!dir)
        return fail_bundle(e, "directory", path, errno);
    for (struct dirent *d = readdir(dir); d && !found; d = readdir(dir))
        found = is_hashed_name(d->d_name);
    closedir(dir);
    if (!found)
        return err_set(e, ERR_USAGE, EINVAL,
                       "the CA directory %s holds no certificate under a hashed name; run 'openssl "
                       "rehash' on it",
                       path);
    if (!SSL_CTX_load_verify_dir(ctx, path))
        return fail_openssl(e, "the CA directory can't be used");
    return 0;
}

static int trust_bundle(SSL_CTX *ctx, const char *path, struct err *e)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return fail_bundle(e, "bundle", path, errno);
    if (S_ISDIR(st.st_mode))
        return trust_directory(ctx, path, e);
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) /* opening a FIFO could wait for ever */
        return err_set(e, ERR_USAGE, EINVAL, "the CA bundle %s is no regular file", path);
    FILE *file = fopen(path, "re");
    if (!file)
        return fail_bundle(e, "bundle", path, errno);
    fclose(file);
    if (!SSL_CTX_load_verify_file(ctx, path)) {
        unsigned long code = ERR_peek_last_error();
        const char *reason = code ? ERR_reason_error_string(code) : NULL;
        if (tls_is_out_of_memory())
            return fail_bundle(e, "bundle", path, ENOMEM);
        return err_set(e, ERR_USAGE, EINVAL,
                       "the CA bundle %s holds no certificate in PEM form (%s)", path,
                       reason ? reason : "no reason given");
    }
    return 0;
}

static int wrap_ctx(struct tls_client **client, SSL_CTX *ctx, struct err *e)
{
    *client = malloc(sizeof **client);
    if (!*client) {
        SSL_CTX_free(ctx);
        return err_set(e, ERR_ENV, ENOMEM, "no memory for TLS");
    }
    (*client)->ctx = ctx;
    return 0;
}

int tls_client_open(struct tls_client **client, const char *ca_bundle, struct err *e)
{
    SSL_CTX *ctx = NULL;
    int rc = new_ctx(&ctx, e);
    if (rc)
        return rc;
    if (ca_bundle) {
        rc = trust_bundle(ctx, ca_bundle, e);
        X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    } else if (!SSL_CTX_set_default_verify_paths(ctx))
        rc = fail_openssl(e, "the system's trusted certificates can't be used");
    if (rc) {
        SSL_CTX_free(ctx);
        return rc;
    }
    return wrap_ctx(client, ctx, e);
}

int tls_client_open_anchor(struct tls_client **client, X509 *anchor, struct err *e)
{
    SSL_CTX *ctx = NULL;
    int rc = new_ctx(&ctx, e);
    if (rc)
        return rc;
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    if (!X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), anchor)) {
        SSL_CTX_free(ctx);
        return fail_openssl(e, "a certificate can't be trusted");
    }
    return wrap_ctx(client, ctx, e);
}

void tls_client_close(struct tls_client *client)
{
    if (!client)
        return;
    SSL_CTX_free(client->ctx);
    free(client);
}

/* RFC 6066 section 3: no literal addresses in SNI. RFC 9525: only subjectAltName counts, and a
 * wildcard stands for a whole label. */
static bool set_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (resolve_is_literal(host)) {
        char address[64];
        size_t n = strcspn(host, "%");
        if (n >= sizeof address)
            return false;
        memcpy(address, host, n);
        address[n] = '\0';
        return X509_VERIFY_PARAM_set1_ip_asc(param, address) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    char name[256]; /* RFC 1035: at most 255 bytes; a copy, because OpenSSL's macro drops const */
    int n = snprintf(name, sizeof name, "%s", host);
    return n > 0 && n < (int)sizeof name && X509_VERIFY_PARAM_set1_host(param, name, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, name) == 1;
}

/*
 * kTLS for sending only. SSL_OP_ENABLE_KTLS means both directions; which of them gets it is asked
 * of the BIO (BIO_CTRL_SET_KTLS, in ssl/t1_enc.c and ssl/tls13_enc.c). A socket BIO says yes
 * (crypto/bio/bss_sock.c), a file descriptor BIO does not know the question
 * (crypto/bio/bss_fd.c), so reading through one stays with OpenSSL in every version. Finding no
 * socket BIO for reading, SSL_set_wfd() makes one for writing.
 */
static bool set_descriptors(SSL *ssl, int fd)
{
    BIO *reading = BIO_new_fd(fd, BIO_NOCLOSE);
    if (!reading)
        return false;
    SSL_set0_rbio(ssl, reading);
    return SSL_set_wfd(ssl, fd) == 1;
}

static int fail_handshake(SSL *ssl, int ret, const struct tls_trouble *trouble, struct err *e)
{
    char text[TLS_ERROR_SIZE];
    bool has_closed = ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_SSL &&
                      ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    int errnum = tls_describe_error(ssl, ret, text);
    if (errnum == ENOMEM || trouble->error == X509_V_ERR_OUT_OF_MEM)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for TLS with %s", trouble->host);
    if (has_closed)
        snprintf(text, sizeof text,
                 "it closed the connection during the handshake; is it a port for https?");
    if (trouble->error != X509_V_OK)
        return err_set(e, ERR_NET, EACCES, "%s is not trusted: %s", trouble->host, trouble->text);
    return err_set(e, ERR_NET, errnum, "no TLS with %s: %s", trouble->host, text);
}

/*
 * Nothing more is read past the deadline. OpenSSL comes back from a handshake only when a read
 * would block: a peer that keeps sending what it skips (HelloRequest; a message's beginning that
 * has to be whole) would hold it in there.
 */
static long read_until(BIO *bio, int what, const char *bytes, size_t n, int argi, long argl,
                       int ret, size_t *done)
{
    (void)bytes, (void)n, (void)argi, (void)argl, (void)done;
    const deadline_t *deadline = (const void *)BIO_get_callback_arg(bio);
    if (what != BIO_CB_READ || clock_left_ms(*deadline) != 0)
        return ret;
    BIO_set_retry_read(bio);
    return -1;
}

static int shake_hands(SSL *ssl, int fd, const struct tls_trouble *trouble, int cancel_fd,
                       deadline_t deadline, struct err *e)
{
    for (;;) {
        ERR_clear_error();
        errno = 0;
        int ret = SSL_do_handshake(ssl);
        if (ret == 1)
            return 0;
        int want = SSL_get_error(ssl, ret);
        if (want != SSL_ERROR_WANT_READ && want != SSL_ERROR_WANT_WRITE)
            return fail_handshake(ssl, ret, trouble, e);
        short events = want == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        /* Past the deadline the socket may well be readable: it is not asked then. */
        int rc = io_wait(clock_left_ms(deadline) == 0 ? -1 : fd, events, cancel_fd, deadline);
        if (rc == -ETIMEDOUT)
            return err_set(e, ERR_NET, ETIMEDOUT,
                           "the TLS handshake with %s did not end in the time allowed; is it a "
                           "port for https?",
                           trouble->host);
        if (rc == -ECANCELED)
            return err_set(e, ERR_NET, ECANCELED, "stopped during the TLS handshake with %s",
                           trouble->host);
        if (rc < 0)
            return err_sys(e, ERR_ENV, -rc, "waiting for the TLS handshake with %s", trouble->host);
    }
}

int tls_client_handshake(struct tls_client *client, SSL **out, int fd, const char *host,
                         int cancel_fd, deadline_t deadline, struct err *e)
{
    struct tls_trouble trouble = {.host = host, .error = X509_V_OK};
    ERR_clear_error();
    SSL *ssl = SSL_new(client->ctx);
    if (!ssl || !set_host(ssl, host) || !set_descriptors(ssl, fd)) {
        SSL_free(ssl);
        return fail_openssl(e, "TLS can't be set up for this host");
    }
    SSL_set_app_data(ssl, &trouble);
    SSL_set_connect_state(ssl);
    BIO *reading = SSL_get_rbio(ssl);
    BIO_set_callback_arg(reading, (char *)&deadline);
    BIO_set_callback_ex(reading, read_until);
    int rc = shake_hands(ssl, fd, &trouble, cancel_fd, deadline, e);
    BIO_set_callback_ex(reading, NULL);
    BIO_set_callback_arg(reading, NULL);
    SSL_set_app_data(ssl, NULL);
    /* The handshake is over only when its last flight has been flushed. If anything were still held
     * here, bytes sent past OpenSSL would overtake it. */
    if (!rc && BIO_wpending(SSL_get_wbio(ssl)) > 0)
        rc = err_set(e, ERR_ENV, EPROTO, "OpenSSL held back a part of the handshake with %s", host);
    if (rc) {
        SSL_free(ssl);
        return rc;
    }
    *out = ssl;
    return 0;
}
