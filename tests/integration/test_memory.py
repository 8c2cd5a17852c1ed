# SPDX-License-Identifier: Apache-2.0
"""Memory does not grow with the file. A sink takes what would fill a real server's disk."""
import base64
import hashlib
import json

import pytest

from kit.content import MIB
from kit.scripted import Sink

LIMIT_KIB = 12 * 1024

# ru_maxrss starts from what the process had before execve(2), so the measured program needs a
# parent that is small: an isolated interpreter has about 5 MiB.
MEASURE = """
import os, sys
pid = os.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def sha256_of_zeros(size):
    digest, zeros = hashlib.sha256(), bytes(MIB)
    for _ in range(size // MIB):
        digest.update(zeros)
    return digest.hexdigest()


@pytest.mark.parametrize("size, sender", [(MIB, "sendfile"), (MIB, "splice"),
                                          (4096 * MIB, "sendfile"), (1024 * MIB, "splice")])
def test_peak_memory(program, tmp_path, size, sender):
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(size)
    expected = sha256_of_zeros(size)
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret")
    with Sink() as sink:
        result = program.run(
            ["put", path, "s3://bucket/key", "--json", "--sender", sender, "--endpoint-url",
             sink.url], env, timeout=240,
            prefix=["/usr/bin/python3", "-I", "-S", "-c", MEASURE])
    assert sink.error is None, sink.error
    assert result.returncode == 0, result
    said = json.loads(result.stdout)
    assert (said["bytes"], said["sha256"], said["store"]) == (size, expected, "confirmed")
    assert base64.b64decode(sink.trailer).hex() == expected
    peak_kib = int(result.stderr.splitlines()[-1])
    print(f"{size // MIB} MiB by {sender}: peak {peak_kib} KiB, {said['elapsed_s']:.1f} s")
    assert peak_kib <= LIMIT_KIB, f"peak RSS {peak_kib} KiB"
