/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

__attribute__((format(printf, 4, 0))) static void err_fill(struct err *e, enum err_class class,
                                                           int errnum, const char *fmt, va_list ap)
{
    e->class = class;
    e->errnum = errnum;
    int n = vsnprintf(e->text, sizeof e->text, fmt, ap);
    if (n >= (int)sizeof e->text)
        memcpy(e->text + sizeof e->text - 4, "...", 4);
    text_make_printable(e->text, strlen(e->text));
}

int err_set(struct err *e, enum err_class class, int errnum, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        err_fill(e, class, errnum, fmt, ap);
        va_end(ap);
    }
    return errnum ? -errnum : -EINVAL;
}

int err_sys(struct err *e, enum err_class class, int errnum, const char *fmt, ...)
{
    if (e) {
        va_list ap;
        va_start(ap, fmt);
        err_fill(e, class, errnum, fmt, ap);
        va_end(ap);
        size_t used = strlen(e->text);
        char sysbuf[128];
        const char *sys = strerror_r(errnum, sysbuf, sizeof sysbuf);
        snprintf(e->text + used, sizeof e->text - used, ": %s", sys);
    }
    return errnum ? -errnum : -EINVAL;
}
