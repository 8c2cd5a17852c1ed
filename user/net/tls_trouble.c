/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "net/tls_internal.h"

enum { NAME_SIZE = 160, NAMES_SHOWN = 4 };

static void format_name(char out[static NAME_SIZE], const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = 0;
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) > 0)
        n = BIO_read(bio, out, NAME_SIZE - 1);
    out[n > 0 ? n : 0] = '\0';
    if (n <= 0)
        snprintf(out, NAME_SIZE, "without a name");
    BIO_free(bio);
}

static void format_time(char out[static 64], const ASN1_TIME *t)
{
    BIO *bio = BIO_new(BIO_s_mem());
    int n = 0;
    if (bio && ASN1_TIME_print(bio, t) > 0)
        n = BIO_read(bio, out, 63);
    out[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

static void add_address(struct buf *b, const ASN1_OCTET_STRING *ip)
{
    char *text = i2s_ASN1_OCTET_STRING(NULL, ip);
    const unsigned char *p = ASN1_STRING_get0_data(ip);
    if (ASN1_STRING_length(ip) == 4)
        buf_addf(b, "%u.%u.%u.%u", p[0], p[1], p[2], p[3]);
    else
        buf_add_str(b, text ? text : "?");
    OPENSSL_free(text);
}

/* The names that a client may ask for: DNS names and addresses of subjectAltName. */
static void add_alt_names(struct buf *b, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    int shown = 0, left_out = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS && name->type != GEN_IPADD)
            continue;
        if (shown == NAMES_SHOWN) {
            left_out++;
            continue;
        }
        buf_add_str(b, shown++ ? ", " : "");
        if (name->type == GEN_IPADD)
            add_address(b, name->d.iPAddress);
        else
            buf_addf(b, "%.*s", ASN1_STRING_length(name->d.dNSName),
                     (const char *)ASN1_STRING_get0_data(name->d.dNSName));
    }
    if (left_out)
        buf_addf(b, " and %d more", left_out);
    if (!shown)
        buf_add_str(b, "no host at all (it has no subjectAltName)");
    GENERAL_NAMES_free(names);
}

static void describe(struct buf *b, const char *host, int error, int depth, X509 *cert)
{
    char subject[NAME_SIZE], issuer[NAME_SIZE], time[64];
    const char *which = depth == 0 ? "its certificate" : "a certificate above its own";
    format_name(subject, X509_get_subject_name(cert));
    format_name(issuer, X509_get_issuer_name(cert));
    switch (error) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        buf_add_str(b, "its certificate is for ");
        add_alt_names(b, cert);
        buf_addf(b, ", not for %s; use the name that the certificate has", host);
        return;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        format_time(time, X509_get0_notAfter(cert));
        buf_addf(b, "%s (%s, issued by %s) expired at %s; it must be renewed on the server", which,
                 subject, issuer, time);
        return;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        format_time(time, X509_get0_notBefore(cert));
        buf_addf(b, "%s (%s) is valid from %s on; check the clock of this machine", which, subject,
                 time);
        return;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        buf_addf(b,
                 "%s (%s) was issued by %s, which is not trusted here (%s); if that is a CA of "
                 "yours, give its certificate with --ca-bundle",
                 which, subject, issuer, X509_verify_cert_error_string(error));
        return;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        buf_addf(b, "%s (%s, issued by %s) can be forged (%s); it must be replaced on the server",
                 which, subject, issuer, X509_verify_cert_error_string(error));
        return;
    default:
        buf_addf(b, "%s (%s, issued by %s): %s", which, subject, issuer,
                 X509_verify_cert_error_string(error));
    }
}

int tls_trouble_note(int accepted, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_trouble *trouble = ssl ? SSL_get_app_data(ssl) : NULL;
    X509 *cert = X509_STORE_CTX_get_current_cert(store);
    if (accepted || !trouble || trouble->error != X509_V_OK)
        return accepted;
    trouble->error = X509_STORE_CTX_get_error(store);
    struct buf b;
    buf_init(&b, sizeof trouble->text - 1);
    if (cert)
        describe(&b, trouble->host, trouble->error, X509_STORE_CTX_get_error_depth(store), cert);
    else
        buf_add_str(&b, X509_verify_cert_error_string(trouble->error));
    snprintf(trouble->text, sizeof trouble->text, "%s", b.data);
    buf_free(&b);
    return accepted;
}

static const char *plain_reason(unsigned long code)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL)
        return NULL;
    switch (ERR_GET_REASON(code)) {
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_HTTP_REQUEST:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
        return "what it sent is not TLS; is it a port for plain http?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
        return "it speaks no TLS 1.2 or newer";
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
    case SSL_R_TLSV1_ALERT_INSUFFICIENT_SECURITY:
        return "it accepts none of the ciphers offered, or wants a client certificate";
    case SSL_R_UNEXPECTED_EOF_WHILE_READING:
        return "it closed the connection without close_notify, so what it sent may be cut off";
    default:
        return NULL;
    }
}

bool tls_is_out_of_memory(void)
{
    bool found = false;
    for (unsigned long code = ERR_get_error(); code; code = ERR_get_error())
        found |= ERR_GET_REASON(code) ==
                 (ERR_GET_LIB(code) == ERR_LIB_SYS ? ENOMEM : ERR_R_MALLOC_FAILURE);
    return found;
}

int tls_describe_error(SSL *ssl, int ret, char text[static TLS_ERROR_SIZE])
{
    int saved_errno = errno;
    int kind = SSL_get_error(ssl, ret);
    unsigned long code = ERR_peek_error();
    int errnum = EPROTO;
    const char *reason = code ? plain_reason(code) : NULL;
    if (kind == SSL_ERROR_SYSCALL && !code) {
        char sys[128];
        errnum = saved_errno ? saved_errno : ECONNRESET;
        snprintf(text, TLS_ERROR_SIZE, "%s", strerror_r(errnum, sys, sizeof sys));
    } else if (reason)
        snprintf(text, TLS_ERROR_SIZE, "%s", reason);
    else if (code && ERR_reason_error_string(code))
        snprintf(text, TLS_ERROR_SIZE, "TLS: %s", ERR_reason_error_string(code));
    else
        snprintf(text, TLS_ERROR_SIZE, "TLS error %d, %lx", kind, code);
    if (ERR_GET_LIB(code) == ERR_LIB_SYS) {
        char sys[128];
        errnum = ERR_GET_REASON(code);
        snprintf(text, TLS_ERROR_SIZE, "%s", strerror_r(errnum, sys, sizeof sys));
    }
    if (ERR_GET_LIB(code) == ERR_LIB_SSL &&
        ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        errnum = ECONNRESET;
    return tls_is_out_of_memory() ? ENOMEM : errnum;
}
