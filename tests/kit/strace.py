# SPDX-License-Identifier: Apache-2.0
"""Follows descriptors through the output of strace -f, to tell which way a file's bytes went."""
import re

LINE = re.compile(r"(\d+) +(.*)")
UNFINISHED = re.compile(r"(.*) <unfinished \.\.\.>")
RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)")
CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|0x[0-9a-f]+|\?).*")

READS = {"read", "pread64", "readv", "preadv", "preadv2", "recvfrom", "recvmsg"}
WRITES = {"write", "pwrite64", "writev", "pwritev", "sendto", "sendmsg"}


def calls(text):
    """(name, [argument, ...], result) of each call, in the order in which they ended."""
    begun = {}
    for line in text.splitlines():
        pid, rest = LINE.fullmatch(line).groups()
        unfinished, resumed = UNFINISHED.fullmatch(rest), RESUMED.fullmatch(rest)
        if unfinished:
            begun[pid] = unfinished.group(1)
            continue
        if resumed:
            rest = begun.pop(pid) + resumed.group(2)
        call = CALL.fullmatch(rest)
        if call:  # else a signal, or the end of a thread
            name, arguments, result = call.groups()
            yield name, arguments.split(", "), int(result, 0) if result != "?" else -1


class Way:
    """What an upload of `source` did, from its strace.

    fed: bytes sent from the source by sendfile. spliced: bytes that went into the TLS descriptor by
    splice. written: bytes given to it from memory. read: bytes read into memory from any descriptor
    since TLS was on. touched: calls that bring the source into the program's memory.
    """

    def __init__(self, text, source):
        self.fed = self.spliced = self.written = self.read = 0
        self.touched, self.opened = [], 0
        self.sources, self.tls = set(), set()
        for name, arguments, result in calls(text):
            if result >= 0:
                self._follow(name, arguments, result, f'"{source}"')

    def _follow(self, name, arguments, result, source):
        first = arguments[0]
        if name == "openat" and arguments[1] == source:
            self.opened += 1
            self.sources.add(str(result))
        elif name in ("dup", "dup2", "dup3") and first in self.sources:
            self.sources.add(str(result))
        elif name == "close":
            self.sources.discard(first)
            self.tls.discard(first)
        elif name == "setsockopt" and arguments[1:3] == ["SOL_TLS", "TLS_TX"]:
            self.tls.add(first)
        elif name == "mmap" and arguments[4] in self.sources:
            self.touched.append(name)
        elif name in READS:
            if first in self.sources:
                self.touched.append(name)
            if self.tls:
                self.read += result
        elif name == "sendfile" and arguments[1] in self.sources:
            self.fed += result
        elif name == "splice" and arguments[2] in self.tls:
            self.spliced += result
        elif name in WRITES and first in self.tls:
            self.written += result
