/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <inttypes.h>
#include <string.h>

#include "base/caps.h"
#include "base/log.h"
#include "net/tls.h"

static int session_open_tap(struct session *s, struct err *e)
{
    int rc = tap_engine_open(&s->engine, e);
    if (rc == 0)
        rc = tap_open(s->engine, &s->tap, e);
    if (rc == 0)
        rc = tap_prove(s->tap, e);
    if (rc < 0)
        return rc;
    struct tap_engine_info info;
    tap_engine_get_info(s->engine, &info);
    log_step("BPF program loaded in %" PRId64 ".%" PRId64 " ms (%" PRIu32
             " instructions verified), tap proven, in %s",
             info.load_ns / 1000000, info.load_ns / 100000 % 10, info.verified_insns,
             info.private_network ? "a network namespace of its own"
                                  : "the machine's own loopback");
    return 0;
}

int session_open(struct session *s, bool hashing, bool tls, enum sender_kind sender, struct err *e)
{
    *s = (struct session){0};
    int rc = hashing ? session_open_tap(s, e) : 0;
    if (rc < 0)
        return rc;
    if (tls) {
        int module = tls_probe_module();
        log_step("kernel TLS: %s", module == 0 ? "available" : strerror(-module));
    }
    rc = sender_open(&s->sender, sender, TAP_WINDOW_BYTES, e);
    if (rc < 0)
        return rc;
    return caps_drop(true, e);
}

void session_close(struct session *s)
{
    sender_close(s->sender);
    tap_close(s->tap);
    tap_engine_close(s->engine);
    *s = (struct session){0};
}
