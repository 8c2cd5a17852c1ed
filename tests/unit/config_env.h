/* SPDX-License-Identifier: Apache-2.0 */
/* An environment of the test's own, and a home directory with the two shared files. */
#ifndef S3_KTLS_TESTS_CONFIG_ENV_H
#define S3_KTLS_TESTS_CONFIG_ENV_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "s3/config.h"

enum { ENV_MAX = 16 };

static char home[] = "/tmp/test_config.XXXXXX";
static const char *env_names[ENV_MAX], *env_values[ENV_MAX];
static size_t env_count;

static void env_set(const char *name, const char *value)
{
    assert_true(env_count < ENV_MAX);
    env_names[env_count] = name;
    env_values[env_count++] = value;
}

static const char *env_get(const char *name)
{
    for (size_t i = env_count; i-- > 0;)
        if (strcmp(env_names[i], name) == 0)
            return env_values[i];
    return NULL;
}

static const char *home_path(const char *name)
{
    static char path[8][128];
    static unsigned turn;
    char *p = path[turn++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", home, name);
    return p;
}

/* NULL removes it. */
static void home_write(const char *name, const char *text)
{
    const char *path = home_path(name);
    if (!text) {
        unlink(path);
        return;
    }
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* Nothing in the environment but HOME, and these two files. */
static void start(const char *config, const char *credentials)
{
    env_count = 0;
    env_set("HOME", home);
    home_write(".aws/config", config);
    home_write(".aws/credentials", credentials);
}

static int home_make(void **state)
{
    (void)state;
    return mkdtemp(home) && mkdir(home_path(".aws"), 0700) == 0 ? 0 : -1;
}

static int home_remove(void **state)
{
    (void)state;
    home_write(".aws/config", NULL);
    home_write(".aws/credentials", NULL);
    home_write("other", NULL);
    return rmdir(home_path(".aws")) == 0 && rmdir(home) == 0 ? 0 : -1;
}

static void expect_word(const struct err *e, enum err_class class, const char *word)
{
    assert_int_equal(e->class, class);
    if (!strstr(e->text, word))
        fail_msg("'%s' is not in: %s", word, e->text);
}

#endif
