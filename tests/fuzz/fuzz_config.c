/* SPDX-License-Identifier: Apache-2.0 */
/* Settings and credentials out of both files and the environment. The input is, divided by NULs:
 * config file, credentials file, --profile, and values of environment variables in their order. */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "s3/config.h"

static const char secret[] = "TheSecretOfTheEnvironment";
static const char *const variables[] = {"AWS_PROFILE",       "AWS_ACCESS_KEY_ID",
                                        "AWS_SESSION_TOKEN", "AWS_REGION",
                                        "AWS_CA_BUNDLE",     "AWS_ENDPOINT_URL_S3",
                                        "AWS_ENDPOINT_URL",  "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"};

enum {
    CONFIG,
    CREDENTIALS,
    PROFILE,
    ENVIRONMENT,
    PARTS = ENVIRONMENT + sizeof variables / sizeof *variables
};

static char *parts[PARTS], paths[2][64];

static const char *env(const char *name)
{
    if (strcmp(name, "AWS_CONFIG_FILE") == 0)
        return paths[CONFIG];
    if (strcmp(name, "AWS_SHARED_CREDENTIALS_FILE") == 0)
        return paths[CREDENTIALS];
    if (strcmp(name, "AWS_SECRET_ACCESS_KEY") == 0)
        return *env("AWS_ACCESS_KEY_ID") ? secret : NULL;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        if (strcmp(name, variables[i]) == 0)
            return parts[ENVIRONMENT + i];
    return NULL;
}

/* A file without a name, reached through its descriptor. */
static int file_make(int which)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    size_t n = strlen(parts[which]);
    MUST(fd >= 0 && write(fd, parts[which], n) == (ssize_t)n);
    snprintf(paths[which], sizeof paths[which], "/proc/self/fd/%d", fd);
    return fd;
}

static void check_err(const struct err *e, int ret)
{
    fuzz_check_err(e, ret);
    MUST(e->class == ERR_USAGE);
    for (int i = 0; i < PARTS; i++) /* unless the input itself put it where names are */
        if (strstr(parts[i], secret))
            return;
    MUST(!strstr(e->text, secret));
}

static bool is_visible(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

static void check_credentials(const struct config *config)
{
    struct credentials c;
    struct err e = {.text = ""};
    int ret = credentials_load(config, env, &c, &e);
    if (ret < 0)
        check_err(&e, ret);
    else {
        MUST(c.provider && *c.access_key_id && *c.secret_access_key);
        MUST(is_visible(c.access_key_id) && is_visible(c.secret_access_key));
        MUST(!c.session_token || (*c.session_token && is_visible(c.session_token)));
    }
    credentials_free(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_split(data, size, false, parts, PARTS);
    int fds[] = {file_make(CONFIG), file_make(CREDENTIALS)};
    struct config_options options = {.profile = *parts[PROFILE] ? parts[PROFILE] : NULL};
    struct config config;
    struct err e = {.text = ""};
    int ret = config_load(&config, &options, env, &e);
    if (ret < 0)
        check_err(&e, ret);
    else {
        MUST(*config.profile && strcmp(config.config_path, paths[CONFIG]) == 0);
        MUST(!config.region || (*config.region && strlen(config.region) < 64));
        MUST(!config.region || !strpbrk(config.region, "/ \t\r\n"));
        MUST(!config.endpoint_url || *config.endpoint_url);
        MUST(!config.ca_bundle || *config.ca_bundle);
        check_credentials(&config);
    }
    config_free(&config);
    close(fds[0]);
    close(fds[1]);
    fuzz_free_parts(parts, PARTS);
    return 0;
}
