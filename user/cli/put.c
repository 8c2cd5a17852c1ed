/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/report.h"
#include "cli/session.h"
#include "net/tls.h"
#include "s3/address.h"
#include "s3/config.h"
#include "upload/transfer.h"

/* S3 API reference, PutObject: more takes a multipart upload. */
#define PUT_BYTES_MAX ((uint64_t)5 * 1024 * 1024 * 1024)

/* All that a put needs, so that one place frees it. */
struct put {
    struct config config;
    struct credentials credentials;
    struct s3_object object;
    struct s3_address address;
    struct source source;
    struct session session;
    struct tls_client *tls;
};

static int put_open_source(struct put *p, const char *path, struct err *e)
{
    int rc = source_open(&p->source, path, e);
    if (rc < 0)
        return rc;
    if (p->source.length > PUT_BYTES_MAX)
        return err_set(e, ERR_FILE, EFBIG,
                       "%s has %" PRIu64 " bytes; one PUT takes at most %" PRIu64
                       ", and multipart uploads are not part of this version",
                       p->source.name, p->source.length, PUT_BYTES_MAX);
    return 0;
}

/* Where it goes and as whom. */
static int put_configure(struct put *p, const struct options *o, struct err *e)
{
    bool seed = o->command == COMMAND_SEED;
    struct config_options options = {.profile = o->profile,
                                     .region = o->region,
                                     .endpoint_url = o->endpoint_url,
                                     .ca_bundle = o->ca_bundle};
    int rc = config_load(&p->config, &options, config_getenv, e);
    if (rc < 0)
        return rc;
    if (!o->no_sign_request) {
        rc = credentials_load(&p->config, config_getenv, &p->credentials, e);
        if (rc < 0)
            return rc;
    }
    const char *path = seed ? o->file : o->operands[0];
    if (seed)
        rc = s3_object_set(&p->object, o->bucket, strncmp(path, "./", 2) == 0 ? path + 2 : path, e);
    else
        rc = s3_object_parse(&p->object, o->operands[1], path, e);
    if (rc < 0)
        return rc;
    static const enum s3_addressing addressing[] = {
        [OPTION_ADDRESSING_AUTO] = S3_ADDRESSING_AUTO,
        [OPTION_ADDRESSING_PATH] = S3_ADDRESSING_PATH,
        [OPTION_ADDRESSING_VIRTUAL] = S3_ADDRESSING_VIRTUAL,
    };
    if (seed) { /* AWS's endpoint, whatever is configured */
        free(p->config.endpoint_url);
        p->config.endpoint_url = NULL;
    }
    return s3_address_make(&p->address, p->config.endpoint_url, p->config.region,
                           addressing[o->addressing], &p->object, e);
}

static int put_report(const struct put *p, const struct options *o,
                      const struct transfer_result *result, struct err *e)
{
    struct tap_engine_info engine_info = {0};
    if (p->session.engine)
        tap_engine_get_info(p->session.engine, &engine_info);
    /* Without a tap and without kTLS the program itself reads the file. */
    bool read = !result->hashed && result->tls_version[0] && !result->ktls_send;
    struct report report = {
        .object = &p->object,
        .result = result,
        .endpoint = p->config.endpoint_url,
        .moved_by = read ? "read" : sender_name(p->session.sender),
        .engine_info = p->session.engine ? &engine_info : NULL,
    };
    if (result->source_change[0])
        log_warning(
            "%s changed while it was sent (%s): %s, but may be a mix of the old and the new; "
            "--require-stable refuses that",
            p->source.name, result->source_change,
            result->hashed ? "the object is what the SHA-256 says"
                           : "the object has the right length");
    if (o->json)
        return report_print_json(&report, e);
    return o->quiet ? 0 : report_print_line(&report, e);
}

static int put_transfer(struct put *p, const struct options *o, int cancel_fd, struct err *e)
{
    const char *region = p->config.region ? p->config.region : "us-east-1";
    struct s3_client client = {
        .credentials = o->no_sign_request ? NULL : &p->credentials,
        .region = region,
        .user_agent = "s3-ktls/" S3_KTLS_VERSION,
    };
    bool hashing = o->hash == OPTION_HASH_BPF;
    struct transfer_plan plan = {
        .source = &p->source,
        .object = &p->object,
        .address = &p->address,
        .client = &client,
        .integrity = hashing ? S3_INTEGRITY_TRAILER : S3_INTEGRITY_NONE,
        .framing = o->framing == OPTION_FRAMING_LENGTH ? BODY_LENGTH : BODY_CHUNKED,
        .chunk_bytes = (uint64_t)o->chunk_bytes,
        .tap = p->session.tap,
        .sender = p->session.sender,
        .connection = {.tls = p->tls,
                       .connect_timeout_ms = (int)o->connect_timeout_ms,
                       .idle_timeout_ms = (int)o->timeout_ms,
                       .cancel_fd = cancel_fd},
        .require_ktls = o->require_ktls,
        .require_stable = o->require_stable,
    };
    struct transfer_result result;
    int rc = transfer_run(&plan, &result, e);
    char *of_the_store[] = {e->text, result.stored.etag, result.stored.version_id,
                            result.stored.request_id};
    for (size_t i = 0; i < sizeof of_the_store / sizeof *of_the_store; i++)
        credentials_mask(&p->credentials, of_the_store[i]);
    return rc < 0 ? rc : put_report(p, o, &result, e);
}

int command_put(const struct options *o, int cancel_fd, struct err *e)
{
    struct put p = {.source = {.fd = -1}};
    bool hashing = o->hash == OPTION_HASH_BPF;
    bool splice = o->sender == OPTION_SENDER_SPLICE || o->splice;

    int rc = put_configure(&p, o, e);
    if (rc < 0)
        goto out;
    bool https = p.address.endpoint.https;
    if (o->require_ktls && !https) {
        rc = err_set(e, ERR_USAGE, EINVAL,
                     "--require-ktls: the endpoint is http, and nothing encrypts there; use https");
        goto out;
    }
    rc = put_open_source(&p, o->command == COMMAND_SEED ? o->file : o->operands[0], e);
    if (rc < 0)
        goto out;
    log_step("%s: %" PRIu64 " bytes, to %s%s", p.source.name, p.source.length,
             p.address.host_header.data, p.address.path.data);
    if (!hashing)
        log_warning("--hash none: the store gets no checksum to verify (UNSIGNED-PAYLOAD)");
    if (!https)
        log_warning("the endpoint is http: nothing is encrypted");

    rc = session_open(&p.session, hashing, https, splice ? SENDER_SPLICE : SENDER_SENDFILE, e);
    if (rc == 0 && https)
        rc = tls_client_open(&p.tls, p.config.ca_bundle, e);
    if (rc == 0)
        rc = put_transfer(&p, o, cancel_fd, e);
out:
    tls_client_close(p.tls);
    session_close(&p.session);
    source_close(&p.source);
    s3_address_free(&p.address);
    credentials_free(&p.credentials);
    config_free(&p.config);
    return rc;
}
