# SPDX-License-Identifier: Apache-2.0
"""Call sites of the program, found in the output of strace -y, and what to fail them with.

A site is (thread, system call, detail): threads by the order in which they start, the detail being
what the call is applied to (a file, the n-th socket) or which operation it asks for.
"""
import re
import typing

LINE = re.compile(r"(?:(\d+) +)?(.*)")
CALL = re.compile(r"(\w+)\((.*)")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
DESCRIPTOR = re.compile(r"(\d+)<((?:[^<>]|<[^<>]*>)*)>")
RESULT = re.compile(r".*\) += (-?\d+|0x[0-9a-f]+|\?)(.*)")
# main() begins by asking whether 0, 1 and 2 are open. What comes before is the dynamic loader's.
MAIN_BEGINS = re.compile(r"fcntl\(0(<.*>)?, F_GETFD\)")
THREADS = ["main", "cancel", "pairs", "resolver"]
# What is told apart by its operation, and where in the arguments that stands.
OPERATIONS = {"bpf": 0, "prctl": 0, "prlimit64": 1, "ioctl": 1, "fcntl": 1, "futex": 1,
              "socket": 0, "rt_sigprocmask": 0, "rt_sigaction": 0, "fadvise64": 3}
# What never returns or never fails; and what only libc asks for at the start of a thread or for its
# locks, where it gives up (by abort) at errors that the kernel never gives.
NEVER_FAILS = {"exit", "exit_group", "getpid", "gettid", "rt_sigreturn", "restart_syscall", "futex",
               "rseq", "set_robust_list"}
# Calls that can be failed by the path of their file, whatever else their thread calls.
BY_PATH = {"openat", "newfstatat", "read", "close", "lseek"}


class Call(typing.NamedTuple):
    """number: which call of its name in its thread, from 1, as strace's when= counts."""

    site: tuple
    number: int
    injected: bool

    def __str__(self):
        thread, name, detail = self.site
        return f"{name}({detail}) of {thread}, call {self.number}"


class Trace:
    """calls: those since main() began. before_main: {name: how many calls the loader made}.
    left_open: {descriptor: what} that nobody had closed when the program ended, without those that
    it was started with. ended: it ended by itself. whole: not only the calls of one path."""

    def __init__(self, text, whole=True):
        self.calls, self.left_open, self.ended, self.before_main = [], {}, False, {}
        self._threads, self._counts, self._sockets, self._begun = {}, {}, {}, not whole
        self._open, pending = {}, {}
        for line in text.splitlines():
            pid, rest = LINE.fullmatch(line).groups()
            resumed, call = RESUMED.match(rest), CALL.match(rest)
            if resumed:
                entry = pending.pop(pid, None)
                if entry is not None:
                    self._end(*entry, entry[2] + resumed.group(2))
                continue
            if not call:
                continue  # a signal, or the end of a thread
            entry = (pid, call.group(1), rest.replace(" <unfinished ...>", ""))
            self._begin(*entry)
            if "<unfinished ...>" in rest:
                pending[pid] = entry
            else:
                self._end(*entry, rest)

    def _thread(self, pid):
        if pid not in self._threads:
            number = len(self._threads)
            self._threads[pid] = THREADS[number] if number < len(THREADS) else f"thread {number}"
        return self._threads[pid]

    def _begin(self, pid, name, rest):
        thread = self._thread(pid)
        self._begun = self._begun or bool(MAIN_BEGINS.match(rest))
        number = self._counts[thread, name] = self._counts.get((thread, name), 0) + 1
        if name == "exit_group":
            self.ended = True
            self.left_open = dict(self._open)
        if not self._begun:
            self.before_main[name] = number
        else:
            self.calls.append(Call((thread, name, self._detail(name, rest)), number, False))

    def _end(self, pid, name, _begun, whole):
        thread, result = self._thread(pid), RESULT.fullmatch(whole)
        if "(INJECTED)" in whole:
            for at in range(len(self.calls) - 1, -1, -1):
                if self.calls[at].site[:2] == (thread, name):
                    self.calls[at] = self.calls[at]._replace(injected=True)
                    break
        elif self._begun and result and result.group(1).isdigit():
            if name == "close":
                self._open.pop(int(DESCRIPTOR.search(whole).group(1)), None)
            made = re.match(r"<", result.group(2)) and name != "fcntl"
            if made:
                self._open[int(result.group(1))] = f"{name} of {thread}"
            if name in ("pipe2", "socketpair"):
                for number, _what in DESCRIPTOR.findall(whole):
                    self._open[int(number)] = f"{name} of {thread}"

    def _detail(self, name, rest):
        inside = rest[len(name) + 1:]
        arguments = re.sub(r"<[^<>]*>", lambda m: m.group().replace(",", ";"), inside).split(", ")
        parts = [self._thing(what) for _, what in DESCRIPTOR.findall(inside)[:2]
                 if name not in ("bpf", "openat", "newfstatat", "mmap", "accept4")]
        if name in ("setsockopt", "getsockopt"):
            return " ".join([*parts[:1], *arguments[1:3]])
        if name in OPERATIONS:
            words = arguments[OPERATIONS[name]] if len(arguments) > OPERATIONS[name] else ""
            parts = [*parts[:1], re.sub(r"\)? += .*|[(){}]", "", words)]
        if name in ("openat", "newfstatat", "faccessat2"):
            text = re.search(r'"([^"]*)"', inside)
            parts = [text.group(1)] if text and text.group(1) else \
                [self._thing(what) for _, what in DESCRIPTOR.findall(inside)[:1]]
        return " ".join(parts)

    def _thing(self, what):
        if what.startswith(("socket:", "TCP:", "UDP:", "pipe:")):
            number = self._sockets.setdefault(what, len(self._sockets) + 1)
            return f"{what.split(':')[0]} {number}"
        return what

    @property
    def injected(self):
        return [call for call in self.calls if call.injected]


IO_ERRORS = ["EINTR", "EAGAIN", "EIO"]
NEW_DESCRIPTOR = ["EMFILE", "ENOMEM"]
ERRORS = {
    "read": IO_ERRORS, "pread64": IO_ERRORS, "recvfrom": IO_ERRORS, "recvmsg": IO_ERRORS,
    "write": IO_ERRORS, "pwrite64": IO_ERRORS, "sendto": IO_ERRORS, "sendmsg": IO_ERRORS,
    "sendfile": [*IO_ERRORS, "ENOMEM"], "splice": [*IO_ERRORS, "ENOMEM"],
    "poll": ["EINTR", "ENOMEM"], "ppoll": ["EINTR", "ENOMEM"],
    "io_uring_enter": ["EINTR", "EAGAIN", "ENOMEM", "EIO"],
    "openat": [*NEW_DESCRIPTOR, "EIO"], "socket": NEW_DESCRIPTOR, "pipe2": NEW_DESCRIPTOR,
    "eventfd2": NEW_DESCRIPTOR, "signalfd4": NEW_DESCRIPTOR, "memfd_create": NEW_DESCRIPTOR,
    "io_uring_setup": [*NEW_DESCRIPTOR, "EPERM"],
    "accept4": ["EINTR", "EAGAIN", "EMFILE"], "connect": ["EINTR", "EADDRNOTAVAIL"],
    "bpf": ["EPERM", "ENOMEM"], "unshare": ["EPERM", "ENOSPC"], "clone3": ["EAGAIN", "ENOMEM"],
    "mmap": ["ENOMEM"], "mprotect": ["ENOMEM"], "munmap": ["ENOMEM"],
    "madvise": ["EAGAIN"], "setsockopt": ["ENOMEM", "EPERM"], "getsockopt": ["ENOMEM"],
    "bind": ["EADDRINUSE"], "listen": ["EADDRINUSE"], "ioctl": ["EPERM", "ENOMEM"],
    "newfstatat": ["EIO"], "fstat": ["EIO"], "close": ["EIO"],
    "uname": ["EFAULT"], "getrandom": ["EINTR", "ENOSYS"],
}
OTHERWISE = ["EPERM"]
# A kernel that says what it has not done: so many bytes moved, or an operation done.
LIES_OF_BYTES = {"sendfile", "splice", "read", "write", "sendto", "recvfrom", "pread64", "pwrite64"}
LIES_OF_SUCCESS = {"BPF_MAP_UPDATE_ELEM", "BPF_MAP_LOOKUP_ELEM", "BPF_PROG_ATTACH"}
# Interrupted, they are tried again, and the upload goes on.
RETRIED = {"sendfile", "splice", "sendto", "recvfrom", "poll", "io_uring_enter"}


class Plan:
    """runs: [(call, action, path or None), ...]: each site that is not in `skip`, its first call and
    a later one. path: the call is counted among those of its file. beyond: sites of other threads
    that cannot be failed alone, because strace counts in each thread and the loader called the same
    as often before main() began."""

    def __init__(self, trace, skip=()):
        self.runs, self.beyond = [], []
        sites, at_path = {}, {}
        for call in trace.calls:
            thread, name, detail = call.site
            path = None
            if name in BY_PATH and detail.startswith("/") and not detail.startswith("/memfd"):
                path = detail
                number = at_path[name, path] = at_path.get((name, path), 0) + 1
                call = call._replace(number=number)
            if name not in NEVER_FAILS and call.site not in skip:
                sites.setdefault(call.site, []).append((call, path))
        for (thread, name, detail), found in sites.items():
            alone = [one for one in found if thread == "main" or one[1] is not None
                     or one[0].number > trace.before_main.get(name, 0)]
            if not alone:
                self.beyond.append((thread, name, detail))
                continue
            # Not the last of many, whose number changes from run to run.
            chosen = {alone[0], alone[-1] if len(alone) < 4 else alone[len(alone) * 2 // 3]}
            self.runs += [(call, action, path) for call, path in sorted(chosen)
                          for action in actions(thread, name, detail)]


def actions(thread, name, detail):
    if name == "brk":
        return ["retval=0"]  # it tells a failure by another result than was asked for
    found = [f"error={word}" for word in ERRORS.get(name, OTHERWISE)]
    if thread == "main" and name in LIES_OF_BYTES and "socket" in detail:
        found += ["retval=0", "retval=1"]
    if thread == "main" and any(word in detail for word in LIES_OF_SUCCESS):
        found += ["retval=0"]
    return found
