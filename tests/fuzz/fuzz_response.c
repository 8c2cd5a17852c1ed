/* SPDX-License-Identifier: Apache-2.0 */
/* An answer as it comes from the network: whole, byte by byte and in pieces it must mean the same.
 * The sizes of the pieces are the input's own bytes. */
#include <errno.h>

#include "fuzz.h"
#include "http/response.h"

enum cut { WHOLE, BYTEWISE, PIECES };

static size_t piece_bytes(enum cut cut, const uint8_t *data, size_t size, size_t turn)
{
    if (cut == WHOLE)
        return size;
    return cut == BYTEWISE ? 1 : 1 + data[turn * 7 % size] % 48;
}

static void check(const struct http_response *r, int ret, const struct err *e)
{
    fuzz_check_buf(http_response_body(r));
    MUST(http_response_body(r)->len <= HTTP_BODY_KEPT_MAX);
    MUST(!http_response_keeps_alive(r) || http_response_is_done(r));
    MUST(!http_response_is_done(r) || http_response_has_head(r));
    if (http_response_has_head(r))
        MUST(http_response_status(r) >= 200 && http_response_status(r) <= 599);
    if (ret == 0)
        return;
    MUST(ret == -EPROTO && e->class == ERR_NET);
    MUST(!http_response_is_done(r));
    fuzz_check_err(e, ret);
}

static struct http_response *parse(const uint8_t *data, size_t size, bool to_head, enum cut cut,
                                   size_t *used_all, struct err *e, int *ret)
{
    struct http_response *r;
    MUST(http_response_open(&r) == 0);
    http_response_begin(r, to_head);
    *used_all = 0;
    *ret = 0;
    for (size_t turn = 0; *used_all < size && *ret == 0 && !http_response_is_done(r); turn++) {
        size_t n = piece_bytes(cut, data, size, turn), used = SIZE_MAX;
        if (n > size - *used_all)
            n = size - *used_all;
        uint8_t *piece = malloc(n); /* of its own, so that ASan sees a read beyond it */
        MUST(piece);
        memcpy(piece, data + *used_all, n);
        *ret = http_response_feed(r, piece, n, &used, e);
        free(piece);
        MUST(used <= n);
        MUST(*ret < 0 || used == n || http_response_is_done(r));
        *used_all += used;
    }
    check(r, *ret, e);
    return r;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void compare(const struct http_response *a, const struct http_response *b)
{
    static const char *const names[] = {"content-length", "etag", "date", "x-amz-request-id",
                                        "x-amz-checksum-sha256"};
    MUST(http_response_is_done(a) == http_response_is_done(b));
    MUST(http_response_has_head(a) == http_response_has_head(b));
    MUST(http_response_has_begun(a) == http_response_has_begun(b));
    MUST(http_response_keeps_alive(a) == http_response_keeps_alive(b));
    MUST(http_response_interim(a) == http_response_interim(b));
    MUST(http_response_status(a) == http_response_status(b));
    const struct buf *x = http_response_body(a), *y = http_response_body(b);
    MUST(x->len == y->len && memcmp(x->data, y->data, x->len) == 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        bool x_differs, y_differs;
        MUST(same_text(http_response_header(a, names[i], &x_differs),
                       http_response_header(b, names[i], &y_differs)));
        MUST(x_differs == y_differs);
    }
}

static void run(const uint8_t *data, size_t size, bool to_head)
{
    struct http_response *r[3];
    struct err e[3];
    size_t used[3];
    int ret[3];
    for (int cut = WHOLE; cut <= PIECES; cut++) {
        e[cut] = (struct err){.text = ""};
        r[cut] = parse(data, size, to_head, (enum cut)cut, &used[cut], &e[cut], &ret[cut]);
    }
    for (int cut = BYTEWISE; cut <= PIECES; cut++) {
        MUST(ret[cut] == ret[WHOLE] && used[cut] == used[WHOLE]);
        MUST(strcmp(e[cut].text, e[WHOLE].text) == 0);
        compare(r[cut], r[WHOLE]);
    }
    for (int cut = WHOLE; cut <= PIECES; cut++) {
        ret[cut] = http_response_feed_eof(r[cut], &e[cut]);
        check(r[cut], ret[cut], &e[cut]);
        MUST(ret[cut] == ret[WHOLE] && (ret[cut] < 0) == !http_response_is_done(r[cut]));
        compare(r[cut], r[WHOLE]);
    }
    for (int cut = WHOLE; cut <= PIECES; cut++) {
        /* The next answer on the connection knows nothing of this one. */
        http_response_begin(r[cut], false);
        MUST(!http_response_has_begun(r[cut]) && !http_response_header(r[cut], "date", NULL));
        http_response_close(r[cut]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run(data, size, false);
    run(data, size, true);
    return 0;
}
