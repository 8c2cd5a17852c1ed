/* SPDX-License-Identifier: Apache-2.0 */
/* One line of a header or trailer section (RFC 9110, 5; RFC 9112, 5), read strictly. */
#ifndef S3_KTLS_HTTP_FIELD_H
#define S3_KTLS_HTTP_FIELD_H

#include <stdbool.h>
#include <stdint.h>

/* Split "NAME: VALUE" in place (without its CRLF): `line` becomes the name, *value the value
 * without blanks at its ends. NULL, or what is wrong in words that continue "the answer has ...".
 */
const char *field_split(char *line, char **value);

/* Content-Length: one decimal number that fits and nothing else. Lists are refused, as RFC 9110,
 * 8.6 allows. -1 if it is not that. */
int64_t field_parse_length(const char *value);

/* Has a comma-separated list this token, in any case? */
bool field_list_has(const char *list, const char *token);

#endif
