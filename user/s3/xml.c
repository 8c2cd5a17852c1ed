/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/xml.h"

#include <errno.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

struct reader {
    XML_Parser parser;
    struct xml_error *out;
    size_t depth;       /* of the element that is open, the root's is 1 */
    size_t error_depth; /* where <Error> is; 0 before it was seen */
    bool saw_error, in_wrapper;
    char *field; /* what the text belongs to, NULL: nothing that is wanted */
    size_t field_bytes;
    bool refused;
};

static void refuse(struct reader *r)
{
    r->refused = true;
    XML_StopParser(r->parser, XML_FALSE);
}

/* Prefixes differ from store to store, names do not. */
static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static char *field_find(struct xml_error *out, const char *name)
{
    const struct {
        const char *name;
        char *field;
    } fields[] = {{"Code", out->code},
                  {"Message", out->message},
                  {"RequestId", out->request_id},
                  {"Region", out->region},
                  {"ServerTime", out->server_time}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(name, fields[i].name) == 0)
            return fields[i].field;
    return NULL;
}

static void XMLCALL on_start(void *ctx, const char *full_name, const char **attributes)
{
    struct reader *r = ctx;
    const char *name = local_name(full_name);
    (void)attributes;
    r->field = NULL;
    if (++r->depth > XML_DEPTH_MAX) {
        refuse(r);
        return;
    }
    if (r->depth == 1)
        r->in_wrapper = strcmp(name, "ErrorResponse") == 0;
    bool is_place = r->depth == 1 || (r->depth == 2 && r->in_wrapper);
    if (is_place && !r->saw_error && strcmp(name, "Error") == 0) {
        r->saw_error = true;
        r->error_depth = r->depth;
    } else if (r->error_depth && r->depth == r->error_depth + 1) {
        char *field = field_find(r->out, name);
        /* The first one holds. */
        if (field && !*field) {
            r->field = field;
            r->field_bytes = 0;
        }
    }
}

static void XMLCALL on_end(void *ctx, const char *name)
{
    struct reader *r = ctx;
    (void)name;
    r->field = NULL;
    if (r->depth == r->error_depth)
        r->error_depth = 0;
    r->depth--;
}

static void XMLCALL on_text(void *ctx, const char *text, int n)
{
    struct reader *r = ctx;
    if (!r->field)
        return;
    size_t room = XML_TEXT_SIZE - 1 - r->field_bytes, bytes = (size_t)n;
    if (bytes > room) {
        bytes = room;
        /* Not in the middle of a character of UTF-8. */
        while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80)
            bytes--;
        /* Nothing may be put behind the cut. */
        memcpy(r->field + r->field_bytes, text, bytes);
        r->field = NULL;
        return;
    }
    memcpy(r->field + r->field_bytes, text, bytes);
    r->field_bytes += bytes;
}

/* No DOCTYPE, no entities: they can be declared nowhere else. */
static void XMLCALL on_doctype(void *ctx, const char *name, const char *system_id,
                               const char *public_id, int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    refuse(ctx);
}

static void trim(char *s)
{
    static const char blanks[] = " \t\r\n";
    size_t n = strlen(s), skip = strspn(s, blanks);
    while (n > skip && strchr(blanks, s[n - 1]))
        n--;
    memmove(s, s + skip, n - skip);
    s[n - skip] = 0;
}

int xml_error_parse(struct xml_error *out, const char *text, size_t n)
{
    struct reader r = {.out = out};
    *out = (struct xml_error){0};
    if (!n || n > INT_MAX)
        return 0;
    r.parser = XML_ParserCreate(NULL);
    if (!r.parser)
        return -ENOMEM;
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    bool is_whole = XML_Parse(r.parser, text, (int)n, XML_TRUE) == XML_STATUS_OK && !r.refused;
    bool is_out_of_memory = !is_whole && XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY;
    XML_ParserFree(r.parser);
    trim(out->code);
    trim(out->message);
    trim(out->request_id);
    trim(out->region);
    trim(out->server_time);
    if (is_whole && r.saw_error && *out->code)
        return 1;
    *out = (struct xml_error){0};
    return is_out_of_memory ? -ENOMEM : 0;
}
