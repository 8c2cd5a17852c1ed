/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "cli/report.h"
#include "cli/session.h"
#include "hash/encode.h"
#include "upload/hash_file.h"

/* As sha256sum(1) prints: a name with a backslash, line feed or carriage return is escaped, and the
 * line then begins with a backslash. */
static void hash_print(const uint8_t sha256[static SHA256_BYTES], const char *name)
{
    char hex[SHA256_HEX_SIZE];
    encode_hex(sha256, SHA256_BYTES, hex);
    printf("%s%s  ", strpbrk(name, "\\\n\r") ? "\\" : "", hex);
    for (const char *p = name; *p; p++) {
        if (*p == '\\')
            fputs("\\\\", stdout);
        else if (*p == '\n')
            fputs("\\n", stdout);
        else if (*p == '\r')
            fputs("\\r", stdout);
        else
            putchar(*p);
    }
    putchar('\n');
}

static int hash_one(struct session *session, const char *path, int cancel_fd, struct err *e)
{
    struct source source;
    struct tap_result result;
    int rc = source_open(&source, path, e);
    if (rc < 0)
        return rc;
    rc = hash_file(&result, session->tap, session->sender, &source, cancel_fd, e);
    source_close(&source);
    if (rc == 0)
        hash_print(result.sha256, path);
    return rc;
}

int command_hash(const struct options *o, int cancel_fd, struct err *e)
{
    struct session session;
    int failed = 0;
    bool splice = o->sender == OPTION_SENDER_SPLICE;
    int rc = session_open(&session, true, false, splice ? SENDER_SPLICE : SENDER_SENDFILE, e);
    for (int i = 0; i < o->operand_count && rc == 0; i++) {
        rc = hash_one(&session, o->operands[i], cancel_fd, e);
        if (rc < 0 && e->class == ERR_FILE) {
            log_error("%s", e->text);
            failed++;
            rc = 0;
            /* A file that failed in the middle leaves a poisoned tap behind. */
            if (tap_poison_reason(session.tap))
                rc = session_renew_tap(&session, e);
        }
    }
    session_close(&session);
    if (rc == 0)
        rc = report_flush(e);
    if (rc == 0 && failed)
        rc = err_set(e, ERR_FILE, EIO, "%d of %d files could not be hashed", failed,
                     o->operand_count);
    return rc;
}
