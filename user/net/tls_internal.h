/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of tls_*.c only. */
#ifndef S3_KTLS_NET_TLS_INTERNAL_H
#define S3_KTLS_NET_TLS_INTERNAL_H

#include <openssl/types.h>

#include "base/err.h"
#include "net/tls.h"

/* As tls_client_open(), trusting `anchor` and nothing else. */
int tls_client_open_anchor(struct tls_client **client, X509 *anchor, struct err *e);

/* What the verification of a certificate chain found wrong, in words. Filled while the handshake
 * runs, because OpenSSL drops the chain when it fails. */
struct tls_trouble {
    const char *host;
    int error; /* X509_V_OK: the chain was not the reason */
    char text[600];
};

/* The verify callback (SSL_set_verify). Finds its struct tls_trouble by SSL_get_app_data(). Never
 * overrules OpenSSL. */
int tls_trouble_note(int accepted, X509_STORE_CTX *store);

/* Does the thread's error queue of OpenSSL name a want of memory? Empties it. */
bool tls_is_out_of_memory(void);

#endif
