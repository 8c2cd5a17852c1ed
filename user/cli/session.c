/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/caps.h"
#include "base/log.h"
#include "hash/encode.h"
#include "net/tls.h"

static void session_tell_engine(const struct session *s)
{
    struct tap_engine_info info;
    char tag[2 * sizeof info.program_tag + 1];
    tap_engine_get_info(s->engine, &info);
    encode_hex(info.program_tag, sizeof info.program_tag, tag);
    log_step("BPF program loaded in %.1f ms (tag %s, %" PRIu32 " instructions verified), tap in %s",
             (double)info.load_ns / 1e6, tag, info.verified_insns,
             info.private_network ? "a network namespace of its own"
                                  : "the machine's own loopback");
}

int session_renew_tap(struct session *s, struct err *e)
{
    tap_close(s->tap);
    s->tap = NULL;
    int rc = tap_open(s->engine, &s->tap, e);
    return rc < 0 ? rc : tap_prove(s->tap, e);
}

int session_open(struct session *s, bool hashing, bool tls, enum sender_kind sender, struct err *e)
{
    *s = (struct session){0};
    int rc = hashing ? tap_engine_open(&s->engine, e) : 0;
    if (rc < 0)
        return rc;
    if (hashing)
        session_tell_engine(s);
    if (tls) {
        int module = tls_probe_module();
        log_step("kernel TLS: %s", module == 0         ? "available"
                                   : module == -ENOENT ? "not in this kernel"
                                                       : strerror(-module));
    }
    rc = sender_open(&s->sender, sender, TAP_WINDOW_BYTES, e);
    if (rc == 0)
        rc = caps_drop(true, e);
    /* Only now: a kernel that asks for a capability at each bpf(2) call would fail in the middle of
     * the upload otherwise (before 5.19, with kernel.unprivileged_bpf_disabled set). */
    if (rc == 0 && hashing) {
        rc = session_renew_tap(s, e);
        if (rc == 0)
            log_step("tap proven, capabilities given away");
    }
    return rc;
}

void session_close(struct session *s)
{
    sender_close(s->sender);
    tap_close(s->tap);
    tap_engine_close(s->engine);
    *s = (struct session){0};
}
