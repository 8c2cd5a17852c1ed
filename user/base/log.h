/* SPDX-License-Identifier: Apache-2.0 */
/* What the program tells on stderr beside its result: steps (-v), notices, warnings, errors. */
#ifndef S3_KTLS_BASE_LOG_H
#define S3_KTLS_BASE_LOG_H

enum log_level {
    LOG_LEVEL_QUIET,   /* -q: errors only */
    LOG_LEVEL_NORMAL,  /* and warnings: what the user did not ask for but must know */
    LOG_LEVEL_VERBOSE, /* -v: and every step */
};

/* Set once, by the command line, before any thread starts. */
void log_set_level(enum log_level level);

/* One line each, "s3-ktls: " in front, control characters replaced by '?'. Never pass a secret. */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_step(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
