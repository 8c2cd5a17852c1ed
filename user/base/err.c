/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* The text, cut to what fits, and behind it ": " and `cause`, which is never cut. */
__attribute__((format(printf, 5, 0))) static void err_fill(struct err *e, enum err_class class,
                                                           int errnum, const char *cause,
                                                           const char *fmt, va_list ap)
{
    size_t size = sizeof e->text - (cause ? strlen(cause) + 2 : 0);
    e->class = class;
    e->errnum = errnum;
    int n = vsnprintf(e->text, size, fmt, ap);
    if (n >= (int)size)
        memcpy(e->text + size - 4, "...", 4);
    size_t len = strlen(e->text);
    text_make_printable(e->text, len);
    if (cause)
        snprintf(e->text + len, sizeof e->text - len, ": %s", cause);
}

enum err_class err_class_of(int errnum, enum err_class otherwise)
{
    return errnum == ENOMEM || errnum == EMFILE || errnum == ENFILE ? ERR_ENV : otherwise;
}

int err_set(struct err *e, enum err_class class, int errnum, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        err_fill(e, class, errnum, NULL, fmt, ap);
        va_end(ap);
    }
    return errnum ? -errnum : -EINVAL;
}

int err_sys(struct err *e, enum err_class class, int errnum, const char *fmt, ...)
{
    if (e) {
        char sysbuf[128];
        va_list ap;
        va_start(ap, fmt);
        err_fill(e, class, errnum, strerror_r(errnum, sysbuf, sizeof sysbuf), fmt, ap);
        va_end(ap);
    }
    return errnum ? -errnum : -EINVAL;
}
