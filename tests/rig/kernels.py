# SPDX-License-Identifier: Apache-2.0
"""The kernels that the tests in virtual machines run on, in that order."""
import typing


class Kernel(typing.NamedTuple):
    """setup: its name in tools/setup.sh vm-NAME. arguments: of the kernel. proof: a shell command that
    fails if the machine is not what these promise."""

    setup: str
    arguments: str
    proof: str


KERNELS = {
    "bookworm": Kernel("bookworm", "", "uname -r | grep '^6[.]1[.]'"),
    # Locked down on top of all else, so that it costs no boot of its own.
    "trixie": Kernel("trixie", "lockdown=confidentiality",
                     "grep -F '[confidentiality]' /sys/kernel/security/lockdown"),
    "sid": Kernel("sid", "", "! dmesg | grep 'Dynamic Preempt: full'"),
    "sid-full": Kernel("sid", "preempt=full", "dmesg | grep 'Dynamic Preempt: full'"),
    "rt": Kernel("rt", "", "uname -v | grep -w PREEMPT_RT"),
}

if __name__ == "__main__":
    print(*KERNELS, sep="\n")
