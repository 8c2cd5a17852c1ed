/* SPDX-License-Identifier: Apache-2.0 */
/* Text of others (names of files, answers of servers) on its way to a terminal. */
#ifndef S3_KTLS_BASE_TEXT_H
#define S3_KTLS_BASE_TEXT_H

#include <stddef.h>

/* Bytes of the UTF-8 sequence that `text` (which ends in NUL) begins with (RFC 3629: no surrogates,
 * nothing overlong), 0 if it is none. */
size_t text_utf8_bytes(const char *text);

/* Replace every control character among the first n bytes (a NUL must come somewhere behind them)
 * by '?': C0, DEL, and C1, as UTF-8 has it (C2 80 to C2 9F) and as single bytes of no UTF-8 (80 to
 * 9F), since terminals obey both. Nothing else is changed. */
void text_make_printable(char *text, size_t n);

#endif
