/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

char *secret_dup(const char *s)
{
    return s ? strdup(s) : NULL;
}

void secret_free(char *s)
{
    if (!s)
        return;
    explicit_bzero(s, strlen(s));
    free(s);
}

void secret_tail(const char *id, char out[static 9])
{
    size_t len = strlen(id);
    /* An id of 8 characters or fewer would be half told by its last four. */
    snprintf(out, 9, "****%s", len > 8 ? id + len - 4 : "");
}

void secret_mask(char *text, const char *secret)
{
    if (!secret || strlen(secret) <= SECRET_SHOWN_MAX)
        return;
    while (*text) {
        size_t n = 0;
        while (text[n] && text[n] == secret[n])
            n++;
        /* An encoded echo (%2B or &#43; for '+') goes on with another text, which tells the rest.
         */
        if (n > SECRET_SHOWN_MAX && secret[n])
            n += strcspn(text + n, " \t\r\n\"'<>,");
        if (n > SECRET_SHOWN_MAX)
            memset(text, '*', n);
        text += n > SECRET_SHOWN_MAX ? n : 1;
    }
}

void secret_protect_process(void)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}
