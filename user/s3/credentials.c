/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"
#include "s3/config.h"
#include "s3/profile.h"

static const char *env_get(config_getenv_fn *env, const char *name)
{
    const char *value = env(name);
    return value && *value ? value : NULL;
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_ENV, ENOMEM, "no memory for the credentials");
}

/* `where` says where they stand, the names how they are called there. */
struct origin {
    const char *where, *id_name, *secret_name, *token_name;
};

/* Both go into a header or a key; a line end that came along from a file is the usual accident,
 * and would otherwise show as a wrong signature. */
static bool is_visible(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

/* Looks at what a source has. 0: usable; -ENOENT: nothing there. */
static int pair_check(const struct origin *o, const char *id, const char *secret, const char *token,
                      struct err *e)
{
    if (!id && !secret)
        return -ENOENT;
    if (!id || !secret)
        return err_set(e, ERR_USAGE, EINVAL, "%s: %s is set and %s is not: both are needed",
                       o->where, id ? o->id_name : o->secret_name,
                       id ? o->secret_name : o->id_name);
    const char *bad = !is_visible(id)               ? o->id_name
                      : !is_visible(secret)         ? o->secret_name
                      : token && !is_visible(token) ? o->token_name
                                                    : NULL;
    if (bad)
        return err_set(e, ERR_USAGE, EINVAL,
                       "%s: %s has a space, a line end or another character that it can't have",
                       o->where, bad);
    return 0;
}

static int load_environment(const struct config *config, config_getenv_fn *env,
                            struct credentials *out, struct err *e)
{
    static const struct origin origin = {"the environment", "AWS_ACCESS_KEY_ID",
                                         "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};
    if (config->profile_by_option)
        return -ENOENT;
    const char *id = env_get(env, origin.id_name), *secret = env_get(env, origin.secret_name),
               *token = env_get(env, origin.token_name);
    int ret = pair_check(&origin, id, secret, token, e);
    if (ret < 0)
        return ret;
    out->access_key_id = secret_dup(id);
    out->secret_access_key = secret_dup(secret);
    out->session_token = secret_dup(token);
    if (!out->access_key_id || !out->secret_access_key || (token && !out->session_token))
        return no_memory(e);
    return 0;
}

static int secret_replace(char **to, const char *value)
{
    char *copy = *value ? secret_dup(value) : NULL;
    if (*value && !copy)
        return -ENOMEM;
    secret_free(*to);
    *to = copy;
    return 0;
}

static int file_entry(void *ctx, const char *key, const char *value)
{
    struct credentials *c = ctx;
    if (strcmp(key, "aws_access_key_id") == 0)
        return secret_replace(&c->access_key_id, value);
    if (strcmp(key, "aws_secret_access_key") == 0)
        return secret_replace(&c->secret_access_key, value);
    if (strcmp(key, "aws_session_token") == 0)
        return secret_replace(&c->session_token, value);
    return 0;
}

static int load_file(const char *path, enum profile_kind kind, const struct config *config,
                     struct credentials *out, struct err *e)
{
    bool found;
    int ret = profile_read(path, kind, config->profile, file_entry, out, &found, e);
    if (ret == -ENOMEM)
        return no_memory(e);
    if (ret < 0)
        return ret;
    char where[512];
    struct origin origin = {where, "aws_access_key_id", "aws_secret_access_key",
                            "aws_session_token"};
    snprintf(where, sizeof where, "profile '%s' in %s", config->profile, path ? path : "no file");
    return pair_check(&origin, out->access_key_id, out->secret_access_key, out->session_token, e);
}

static int load_credentials_file(const struct config *config, config_getenv_fn *env,
                                 struct credentials *out, struct err *e)
{
    (void)env;
    return load_file(config->credentials_path, PROFILE_IN_CREDENTIALS, config, out, e);
}

static int load_config_file(const struct config *config, config_getenv_fn *env,
                            struct credentials *out, struct err *e)
{
    (void)env;
    return load_file(config->config_path, PROFILE_IN_CONFIG, config, out, e);
}

/* A search for keys that mean a kind of credentials which is not supported. */
struct unsupported {
    const char *const *keys; /* NULL at the end */
    const char *found;
};

static int unsupported_entry(void *ctx, const char *key, const char *value)
{
    struct unsupported *u = ctx;
    for (const char *const *k = u->keys; *k; k++)
        if (*value && strcmp(key, *k) == 0)
            u->found = *k;
    return 0;
}

static int refuse(const struct config *config, const char *const *keys, struct err *e)
{
    struct unsupported u = {.keys = keys};
    bool found;
    int ret = profile_read(config->config_path, PROFILE_IN_CONFIG, config->profile,
                           unsupported_entry, &u, &found, e);
    if (ret == 0)
        ret = profile_read(config->credentials_path, PROFILE_IN_CREDENTIALS, config->profile,
                           unsupported_entry, &u, &found, e);
    if (ret < 0)
        return ret;
    if (!u.found)
        return -ENOENT;
    return err_set(e, ERR_USAGE, ENOTSUP,
                   "profile '%s' gets its credentials by %s, which is not supported here: set "
                   "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, for example "
                   "from 'aws configure export-credentials --profile %s --format env'",
                   config->profile, u.found, config->profile);
}

/* These come before the static ones in the AWS tools, so a profile that has both means these. */
static int refuse_roles(const struct config *config, config_getenv_fn *env, struct credentials *out,
                        struct err *e)
{
    static const char *const keys[] = {"role_arn",      "web_identity_token_file", "sso_session",
                                       "sso_start_url", "login_session",           NULL};
    (void)out;
    if (!config->profile_by_option && env_get(env, "AWS_WEB_IDENTITY_TOKEN_FILE"))
        return err_set(
            e, ERR_USAGE, ENOTSUP,
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, but web identity is not supported here: "
            "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or "
            "give --profile");
    return refuse(config, keys, e);
}

/* This one stands between the two files there. */
static int refuse_process(const struct config *config, config_getenv_fn *env,
                          struct credentials *out, struct err *e)
{
    static const char *const keys[] = {"credential_process", NULL};
    (void)env;
    (void)out;
    return refuse(config, keys, e);
}

static const struct credentials_provider chain[] = {
    {"environment", load_environment},
    {"assumed role, web identity, SSO", refuse_roles},
    {"shared credentials file", load_credentials_file},
    {"credential_process", refuse_process},
    {"config file", load_config_file},
};

int credentials_load(const struct config *config, config_getenv_fn *env, struct credentials *out,
                     struct err *e)
{
    *out = (struct credentials){0};
    for (size_t i = 0; i < sizeof chain / sizeof *chain; i++) {
        int ret = chain[i].load(config, env, out, e);
        if (ret == 0) {
            out->provider = chain[i].name;
            return 0;
        }
        credentials_free(out);
        if (ret != -ENOENT)
            return ret;
    }
    return err_set(e, ERR_USAGE, ENOENT,
                   "no credentials: looked %sfor profile '%s' in %s and %s; set AWS_ACCESS_KEY_ID "
                   "and AWS_SECRET_ACCESS_KEY, or give --profile or --no-sign-request (roles of "
                   "instances and containers are not supported)",
                   config->profile_by_option ? "" : "in the environment and ", config->profile,
                   config->credentials_path ? config->credentials_path : "~/.aws/credentials",
                   config->config_path ? config->config_path : "~/.aws/config");
}

void credentials_free(struct credentials *credentials)
{
    secret_free(credentials->access_key_id);
    secret_free(credentials->secret_access_key);
    secret_free(credentials->session_token);
    *credentials = (struct credentials){0};
}

/* "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=..." to its end, or the text's. */
static void mask_authorization(char *text)
{
    static const char begin[] = "AWS4-HMAC-SHA256 Credential=", last[] = "Signature=";
    for (char *at = strstr(text, begin); at; at = strstr(at, begin)) {
        char *end = strstr(at, last);
        end = end ? end + strlen(last) + strspn(end + strlen(last), "0123456789abcdef")
                  : at + strlen(at);
        memset(at, '*', (size_t)(end - at));
        at = end;
    }
}

void credentials_mask(const struct credentials *credentials, char *text)
{
    secret_mask(text, credentials->secret_access_key);
    secret_mask(text, credentials->session_token);
    mask_authorization(text);
}
