/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/profile.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "s3/ini.h"

struct search {
    enum profile_kind kind;
    const char *name;
    profile_entry_fn *fn;
    void *ctx;
    bool found;
};

/* Is the section `word` NAME, where NAME may stand in quotes? */
static bool section_is(const char *section, const char *word, const char *name)
{
    size_t word_bytes = strlen(word), name_bytes = strlen(name);
    if (strncmp(section, word, word_bytes) != 0)
        return false;
    const char *rest = section + word_bytes;
    size_t blanks = strspn(rest, " \t");
    rest += blanks;
    if (!blanks)
        return false;
    size_t n = strlen(rest);
    if (n >= 2 && (*rest == '"' || *rest == '\'') && rest[n - 1] == *rest) {
        rest++;
        n -= 2;
    }
    return n == name_bytes && memcmp(rest, name, n) == 0;
}

static bool section_matches(const struct search *s, const char *section)
{
    switch (s->kind) {
    case PROFILE_IN_CONFIG:
        if (strcmp(s->name, "default") == 0 && strcmp(section, "default") == 0)
            return true;
        return section_is(section, "profile", s->name);
    case PROFILE_SERVICES:
        return section_is(section, "services", s->name);
    default:
        return strcmp(section, s->name) == 0;
    }
}

static int entry(void *ctx, const char *section, const char *key, const char *value)
{
    struct search *s = ctx;
    if (!section_matches(s, section))
        return 0;
    s->found = true;
    return key ? s->fn(s->ctx, key, value) : 0;
}

int profile_read(const char *path, enum profile_kind kind, const char *name, profile_entry_fn *fn,
                 void *ctx, bool *found, struct err *e)
{
    struct search s = {.kind = kind, .name = name, .fn = fn, .ctx = ctx};
    int ret = path ? ini_read(path, entry, &s, e) : -ENOENT;
    *found = s.found;
    return ret == -ENOENT ? 0 : ret;
}
