/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/aws_chunked.h"

enum option_kind {
    KIND_FLAG,
    KIND_STRING,
    KIND_CHOICE,  /* one of the words of `arg`, divided by '|' */
    KIND_SECONDS, /* above 0, fractions allowed; stored in milliseconds */
    KIND_BYTES,   /* with K, M, G (KiB, MiB, GiB) */
};

struct option_spec {
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    unsigned commands;
    size_t offset;     /* in struct options */
    const char *arg;   /* how help names the argument */
    const char *start; /* what it is where nobody says otherwise, in the option's own syntax */
    const char *help;
};

#define AT(field) offsetof(struct options, field)
enum { STORE = COMMAND_PUT | COMMAND_DOCTOR, ALL = COMMAND_PUT | COMMAND_HASH | COMMAND_DOCTOR };

static const struct option_spec specs[] = {
    {"endpoint-url", 0, KIND_STRING, STORE, AT(endpoint_url), "URL", NULL,
     "http or https address of the store (default: AWS)"},
    {"addressing-style", 0, KIND_CHOICE, COMMAND_PUT, AT(addressing), "auto|path|virtual", "auto",
     "where the bucket stands; auto: in the host name at AWS, else in the path"},
    {"region", 0, KIND_STRING, STORE | COMMAND_SEED, AT(region), "NAME", NULL,
     "region to sign for (default: environment, profile; us-east-1 with --endpoint-url)"},
    {"profile", 0, KIND_STRING, STORE, AT(profile), "NAME", NULL,
     "profile of the shared config and credentials files"},
    {"ca-bundle", 0, KIND_STRING, STORE, AT(ca_bundle), "FILE", NULL,
     "certificates to trust instead of the system's (PEM file or directory)"},
    {"no-sign-request", 0, KIND_FLAG, STORE, AT(no_sign_request), NULL, NULL,
     "send no credentials"},
    {"sender", 0, KIND_CHOICE, COMMAND_PUT | COMMAND_HASH, AT(sender), "sendfile|splice",
     "sendfile", "what moves the file: sendfile(2), or splices of io_uring"},
    {"hash", 0, KIND_CHOICE, COMMAND_PUT, AT(hash), "bpf|none", "bpf",
     "what computes the SHA-256; none: no checksum is sent (UNSIGNED-PAYLOAD)"},
    {"framing", 0, KIND_CHOICE, COMMAND_PUT, AT(framing), "chunked|length", "chunked",
     "HTTP framing of the hashed body: Transfer-Encoding or Content-Length"},
    {"chunk-size", 0, KIND_BYTES, COMMAND_PUT, AT(chunk_bytes), "BYTES", "8M",
     "payload of one aws-chunked chunk, 8K to 16M"},
    {"require-ktls", 0, KIND_FLAG, COMMAND_PUT, AT(require_ktls), NULL, NULL,
     "fail unless the kernel encrypts"},
    {"require-stable", 0, KIND_FLAG, COMMAND_PUT, AT(require_stable), NULL, NULL,
     "refuse if size, mtime or ctime of the file moved before its end was sent"},
    {"connect-timeout", 0, KIND_SECONDS, STORE, AT(connect_timeout_ms), "SECONDS", "10",
     "for name, TCP and TLS together"},
    {"timeout", 0, KIND_SECONDS, COMMAND_PUT, AT(timeout_ms), "SECONDS", "60",
     "longest time without progress"},
    {"json", 0, KIND_FLAG, COMMAND_PUT, AT(json), NULL, NULL, "the result as one JSON object"},
    {"file", 0, KIND_STRING, COMMAND_SEED, AT(file), "FILE", NULL,
     "file to upload; its key is FILE without a leading ./"},
    {"bucket", 0, KIND_STRING, COMMAND_SEED, AT(bucket), "NAME", NULL, "bucket at AWS"},
    {"splice", 0, KIND_FLAG, COMMAND_SEED, AT(splice), NULL, NULL, "as --sender splice"},
    {"verbose", 'v', KIND_FLAG, ALL | COMMAND_SEED, AT(verbose), NULL, NULL, "tell each step"},
    {"quiet", 'q', KIND_FLAG, COMMAND_PUT | COMMAND_SEED, AT(quiet), NULL, NULL,
     "no result line (--json still gives one), no warnings"},
    {"help", 'h', KIND_FLAG, ALL | COMMAND_SEED, AT(help), NULL, NULL, "show this"},
    {"version", 0, KIND_FLAG, COMMAND_SEED, AT(version), NULL, NULL, "show the version"},
};
enum { SPEC_COUNT = sizeof specs / sizeof specs[0] };

static const struct {
    const char *word;
    enum command command;
    const char *operands;
    const char *help;
} commands[] = {
    {"put", COMMAND_PUT, "FILE s3://BUCKET/KEY",
     "upload FILE; a KEY that ends in '/', or none, takes FILE's own name"},
    {"hash", COMMAND_HASH, "FILE...", "print SHA-256 as sha256sum does, computed by the tap"},
    {"doctor", COMMAND_DOCTOR, "", "check what this machine can do, and say what to do"},
    {NULL, COMMAND_SEED, "[--splice] --file FILE --bucket NAME --region NAME",
     "upload FILE to AWS, in the short form"},
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static const char *command_word(enum command command)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].command == command && commands[i].word)
            return commands[i].word;
    return "";
}

static int option_set_choice(int *out, const struct option_spec *spec, const char *value,
                             struct err *e)
{
    int index = 0;
    size_t len = strlen(value);
    for (const char *word = spec->arg; word; index++) {
        const char *bar = strchr(word, '|');
        size_t word_len = bar ? (size_t)(bar - word) : strlen(word);
        if (word_len == len && memcmp(word, value, len) == 0) {
            *out = index;
            return 0;
        }
        word = bar ? bar + 1 : NULL;
    }
    return err_set(e, ERR_USAGE, EINVAL, "--%s takes %s, not '%s'", spec->name, spec->arg, value);
}

static int option_set_seconds(int64_t *out_ms, const struct option_spec *spec, const char *value,
                              struct err *e)
{
    enum { SECONDS_MAX = 7 * 24 * 3600 };
    char *end = NULL;
    double seconds = value[0] >= '0' && value[0] <= '9' ? strtod(value, &end) : -1;
    if (!end || *end || !(seconds >= 0.001) || seconds > SECONDS_MAX)
        return err_set(e, ERR_USAGE, EINVAL, "--%s takes seconds above 0, at most %d, not '%s'",
                       spec->name, SECONDS_MAX, value);
    *out_ms = (int64_t)(seconds * 1000);
    return 0;
}

static int option_set_bytes(int64_t *out, const struct option_spec *spec, const char *value,
                            struct err *e)
{
    static const char units[] = "KMGT";
    char *end = NULL;
    errno = 0;
    unsigned long long n = value[0] >= '0' && value[0] <= '9' ? strtoull(value, &end, 10) : 0;
    bool good = end && !errno;
    if (good && *end) {
        const char *unit = strchr(units, *end & ~0x20);
        int shift = unit && *unit ? 10 * ((int)(unit - units) + 1) : 0;
        good = shift && (!end[1] || strcmp(end + 1, "iB") == 0) && n <= (UINT64_MAX >> shift);
        if (good)
            n <<= shift;
    }
    if (!good || n > INT64_MAX)
        return err_set(e, ERR_USAGE, EINVAL,
                       "--%s takes bytes, with K, M or G for KiB, MiB or GiB, not '%s'", spec->name,
                       value);
    *out = (int64_t)n;
    return 0;
}

static int option_set(struct options *o, const struct option_spec *spec, const char *value,
                      struct err *e)
{
    void *field = (char *)o + spec->offset;
    switch (spec->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return 0;
    case KIND_STRING:
        if (!*value)
            return err_set(e, ERR_USAGE, EINVAL, "--%s is empty; it takes %s", spec->name,
                           spec->arg);
        *(const char **)field = value;
        return 0;
    case KIND_CHOICE:
        return option_set_choice(field, spec, value, e);
    case KIND_SECONDS:
        return option_set_seconds(field, spec, value, e);
    case KIND_BYTES:
        return option_set_bytes(field, spec, value, e);
    }
    return -EINVAL;
}

static int options_set_defaults(struct options *o, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < SPEC_COUNT && rc == 0; i++)
        if (specs[i].start)
            rc = option_set(o, &specs[i], specs[i].start, e);
    return rc;
}

/* The option that `arg` names: "--name", "--name=value" or "-x". */
static const struct option_spec *option_find(const char *arg, enum command command)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (!(specs[i].commands & command))
            continue;
        size_t len = strlen(specs[i].name);
        if (arg[1] == '-' && strncmp(arg + 2, specs[i].name, len) == 0 &&
            (arg[2 + len] == 0 || arg[2 + len] == '='))
            return &specs[i];
        if (arg[1] != '-' && specs[i].letter && arg[1] == specs[i].letter && !arg[2])
            return &specs[i];
    }
    return NULL;
}

static int option_fail_unknown(const char *arg, enum command command, struct err *e)
{
    int len = (int)strcspn(arg, "=");
    if (command == COMMAND_SEED)
        return err_set(
            e, ERR_USAGE, EINVAL,
            "unknown option %.*s for the form without a command, which takes --file, "
            "--bucket, --region and --splice; s3-ktls put takes more, see s3-ktls --help",
            len, arg);
    const char *meant = NULL;
    for (size_t i = 0; i < SPEC_COUNT && len > 3 && !meant; i++)
        if ((specs[i].commands & command) && strncmp(specs[i].name, arg + 2, (size_t)len - 2) == 0)
            meant = specs[i].name;
    return err_set(e, ERR_USAGE, EINVAL, "unknown option %.*s for %s%s%s; see s3-ktls %s --help",
                   len, arg, command_word(command), meant ? ", did you mean --" : "",
                   meant ? meant : "", command_word(command));
}

/* One option, with its value from the same word or the next. */
static int option_parse(struct options *o, int argc, char **argv, int *at, struct err *e)
{
    const char *arg = argv[*at];
    const struct option_spec *spec = option_find(arg, o->command);
    if (!spec)
        return option_fail_unknown(arg, o->command, e);
    const char *value = arg[1] == '-' ? strchr(arg, '=') : NULL;
    if (value)
        value++;
    if (spec->kind == KIND_FLAG && value)
        return err_set(e, ERR_USAGE, EINVAL, "--%s takes no value", spec->name);
    if (spec->kind != KIND_FLAG && !value) {
        if (*at + 1 >= argc)
            return err_set(e, ERR_USAGE, EINVAL, "--%s needs %s", spec->name, spec->arg);
        value = argv[++*at];
    }
    if (spec->offset == AT(framing))
        o->framing_given = true;
    return option_set(o, spec, value, e);
}

static int options_check(struct options *o, struct err *e)
{
    if (o->help || o->version) {
        o->help_for = o->command == COMMAND_SEED ? 0 : o->command;
        o->command = o->help ? COMMAND_HELP : COMMAND_VERSION;
        return 0;
    }
    if (o->chunk_bytes < AWS_CHUNK_BYTES_MIN || o->chunk_bytes > AWS_CHUNK_BYTES_MAX)
        return err_set(e, ERR_USAGE, EINVAL,
                       "--chunk-size is %" PRId64 " bytes; stores take %d to %d", o->chunk_bytes,
                       AWS_CHUNK_BYTES_MIN, AWS_CHUNK_BYTES_MAX);
    if (o->hash == OPTION_HASH_NONE && o->framing_given && o->framing == OPTION_FRAMING_CHUNKED)
        return err_set(e, ERR_USAGE, EINVAL,
                       "--framing chunked carries the trailer, which --hash none does not send; "
                       "leave one of them out");
    if (o->command == COMMAND_PUT && o->operand_count == 2 &&
        strncmp(o->operands[0], "s3://", 5) == 0)
        return err_set(
            e, ERR_USAGE, EINVAL,
            "the file comes first: s3-ktls put FILE s3://BUCKET/KEY (a file of that name: "
            "./%s)",
            o->operands[0]);
    if (o->command == COMMAND_PUT && o->operand_count != 2)
        return err_set(e, ERR_USAGE, EINVAL,
                       "put takes one file and one address: s3-ktls put FILE s3://BUCKET/KEY");
    if (o->command == COMMAND_HASH && o->operand_count == 0)
        return err_set(e, ERR_USAGE, EINVAL, "hash takes files: s3-ktls hash FILE...");
    if (o->command == COMMAND_DOCTOR && o->operand_count)
        return err_set(e, ERR_USAGE, EINVAL, "doctor takes no '%s'", o->operands[0]);
    if (o->command == COMMAND_SEED && o->operand_count)
        return err_set(e, ERR_USAGE, EINVAL, "unknown command '%s'; see s3-ktls --help",
                       o->operands[0]);
    if (o->command == COMMAND_SEED && !o->file && !o->bucket && !o->region && !o->splice)
        return err_set(e, ERR_USAGE, EINVAL, "no command; see s3-ktls --help");
    if (o->command == COMMAND_SEED && (!o->file || !o->bucket || !o->region))
        return err_set(e, ERR_USAGE, EINVAL,
                       "no %s; use s3-ktls put FILE s3://BUCKET/KEY, or give --file, --bucket and "
                       "--region",
                       !o->file     ? "--file"
                       : !o->bucket ? "--bucket"
                                    : "--region");
    return 0;
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
    *o = (struct options){.command = COMMAND_SEED};
    int rc = options_set_defaults(o, e);
    if (rc < 0)
        return rc;

    int first = 1;
    if (argc < 2 || strcmp(argv[1], "help") == 0) {
        o->command = argc < 2 ? COMMAND_SEED : COMMAND_HELP;
        return argc < 2 ? err_set(e, ERR_USAGE, EINVAL, "no command; see s3-ktls --help") : 0;
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (commands[i].word && strcmp(argv[1], commands[i].word) == 0) {
            o->command = commands[i].command;
            first = 2;
        }

    o->operands = argv + first;
    bool options_end = false;
    for (int at = first; at < argc && rc == 0; at++) {
        /* "-" alone is an operand, as everywhere. */
        if (options_end || argv[at][0] != '-' || !argv[at][1])
            o->operands[o->operand_count++] = argv[at];
        else if (strcmp(argv[at], "--") == 0)
            options_end = true;
        else
            rc = option_parse(o, argc, argv, &at, e);
    }
    if (rc == 0)
        rc = options_check(o, e);
    /* What comes after a mistake still says in which form it is to be told. */
    for (int at = first; at < argc && rc < 0 && strcmp(argv[at], "--") != 0; at++)
        o->json = o->json || strcmp(argv[at], "--json") == 0;
    return rc;
}

static void print_options(unsigned command)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        const struct option_spec *s = &specs[i];
        if (!(s->commands & command))
            continue;
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", s->name, s->arg ? " " : "", s->arg ? s->arg : "");
        printf("  %c%c%c %-37s %s", s->letter ? '-' : ' ', s->letter ? s->letter : ' ',
               s->letter ? ',' : ' ', left, s->help);
        if (s->start)
            printf(" (default: %s)", s->start);
        putchar('\n');
    }
}

void options_print_help(enum command command)
{
    if (!command)
        puts("s3-ktls: upload files to S3-compatible storage; the kernel encrypts, moves and "
             "hashes them.\n");
    puts("usage:");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (command && commands[i].command != command)
            continue;
        const char *word = commands[i].word ? commands[i].word : "";
        printf("  s3-ktls %s%s%s%s\n      %s\n", word, *word && *commands[i].operands ? " " : "",
               commands[i].operands, *word ? " [options]" : "", commands[i].help);
    }
    puts(command ? "\noptions:" : "\noptions (s3-ktls COMMAND --help for those of one command):");
    print_options(command ? (unsigned)command : COMMAND_PUT | COMMAND_HASH | COMMAND_SEED);
    if (!command)
        puts("\nCredentials and region come from the environment (AWS_ACCESS_KEY_ID,\n"
             "AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_PROFILE, ...) and from\n"
             "~/.aws/credentials and ~/.aws/config.\n"
             "Exit codes: 0 done, 1 usage, 2 local file, 3 environment (kernel, BPF, privileges),\n"
             "4 network or TLS, 5 the store refused, 6 integrity, 130 and 143 interrupted.");
}
