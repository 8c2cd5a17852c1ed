/* SPDX-License-Identifier: Apache-2.0 */
#include "base/caps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>

static bool caps_has(cap_t caps, cap_value_t value)
{
    cap_flag_value_t flag = CAP_CLEAR;
    return cap_get_flag(caps, value, CAP_EFFECTIVE, &flag) == 0 && flag == CAP_SET;
}

void caps_missing(char out[static CAPS_NAMES_SIZE])
{
    static const struct {
        cap_value_t value;
        const char *name;
        bool sys_admin_will_do;
    } needed[] = {
        {CAP_BPF, "CAP_BPF", true},
        {CAP_NET_ADMIN, "CAP_NET_ADMIN", false},
        {CAP_PERFMON, "CAP_PERFMON", true},
    };
    out[0] = 0;
    cap_t caps = cap_get_proc();
    if (!caps)
        return;
    bool sys_admin = caps_has(caps, CAP_SYS_ADMIN);
    size_t used = 0;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (caps_has(caps, needed[i].value) || (sys_admin && needed[i].sys_admin_will_do))
            continue;
        used += (size_t)snprintf(out + used, CAPS_NAMES_SIZE - used, "%s%s", used ? ", " : "",
                                 needed[i].name);
    }
    cap_free(caps);
}

int caps_drop(bool keep_read_search, struct err *e)
{
    int rc = 0;
    cap_t caps = cap_get_proc();
    if (!caps)
        return err_sys(e, ERR_ENV, errno, "cannot read this process's capabilities");

    cap_flag_value_t read_all = CAP_CLEAR;
    cap_value_t keep = CAP_DAC_READ_SEARCH;
    if (keep_read_search)
        cap_get_flag(caps, keep, CAP_EFFECTIVE, &read_all);
    cap_clear(caps);
    if (read_all == CAP_SET) {
        cap_set_flag(caps, CAP_PERMITTED, 1, &keep, CAP_SET);
        cap_set_flag(caps, CAP_EFFECTIVE, 1, &keep, CAP_SET);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || cap_reset_ambient() < 0 ||
        cap_set_proc(caps) < 0)
        rc = err_sys(e, ERR_ENV, errno, "cannot give away capabilities");
    cap_free(caps);
    return rc;
}
