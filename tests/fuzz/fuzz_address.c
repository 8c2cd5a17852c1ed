/* SPDX-License-Identifier: Apache-2.0 */
/* s3:// addresses: line by line s3://BUCKET/KEY, the file's path, the region, the endpoint. The
 * path that is sent, decoded, is bucket and key again. */
#include "fuzz.h"
#include "s3/address.h"

enum { S3_URI, FILE_PATH, REGION, ENDPOINT, PARTS };

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3986, 2.1; only characters that need no coding may stand for themselves. */
static void decode(struct buf *out, const char *path)
{
    for (const char *p = path; *p; p++) {
        if (*p == '%') {
            MUST(hex_value(p[1]) >= 0 && hex_value(p[2]) >= 0);
            buf_add(out, (char[]){(char)(hex_value(p[1]) * 16 + hex_value(p[2]))}, 1);
            p += 2;
            continue;
        }
        MUST((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
             strchr("-._~/", *p));
        buf_add(out, p, 1);
    }
}

static void check_object(const struct s3_object *o)
{
    size_t bucket_bytes = strnlen(o->bucket, S3_BUCKET_SIZE);
    MUST(bucket_bytes >= 3 && bucket_bytes < S3_BUCKET_SIZE);
    MUST(*o->key && strnlen(o->key, S3_KEY_SIZE) < S3_KEY_SIZE);
    struct buf slashes; /* so that a component is "/x/" wherever it stands */
    buf_init(&slashes, 2048);
    buf_addf(&slashes, "/%s/", o->key);
    MUST(!strstr(slashes.data, "/../") && !strstr(slashes.data, "/./"));
    buf_free(&slashes);
}

static void check_address(const struct s3_address *a, const struct s3_object *o, bool may_be_path)
{
    struct buf decoded, in_path, in_host;
    buf_init(&decoded, 4096);
    buf_init(&in_path, 4096);
    buf_init(&in_host, 4096);
    decode(&decoded, a->path.data);
    buf_addf(&in_path, "%s/%s/%s", a->endpoint.path, o->bucket, o->key);
    buf_addf(&in_host, "%s/%s", a->endpoint.path, o->key);
    MUST(!decoded.failed && !in_path.failed && !in_host.failed);
    bool is_in_host = strncmp(a->endpoint.host, o->bucket, strlen(o->bucket)) == 0 &&
                      a->endpoint.host[strlen(o->bucket)] == '.';
    bool is_path = may_be_path && strcmp(decoded.data, in_path.data) == 0;
    MUST(is_path || (is_in_host && strcmp(decoded.data, in_host.data) == 0));
    MUST(fuzz_is_harmless(a->host_header.data) && !strpbrk(a->host_header.data, " /@"));
    MUST(strlen(a->endpoint.host) < URI_HOST_SIZE);
    buf_free(&decoded);
    buf_free(&in_path);
    buf_free(&in_host);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *parts[PARTS];
    struct s3_object o;
    struct err e = {.text = ""};
    fuzz_split(data, size, true, parts, PARTS);
    int ret = s3_object_parse(&o, parts[S3_URI], *parts[FILE_PATH] ? parts[FILE_PATH] : NULL, &e);
    if (ret < 0) {
        fuzz_check_err(&e, ret);
        MUST(e.class == ERR_USAGE ||
             e.class == ERR_FILE); /* a file whose own name can't be the key */
        fuzz_free_parts(parts, PARTS);
        return 0;
    }
    check_object(&o);
    for (int style = S3_ADDRESSING_AUTO; style <= S3_ADDRESSING_VIRTUAL; style++) {
        struct s3_address a;
        ret = s3_address_make(&a, *parts[ENDPOINT] ? parts[ENDPOINT] : NULL,
                              *parts[REGION] ? parts[REGION] : NULL, (enum s3_addressing)style, &o,
                              &e);
        if (ret == 0)
            check_address(&a, &o, style != S3_ADDRESSING_VIRTUAL);
        else {
            fuzz_check_err(&e, ret);
            MUST(e.class == ERR_USAGE);
        }
        s3_address_free(&a);
    }
    fuzz_free_parts(parts, PARTS);
    return 0;
}
