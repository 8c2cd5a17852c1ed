# SPDX-License-Identifier: Apache-2.0
"""Memory does not grow with the file. A sink takes what would fill a real server's disk."""
import base64
import hashlib
import json

import pytest

from kit import measure
from kit.content import MIB
from kit.scripted import Sink


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
            prefix=measure.PREFIX)
    assert sink.error is None, sink.error
    assert result.returncode == 0, result
    said = json.loads(result.stdout)
    assert (said["bytes"], said["sha256"], said["store"]) == (size, expected, "confirmed")
    assert base64.b64decode(sink.trailer).hex() == expected
    peak_kib = measure.peak_kib(result)
    print(f"{size // MIB} MiB by {sender}: peak {peak_kib} KiB, {said['elapsed_s']:.1f} s")
    assert peak_kib <= measure.LIMIT_KIB, f"peak RSS {peak_kib} KiB"
