/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/address.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

enum { BUCKET_BYTES_MIN = 3, HOST_LABEL_BYTES_MAX = 63, HOST_NAME_BYTES_MAX = 253 };

static bool is_utf8(const char *s)
{
    for (const char *p = s; *p;) {
        size_t n = text_utf8_bytes(p);
        if (!n)
            return false;
        p += n;
    }
    return true;
}

static bool has_dot_component(const char *key)
{
    for (const char *p = key;; p++) {
        size_t n = strcspn(p, "/");
        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return true;
        p += n;
        if (!*p)
            return false;
    }
}

static int bucket_check(const char *bucket, size_t n, struct err *e)
{
    static const char allowed[] = LOWER "ABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS ".-_";
    if (n < BUCKET_BYTES_MIN || n >= S3_BUCKET_SIZE || strspn(bucket, allowed) < n)
        return err_set(e, ERR_USAGE, EINVAL,
                       "bucket '%.*s': must be %d to %d letters, digits, '.', '-' and '_'",
                       n < S3_BUCKET_SIZE ? (int)n : S3_BUCKET_SIZE, bucket, BUCKET_BYTES_MIN,
                       S3_BUCKET_SIZE - 1);
    return 0;
}

static int key_check(const char *key, struct err *e)
{
    if (!*key)
        return err_set(e, ERR_USAGE, EINVAL, "the object's key is empty");
    if (strlen(key) >= S3_KEY_SIZE)
        return err_set(e, ERR_USAGE, ENAMETOOLONG,
                       "the object's key is longer than %d bytes: '%.64s...'", S3_KEY_SIZE - 1,
                       key);
    if (!is_utf8(key))
        return err_set(e, ERR_USAGE, EILSEQ, "key '%s': not valid UTF-8", key);
    if (has_dot_component(key))
        return err_set(e, ERR_USAGE, EINVAL,
                       "key '%s': a component '.' or '..' in it, which clients and proxies fold",
                       key);
    return 0;
}

static int object_set(struct s3_object *out, const char *bucket, size_t bucket_bytes,
                      const char *key, struct err *e)
{
    int ret = bucket_check(bucket, bucket_bytes, e);
    if (ret == 0)
        ret = key_check(key, e);
    if (ret < 0)
        return ret;
    *out = (struct s3_object){0};
    memcpy(out->bucket, bucket, bucket_bytes);
    memcpy(out->key, key, strlen(key));
    return 0;
}

int s3_object_set(struct s3_object *out, const char *bucket, const char *key, struct err *e)
{
    return object_set(out, bucket, strlen(bucket), key, e);
}

int s3_object_parse(struct s3_object *out, const char *s3_uri, const char *file_path, struct err *e)
{
    if (strncmp(s3_uri, "s3://", 5) != 0)
        return err_set(e, ERR_USAGE, EINVAL, "'%s': must be s3://BUCKET/KEY", s3_uri);
    const char *bucket = s3_uri + 5;
    size_t bucket_bytes = strcspn(bucket, "/");
    const char *key = bucket[bucket_bytes] ? bucket + bucket_bytes + 1 : "";
    size_t key_bytes = strlen(key);
    if (key_bytes && key[key_bytes - 1] != '/')
        return object_set(out, bucket, bucket_bytes, key, e);

    const char *slash = file_path ? strrchr(file_path, '/') : NULL;
    const char *last = slash ? slash + 1 : file_path;
    if (!last || !*last)
        return err_set(e, ERR_USAGE, EINVAL, "'%s': no key, and no file name to take for it",
                       s3_uri);
    if (!is_utf8(last))
        return err_set(e, ERR_FILE, EILSEQ,
                       "the name of the file '%s' is not valid UTF-8, as keys must be: give a key, "
                       "s3://BUCKET/KEY",
                       last);
    char whole[S3_KEY_SIZE + 1]; /* one more, so that what is too long shows as that */
    snprintf(whole, sizeof whole, "%s%s", key, last);
    return object_set(out, bucket, bucket_bytes, whole, e);
}

/* Could it be one label of a host name? */
static bool is_host_label(const char *bucket)
{
    size_t n = strlen(bucket);
    return n && n <= HOST_LABEL_BYTES_MAX && strspn(bucket, LOWER DIGITS "-") == n &&
           bucket[0] != '-' && bucket[n - 1] != '-';
}

/* The forms that inet_aton(3) takes, too: their last part is a number. */
static bool is_ip_address(const struct uri_endpoint *endpoint)
{
    const char *dot = strrchr(endpoint->host, '.');
    const char *last = dot ? dot + 1 : endpoint->host;
    bool is_number = strspn(last, DIGITS) == strlen(last) || strncmp(last, "0x", 2) == 0;
    return endpoint->host_is_ipv6 || is_number;
}

static int aws_endpoint(struct uri_endpoint *out, const char *region, struct err *e)
{
    if (!region)
        return err_set(e, ERR_USAGE, EINVAL, "no region: give --region or AWS_REGION");
    if (!is_host_label(region))
        return err_set(e, ERR_USAGE, EINVAL,
                       "region '%s': is no region of AWS; for another store give --endpoint-url",
                       region);
    char url[128];
    snprintf(url, sizeof url, "https://s3.%s.amazonaws.com%s", region,
             strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return uri_parse_endpoint(out, url, e);
}

static int bucket_into_host(struct uri_endpoint *endpoint, const char *bucket, struct err *e)
{
    char host[URI_HOST_SIZE];
    if (is_ip_address(endpoint))
        return err_set(e, ERR_USAGE, EINVAL,
                       "virtual-hosted addressing needs a host name, and the endpoint has the "
                       "address %s: give --addressing-style path",
                       endpoint->host);
    if (!is_host_label(bucket))
        return err_set(e, ERR_USAGE, EINVAL,
                       "bucket '%s' cannot be part of a host name (a certificate's * covers one "
                       "label of lower-case letters, digits and '-'): give --addressing-style path",
                       bucket);
    int n = snprintf(host, sizeof host, "%s.%s", bucket, endpoint->host);
    if (n > HOST_NAME_BYTES_MAX)
        return err_set(e, ERR_USAGE, ENAMETOOLONG,
                       "bucket '%s' and the endpoint's host make a host name longer than %d "
                       "characters: give --addressing-style path",
                       bucket, HOST_NAME_BYTES_MAX);
    memcpy(endpoint->host, host, (size_t)n + 1);
    return 0;
}

int s3_address_make(struct s3_address *out, const char *endpoint_url, const char *region,
                    enum s3_addressing addressing, const struct s3_object *object, struct err *e)
{
    *out = (struct s3_address){0};
    buf_init(&out->host_header, URI_HOST_SIZE + 16);
    buf_init(&out->path, URI_PATH_SIZE + S3_BUCKET_SIZE + 3 * S3_KEY_SIZE);
    int ret = endpoint_url ? uri_parse_endpoint(&out->endpoint, endpoint_url, e)
                           : aws_endpoint(&out->endpoint, region, e);
    if (ret < 0)
        return ret;
    bool is_virtual =
        addressing == S3_ADDRESSING_VIRTUAL ||
        (addressing == S3_ADDRESSING_AUTO && !endpoint_url && is_host_label(object->bucket));
    if (is_virtual) {
        ret = bucket_into_host(&out->endpoint, object->bucket, e);
        if (ret < 0)
            return ret;
    }
    uri_host_header(&out->endpoint, &out->host_header);
    buf_add_str(&out->path, out->endpoint.path);
    if (!is_virtual)
        buf_addf(&out->path, "/%s", object->bucket);
    buf_add_str(&out->path, "/");
    uri_encode(&out->path, object->key, true);
    if (out->host_header.failed || out->path.failed)
        return err_set(e, ERR_ENV, ENOMEM, "no memory for the object's address");
    return 0;
}

void s3_address_free(struct s3_address *address)
{
    buf_free(&address->host_header);
    buf_free(&address->path);
}
