/* SPDX-License-Identifier: Apache-2.0 */
/* Which host and which path a bucket and a key have. */
#ifndef S3_KTLS_S3_ADDRESS_H
#define S3_KTLS_S3_ADDRESS_H

#include "base/buf.h"
#include "base/err.h"
#include "http/uri.h"

enum {
    S3_BUCKET_SIZE = 256, /* 63 at AWS, up to 255 in older stores, and the NUL */
    S3_KEY_SIZE = 1025,   /* 1,024 bytes of UTF-8, and the NUL */
};

enum s3_addressing {
    S3_ADDRESSING_AUTO, /* virtual-hosted for AWS, path-style for an endpoint of one's own */
    S3_ADDRESSING_PATH,
    S3_ADDRESSING_VIRTUAL,
};

struct s3_object {
    char bucket[S3_BUCKET_SIZE];
    char key[S3_KEY_SIZE];
};

/* s3://BUCKET/KEY; a key that ends in '/', or none, gets the last component of file_path (which
 * must then have one). Bucket: 3 to 255 of letters, digits, '.', '-', '_'. Key: valid UTF-8, no
 * NUL, at most 1,024 bytes, no '.' or '..' component (clients and proxies fold them, and the
 * signature would not hold). ERR_USAGE; ERR_FILE where the file's name is no UTF-8. */
int s3_object_parse(struct s3_object *out, const char *s3_uri, const char *file_path,
                    struct err *e);
/* The same checks for a bucket and a key given apart. */
int s3_object_set(struct s3_object *out, const char *bucket, const char *key, struct err *e);

struct s3_address {
    struct uri_endpoint endpoint; /* host to connect to: with the bucket in front if virtual */
    struct buf host_header;
    struct buf path; /* percent-coded once, "/bucket/key" or "/key", behind the endpoint's path */
};

/*
 * endpoint_url NULL: AWS, https://s3.REGION.amazonaws.com (amazonaws.com.cn for cn- regions).
 * Virtual-hosted at AWS, but path-style there for buckets with a dot (the certificate's * covers
 * one label) or with characters that no host name has; asked for by name, virtual hosting of such a
 * bucket is ERR_USAGE, and so is virtual hosting on an IP address.
 */
int s3_address_make(struct s3_address *out, const char *endpoint_url, const char *region,
                    enum s3_addressing addressing, const struct s3_object *object, struct err *e);
void s3_address_free(struct s3_address *address);

#endif
