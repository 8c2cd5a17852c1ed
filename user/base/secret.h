/* SPDX-License-Identifier: Apache-2.0 */
/* Strings that must not outlive their use: the secret key and the session token. */
#ifndef S3_KTLS_BASE_SECRET_H
#define S3_KTLS_BASE_SECRET_H

/* A copy of s (NULL gives NULL), or NULL without memory. Free with secret_free(). */
char *secret_dup(const char *s);

/* Wipe and free. NULL is harmless. */
void secret_free(char *s);

/* The last four characters behind "****" for a key id, into `out`; shorter ids show nothing. */
void secret_tail(const char *id, char out[static 9]);

enum { SECRET_SHOWN_MAX = 7 };

/* Overwrite every place of `text` where `secret` stands with '*'; or more than SECRET_SHOWN_MAX
 * characters of its beginning, then on to the next blank, quote, '<', '>' or ',' (text is cut
 * where it is long, and an echo may be encoded). NULL and shorter ones are harmless. */
void secret_mask(char *text, const char *secret);

/*
 * No core file, no ptrace by the same user: PR_SET_DUMPABLE 0 (RLIMIT_CORE 0 alone would not stop
 * a core handler behind a pipe, core(5)) and RLIMIT_CORE 0. Call first thing in main().
 */
void secret_protect_process(void);

#endif
