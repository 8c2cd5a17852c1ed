# SPDX-License-Identifier: Apache-2.0
"""A machine with Debian bookworm's kernel, which has kTLS. It boots once.

Nothing here is skipped: what can't run has failed. The guest's kernel log is looked at in the end.
"""
import os
import shutil

import pytest

from kit.content import MIB
from kit.guest import GuestProgram
from rig.vm import Vm

SIZES = [0, 1, 65537, 8 * MIB + 1, 64 * MIB]

# A real file system under the page cache, and not the 9p share.
PREPARE = """
set -e
cut -d' ' -f1 /proc/modules >"$1/modules-at-boot"
modprobe loop
truncate -s 400M /tmp/disk
mkfs.ext4 -q -F /tmp/disk
mkdir /mnt/files
mount -o loop /tmp/disk /mnt/files
cp "$1"/payloads/* /mnt/files
"""


@pytest.fixture(scope="session")
def vm(work_dir, payloads):
    for size in SIZES:
        payloads.get(size)
    with Vm("bookworm", share=work_dir) as machine:
        prepared = machine.run(["sh", "-c", PREPARE, "sh", work_dir])
        assert prepared.returncode == 0, prepared
        yield machine
        assert machine.kernel_warnings() == []


@pytest.fixture(scope="session")
def modules_at_boot(vm, work_dir):
    return (work_dir / "modules-at-boot").read_text().split()


@pytest.fixture(scope="session")
def cas(ceph, swift, work_dir):
    """The servers' CA files, where the guest sees them."""
    return {server: shutil.copy(server.ca, work_dir / f"{server.kind}-ca.pem")
            for server in (ceph, swift)}


@pytest.fixture(scope="session")
def guest(vm, program, cas):
    return GuestProgram(vm, program.path, cas)


@pytest.fixture(scope="session")
def in_guest(vm):
    """in_guest(payload): the path of that file on the guest's own file system."""
    return lambda payload: os.path.join("/mnt/files", payload.path.name)
