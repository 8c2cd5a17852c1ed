/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings as the AWS tools find them: option, then environment, then the shared config file. And
 * credentials, by a chain of providers.
 */
#ifndef S3_KTLS_S3_CONFIG_H
#define S3_KTLS_S3_CONFIG_H

#include <stdbool.h>

#include "base/err.h"

/* Where to look; a test gives its own. getenv(3)'s shape: NULL if unset. An empty value counts as
 * unset, as in the AWS tools. */
typedef const char *config_getenv_fn(const char *name);

/* The process's own environment. */
const char *config_getenv(const char *name);

struct config {
    char *profile;          /* --profile, AWS_PROFILE, "default" */
    bool profile_by_option; /* --profile: then environment credentials do not count, as in aws */
    char *region;           /* --region, AWS_REGION, AWS_DEFAULT_REGION, profile; NULL if none */
    char *endpoint_url;     /* --endpoint-url, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, profile
                               (services section's s3, then endpoint_url); NULL: AWS. Only the option
                               counts if AWS_IGNORE_CONFIGURED_ENDPOINT_URLS or the profile's
                               ignore_configured_endpoint_urls is "true" */
    char *ca_bundle;        /* --ca-bundle, AWS_CA_BUNDLE, profile's ca_bundle; NULL: system */
    char *config_path;      /* AWS_CONFIG_FILE or ~/.aws/config; NULL without a home directory */
    char *credentials_path; /* AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials; NULL likewise */
};

/* What the command line said; NULL where it said nothing. */
struct config_options {
    const char *profile, *region, *endpoint_url, *ca_bundle;
};

/*
 * A profile's settings are those of both files; where both have one, the credentials file's holds
 * (botocore merges them so). ERR_USAGE: an option that is empty, a file that can't be parsed, a
 * profile that was asked for by name (option or environment) and is in neither file, a services
 * section that is named and not there, a region with characters that no region has. ERR_ENV: no
 * memory. `config` may be given to config_free() whatever comes.
 */
int config_load(struct config *config, const struct config_options *options, config_getenv_fn *env,
                struct err *e);
void config_free(struct config *config);

/* All strings owned and wiped by credentials_free(). */
struct credentials {
    char *access_key_id;
    char *secret_access_key;
    char *session_token;  /* NULL if there is none */
    const char *provider; /* static: "environment", "shared credentials file", "config file" */
};

/*
 * One source of credentials. 0: found. -ENOENT: has none, ask the next. Another negative errno: has
 * some that are broken (half a pair, an unreadable file): `e` is filled, and the chain ends,
 * because silently using other credentials than the user meant would be worse.
 */
struct credentials_provider {
    const char *name;
    int (*load)(const struct config *config, config_getenv_fn *env, struct credentials *out,
                struct err *e);
};

/*
 * The chain: environment, shared credentials file, config file. What the AWS tools would use and
 * this program can't (assumed roles, web identity, SSO, credential_process) ends the chain where
 * they would look at it, with ERR_USAGE that names it: it must not fall through to other
 * credentials. ERR_USAGE if there are none at all; says where it looked and what to do.
 */
int credentials_load(const struct config *config, config_getenv_fn *env, struct credentials *out,
                     struct err *e);
void credentials_free(struct credentials *credentials);

/* Mask them, and an Authorization header, in a text that a store may have written: some repeat in
 * their answer what they were sent. */
void credentials_mask(const struct credentials *credentials, char *text);

#endif
