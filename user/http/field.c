/* SPDX-License-Identifier: Apache-2.0 */
#include "http/field.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* RFC 9110, 5.6.2 */
static bool is_token(const char *s, size_t n)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && !strchr(others, c))
            return false;
    }
    return n > 0;
}

const char *field_split(char *line, char **value)
{
    if (*line == ' ' || *line == '\t')
        return "a folded header line (RFC 9112, 5.2)";
    char *colon = strchr(line, ':');
    if (!colon || !is_token(line, (size_t)(colon - line)))
        return "a header line that is not 'NAME: VALUE'";
    *colon = 0;
    *value = colon + 1 + strspn(colon + 1, " \t");
    size_t n = strlen(*value);
    while (n && ((*value)[n - 1] == ' ' || (*value)[n - 1] == '\t'))
        (*value)[--n] = 0;
    return NULL;
}

int64_t field_parse_length(const char *value)
{
    int64_t bytes = 0;
    if (!*value)
        return -1;
    for (const char *p = value; *p; p++) {
        if (*p < '0' || *p > '9' || bytes > (INT64_MAX - (*p - '0')) / 10)
            return -1;
        bytes = bytes * 10 + (*p - '0');
    }
    return bytes;
}

bool field_list_has(const char *list, const char *token)
{
    size_t n = strlen(token);
    for (const char *p = list; *p;) {
        p += strspn(p, ", \t");
        size_t item = strcspn(p, ", \t");
        if (item == n && strncasecmp(p, token, n) == 0)
            return true;
        p += item;
    }
    return false;
}
