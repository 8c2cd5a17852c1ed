/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3/ops.h"
#include "s3/xml.h"

enum { SNIPPET_SIZE = 101, MEND_SIZE = 320 };

/* What a user can do about a code of S3 (API reference, "Error responses"), in the order of the
 * alphabet. */
static const struct {
    const char *code, *mend;
} code_mends[] = {
    {"AccessDenied", "the credentials must be allowed to do this (s3:PutObject, s3:GetObject)"},
    {"EntityTooLarge", "one PUT can carry 5 GiB, and some stores allow less"},
    {"ExpiredToken", "get new temporary credentials"},
    {"IncompleteBody", "try the other --framing"},
    {"InternalError", "try again later"},
    {"InvalidAccessKeyId",
     "the store does not know this access key id: check the credentials and --endpoint-url"},
    {"InvalidBucketName", "check the bucket's name"},
    {"InvalidToken", "get new temporary credentials"},
    {"MalformedTrailerError", "this store reads no checksum trailer; --hash none sends none"},
    {"MissingContentLength", "give --framing length"},
    {"NoSuchBucket", "check the bucket's name and --endpoint-url, or make the bucket"},
    {"NotImplemented",
     "the store may take no checksum trailer: try --framing length; --hash none sends none"},
    {"QuotaExceeded", "make room in the store, or raise its quota"},
    {"RequestTimeout", "the store waited too long for data; try again"},
    {"ServiceUnavailable", "try again later"},
    {"SignatureDoesNotMatch",
     "check the secret access key and --region; a proxy that changes host or path also does this"},
    {"SlowDown", "try again later"},
};

static const struct {
    int status;
    const char *mend;
} status_mends[] = {
    {400, "without a reason from the store: check --endpoint-url, --region and the credentials"},
    {401, "check the credentials"},
    {403, "check the credentials, and that they are allowed to do this"},
    {404, "check the bucket's name and --endpoint-url, or make the bucket"},
    {405, "is this the endpoint of an S3 store? check --endpoint-url and --addressing-style"},
    {411, "give --framing length"},
    {413, "the store, or a proxy in front of it, allows no body of this size"},
    {417, "something in front of the store does not know 'Expect: 100-continue'"},
    {429, "try again later"},
    {500, "try again later"},
    {501, "the store may take no checksum trailer: try --framing length; --hash none sends none"},
    {502, "a proxy does not reach the store; try again later"},
    {503, "try again later"},
    {504, "a proxy does not reach the store; try again later"},
    {507, "make room in the store, or raise its quota"},
};

/* The store computed another digest than the one that was sent, or could not read it. */
static bool is_mismatch(const char *code)
{
    static const char *const codes[] = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch",
                                        "XAmzContentSHA256Mismatch"};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0)
            return true;
    return false;
}

/* Bytes of a server, for a terminal: printable ASCII, and runs of anything else as one blank ('?'
 * for bytes beyond ASCII). */
static void printable(char *out, size_t size, const char *text, size_t n)
{
    size_t used = 0;
    for (size_t i = 0; i < n && used + 1 < size; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_blank = c <= ' ' || c == 0x7f;
        if (is_blank && (!used || out[used - 1] == ' '))
            continue;
        out[used++] = is_blank ? ' ' : c > '~' ? '?' : (char)c;
    }
    while (used && out[used - 1] == ' ')
        used--;
    out[used] = 0;
}

static void make_printable(char *s)
{
    printable(s, strlen(s) + 1, s, strlen(s));
}

/* The n digits at `at`, or -1. */
static int number_at(const char *at, size_t n)
{
    int value = 0;
    for (; n; n--, at++) {
        if (*at < '0' || *at > '9')
            return -1;
        value = value * 10 + (*at - '0');
    }
    return value;
}

/* hh:mm:ss */
static bool clock_at(const char *at, struct tm *tm)
{
    if (at[2] != ':' || at[5] != ':')
        return false;
    tm->tm_hour = number_at(at, 2);
    tm->tm_min = number_at(at + 3, 2);
    tm->tm_sec = number_at(at + 6, 2);
    return true;
}

static bool time_make(struct tm *tm, time_t *out)
{
    bool is_valid = tm->tm_year >= 70 && tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 &&
                    tm->tm_mday <= 31 && tm->tm_hour >= 0 && tm->tm_hour < 24 && tm->tm_min >= 0 &&
                    tm->tm_min < 60 && tm->tm_sec >= 0 && tm->tm_sec <= 60;
    if (is_valid)
        *out = timegm(tm);
    return is_valid;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7). strptime(3) would ask the locale. */
static bool http_date(const char *text, time_t *out)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {.tm_mon = -1};
    if (strlen(text) != 29 || strncmp(text + 3, ", ", 2) != 0 || text[7] != ' ' ||
        text[11] != ' ' || text[16] != ' ' || strcmp(text + 25, " GMT") != 0 ||
        !clock_at(text + 17, &tm))
        return false;
    for (int i = 0; i < 12; i++)
        if (strncmp(text + 8, months + 3 * (ptrdiff_t)i, 3) == 0)
            tm.tm_mon = i;
    tm.tm_mday = number_at(text + 5, 2);
    tm.tm_year = number_at(text + 12, 4) - 1900;
    return time_make(&tm, out);
}

/* "2013-05-24T00:00:00Z" */
static bool iso_date(const char *text, time_t *out)
{
    struct tm tm = {0};
    if (strlen(text) < 19 || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
        !clock_at(text + 11, &tm))
        return false;
    tm.tm_year = number_at(text, 4) - 1900;
    tm.tm_mon = number_at(text + 5, 2) - 1;
    tm.tm_mday = number_at(text + 8, 2);
    return time_make(&tm, out);
}

static void skew_mend(char out[static MEND_SIZE], const struct http_response *response,
                      const struct xml_error *document, time_t now)
{
    const char *date = http_response_header(response, "date", NULL);
    time_t theirs;
    if (!iso_date(document->server_time, &theirs) && !(date && http_date(date, &theirs))) {
        snprintf(out, MEND_SIZE, "set this machine's clock");
        return;
    }
    long long seconds = (long long)now - (long long)theirs;
    snprintf(out, MEND_SIZE, "this machine's clock is %lld seconds %s the store's: set it",
             llabs(seconds), seconds < 0 ? "behind" : "ahead of");
}

static const char *known_mend(const char *code, int status)
{
    for (size_t i = 0; i < sizeof code_mends / sizeof *code_mends; i++)
        if (strcmp(code, code_mends[i].code) == 0)
            return code_mends[i].mend;
    for (size_t i = 0; i < sizeof status_mends / sizeof *status_mends; i++)
        if (status == status_mends[i].status && (!*code || status >= 500))
            return status_mends[i].mend;
    return NULL;
}

/* S3 tells the right region with redirects and with a scope of the wrong region. */
static bool is_about_region(const char *code, int status)
{
    return (status >= 300 && status < 400) || strcmp(code, "AuthorizationHeaderMalformed") == 0 ||
           (status == 400 && !*code);
}

static void mend_find(char out[static MEND_SIZE], const struct http_response *response,
                      const struct xml_error *document, time_t now)
{
    int status = http_response_status(response);
    const char *region = http_response_header(response, "x-amz-bucket-region", NULL);
    const char *location = http_response_header(response, "location", NULL);
    const char *known = known_mend(document->code, status);
    if (!region || !*region)
        region = document->region;
    if (is_about_region(document->code, status) && *region)
        snprintf(out, MEND_SIZE, "the bucket is in the region '%.64s': give --region %.64s", region,
                 region);
    else if (status >= 300 && status < 400)
        snprintf(out, MEND_SIZE,
                 "redirects are not followed%s%.160s: give the right "
                 "--endpoint-url or --region",
                 location ? ", here to " : "", location ? location : "");
    else if (strcmp(document->code, "RequestTimeTooSkewed") == 0)
        skew_mend(out, response, document, now);
    else
        snprintf(out, MEND_SIZE, "%s", known ? known : "");
    make_printable(out);
}

/* ": MESSAGE" of the document, or what else the body is. */
static void message_add(struct buf *text, const struct http_response *response,
                        const struct xml_error *document)
{
    const struct buf *body = http_response_body(response);
    const char *type = http_response_header(response, "content-type", NULL);
    char snippet[SNIPPET_SIZE], type_text[64];
    if (*document->code) {
        buf_addf(text, " %s", document->code);
        if (*document->message)
            buf_addf(text, ": %s", document->message);
        return;
    }
    printable(snippet, sizeof snippet, body->data, body->len);
    if (!*snippet)
        return;
    printable(type_text, sizeof type_text, type ? type : "", type ? strlen(type) : 0);
    buf_addf(text, " and a body that is no error document of S3 (%s): \"%s\"",
             *type_text ? type_text : "no content type", snippet);
}

static void request_id_add(struct buf *text, const struct http_response *response,
                           const struct xml_error *document)
{
    char id[XML_TEXT_SIZE];
    const char *value = document->request_id;
    if (!*value)
        value = http_response_header(response, "x-amz-request-id", NULL);
    if (!value || !*value)
        value = http_response_header(response, "x-trans-id", NULL); /* Swift's own */
    if (!value || !*value)
        return;
    printable(id, sizeof id, value, strlen(value));
    buf_addf(text, " (request id %s)", id);
}

static int refusal_errno(int status)
{
    if (status == 401 || status == 403)
        return EACCES;
    return status == 404 ? ENOENT : EREMOTEIO;
}

int s3_refusal(const struct http_response *response, const char *what, time_t now, struct err *e)
{
    const struct buf *body = http_response_body(response);
    int status = http_response_status(response);
    struct xml_error document;
    char mend[MEND_SIZE];
    struct buf text;
    int found = xml_error_parse(&document, body->data, body->len);
    if (found > 0) {
        make_printable(document.code);
        make_printable(document.message);
    }
    buf_init(&text, 4 * ERR_TEXT_BYTES);
    buf_addf(&text, "%d", status);
    message_add(&text, response, &document);
    request_id_add(&text, response, &document);
    int ret;
    if (found < 0 || text.out_of_memory) {
        ret =
            err_set(e, ERR_ENV, ENOMEM, "%s: refused with %d; no memory to read why", what, status);
    } else if (is_mismatch(document.code)) {
        ret = err_set(e, ERR_INTEGRITY, EBADMSG,
                      "%s: the store received other bytes than were hashed, and refused them with "
                      "%s; nothing was stored: try again",
                      what, text.data);
    } else {
        mend_find(mend, response, &document, now);
        ret = err_set(e, ERR_STORE, refusal_errno(status), "%s: refused with %s%s%s", what,
                      text.data, *mend ? "; " : "", mend);
    }
    buf_free(&text);
    return ret;
}
