/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/caps.h"
#include "base/kernel.h"
#include "base/secret.h"
#include "cli/doctor_nic.h"
#include "cli/report.h"
#include "hash/tap.h"
#include "net/conn.h"
#include "net/sender.h"
#include "net/tls.h"
#include "s3/address.h"
#include "s3/config.h"

enum fact {
    FACT_OK,
    FACT_INFO,    /* neither good nor bad */
    FACT_REDUCED, /* uploads work without it, in the way that is told */
    FACT_MISSING, /* uploads do not work without it */
};

struct doctor {
    const struct options *options;
    int cancel_fd;
    char missing[256]; /* names of what an upload does not work without */
    struct tap_engine *engine;
    struct config config;
};

static void doctor_say(struct doctor *d, enum fact fact, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void doctor_say(struct doctor *d, enum fact fact, const char *name, const char *fmt, ...)
{
    static const char *const words[] = {"ok", "info", "missing", "missing"};
    printf("%-7s  %-14s  ", words[fact], name);
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    if (fact == FACT_MISSING) {
        size_t used = strlen(d->missing);
        snprintf(d->missing + used, sizeof d->missing - used, "%s%s", used ? ", " : "", name);
    }
}

static void doctor_check_kernel(struct doctor *d)
{
    char release[KERNEL_RELEASE_SIZE];
    bool new_enough = kernel_is_new_enough(release);
    doctor_say(d, new_enough ? FACT_OK : FACT_MISSING, "kernel",
               "Linux %s; BPF hashing needs %d.%d or newer%s", release, KERNEL_MAJOR_MIN,
               KERNEL_MINOR_MIN, new_enough ? "" : ": boot a newer kernel, or use --hash none");

    char lockdown[64] = "";
    FILE *f = fopen("/sys/kernel/security/lockdown", "re");
    if (f) {
        if (!fgets(lockdown, sizeof lockdown, f))
            lockdown[0] = 0;
        fclose(f);
    }
    lockdown[strcspn(lockdown, "\n")] = 0;
    doctor_say(d, FACT_INFO, "lockdown", "%s; the tap works in every mode",
               lockdown[0] ? lockdown : "not told by this kernel (securityfs is not mounted)");
}

static void doctor_check_engine(struct doctor *d)
{
    char missing[CAPS_NAMES_SIZE];
    caps_missing(missing);
    if (missing[0])
        doctor_say(d, FACT_MISSING, "capabilities",
                   "no %s; run as root, or: setcap cap_bpf,cap_net_admin,cap_perfmon+ep on the "
                   "binary",
                   missing);
    else
        doctor_say(d, FACT_OK, "capabilities", "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON are held");

    struct err e;
    if (tap_engine_open(&d->engine, &e) < 0) {
        doctor_say(d, FACT_MISSING, "bpf", "%s", e.text);
        return;
    }
    struct tap_engine_info info;
    tap_engine_get_info(d->engine, &info);
    doctor_say(d, FACT_OK, "bpf",
               "loads and attaches in %.1f ms, %" PRIu32 " instructions verified",
               (double)info.load_ns / 1e6, info.verified_insns);
    doctor_say(d, FACT_INFO, "tap network", "%s",
               info.private_network
                   ? "a network namespace of its own: only root can see the plaintext hop"
                   : "the machine's own loopback, where root can see the plaintext hop "
                     "(CAP_SYS_ADMIN would give it a network namespace of its own)");
}

/* Without capabilities, as an upload uses it. */
static void doctor_check_tap(struct doctor *d)
{
    struct err e;
    struct tap *tap = NULL;
    if (!d->engine)
        return;
    if (tap_open(d->engine, &tap, &e) < 0 || tap_prove(tap, &e) < 0)
        doctor_say(d, FACT_MISSING, "tap", "%s", e.text);
    else
        doctor_say(d, FACT_OK, "tap", "proven: known bytes through a real tap, right digest");
    tap_close(tap);
}

static void doctor_check_ktls(struct doctor *d, int module)
{
    if (module == 0)
        doctor_say(d, FACT_OK, "tls module", "the kernel has it");
    else
        doctor_say(d, FACT_REDUCED, "tls module",
                   "%s; modprobe tls as root (kernel option CONFIG_TLS). Without it OpenSSL "
                   "encrypts in the program",
                   module == -ENOENT ? "not in this kernel, and not loaded by itself"
                                     : strerror(-module));

    struct err e;
    struct tls_self_test test;
    if (tls_self_test_run(&test, &e) < 0)
        doctor_say(d, FACT_REDUCED, "kTLS", "the handshake over loopback failed: %s", e.text);
    else if (test.ktls_send)
        doctor_say(d, FACT_OK, "kTLS", "used by a real handshake over loopback (%s %s)",
                   test.version, test.cipher);
    else
        doctor_say(d, FACT_REDUCED, "kTLS",
                   "not used by a real handshake over loopback (%s %s): OpenSSL encrypts in the "
                   "program, uploads still work and say so; see tls module",
                   test.version, test.cipher);

    struct doctor_nic nic;
    doctor_nic_read(&nic);
    if (nic.offload[0])
        doctor_say(d, FACT_OK, "NIC offload", "TLS transmission can be offloaded by %s",
                   nic.offload);
    else
        doctor_say(d, FACT_INFO, "NIC offload",
                   "no network device here offloads TLS (ethtool: tls-hw-tx-offload); the CPU "
                   "encrypts");
    if (nic.has_statistics)
        doctor_say(d, FACT_INFO, "TLS statistics",
                   "kTLS senders since boot: %" PRIu64 " in software, %" PRIu64 " on a device",
                   nic.tx_software, nic.tx_device);
}

static void doctor_check_io_uring(struct doctor *d)
{
    struct err e;
    struct sender *sender = NULL;
    if (sender_open(&sender, SENDER_SPLICE, TAP_WINDOW_BYTES, &e) < 0)
        doctor_say(d, FACT_REDUCED, "io_uring", "%s; --sender splice does not work, sendfile does",
                   e.text);
    else
        doctor_say(d, FACT_OK, "io_uring", "--sender splice can be used");
    sender_close(sender);
}

static void doctor_check_credentials(struct doctor *d)
{
    if (d->options->no_sign_request) {
        doctor_say(d, FACT_INFO, "credentials", "not used (--no-sign-request)");
        return;
    }
    struct err e;
    struct credentials credentials = {0};
    if (credentials_load(&d->config, config_getenv, &credentials, &e) < 0) {
        doctor_say(d, FACT_MISSING, "credentials", "%s", e.text);
        return;
    }
    char tail[9];
    secret_tail(credentials.access_key_id, tail);
    doctor_say(d, FACT_OK, "credentials", "from the %s, key id %s%s", credentials.provider, tail,
               credentials.session_token ? ", with a session token" : "");
    credentials_free(&credentials);
}

static void doctor_check_region(struct doctor *d)
{
    if (d->config.region)
        doctor_say(d, FACT_OK, "region", "%s", d->config.region);
    else if (d->config.endpoint_url)
        doctor_say(d, FACT_INFO, "region", "none given: us-east-1, as --endpoint-url is");
    else
        doctor_say(d, FACT_MISSING, "region",
                   "none, and AWS needs one: give --region or AWS_REGION");
}

static int doctor_connect(struct doctor *d, struct tls_client **tls, struct conn **conn,
                          struct err *e)
{
    struct uri_endpoint endpoint;
    int rc = uri_parse_endpoint(&endpoint, d->config.endpoint_url, e);
    if (rc == 0 && endpoint.https)
        rc = tls_client_open(tls, d->config.ca_bundle, e);
    if (rc < 0)
        return rc;
    struct conn_options options = {.host = endpoint.host,
                                   .port = endpoint.port,
                                   .tls = *tls,
                                   .connect_timeout_ms = (int)d->options->connect_timeout_ms,
                                   .idle_timeout_ms = (int)d->options->connect_timeout_ms,
                                   .cancel_fd = d->cancel_fd};
    rc = conn_open(conn, &options, e);
    if (rc < 0)
        return rc;
    struct conn_info info;
    conn_get_info(*conn, &info);
    doctor_say(d, FACT_OK, "endpoint", "%s takes connections at %s%s%s%s%s", d->config.endpoint_url,
               info.peer, info.tls_version ? ", " : "", info.tls_version ? info.tls_version : "",
               info.tls_version ? " " : "", info.tls_version ? info.tls_cipher : "");
    return 0;
}

/* -ECANCELED, or 0. */
static int doctor_check_endpoint(struct doctor *d, struct err *e)
{
    if (!d->config.endpoint_url) {
        doctor_say(d, FACT_INFO, "endpoint", "none given (--endpoint-url); not tried");
        return 0;
    }
    struct tls_client *tls = NULL;
    struct conn *conn = NULL;
    int rc = doctor_connect(d, &tls, &conn, e);
    if (rc < 0 && rc != -ECANCELED)
        doctor_say(d, FACT_MISSING, "endpoint", "%s", e->text);
    conn_close(conn);
    tls_client_close(tls);
    return rc == -ECANCELED ? rc : 0;
}

int command_doctor(const struct options *o, int cancel_fd, struct err *e)
{
    struct doctor d = {.options = o, .cancel_fd = cancel_fd};
    struct config_options options = {.profile = o->profile,
                                     .region = o->region,
                                     .endpoint_url = o->endpoint_url,
                                     .ca_bundle = o->ca_bundle};

    doctor_check_kernel(&d);
    doctor_check_engine(&d);
    int module = tls_probe_module();
    int rc = caps_drop(true, e);
    if (rc == 0) {
        doctor_check_tap(&d);
        doctor_check_ktls(&d, module);
        doctor_check_io_uring(&d);
        rc = config_load(&d.config, &options, config_getenv, e);
    }
    if (rc == 0) {
        doctor_check_credentials(&d);
        doctor_check_region(&d);
        rc = doctor_check_endpoint(&d, e);
    }
    tap_engine_close(d.engine);
    config_free(&d.config);
    if (rc == 0)
        rc = report_flush(e);
    if (rc == 0 && d.missing[0])
        rc = err_set(e, ERR_ENV, ENOSYS, "an upload does not work here without: %s", d.missing);
    return rc;
}
