/* SPDX-License-Identifier: Apache-2.0 */
/* Text of others (names of files, answers of servers) on its way to a terminal. */
#ifndef S3_KTLS_BASE_TEXT_H
#define S3_KTLS_BASE_TEXT_H

#include <stddef.h>

/* Replace every control character among the first n bytes by '?': C0, DEL, and C1 as UTF-8 has it
 * (C2 80 to C2 9F), which terminals obey too. Nothing else is changed. */
void text_make_printable(char *text, size_t n);

#endif
