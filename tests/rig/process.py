# SPDX-License-Identifier: Apache-2.0
"""A child process that never outlives this one, and where the repository is."""
import ctypes
import pathlib
import signal
import subprocess
import threading

REPO = pathlib.Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def popen_bound(argv, **options):
    """subprocess.Popen whose child the kernel kills when this process ends, however it ends.

    The kernel ties that to the *thread* that forks, so the child is forked by a thread that does
    nothing else and lasts as long as the child.
    """
    started = threading.Event()
    result = {}

    def run():
        try:
            result["process"] = subprocess.Popen(argv, preexec_fn=_die_with_parent, **options)
        except BaseException as error:  # handed to the caller below
            result["error"] = error
            started.set()
            return
        started.set()
        result["process"].wait()

    threading.Thread(target=run, daemon=True, name=f"parent of {argv[0]}").start()
    started.wait()
    if "error" in result:
        raise result["error"]
    return result["process"]


def tools_value(expression):
    """What a function or variable of tools/lib.sh yields, e.g. "kernel_dir bookworm"."""
    script = f'. "$0"; {expression}'
    return subprocess.run(["bash", "-euc", script, str(REPO / "tools" / "lib.sh")], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
