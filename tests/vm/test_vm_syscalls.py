# SPDX-License-Identifier: Apache-2.0
"""With kTLS: the calls that set it up and that move bytes fail once, or move less than they say.
What all other calls come to is tested on the machine itself (tests/integration/test_syscalls.py)."""
import pytest

from kit.injected import OPTIONS, faults, read_trace, strace, was_hit
from kit.sites import Plan

BYTES = 65537
ACTIONS = {"error=EINTR", "error=ENOMEM", "retval=1"}


def concerns_ktls(call):
    thread, name, detail = call.site
    return thread == "main" and (
        name in ("splice", "sendto", "sendmsg") or name == "sendfile" and "memfd" not in detail
        or name == "setsockopt" and ("TLS_TX" in detail or "TCP_ULP" in detail))


@pytest.mark.kernels("bookworm", "sid")
def test_calls_that_concern_ktls_fail_once(guest, payloads, in_guest, ceph, buckets, key, work_dir):
    payload, bucket = payloads.get(BYTES), buckets(ceph)

    def run(number, *injected):
        trace = work_dir / f"trace-{key}-{number}"
        result = guest.put(ceph, in_guest(payload), bucket, f"{key}-{number}", *OPTIONS[1:],
                           prefix=strace(trace, *injected))
        stored = None
        if ceph.head(bucket, f"{key}-{number}") is not None:
            stored = ceph.get(bucket, f"{key}-{number}")
            ceph.delete(bucket, f"{key}-{number}")
        return result, read_trace(trace), stored

    result, trace, stored = run("good")
    assert result.expect(0).json["encrypted_by"] == "ktls" and stored == payload.data
    trace.calls[:] = [call for call in trace.calls if concerns_ktls(call)]
    names = {call.site[1] for call in trace.calls}
    assert {"splice", "sendfile", "setsockopt"} <= names, names
    runs = [(call, action) for call, action, _path in Plan(trace).runs if action in ACTIONS]
    assert len(runs) > 10, runs
    wrong = []
    for number, (call, action) in enumerate(runs):
        result, trace, stored = run(number, call, action)
        found = faults(result, trace, call, action, payload, stored)
        if call.site[1] == "setsockopt" and was_hit(trace, call) and result.returncode == 0 \
                and result.json["encrypted_by"] == "openssl" and "no kTLS here" not in result.stderr:
            found.append("OpenSSL encrypts, and nothing says so")
        wrong += [f"{call}, {action}: {'; '.join(found)}\n{result}"] if found else []
    print(f"{len(runs)} uploads with a failed call")
    assert not wrong, f"{len(wrong)} of {len(runs)} went wrong:\n" + "\n".join(wrong)
