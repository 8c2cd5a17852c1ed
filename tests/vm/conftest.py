# SPDX-License-Identifier: Apache-2.0
"""Machines with Debian's kernels, which have kTLS. Each test runs on every one; each boots once.

A test that is about some of them only says so with @pytest.mark.kernels(NAME, ...). One that must see
the machine as it booted has @pytest.mark.fresh_boot. Nothing here is skipped: what can't run has
failed. Each guest's kernel log is looked at in the end.
"""
import os
import shutil

import pytest

from kit.content import BORDERS, MIB
from kit.guest import GuestProgram
from rig.kernels import KERNELS
from rig.vm import Vm

SIZES = [0, *BORDERS, 8 * MIB + 1, 64 * MIB]

# A real file system under the page cache, and not the 9p share.
PREPARE = """
set -e
cut -d' ' -f1 /proc/modules >"$1/modules-at-boot"
mount -t securityfs securityfs /sys/kernel/security
modprobe loop
truncate -s 400M /tmp/disk
mkfs.ext4 -q -F /tmp/disk
mkdir /mnt/files
mount -o loop /tmp/disk /mnt/files
cp "$1"/payloads/* /mnt/files
"""


def pytest_addoption(parser):
    parser.addoption("--kernel", choices=list(KERNELS), help="run only on this kernel")


def pytest_configure(config):
    config.addinivalue_line("markers", "kernels(name, ...): run only on these kernels")
    config.addinivalue_line("markers", "fresh_boot: run before the other tests of each boot")


def pytest_generate_tests(metafunc):
    if "vm" not in metafunc.fixturenames:
        return
    names = list(KERNELS)
    for marker in metafunc.definition.iter_markers("kernels"):
        unknown = set(marker.args) - set(KERNELS)
        if unknown or not marker.args or marker.kwargs:
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: kernels{marker.args}: there are "
                                    f"only {', '.join(KERNELS)}")
        names = [name for name in names if name in marker.args]
    metafunc.parametrize("vm", names, indirect=True, scope="session")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """One boot a kernel: pytest itself groups by the number of a parameter, and a test that runs on
    some of the kernels only counts them differently."""
    numbers = {name: number for number, name in enumerate(KERNELS)}
    only = config.getoption("--kernel", None)

    def kernel(item):
        return item.callspec.params.get("vm") if hasattr(item, "callspec") else None

    others = [item for item in items if only and kernel(item) not in (only, None)]
    config.hook.pytest_deselected(items=others)
    items[:] = sorted((item for item in items if item not in others), key=lambda item: (
        numbers.get(kernel(item), -1), item.get_closest_marker("fresh_boot") is None))


@pytest.fixture(scope="session")
def vm(request, work_dir, payloads):
    """The machine; vm.name is its kernel's name in KERNELS, and vm.number counts them."""
    for size in SIZES:
        payloads.get(size)
    kernel = KERNELS[request.param]
    with Vm(kernel.setup, append=kernel.arguments, share=work_dir) as machine:
        machine.name, machine.number = request.param, list(KERNELS).index(request.param)
        prepared = machine.run(["sh", "-c", PREPARE, "sh", work_dir], timeout=180)
        assert prepared.returncode == 0, prepared
        proven = machine.run(["sh", "-c", kernel.proof])
        assert proven.returncode == 0, f"{request.param}: {proven}\n{machine.dmesg()}"
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
