/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: one table yields the parser and --help. */
#ifndef S3_KTLS_CLI_OPTIONS_H
#define S3_KTLS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum command {
    COMMAND_PUT = 1 << 0,
    COMMAND_HASH = 1 << 1,
    COMMAND_DOCTOR = 1 << 2,
    COMMAND_SEED = 1 << 3, /* s3-ktls [--splice] --file F --bucket B --region R */
    COMMAND_HELP = 1 << 4,
    COMMAND_VERSION = 1 << 5,
};

/* Choices are stored as the index of the word in the table. */
enum option_addressing {
    OPTION_ADDRESSING_AUTO,
    OPTION_ADDRESSING_PATH,
    OPTION_ADDRESSING_VIRTUAL
};
enum option_sender { OPTION_SENDER_SENDFILE, OPTION_SENDER_SPLICE };
enum option_hash { OPTION_HASH_BPF, OPTION_HASH_NONE };
enum option_framing { OPTION_FRAMING_CHUNKED, OPTION_FRAMING_LENGTH };

struct options {
    enum command command;
    enum command help_for; /* with COMMAND_HELP; 0: all */
    /* What is no option: the rest of argv, in order. */
    char **operands;
    int operand_count;

    const char *endpoint_url, *region, *profile, *ca_bundle;
    const char *file, *bucket; /* COMMAND_SEED */
    int addressing, sender, hash, framing;
    bool framing_given;
    bool splice; /* COMMAND_SEED */
    bool no_sign_request, require_ktls, require_stable, json, verbose, quiet, help, version;
    int64_t chunk_bytes;
    int64_t connect_timeout_ms, timeout_ms;
};

/*
 * Parse argv. Strings point into argv, whose operands are moved together in place. ERR_USAGE names
 * the option and what it takes.
 */
int options_parse(struct options *o, int argc, char **argv, struct err *e);

/* Print help for one command, or for all (0), on stdout. */
void options_print_help(enum command command);

#endif
