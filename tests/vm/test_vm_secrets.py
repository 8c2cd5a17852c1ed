# SPDX-License-Identifier: Apache-2.0
"""No core file, whatever the kernel's settings of core files are: they are the whole machine's, so
this needs a machine of its own."""
import pytest

from kit.content import MIB
from kit.program import server_environment
from kit.proxy import Proxy

# Once for a program that may leave a core, once for ours; says what each left behind.
SCRIPT = """
set -eu
folder=$1 pattern=$2 suid_dumpable=$3
shift 3
mkdir "$folder"
cd "$folder"
cat >/tmp/keep-core <<'END'
#!/bin/sh
cat >"$1/core.$2"
END
chmod 755 /tmp/keep-core
before=$(cat /proc/sys/kernel/core_pattern) before_suid=$(cat /proc/sys/fs/suid_dumpable)
trap 'echo "$before" >/proc/sys/kernel/core_pattern
      echo "$before_suid" >/proc/sys/fs/suid_dumpable' EXIT
echo "$pattern" >/proc/sys/kernel/core_pattern
echo "$suid_dumpable" >/proc/sys/fs/suid_dumpable
ulimit -c unlimited
crash() {
    kill -ABRT "$1"
    code=0
    wait "$1" || code=$?
    sleep 0.5
    echo "exit $code, left: $(ls -A | tr '\\n' ' ')"
}
sleep 60 &
sleep 0.5
crash $!
rm -f core*
"$@" >/dev/null 2>&1 &
while [ ! -e "$folder.held" ]; do sleep 0.1; done
crash $!
"""


@pytest.mark.kernels("bookworm", "sid")
@pytest.mark.parametrize("suid_dumpable", [0, 2])
@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_no_core(vm, guest, payloads, in_guest, ceph, buckets, key, work_dir, kind, suid_dumpable):
    folder = work_dir / key
    # With suid_dumpable 2 only an absolute name or a pipe is taken (core(5)).
    pattern = {"file": f"{folder}/core.%p", "pipe": f"|/tmp/keep-core {folder} %p"}[kind]
    env = {**server_environment(ceph, "http", guest=True), "AWS_SESSION_TOKEN": "token-token"}
    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        job = vm.popen(["sh", "-c", SCRIPT, "sh", folder, pattern, str(suid_dumpable), guest.path,
                        "put", in_guest(payloads.get(8 * MIB + 1)), f"s3://{buckets(ceph)}/{key}",
                        "--endpoint-url", proxy.vm_url], env=env, timeout=180)
        assert proxy.held.wait(120)
        (work_dir / f"{key}.held").touch()
        ended = job.wait()
        proxy.release()
    assert ended.returncode == 0, ended
    other, ours = ended.stdout.splitlines()
    assert other.startswith("exit 134, left: core."), ended
    assert ours == "exit 134, left: ", ended
