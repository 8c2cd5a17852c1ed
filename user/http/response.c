/* SPDX-License-Identifier: Apache-2.0 */
#include "http/response.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/field.h"

enum {
    CHUNK_LINE_BYTES_MAX = 1024, /* size and extensions */
    /* Of a chunked body with sizes, extensions and trailers: small chunks cost more text than they
     * carry, and a body of nothing but extensions must end too. */
    BODY_RAW_BYTES_MAX = 8 * HTTP_BODY_READ_MAX,
};

/* The first five read lines, and look at a line when its CRLF has come. */
enum state {
    STATE_STATUS_LINE,
    STATE_HEADER_LINE,
    STATE_CHUNK_LINE,
    STATE_CHUNK_END,
    STATE_TRAILER_LINE,
    STATE_CHUNK_DATA,
    STATE_BODY_LENGTH,
    STATE_BODY_TO_EOF,
    STATE_DONE,
    STATE_FAILED,
};

enum { NO_LENGTH = -1 };

/* Offsets into `head`, which moves while it grows. */
struct field {
    size_t name, value;
};

struct http_response {
    enum state state;
    bool to_head;
    bool has_head;
    int status, interim, interim_count;
    int minor_version;
    bool saw_close, saw_keep_alive, keeps_alive;
    bool chunked;
    int64_t content_length; /* NO_LENGTH if there is no such header */
    size_t head_bytes;
    struct buf line; /* the one being read, without its CRLF */
    bool line_saw_cr;
    struct buf head; /* names and values, each with a NUL */
    struct field fields[HTTP_HEADERS_MAX];
    size_t field_count;
    size_t trailer_count;
    uint64_t left_bytes; /* of the body or of the chunk */
    uint64_t body_bytes, body_raw_bytes;
    struct buf body;
    struct err failure;
};

int http_response_open(struct http_response **r)
{
    struct http_response *new = calloc(1, sizeof *new);
    if (!new)
        return -ENOMEM;
    buf_init(&new->line, HTTP_HEAD_BYTES_MAX);
    buf_init(&new->head, HTTP_HEAD_BYTES_MAX + 2 * HTTP_HEADERS_MAX);
    buf_init(&new->body, HTTP_BODY_KEPT_MAX);
    http_response_begin(new, false);
    *r = new;
    return 0;
}

void http_response_close(struct http_response *r)
{
    if (!r)
        return;
    buf_free(&r->line);
    buf_free(&r->head);
    buf_free(&r->body);
    free(r);
}

static void forget_head(struct http_response *r)
{
    buf_reset(&r->head);
    r->state = STATE_STATUS_LINE;
    r->status = 0;
    r->field_count = 0;
    r->head_bytes = 0;
    r->saw_close = r->saw_keep_alive = r->chunked = false;
    r->content_length = NO_LENGTH;
}

void http_response_begin(struct http_response *r, bool to_head)
{
    struct buf line = r->line, head = r->head, body = r->body;
    *r = (struct http_response){.to_head = to_head, .line = line, .head = head, .body = body};
    buf_reset(&r->line);
    buf_reset(&r->body);
    forget_head(r);
}

/* The first failure stays: what follows it cannot be understood. */
static int fail(struct http_response *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static int fail(struct http_response *r, const char *fmt, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    r->state = STATE_FAILED;
    return err_set(&r->failure, ERR_NET, EPROTO, "the store's answer is no valid HTTP: %s", why);
}

static int fail_memory(struct http_response *r)
{
    r->state = STATE_FAILED;
    return err_set(&r->failure, ERR_ENV, ENOMEM, "no memory for the store's answer");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int status_line(struct http_response *r, const char *line)
{
    /* The reason may be missing, and with it the space in front of it: some servers leave it out,
     * and it can't be read in two ways. */
    bool is_valid = strncmp(line, "HTTP/1.", 7) == 0 && (line[7] == '0' || line[7] == '1') &&
                    line[8] == ' ' && is_digit(line[9]) && is_digit(line[10]) &&
                    is_digit(line[11]) && (!line[12] || line[12] == ' ');
    if (!is_valid)
        return fail(r, "its first line is not 'HTTP/1.1 STATUS REASON'");
    r->minor_version = line[7] - '0';
    r->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (r->status < 100 || r->status > 599)
        return fail(r, "status %d is not in 100..599", r->status);
    r->state = STATE_HEADER_LINE;
    return 0;
}

static int length_apply(struct http_response *r, const char *value)
{
    int64_t bytes = field_parse_length(value);
    if (bytes < 0)
        return fail(r, "a Content-Length that is not one number");
    if (r->content_length != NO_LENGTH && r->content_length != bytes)
        return fail(r, "two Content-Lengths, %" PRId64 " and %" PRId64, r->content_length, bytes);
    r->content_length = bytes;
    return 0;
}

static int field_apply(struct http_response *r, const char *name, const char *value)
{
    if (strcasecmp(name, "content-length") == 0)
        return length_apply(r, value);
    if (strcasecmp(name, "transfer-encoding") == 0) {
        if (r->chunked || strcasecmp(value, "chunked") != 0)
            return fail(r, "a Transfer-Encoding other than 'chunked' once");
        r->chunked = true;
    }
    if (strcasecmp(name, "connection") == 0) {
        r->saw_close |= field_list_has(value, "close");
        r->saw_keep_alive |= field_list_has(value, "keep-alive");
    }
    return 0;
}

static int header_line(struct http_response *r, char *line)
{
    char *value;
    const char *wrong = field_split(line, &value);
    if (wrong)
        return fail(r, "%s", wrong);
    if (r->field_count == HTTP_HEADERS_MAX)
        return fail(r, "more than %d headers", HTTP_HEADERS_MAX);
    struct field *field = &r->fields[r->field_count++];
    field->name = r->head.len;
    buf_add(&r->head, line, strlen(line) + 1);
    field->value = r->head.len;
    buf_add(&r->head, value, strlen(value) + 1);
    if (r->head.failed) /* its ceiling is above that of the bytes it is made of */
        return fail_memory(r);
    return field_apply(r, line, value);
}

/* RFC 9112, 6.3, in its order. */
static int head_end(struct http_response *r)
{
    if (r->chunked && r->content_length != NO_LENGTH)
        return fail(r, "Content-Length and Transfer-Encoding at once");
    if (r->chunked && r->minor_version == 0)
        return fail(r, "Transfer-Encoding in HTTP/1.0");
    bool announces_body = r->chunked || r->content_length > 0;
    if (r->status < 200) {
        if (r->status == 101)
            return fail(r, "101 Switching Protocols, which nobody asked for");
        if (announces_body)
            return fail(r, "an interim response (%d) with a body", r->status);
        if (++r->interim_count > HTTP_INTERIM_MAX)
            return fail(r, "more than %d interim responses", HTTP_INTERIM_MAX);
        r->interim = r->status;
        forget_head(r);
        return 0;
    }
    r->has_head = true;
    r->keeps_alive = !r->saw_close && (r->minor_version == 1 || r->saw_keep_alive);
    if (r->to_head || r->status == 204 || r->status == 304) {
        /* A 204 that announces a body may be followed by one: nothing more is read here. */
        if (r->status == 204 && announces_body)
            r->keeps_alive = false;
        r->state = STATE_DONE;
    } else if (r->chunked) {
        r->state = STATE_CHUNK_LINE;
    } else if (r->content_length == NO_LENGTH) {
        r->keeps_alive = false;
        r->state = STATE_BODY_TO_EOF;
    } else if (r->content_length > HTTP_BODY_READ_MAX) {
        return fail(r, "a body of %" PRId64 " bytes with status %d (at most %d are read)",
                    r->content_length, r->status, HTTP_BODY_READ_MAX);
    } else {
        r->left_bytes = (uint64_t)r->content_length;
        r->state = r->left_bytes ? STATE_BODY_LENGTH : STATE_DONE;
    }
    return 0;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int chunk_line(struct http_response *r, const char *line)
{
    uint64_t bytes = 0;
    const char *p = line;
    for (; hex_value(*p) >= 0; p++) {
        bytes = bytes * 16 + (uint64_t)hex_value(*p);
        if (bytes > HTTP_BODY_READ_MAX - r->body_bytes)
            return fail(r, "a body longer than %d bytes", HTTP_BODY_READ_MAX);
    }
    size_t digits = (size_t)(p - line);
    size_t blanks = strspn(p, " \t");
    if (!digits || (p[blanks] && p[blanks] != ';') || (blanks && !p[blanks]))
        return fail(r, "a chunk size that is no hexadecimal number");
    r->left_bytes = bytes;
    r->state = bytes ? STATE_CHUNK_DATA : STATE_TRAILER_LINE;
    return 0;
}

static int trailer_line(struct http_response *r, char *line)
{
    char *value;
    if (!*line) {
        r->state = STATE_DONE;
        return 0;
    }
    if (++r->trailer_count > HTTP_HEADERS_MAX)
        return fail(r, "more than %d trailers", HTTP_HEADERS_MAX);
    const char *wrong = field_split(line, &value);
    return wrong ? fail(r, "%s", wrong) : 0;
}

static int line_end(struct http_response *r)
{
    char *line = r->line.data;
    switch (r->state) {
    case STATE_STATUS_LINE:
        return status_line(r, line);
    case STATE_HEADER_LINE:
        return r->line.len ? header_line(r, line) : head_end(r);
    case STATE_CHUNK_LINE:
        return chunk_line(r, line);
    case STATE_CHUNK_END:
        r->state = STATE_CHUNK_LINE;
        return 0;
    default:
        return trailer_line(r, line);
    }
}

/* Bounds of the line to which a byte is about to be added. */
static int line_check(struct http_response *r)
{
    bool is_head = r->state == STATE_STATUS_LINE || r->state == STATE_HEADER_LINE;
    if (is_head && ++r->head_bytes > HTTP_HEAD_BYTES_MAX)
        return fail(r, "a head longer than %d bytes", HTTP_HEAD_BYTES_MAX);
    if (!is_head && ++r->body_raw_bytes > BODY_RAW_BYTES_MAX)
        return fail(r, "more chunk framing than %d bytes", BODY_RAW_BYTES_MAX);
    return 0;
}

static int line_byte(struct http_response *r, char c)
{
    static const char start[] = "HTTP/1.";
    int ret = line_check(r);
    if (ret < 0)
        return ret;
    if (r->state == STATE_STATUS_LINE && r->line.len < strlen(start) && c != start[r->line.len])
        return fail(r, "it does not begin with 'HTTP/1.' (another protocol on that port?)");
    if (r->line_saw_cr) {
        if (c != '\n')
            return fail(r, "a carriage return without a line feed");
        r->line_saw_cr = false;
        ret = line_end(r);
        buf_reset(&r->line);
        return ret;
    }
    if (c == '\r') {
        r->line_saw_cr = true;
        return 0;
    }
    if (c == '\n')
        return fail(r, "a line feed without a carriage return");
    if ((unsigned char)c < 0x20 ? c != '\t' : c == 0x7f)
        return fail(r, "a control character (0x%02x) in a line", (unsigned char)c);
    if (r->state == STATE_CHUNK_END)
        return fail(r, "a chunk that is longer than its size says");
    if (r->state == STATE_CHUNK_LINE && r->line.len == CHUNK_LINE_BYTES_MAX)
        return fail(r, "a chunk size line longer than %d bytes", CHUNK_LINE_BYTES_MAX);
    buf_add(&r->line, &c, 1);
    if (!r->line.failed)
        return 0;
    return r->line.out_of_memory ? fail_memory(r)
                                 : fail(r, "a line longer than %d bytes", HTTP_HEAD_BYTES_MAX);
}

/* Takes what belongs to the body from n bytes; *used says how many that are. */
static int body_bytes(struct http_response *r, const char *bytes, size_t n, size_t *used)
{
    if (r->state != STATE_BODY_TO_EOF && n > r->left_bytes)
        n = (size_t)r->left_bytes;
    uint64_t allowed = HTTP_BODY_READ_MAX - r->body_bytes;
    bool is_too_long = n > allowed;
    if (is_too_long)
        n = (size_t)allowed;
    size_t room = HTTP_BODY_KEPT_MAX - r->body.len;
    buf_add(&r->body, bytes, n < room ? n : room);
    r->body_bytes += n;
    *used = n;
    if (r->body.failed)
        return fail_memory(r);
    if (is_too_long)
        return fail(r, "a body longer than %d bytes", HTTP_BODY_READ_MAX);
    if (r->state == STATE_BODY_TO_EOF)
        return 0;
    r->left_bytes -= n;
    if (!r->left_bytes)
        r->state = r->state == STATE_CHUNK_DATA ? STATE_CHUNK_END : STATE_DONE;
    return 0;
}

static int failure(const struct http_response *r, struct err *e)
{
    if (e)
        *e = r->failure;
    return -r->failure.errnum;
}

int http_response_feed(struct http_response *r, const void *bytes, size_t n, size_t *used,
                       struct err *e)
{
    const char *p = bytes;
    size_t done = 0;
    while (done < n && r->state != STATE_DONE && r->state != STATE_FAILED) {
        size_t taken = 1;
        if (r->state <= STATE_TRAILER_LINE)
            line_byte(r, p[done]);
        else
            body_bytes(r, p + done, n - done, &taken);
        done += taken;
    }
    *used = done;
    return r->state == STATE_FAILED ? failure(r, e) : 0;
}

int http_response_feed_eof(struct http_response *r, struct err *e)
{
    if (r->state == STATE_BODY_TO_EOF)
        r->state = STATE_DONE;
    if (r->state == STATE_DONE)
        return 0;
    if (r->state != STATE_FAILED) {
        const char *where = !http_response_has_begun(r) ? "before it answered"
                            : r->has_head               ? "in the middle of its answer's body"
                                                        : "in the middle of its answer's head";
        r->state = STATE_FAILED;
        err_set(&r->failure, ERR_NET, EPROTO, "the store closed the connection %s", where);
    }
    return failure(r, e);
}

int http_response_interim(const struct http_response *r)
{
    return r->interim;
}

bool http_response_has_head(const struct http_response *r)
{
    return r->has_head;
}

bool http_response_is_done(const struct http_response *r)
{
    return r->state == STATE_DONE;
}

bool http_response_has_begun(const struct http_response *r)
{
    return r->has_head || r->head_bytes;
}

int http_response_status(const struct http_response *r)
{
    return r->status;
}

bool http_response_keeps_alive(const struct http_response *r)
{
    return r->keeps_alive && r->state == STATE_DONE;
}

const char *http_response_header(const struct http_response *r, const char *name, bool *conflict)
{
    const char *first = NULL;
    if (conflict)
        *conflict = false;
    for (size_t i = 0; i < r->field_count; i++) {
        if (strcasecmp(r->head.data + r->fields[i].name, name) != 0)
            continue;
        const char *value = r->head.data + r->fields[i].value;
        if (!first)
            first = value;
        else if (conflict && strcmp(first, value) != 0)
            *conflict = true;
    }
    return first;
}

const struct buf *http_response_body(const struct http_response *r)
{
    return &r->body;
}
