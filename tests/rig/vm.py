# SPDX-License-Identifier: Apache-2.0
"""A virtual machine that runs a kernel of Debian on the host's files.

QEMU emulates the processor (no KVM needed). The guest sees the host's root file system read-only
under a RAM disk, and one work folder read-write at the same path as on the host. Files that change
on the host after the boot are seen only in the work folder. The host's loopback is 10.0.2.2; no
other machine can be reached.
"""
import argparse
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from rig.process import REPO, popen_bound, tools_value

KERNEL_WARNING = re.compile(
    r"WARNING: |BUG: |Oops|Call Trace|RIP: |general protection|INFO: task|self-detected stall"
    r"|detected stalls|soft lockup|refcount_t|UBSAN: |list_(add|del) corruption|Kernel panic"
    r"|invalid opcode|unregister_netdevice: waiting")
# What the kernel reports when a cgroup has come to its limit, with a trace: no fault, it was told to.
OOM_REPORT = re.compile(r"^[^\n]* invoked oom-killer: .*?^[^\n]*Memory cgroup out of memory: "
                        r"Killed process [^\n]*$", re.MULTILINE | re.DOTALL)
# Another process's report, or the end of that of a whole machine without memory. (The line that has
# the constraint's name is of a level that the console does not show.)
OTHER_OOM = re.compile(r" invoked oom-killer: .* invoked oom-killer: |\bOut of memory", re.DOTALL)
# Of the report itself: its one trace, which tells where the kernel was, and where the program was.
OOM_REPORT_LINE = re.compile(r"Call Trace:?|RIP: ")
# loglevel=5 shows warnings and worse (a WARN's trace is a warning) on the serial console, which is
# slow under emulation. mitigations=off: they cost time and nobody attacks this guest.
KERNEL_ARGUMENTS = "console=ttyS0 loglevel=5 panic=-1 mitigations=off"


def without_oom_trace(match):
    """What is left of a cgroup's OOM report: all of it if another report or another fault's message
    stands in it, whose trace nobody can tell from its own."""
    lines = match[0].splitlines()
    faults = [line for line in lines if KERNEL_WARNING.search(line)]
    if OTHER_OOM.search(match[0]) or not all(map(OOM_REPORT_LINE.search, faults)):
        return match[0]
    return "\n".join(line for line in lines if line not in faults)


class VmError(Exception):
    """The machine did not boot, ended by itself, or a job could not be started."""


class Job:
    """A process in the guest. Its output grows in the files out_path and err_path."""

    def __init__(self, vm, number, argv, timeout):
        self.vm, self.number, self.argv, self.timeout = vm, number, argv, timeout
        self.out_path = vm.share / ".rig" / f"job-{number}.out"
        self.err_path = vm.share / ".rig" / f"job-{number}.err"
        self.ended = threading.Event()
        self.result = None

    def send_signal(self, number):
        """Sends a signal to the job's process group."""
        self.vm._send(op="signal", id=self.number, signal=int(number))

    def wait(self, timeout=None):
        """The job's result as a subprocess.CompletedProcess with text output.

        Raises subprocess.TimeoutExpired if the job's own time was up (it was killed then) or after
        `timeout` seconds (it goes on), VmError if it could not start or the machine ended.
        """
        if not self.ended.wait(timeout):
            raise subprocess.TimeoutExpired(self.argv, timeout, self._read(self.out_path),
                                            self._read(self.err_path))
        if self.result is None:
            raise VmError(f"the machine ended during {self.argv}\n{self.vm.console_tail()}")
        if self.result["event"] == "error":
            raise VmError(f"{self.argv} could not be started: {self.result['message']}")
        out, err = self._read(self.out_path), self._read(self.err_path)
        if self.result["timed_out"]:
            raise subprocess.TimeoutExpired(self.argv, self.timeout, out, err)
        return subprocess.CompletedProcess(self.argv, self.result["returncode"], out, err)

    def _read(self, path):
        return path.read_text(errors="replace") if path.exists() else ""


class Vm:
    """with Vm("bookworm") as vm: vm.run(["uname", "-r"])

    kernel: one that tools/setup.sh vm-KERNEL made. append: further kernel arguments (a later one
    wins). share: the work folder, of one machine at a time; by default a temporary one that every
    user can read, removed at the end. preload: modules to load at the start (else the kernel loads
    them when it needs them, and has the right to).
    """

    def __init__(self, kernel="bookworm", cpus=2, memory_mib=2048, append="", share=None,
                 preload=(), boot_timeout=180):
        self.preload = preload
        self.kernel, self.cpus, self.memory_mib = kernel, cpus, memory_mib
        self.append, self.boot_timeout = append, boot_timeout
        self._own_share = share is None
        self.share = pathlib.Path(share).resolve() if share else None
        self.kernel_release = None
        self._process = self._channel = self._kernel_lock = None
        self._console_path = self._qemu_log_path = None
        self._last_console = self._last_qemu_log = ""
        self._jobs = {}
        self._accepted = set()
        self._events = {"ready": threading.Event(), "mounted": threading.Event()}
        self._lock = threading.Lock()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()

    def start(self):
        folder = pathlib.Path(tools_value(f"kernel_dir {self.kernel}"))
        if not folder.is_dir():
            raise VmError(f"no kernel {self.kernel} here: run tools/setup.sh vm-{self.kernel}")
        # tools/setup.sh removes what was not used for a week (the lock's time) and is not locked.
        self._kernel_lock = open(f"{folder}.lock", "ab")
        fcntl.flock(self._kernel_lock, fcntl.LOCK_SH)
        os.utime(self._kernel_lock.fileno())
        if self._own_share:
            self.share = pathlib.Path(tempfile.mkdtemp(prefix="s3-ktls-vm."))
            self.share.chmod(0o755)
        rig = self.share / ".rig"
        shutil.rmtree(rig, ignore_errors=True)
        rig.mkdir(parents=True)
        shutil.copy(REPO / "tests" / "rig" / "agent.py", rig)
        self._console_path, self._qemu_log_path = rig / "console.log", rig / "qemu.log"

        self._channel, remote = socket.socketpair()
        try:
            with remote, open(self._qemu_log_path, "wb") as log:
                self._process = popen_bound(
                    self._qemu_argv(folder, remote.fileno()), stdin=subprocess.DEVNULL,
                    stdout=log, stderr=log, pass_fds=[remote.fileno()])
            threading.Thread(target=self._receive, daemon=True, name="vm agent").start()
            self._await("ready")
            self._send(op="mount", path=str(self.share))
            self._await("mounted")
            if self.preload:
                result = self.run(["modprobe", "-a", *self.preload])
                if result.returncode != 0:
                    raise VmError(f"modprobe {' '.join(self.preload)}: {result.stderr}")
        except BaseException:
            self.stop()
            raise

    def _qemu_argv(self, folder, agent_fd):
        def share_9p(name, path, options):
            path = str(path).replace(",", ",,")
            return ["-fsdev", f"local,id={name},path={path},security_model=none,{options}",
                    "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}"]

        return [
            "qemu-system-x86_64", "-no-user-config", "-nodefaults", "-display", "none",
            "-no-reboot", "-machine", "pc", "-accel", "tcg,thread=multi",
            # Five-level page tables cost the emulation time and serve nothing in 2 GiB.
            "-cpu", "max,la57=off", "-smp", str(self.cpus), "-m", str(self.memory_mib),
            "-kernel", str(folder / "vmlinuz"), "-initrd", str(folder / "initramfs"),
            "-append", f"{KERNEL_ARGUMENTS} {self.append}",
            "-chardev", f"file,id=console,path={str(self._console_path).replace(',', ',,')}",
            "-serial", "chardev:console",
            "-device", "virtio-rng-pci",
            "-chardev", f"socket,id=agent,fd={agent_fd}",
            "-device", "virtio-serial-pci",
            "-device", "virtserialport,chardev=agent,name=rig.agent",
            "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile=",
            *share_9p("hostroot", "/", "readonly=on,multidevs=remap"),
            *share_9p("modules", folder / "modules", "readonly=on"),
            *share_9p("work", self.share, "multidevs=remap"),
        ]

    def _await(self, event):
        if not self._events[event].wait(self.boot_timeout) or self._process.poll() is not None:
            raise VmError(f"the machine ({self.kernel}) did not come up: no '{event}' from its "
                          f"agent\n{self.console_tail()}")

    def _send(self, **message):
        with self._lock:
            try:
                self._channel.sendall(json.dumps(message).encode() + b"\n")
            except (OSError, AttributeError) as error:  # no channel: never started, or stopped
                raise VmError(f"the machine has ended\n{self.console_tail()}") from error

    def _receive(self):
        """Thread: takes the agent's messages until the port closes."""
        pending = b""
        while True:
            try:
                data = self._channel.recv(65536)
            except OSError:
                data = b""
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                self._handle(json.loads(line))
        for waiting in [*self._events.values(), *(job.ended for job in self._jobs.values())]:
            waiting.set()

    def _handle(self, message):
        if message["event"] in self._events:
            self.kernel_release = message.get("release", self.kernel_release)
            self._events[message["event"]].set()
            return
        job = self._jobs[message["id"]]
        job.result = message
        job.ended.set()

    def popen(self, argv, env=None, timeout=60, uid=None, cwd=None):
        """Starts a job in the guest and returns the Job. For arguments see run()."""
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
        with self._lock:
            job = Job(self, len(self._jobs) + 1, [os.fspath(arg) for arg in argv],
                      timeout)
            self._jobs[job.number] = job
        self._send(op="start", id=job.number, argv=job.argv, env=environment, uid=uid,
                   cwd=os.fspath(cwd or self.share), timeout=timeout)
        return job

    def run(self, argv, env=None, timeout=60, uid=None, cwd=None):
        """Runs a command in the guest; a subprocess.CompletedProcess with text output.

        env: additions to a small environment of its own (not the host's). timeout: seconds, after
        which the command's process group is killed and subprocess.TimeoutExpired raised. uid: user
        and group to run as, without further groups. cwd: the work folder by default.
        """
        return self.popen(argv, env, timeout, uid, cwd).wait()

    def console(self):
        """All that the guest's serial console showed: the kernel's warnings and worse."""
        if self._console_path is not None and self._console_path.exists():
            self._last_console = self._console_path.read_text(errors="replace")
        return self._last_console

    def console_tail(self, lines=60):
        """The ends of QEMU's messages and of the console, for error messages."""
        if self._qemu_log_path is not None and self._qemu_log_path.exists():
            self._last_qemu_log = self._qemu_log_path.read_text(errors="replace")
        return "\n".join([*self._last_qemu_log.splitlines()[-lines:],
                          *self.console().splitlines()[-lines:]])

    def dmesg(self):
        """The kernel's log; what the console showed of it if the machine has ended."""
        if self._process is None or self._process.poll() is not None:
            return self.console()
        return self.run(["dmesg"]).stdout

    def kernel_warnings(self):
        """The lines of the console that tell of a kernel's fault, since the boot."""
        lines = OOM_REPORT.sub(without_oom_trace, self.console()).splitlines()
        return [line for line in lines
                if KERNEL_WARNING.search(line) and line not in self._accepted]

    def accept(self, lines):
        """kernel_warnings() leaves these out from now on: a test has looked at them and knows why
        they came. Their times make them differ from those of another warning."""
        self._accepted.update(lines)

    def stop(self):
        """Ends the machine at once; what jobs wrote into the work folder is on the host already.
        console() and kernel_warnings() go on telling what there was."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._kernel_lock is not None:
            self._kernel_lock.close()
            self._kernel_lock = None
        self.console_tail()  # read before the folder goes
        if self._own_share and self.share is not None:
            shutil.rmtree(self.share, ignore_errors=True)


def _copy_new(path, offset, stream):
    """Copies what a growing file has beyond offset; returns the new offset."""
    if not path.exists():
        return offset
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read()
    stream.buffer.write(data)
    stream.flush()
    return offset + len(data)


def main():
    parser = argparse.ArgumentParser(
        prog="tools/vm.sh", description="Runs a command in a virtual machine and powers it off. "
        "Exit code: the command's; 70 if the kernel warned of a fault; 71 if the machine failed.")
    parser.add_argument("--memory-mib", type=int, default=2048)
    parser.add_argument("--append", default="", help="further kernel arguments")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for the command")
    parser.add_argument("kernel", help="one that tools/setup.sh vm-KERNEL set up")
    parser.add_argument("share", help="the work folder, at the same path in the guest")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    if not os.path.isdir(options.share):
        parser.error(f"{options.share} is not a folder")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    print(f"vm: booting Debian's kernel {options.kernel} under emulation (6 s or more)",
          file=sys.stderr)
    try:
        with Vm(options.kernel, memory_mib=options.memory_mib, append=options.append,
                share=options.share) as vm:
            print(f"vm: Linux {vm.kernel_release} after {time.monotonic() - began:.0f} s",
                  file=sys.stderr)
            job = vm.popen(options.command, timeout=options.timeout)
            offsets = [0, 0]
            ended = False
            while not ended:
                ended = job.ended.wait(0.2)
                offsets = [_copy_new(job.out_path, offsets[0], sys.stdout),
                           _copy_new(job.err_path, offsets[1], sys.stderr)]
            code = job.wait().returncode
            warnings = vm.kernel_warnings()
    except (VmError, subprocess.TimeoutExpired) as error:
        print(f"vm: error: {error}", file=sys.stderr)
        return 71
    except KeyboardInterrupt:
        return 130
    for line in warnings:
        print(f"vm: kernel: {line}", file=sys.stderr)
    return 70 if warnings else code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
