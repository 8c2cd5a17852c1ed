/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/text.h"
#include "hash/encode.h"

static const char *encrypted_by(const struct transfer_result *r)
{
    if (!r->tls_version[0])
        return "none";
    return r->ktls_send ? "ktls" : "openssl";
}

static double seconds(const struct transfer_result *r)
{
    return (double)r->elapsed_ns / 1e9;
}

static double bytes_per_second(const struct transfer_result *r)
{
    return r->elapsed_ns ? (double)r->bytes / seconds(r) : 0;
}

int report_flush(struct err *e)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return err_sys(e, ERR_ENV, errno ? errno : EIO, "cannot write to stdout");
}

/* The same after an upload, which is not undone by it. */
static int report_flush_result(struct err *e)
{
    int rc = report_flush(e);
    if (rc < 0) {
        struct err why = *e;
        err_set(e, ERR_ENV, -rc, "the upload is done and verified, but its result is lost: %s",
                why.text);
    }
    return rc;
}

int report_print_line(const struct report *report, struct err *e)
{
    const struct transfer_result *r = report->result;
    char hex[SHA256_HEX_SIZE] = "none";
    if (r->hashed)
        encode_hex(r->sha256, SHA256_BYTES, hex);

    char key[S3_KEY_SIZE]; /* may hold line breaks; a result is one line */
    snprintf(key, sizeof key, "%s", report->object->key);
    text_make_printable(key, strlen(key));

    printf("s3://%s/%s: %" PRIu64 " bytes, sha256 %s, hashed: %s, moved: %s, encrypted: ",
           report->object->bucket, key, r->bytes, hex, r->hashed ? "bpf" : "none",
           report->moved_by);
    if (r->tls_version[0])
        printf("%s %s %s", r->ktls_send ? "kTLS" : "OpenSSL", r->tls_version, r->tls_cipher);
    else
        printf("none");
    printf(", store: %s, %.2f s, %.2f MB/s\n",
           r->verdict == TRANSFER_CONFIRMED ? "confirmed" : "accepted", seconds(r),
           bytes_per_second(r) / 1e6);
    return report_flush_result(e);
}

/* Null instead of an empty string: the store said nothing. All of them are UTF-8, so NULL is a want
 * of memory, and must not become a null that says something else. */
static json_t *json_text(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

/* In one piece: half an object would be worse than none. -1 if there is no memory for it. */
static int json_print_line(json_t *object)
{
    char *line =
        object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9))
               : NULL;
    json_decref(object);
    if (!line)
        return -1;
    puts(line);
    free(line);
    return 0;
}

int report_print_json(const struct report *report, struct err *e)
{
    const struct transfer_result *r = report->result;
    char hex[SHA256_HEX_SIZE] = "";
    if (r->hashed)
        encode_hex(r->sha256, SHA256_BYTES, hex);
    const char *network = NULL;
    if (report->engine_info)
        network = report->engine_info->private_network ? "private" : "host";

    json_t *o = json_pack(
        "{s:o, s:o, s:I, s:o, s:b, s:s, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
        "s:f, "
        "s:f}",
        "bucket", json_text(report->object->bucket), "key", json_text(report->object->key), "bytes",
        (json_int_t)r->bytes, "sha256", json_text(hex), "source_changed", r->source_change[0] != 0,
        "hashed_by", r->hashed ? "bpf" : "none", "moved_by", report->moved_by, "encrypted_by",
        encrypted_by(r), "tls_version", json_text(r->tls_version), "tls_cipher",
        json_text(r->tls_cipher), "store",
        r->verdict == TRANSFER_CONFIRMED ? "confirmed" : "accepted", "tap_network",
        json_text(network), "endpoint", json_text(report->endpoint), "peer", json_text(r->peer),
        "etag", json_text(r->stored.etag), "version_id", json_text(r->stored.version_id),
        "request_id", json_text(r->stored.request_id), "elapsed_s", seconds(r), "bytes_per_s",
        bytes_per_second(r));
    if (json_print_line(o) < 0)
        return err_set(e, ERR_ENV, ENOMEM,
                       "the upload is done and verified, but there is no memory for its result");
    return report_flush_result(e);
}

static const char *class_name(enum err_class class)
{
    switch (class) {
    case ERR_USAGE:
        return "usage";
    case ERR_FILE:
        return "file";
    case ERR_ENV:
        return "environment";
    case ERR_NET:
        return "network";
    case ERR_STORE:
        return "store";
    case ERR_INTEGRITY:
        return "integrity";
    case ERR_SIGINT:
    case ERR_SIGTERM:
        return "interrupted";
    case ERR_NONE:
        break;
    }
    return "none";
}

/* JSON is UTF-8, names of files are bytes: what is no UTF-8 is written \xNN, as ls and Python do.
 */
static json_t *json_message(const char *text)
{
    char escaped[4 * ERR_TEXT_BYTES];
    size_t used = 0;
    for (const char *p = text; *p;) {
        size_t n = text_utf8_bytes(p);
        if (n)
            memcpy(escaped + used, p, n);
        else
            snprintf(escaped + used, 5, "\\x%02x", (unsigned char)*p);
        used += n ? n : 4;
        p += n ? n : 1;
    }
    return json_stringn(escaped, used);
}

void report_print_json_error(const struct err *error)
{
    json_t *object =
        json_pack("{s:{s:s, s:i, s:o}}", "error", "class", class_name(error->class), "exit_code",
                  (int)error->class, "message", json_message(error->text));
    if (json_print_line(object) < 0)
        printf("{\"error\":{\"class\":\"%s\",\"exit_code\":%d,"
               "\"message\":\"(no memory; see stderr)\"}}\n",
               class_name(error->class), (int)error->class);
    fflush(stdout);
}
