# SPDX-License-Identifier: Apache-2.0
"""A FUSE file system of one file whose reads a test writes; speaks to /dev/fuse itself.

Protocol: linux/fuse.h. What is not needed to open, stat and read a file is answered with ENOSYS.
"""
import ctypes
import errno
import os
import select
import stat
import struct
import threading

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, BATCH_FORGET = \
    1, 2, 3, 14, 15, 17, 18, 25, 26, 42
ROOT, FILE = 1, 2
FOPEN_DIRECT_IO = 1
FOPEN_NOFLUSH = 32  # else close() waits for an answer, too
# Else each read makes the kernel ask for all attributes again, for the sake of atime.
MS_RDONLY = 1
REQUEST_BYTES = 1024 * 1024 + 4096
MNT_DETACH = 2
libc = ctypes.CDLL(None, use_errno=True)


class Fuse:
    """with Fuse(folder, size, read) as fuse: the file is fuse.path.

    size: what stat says; it may change, as may the times, mtime_ns and ctime_ns. read(offset, n):
    what is there, at most n bytes; may raise OSError, or wait.
    direct: short answers reach who uses read(2) as they are (FOPEN_DIRECT_IO); to the page cache
    they are the file's end.
    cached_s: how long the kernel may believe name and attributes.
    statfs: whether statfs(2) is answered.
    """

    def __init__(self, folder, size, read, direct=False, cached_s=3600, statfs=False):
        self.folder, self.size, self._read, self._direct = os.fspath(folder), size, read, direct
        self.mtime_ns = self.ctime_ns = 0
        self._cached_s, self._statfs = cached_s, statfs
        self.path = os.path.join(self.folder, "file")
        self._error = None

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._device},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"test", self.folder.encode(), b"fuse", MS_RDONLY, options.encode()):
            raise OSError(ctypes.get_errno(), f"cannot mount FUSE on {self.folder}")
        self._stop_read, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="fuse")
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        libc.umount2(self.folder.encode(), MNT_DETACH)
        # Mount namespaces that were made meanwhile have it still: only closing the device ends it.
        os.close(self._stop)
        self._thread.join(timeout=10)
        assert not self._thread.is_alive(), "the FUSE file system hangs"
        os.close(self._device)
        os.close(self._stop_read)
        if self._error:
            raise self._error

    def _serve(self):
        try:
            while self._stop_read not in select.select([self._device, self._stop_read], [], [])[0]:
                try:
                    request = os.read(self._device, REQUEST_BYTES)
                except OSError as error:
                    if error.errno in (errno.ENOENT, errno.EINTR):  # withdrawn meanwhile
                        continue
                    if error.errno == errno.ENODEV:  # unmounted
                        return
                    raise
                _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
                if opcode in (FORGET, BATCH_FORGET):
                    continue
                try:
                    code, body = 0, self._answer(opcode, node, request[40:])
                except OSError as error:
                    code, body = error.errno, b""
                try:
                    os.write(self._device, struct.pack("<IiQ", 16 + len(body), -code, unique) + body)
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.ENODEV):  # who asked is gone
                        raise
        except Exception as error:  # raised at the end
            self._error = error

    def _attributes(self, node):
        mode = stat.S_IFDIR | 0o755 if node == ROOT else stat.S_IFREG | 0o644
        size = 0 if node == ROOT else self.size
        mtime, ctime = divmod(self.mtime_ns, 10**9), divmod(self.ctime_ns, 10**9)
        return struct.pack("<QQQQQQ10I", node, size, size // 512, 0, mtime[0], ctime[0],
                           0, mtime[1], ctime[1], mode, 1, 0, 0, 0, 4096, 0)

    def _answer(self, opcode, node, body):
        if opcode == INIT:
            # Version 7.31, 128 KiB of read-ahead. FUSE_ASYNC_READ: else nothing, not even SIGKILL,
            # ends who waits for an answer.
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 128 * 1024, 1, 12, 10, 128 * 1024, 1, 32, 0,
                               0, *[0] * 7)
        if opcode == LOOKUP:
            if (node, body) != (ROOT, b"file\0"):
                raise OSError(errno.ENOENT, "")
            return struct.pack("<QQQQII", FILE, 0, self._cached_s, self._cached_s, 0, 0) + \
                self._attributes(FILE)
        if opcode == GETATTR:
            return struct.pack("<QII", self._cached_s, 0, 0) + self._attributes(node)
        if opcode == OPEN:
            flags = FOPEN_NOFLUSH | (FOPEN_DIRECT_IO if self._direct else 0)
            return struct.pack("<QII", 0, flags, 0)
        if opcode == READ:
            _, offset, n = struct.unpack_from("<QQI", body)
            return self._read(offset, n)
        if opcode == STATFS and self._statfs:
            return struct.pack("<5Q4I24x", 1000, 500, 500, 100, 50, 4096, 255, 4096, 0)
        if opcode in (RELEASE, FLUSH):
            return b""
        raise OSError(errno.ENOSYS, "")
