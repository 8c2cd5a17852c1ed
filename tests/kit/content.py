# SPDX-License-Identifier: Apache-2.0
"""Files with known content: pseudo-random, the same in every run, made once."""
import hashlib
import random
import threading

KIB = 1024
MIB = 1024 * KIB

# Around a page, a record of TLS, the tap's pieces and window, and an aws-chunked chunk of 64 KiB. A
# prime number of them, so that going round they meet everything else.
BORDERS = [1, 4097, 16 * KIB - 1, 16 * KIB + 1, 64 * KIB, 64 * KIB + 1, 128 * KIB - 1,
           128 * KIB + 1, 192 * KIB, MIB, MIB + 1]


class Payload:
    """A file of known content. data is a memoryview of what it holds."""

    def __init__(self, path, data):
        self.path, self.data = path, data
        self.size = len(data)
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.md5 = hashlib.md5(data).hexdigest()


class Payloads:
    """payloads.get(size): a Payload with that many bytes; each size is written once."""

    def __init__(self, folder):
        self.folder = folder
        self._bytes = b""
        self._made = {}
        self._lock = threading.Lock()  # uploads run side by side

    def get(self, size):
        with self._lock:
            if size not in self._made:
                self._made[size] = self.write(self.folder / f"payload-{size}", size)
            return self._made[size]

    def write(self, path, size):
        """A file of its own, for a test that changes it, names it oddly or removes it."""
        if len(self._bytes) < size:
            # A prefix of a longer one is not the same as a shorter one: made in whole MiB.
            generator = random.Random(4)
            self._bytes = b"".join(generator.randbytes(MIB) for _ in range(-(-size // MIB)))
        data = memoryview(self._bytes)[:size]
        with open(path, "wb") as file:
            file.write(data)
        return Payload(path, data)
