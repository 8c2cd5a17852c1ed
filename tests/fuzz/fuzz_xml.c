/* SPDX-License-Identifier: Apache-2.0 */
/* The error document: whatever comes, each field ends where it must, and what is refused leaves
 * nothing behind. */
#include "fuzz.h"
#include "s3/xml.h"

static void check(const char field[static XML_TEXT_SIZE], bool is_empty)
{
    size_t n = strnlen(field, XML_TEXT_SIZE);
    MUST(n < XML_TEXT_SIZE);
    MUST(!is_empty || !n);
    MUST(!n || (!strchr(" \t\r\n", field[0]) && !strchr(" \t\r\n", field[n - 1])));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct xml_error out;
    memset(&out, 'x', sizeof out);
    char *text = malloc(size ? size : 1); /* without a NUL behind it */
    MUST(text);
    if (size)
        memcpy(text, data, size);
    bool found = xml_error_parse(&out, text, size);
    free(text);
    check(out.code, !found);
    check(out.message, !found);
    check(out.request_id, !found);
    check(out.region, !found);
    check(out.server_time, !found);
    MUST(!found || *out.code);
    return 0;
}
