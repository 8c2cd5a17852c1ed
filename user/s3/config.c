/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "s3/profile.h"

/* What a profile says; all strings owned. */
struct settings {
    char *region, *endpoint_url, *ca_bundle, *services;
    char *services_endpoint_url;
    bool ignores_endpoint_urls;
};

static void settings_free(struct settings *s)
{
    free(s->region);
    free(s->endpoint_url);
    free(s->ca_bundle);
    free(s->services);
    free(s->services_endpoint_url);
}

static int no_memory(struct err *e)
{
    return err_set(e, ERR_ENV, ENOMEM, "no memory for the configuration");
}

const char *config_getenv(const char *name)
{
    return getenv(name);
}

static const char *env_get(config_getenv_fn *env, const char *name)
{
    const char *value = env(name);
    return value && *value ? value : NULL;
}

static int replace(char **to, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*to);
    *to = copy;
    return 0;
}

/* An empty value hides an earlier one, and is as good as none. */
static const char *or_null(const char *value)
{
    return value && *value ? value : NULL;
}

static int profile_entry(void *ctx, const char *key, const char *value)
{
    struct settings *s = ctx;
    if (strcmp(key, "region") == 0)
        return replace(&s->region, value);
    if (strcmp(key, "endpoint_url") == 0)
        return replace(&s->endpoint_url, value);
    if (strcmp(key, "ca_bundle") == 0)
        return replace(&s->ca_bundle, value);
    if (strcmp(key, "services") == 0)
        return replace(&s->services, value);
    if (strcmp(key, "ignore_configured_endpoint_urls") == 0)
        s->ignores_endpoint_urls = strcasecmp(value, "true") == 0;
    return 0;
}

static int services_entry(void *ctx, const char *key, const char *value)
{
    struct settings *s = ctx;
    return strcmp(key, "s3.endpoint_url") == 0 ? replace(&s->services_endpoint_url, value) : 0;
}

static int home_join(char **path, const char *rest, config_getenv_fn *env)
{
    const char *home = env_get(env, "HOME");
    char text[4096];
    struct passwd user, *found = NULL;
    int error = home ? 0 : getpwuid_r(getuid(), &user, text, sizeof text, &found);
    if (error == ENOMEM)
        return -ENOMEM;
    if (!error && found)
        home = or_null(found->pw_dir);
    if (!home)
        return 0; /* as good as a file that is not there */
    return asprintf(path, "%s/%s", home, rest) < 0 ? -ENOMEM : 0;
}

static int path_find(char **path, const char *variable, const char *in_home, config_getenv_fn *env)
{
    const char *value = env_get(env, variable);
    *path = NULL;
    if (!value)
        return home_join(path, in_home, env);
    if (strncmp(value, "~/", 2) == 0)
        return home_join(path, value + 2, env);
    return replace(path, value);
}

static int options_check(const struct config_options *o, struct err *e)
{
    const struct {
        const char *name, *value;
    } options[] = {{"--profile", o->profile},
                   {"--region", o->region},
                   {"--endpoint-url", o->endpoint_url},
                   {"--ca-bundle", o->ca_bundle}};
    /* "$VARIABLE" that is unset must not silently become the default. */
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].value && !*options[i].value)
            return err_set(e, ERR_USAGE, EINVAL, "%s: its value is empty", options[i].name);
    return 0;
}

static int services_load(const struct config *config, struct settings *s, struct err *e)
{
    bool found;
    int ret = profile_read(config->config_path, PROFILE_SERVICES, s->services, services_entry, s,
                           &found, e);
    if (ret == 0 && !found)
        return err_set(e, ERR_USAGE, ENOENT,
                       "profile '%s' names the services section '%s', which is not in %s",
                       config->profile, s->services,
                       config->config_path ? config->config_path : "~/.aws/config");
    return ret;
}

static int settings_load(const struct config *config, bool is_named, struct settings *s,
                         struct err *e)
{
    bool in_config, in_credentials;
    int ret = profile_read(config->config_path, PROFILE_IN_CONFIG, config->profile, profile_entry,
                           s, &in_config, e);
    if (ret == 0)
        ret = profile_read(config->credentials_path, PROFILE_IN_CREDENTIALS, config->profile,
                           profile_entry, s, &in_credentials, e);
    if (ret == 0 && is_named && !in_config && !in_credentials)
        return err_set(e, ERR_USAGE, ENOENT, "profile '%s' is neither in %s nor in %s",
                       config->profile, config->config_path ? config->config_path : "~/.aws/config",
                       config->credentials_path ? config->credentials_path : "~/.aws/credentials");
    if (ret == 0 && or_null(s->services))
        ret = services_load(config, s, e);
    return ret;
}

/* The region becomes part of a host name, and of the signature's scope, where '/' separates. */
static int region_check(const char *region, struct err *e)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-._";
    if (region && (strspn(region, allowed) != strlen(region) || strlen(region) > 63))
        return err_set(e, ERR_USAGE, EINVAL,
                       "region '%s': must be at most 63 letters, digits, '-', '.' and '_'", region);
    return 0;
}

static const char *endpoint_choose(const struct config_options *options, config_getenv_fn *env,
                                   const struct settings *s)
{
    const char *ignore = env_get(env, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    bool ignores = ignore ? strcasecmp(ignore, "true") == 0 : s->ignores_endpoint_urls;
    if (options->endpoint_url || ignores)
        return options->endpoint_url;
    const char *value = env_get(env, "AWS_ENDPOINT_URL_S3");
    value = value ? value : env_get(env, "AWS_ENDPOINT_URL");
    value = value ? value : or_null(s->services_endpoint_url);
    return value ? value : or_null(s->endpoint_url);
}

static int copy_if_set(char **to, const char *value)
{
    return value ? replace(to, value) : 0;
}

static int config_choose(struct config *config, const struct config_options *options,
                         config_getenv_fn *env, const struct settings *s, struct err *e)
{
    const char *region = options->region;
    region = region ? region : env_get(env, "AWS_REGION");
    region = region ? region : env_get(env, "AWS_DEFAULT_REGION");
    region = region ? region : or_null(s->region);
    int ret = region_check(region, e);
    if (ret < 0)
        return ret;
    const char *ca_bundle = options->ca_bundle;
    ca_bundle = ca_bundle ? ca_bundle : env_get(env, "AWS_CA_BUNDLE");
    ca_bundle = ca_bundle ? ca_bundle : or_null(s->ca_bundle);
    if (copy_if_set(&config->region, region) < 0 ||
        copy_if_set(&config->ca_bundle, ca_bundle) < 0 ||
        copy_if_set(&config->endpoint_url, endpoint_choose(options, env, s)) < 0)
        return no_memory(e);
    return 0;
}

int config_load(struct config *config, const struct config_options *options, config_getenv_fn *env,
                struct err *e)
{
    *config = (struct config){.profile_by_option = options->profile != NULL};
    struct settings s = {0};
    int ret = options_check(options, e);
    if (ret < 0)
        return ret;
    const char *name = options->profile ? options->profile : env_get(env, "AWS_PROFILE");
    if (replace(&config->profile, name ? name : "default") < 0 ||
        path_find(&config->config_path, "AWS_CONFIG_FILE", ".aws/config", env) < 0 ||
        path_find(&config->credentials_path, "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials",
                  env) < 0)
        return no_memory(e);
    /* Only memory makes the callbacks fail, and they have no `e`. */
    ret = settings_load(config, name != NULL, &s, e);
    if (ret == -ENOMEM)
        ret = no_memory(e);
    if (ret == 0)
        ret = config_choose(config, options, env, &s, e);
    settings_free(&s);
    return ret;
}

void config_free(struct config *config)
{
    free(config->profile);
    free(config->region);
    free(config->endpoint_url);
    free(config->ca_bundle);
    free(config->config_path);
    free(config->credentials_path);
    *config = (struct config){0};
}
