# SPDX-License-Identifier: Apache-2.0
"""What the kernel does: where the bytes go, what doctor finds, and the BPF tests on this kernel."""
import re
import shutil
import subprocess

import pytest

from kit.content import MIB
from kit.strace import Way
from rig.kernels import KERNELS
from rig.process import REPO

FRAMING_BYTES_MAX = 4096
BPF_TESTS = sorted(path.stem for path in (REPO / "tests" / "bpf").glob("test_*.c"))


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_no_payload_is_in_the_program_s_memory(guest, payloads, in_guest, ceph, buckets, key,
                                               work_dir, sender):
    """The source is never read or mapped, and what is spliced into TLS is exactly the file."""
    payload = payloads.get(8 * MIB + 1)
    trace = work_dir / f"strace-{sender}"
    result = guest.put(ceph, in_guest(payload), buckets(ceph), key, "--require-ktls", "--sender",
                       sender, prefix=["strace", "-f", "-qq", "-s", "0", "-o", trace])
    assert result.expect(0).json["sha256"] == payload.sha256
    way = Way(trace.read_text(), in_guest(payload))
    assert way.opened == 1
    assert way.touched == []
    assert way.spliced == payload.size
    if sender == "sendfile":
        assert way.fed == payload.size
    assert 0 < way.written < FRAMING_BYTES_MAX
    assert way.read < 64 * 1024


def test_doctor(vm, guest, ceph):
    result = guest.run(["doctor"], guest.environment(ceph)).expect(0)
    for name in ("kernel", "capabilities", "bpf", "tap", "tls module", "kTLS", "io_uring",
                 "credentials", "endpoint"):
        assert re.search(rf"^ok +{name}  ", result.stdout, re.M), f"{name} in\n{result}"
    assert vm.kernel_release in result.stdout
    mode = "confidentiality" if "lockdown" in KERNELS[vm.name].arguments else "none"
    assert re.search(rf"^info +lockdown  .*\[{mode}\]", result.stdout, re.M), result
    assert re.search(r"^info +TLS statistics  .*kTLS senders since boot: \d+ in software",
                     result.stdout, re.M), result


def test_the_kernel_counts_ktls_senders(vm, guest, payloads, in_guest, ceph, buckets, key):
    """The kernel's own statistics say that it encrypted."""

    def count():
        lines = vm.run(["cat", "/proc/net/tls_stat"]).stdout.splitlines()
        return dict(line.split() for line in lines)

    before = int(count()["TlsTxSw"])
    guest.put(ceph, in_guest(payloads.get(65537)), buckets(ceph), key, "--require-ktls").expect(0)
    after = count()
    assert int(after["TlsTxSw"]) == before + 1
    assert all(int(after[name]) == 0 for name in after if "Error" in name), after


def test_hash(vm, guest, in_guest, payloads):
    paths = [in_guest(payloads.get(size)) for size in (0, 1, 65537, 8 * MIB + 1)]
    expected = vm.run(["sha256sum", *paths]).stdout
    for sender in ("sendfile", "splice"):
        assert guest.run(["hash", "--sender", sender, *paths]).expect(0).stdout == expected


@pytest.fixture(scope="session")
def bpf_tests(work_dir):
    """The programs of make test-bpf, where the guest sees them."""
    subprocess.run(["make", "-s", "-C", REPO, "bpf-tests"], check=True, stdout=subprocess.DEVNULL)
    folder = work_dir / "bpf-tests"
    folder.mkdir()
    for name in BPF_TESTS:
        shutil.copy(REPO / "build" / "tests" / name, folder)
    return folder


@pytest.mark.parametrize("name", BPF_TESTS)
def test_bpf(vm, bpf_tests, name):
    result = vm.run([bpf_tests / name], timeout=300)
    output = result.stdout + result.stderr
    assert result.returncode == 0 and "PASSED" in output and "SKIPPED" not in output, output
