/* SPDX-License-Identifier: Apache-2.0 */
/* S3's error document, by expat: no entities, bounded depth and length. */
#ifndef S3_KTLS_S3_XML_H
#define S3_KTLS_S3_XML_H

#include <stddef.h>

enum { XML_TEXT_SIZE = 256, XML_DEPTH_MAX = 16 };

struct xml_error {
    char code[XML_TEXT_SIZE];
    char message[XML_TEXT_SIZE]; /* long ones are cut */
    char request_id[XML_TEXT_SIZE];
    char region[XML_TEXT_SIZE];
    char server_time[XML_TEXT_SIZE];
};

/*
 * Read an <Error> document (as the root; also below <ErrorResponse>). 1 if there is one with a
 * Code. Anything else (other roots, malformed, a DOCTYPE, too deep) is 0 and leaves `out` empty; so
 * does -ENOMEM: there may be one.
 */
int xml_error_parse(struct xml_error *out, const char *text, size_t n);

#endif
