/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/text.h"

static enum log_level level = LOG_LEVEL_NORMAL;

void log_set_level(enum log_level new_level)
{
    level = new_level;
}

/* One write() for the whole line, so that lines of several threads or processes do not mix. */
__attribute__((format(printf, 2, 0))) static void log_line(const char *kind, const char *fmt,
                                                           va_list ap)
{
    char line[ERR_TEXT_BYTES + 64];
    int used = snprintf(line, sizeof line, "s3-ktls: %s", kind);
    int n = vsnprintf(line + used, sizeof line - (size_t)used, fmt, ap);
    size_t len = (size_t)used + (n > 0 ? (size_t)n : 0);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    text_make_printable(line, len);
    line[len++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, len);
    (void)written; /* nowhere left to report it to */
}

void log_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_line("error: ", fmt, ap);
    va_end(ap);
}

void log_warning(const char *fmt, ...)
{
    if (level < LOG_LEVEL_NORMAL)
        return;
    va_list ap;
    va_start(ap, fmt);
    log_line("warning: ", fmt, ap);
    va_end(ap);
}

void log_step(const char *fmt, ...)
{
    if (level < LOG_LEVEL_VERBOSE)
        return;
    va_list ap;
    va_start(ap, fmt);
    log_line("", fmt, ap);
    va_end(ap);
}
