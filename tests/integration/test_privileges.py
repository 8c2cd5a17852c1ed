# SPDX-License-Identifier: Apache-2.0
"""As an ordinary user with file capabilities, and what is said where capabilities are missing."""
import os
import shutil
import subprocess
import time

import pytest

from kit.checks import assert_object, assert_result
from kit.content import MIB
from kit.program import Program
from kit.proxy import Proxy

NOBODY = 65534
CAPABILITIES = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}


@pytest.fixture(scope="module")
def setcap_program(program, work_dir):
    """What the README tells an administrator to do."""
    path = shutil.copy(program.path, work_dir / "s3-ktls-setcap")
    subprocess.run(["setcap", "cap_bpf,cap_net_admin,cap_perfmon+ep", path], check=True)
    return Program(path, program.home)


@pytest.fixture(scope="module")
def ca(ceph, work_dir):
    """The CA where every user can read it."""
    path = work_dir / "ceph-ca.pem"
    shutil.copy(ceph.ca, path)
    path.chmod(0o644)
    return str(path)


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_an_ordinary_user_with_setcap(setcap_program, payloads, ceph, ceph_bucket, key, ca, sender):
    payload = payloads.get(8 * MIB + 1)
    result = setcap_program.put(ceph, payload.path, ceph_bucket, key, "--sender", sender,
                                env={"AWS_CA_BUNDLE": ca}, **AS_NOBODY)
    assert_result(result, payload, moved_by=sender, tap_network="host")
    assert_object(ceph, ceph_bucket, key, payload)


def test_an_ordinary_user_without_any(program, payloads, ceph, ceph_bucket, key):
    result = program.put(ceph, payloads.get(1).path, ceph_bucket, key, scheme="http", **AS_NOBODY)
    result.expect(3, *CAPABILITIES, "root")
    assert result.json["error"]["class"] == "environment"
    assert ceph.head(ceph_bucket, key) is None


def test_hash_without_any(program, payloads):
    program.run(["hash", payloads.get(1).path], **AS_NOBODY).expect(3, *CAPABILITIES)


def test_without_a_hash_no_capability_is_needed(program, payloads, ceph, ceph_bucket, key, ca):
    payload = payloads.get(MIB)
    result = program.put(ceph, payload.path, ceph_bucket, key, "--hash", "none",
                         env={"AWS_CA_BUNDLE": ca}, **AS_NOBODY)
    assert result.expect(0).json["hashed_by"] == "none"
    assert ceph.get(ceph_bucket, key) == payload.data


def without(*names):
    """A command in front: root without these capabilities."""
    dropped = ",".join(f"-{name}" for name in names)
    return ["setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]


@pytest.mark.parametrize("dropped, missing", [
    (["bpf", "sys_admin"], "CAP_BPF"), (["perfmon", "sys_admin"], "CAP_PERFMON"),
    (["net_admin", "sys_admin"], "CAP_NET_ADMIN"), (["net_admin"], "CAP_NET_ADMIN")])
def test_root_without_one(program, payloads, dropped, missing):
    """Named is what is missing, not what is there. CAP_SYS_ADMIN stands for the first two."""
    result = program.run(["hash", payloads.get(1).path], prefix=without(*dropped))
    result.expect(3, missing)
    named = result.stderr.split(":")[2]
    assert [other for other in CAPABILITIES if other in named] == [missing], result


@pytest.mark.parametrize("dropped", ["bpf", "perfmon"])
def test_sys_admin_stands_for_others(program, payloads, dropped):
    result = program.run(["hash", payloads.get(1).path], prefix=without(dropped)).expect(0)
    assert result.stdout.startswith(payloads.get(1).sha256)


def test_root_without_sys_admin_uses_the_machine_s_loopback(program, payloads, ceph, ceph_bucket,
                                                            key):
    payload = payloads.get(65537)
    result = program.put(ceph, payload.path, ceph_bucket, key, scheme="http",
                         prefix=without("sys_admin"))
    assert_result(result, payload, tap_network="host")
    assert_object(ceph, ceph_bucket, key, payload)


def capabilities_of_threads(pid):
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as status:
            lines = dict(line.split(":\t", 1) for line in status.read().splitlines())
        found[thread] = {name: int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapInh",
                                                                 "CapAmb")}
    return found


def assert_no_capabilities(threads):
    """CAP_DAC_READ_SEARCH (2) may stay: backups read all files."""
    for thread, sets in threads.items():
        for name, value in sets.items():
            assert value & ~(1 << 2) == 0, f"{name} {value:x} in thread {thread}"


def test_capabilities_are_dropped_in_every_thread(program, payloads, ceph, ceph_bucket, key):
    """Before the network's first byte."""
    payload = payloads.get(64 * MIB)
    for sender in ("sendfile", "splice"):
        with Proxy(ceph.https_url, hold_at=4 * MIB) as proxy:
            running = program.popen(
                ["put", payload.path, f"s3://{ceph_bucket}/{key}", "--endpoint-url", proxy.url,
                 "--json", "--sender", sender], program.environment(ceph))
            assert proxy.held.wait(30)
            time.sleep(0.2)
            threads = capabilities_of_threads(running.pid)
            proxy.release()
            assert_result(running.wait(), payload)
        assert_no_capabilities(threads)


# The first to give its capabilities away, which is the thread that watches for signals, is late, or
# is refused it.
FIRST_DROP = r"""
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
int cap_set_proc(void *caps)
{
    static atomic_int calls;
    const char *first = getenv("FIRST_DROP");
    int (*real)(void *) = (int (*)(void *))dlsym(RTLD_NEXT, "cap_set_proc");
    if (atomic_fetch_add(&calls, 1) > 0)
        return real(caps);
    if (strcmp(first, "late") == 0) {
        sleep(3);
        return real(caps);
    }
    errno = EPERM;
    return -1;
}
"""


@pytest.mark.parametrize("first_drop", ["late", "refused"])
def test_no_thread_keeps_capabilities(program, payloads, ceph, ceph_bucket, key, tmp_path,
                                      first_drop):
    """It is waited for; and goes, where it has to keep them: then nothing else is amiss."""
    library = tmp_path / "first_drop.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, "-x", "c", "-"],
                   check=True, input=FIRST_DROP.encode())
    payload = payloads.get(64 * MIB)
    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        running = program.popen(
            ["put", payload.path, f"s3://{ceph_bucket}/{key}", "--endpoint-url", proxy.url,
             "--json"], program.environment(ceph, "http", LD_PRELOAD=str(library),
                                            FIRST_DROP=first_drop))
        assert proxy.held.wait(30)
        threads = capabilities_of_threads(running.pid)
        proxy.release()
        assert_result(running.wait(), payload)
    assert_no_capabilities(threads)


def test_secrets_cannot_be_read_by_the_user_s_other_processes(setcap_program, payloads, ceph,
                                                              ceph_bucket, key):
    """Not dumpable: no core, no ptrace, /proc belongs to root."""
    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        running = setcap_program.popen(
            ["put", payloads.get(64 * MIB).path, f"s3://{ceph_bucket}/{key}", "--endpoint-url",
             proxy.url], setcap_program.environment(ceph, "http"), **AS_NOBODY)
        assert proxy.held.wait(30)
        read = subprocess.run(["cat", f"/proc/{running.pid}/environ"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **AS_NOBODY)
        running.send_signal(15)
        running.wait(10)
        proxy.release()
    assert read.returncode != 0 and ceph.secret_key.encode() not in read.stdout
