# SPDX-License-Identifier: Apache-2.0
"""Runs a command and does something to it, or to the machine, until it ends.

    python3 -I -S harass.py [seed=NUMBER] WHAT -- COMMAND...

WHAT: stop (SIGSTOP and SIGCONT), trace (a debugger interrupts each thread, and lets it go on), freeze
FOLDER (of a cgroup with the command in it), cpu (the second one goes off and on). It begins when the
command has given CAP_BPF away, since the kernel starts anew to verify a BPF program whenever a signal
comes; with "early" in front of WHAT, at once. How long it pauses follows from the seed, which the first
line of stderr tells; the last one tells how many times. Ends as the command ended. Standard library
only: it runs in the guest.
"""
import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import time

PTRACE_CONT, PTRACE_SEIZE, PTRACE_INTERRUPT = 7, 0x4206, 0x4207
WALL = 0x40000000  # __WALL of waitpid(2): threads too
CAP_BPF = 39
CPU = "/sys/devices/system/cpu/cpu1/online"


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def pause(least_s, most_s):
    time.sleep(random.uniform(least_s, most_s))


def wait_until_unprivileged(pid):
    while True:
        try:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                state = dict(line.split(":", 1) for line in file)
        except FileNotFoundError:
            return
        if not int(state["CapEff"], 16) >> CAP_BPF & 1 or state["State"].split()[0] == "Z":
            return
        time.sleep(0.002)


def stop(process):
    while process.poll() is None:
        try:
            process.send_signal(signal.SIGSTOP)
            pause(0.001, 0.01)
        finally:
            process.send_signal(signal.SIGCONT)
        pause(0.005, 0.04)
        yield


def freeze(process, folder):
    while process.poll() is None:
        try:
            write(f"{folder}/cgroup.freeze", "1")
            pause(0.001, 0.02)
        finally:
            write(f"{folder}/cgroup.freeze", "0")
        pause(0.005, 0.04)
        yield


def cpu(process):
    try:
        while process.poll() is None:
            for state in "01":
                write(CPU, state)
                pause(0.005, 0.05)
            yield
    finally:
        write(CPU, "1")


def trace(process):
    """Every wait is for any thread: the first one is not reported while others wait to be reaped."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def ptrace(request, thread, data=None):
        return libc.ptrace(request, thread, None, data) == 0

    seized = set()
    while process.returncode is None:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(f"/proc/{process.pid}/task"):
                if int(name) not in seized and ptrace(PTRACE_SEIZE, int(name)):
                    seized.add(int(name))
        for thread in seized:
            ptrace(PTRACE_INTERRUPT, thread)
        pause(0.002, 0.01)
        while True:
            thread, status = os.waitpid(-1, WALL | os.WNOHANG)
            if os.WIFSTOPPED(status):
                interrupted = status >> 16 != 0  # else a signal, which it gets
                ptrace(PTRACE_CONT, thread, 0 if interrupted else os.WSTOPSIG(status))
                if interrupted:
                    yield
                continue
            seized.discard(thread)
            if thread == process.pid:
                process.returncode = os.waitstatus_to_exitcode(status)
            if thread in (0, process.pid):
                break
        pause(0.005, 0.03)


def main():
    dashes = sys.argv.index("--")
    words, command = sys.argv[1:dashes], sys.argv[dashes + 1:]
    seed = words.pop(0)[len("seed="):] if words[0].startswith("seed=") else str(time.time_ns())
    print(f"seed={seed}", file=sys.stderr, flush=True)
    random.seed(seed)
    early = words[0] == "early"
    what, *arguments = words[early:]
    into = arguments[0] if what == "freeze" else None
    process = subprocess.Popen(
        command, preexec_fn=into and (lambda: write(f"{into}/cgroup.procs", "0")))
    if not early:
        wait_until_unprivileged(process.pid)
    times = sum(1 for _ in {"stop": stop, "trace": trace, "freeze": freeze,
                            "cpu": cpu}[what](process, *arguments))
    process.wait()
    print(times, file=sys.stderr)
    sys.exit(process.returncode if process.returncode >= 0 else 128 - process.returncode)


if __name__ == "__main__":
    main()
