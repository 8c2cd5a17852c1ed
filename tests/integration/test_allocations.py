# SPDX-License-Identifier: Apache-2.0
"""The whole program when one allocation fails, or all from one on: in it and in its libraries.

There are thousands in an upload, so a sample of them; tests/alloc tries every one, module by module.
"""
import json
import random
import subprocess

import pytest

from kit.checks import assert_nothing_stored, assert_object
from rig.process import REPO

OPENSSL_CRASHED = 98  # see kit/fail_malloc.c
MOST_CRASHES = 1 / 4  # of a sample: more would mean that nothing else is tested any more

# What may be said of an object that is there although the program failed.
MAY_EXIST = ("may exist", "probably exists", "done and verified")


class FailMalloc:
    """Runs with a preloaded library that fails allocations."""

    def __init__(self, program, folder):
        self.program, self.library, self.report = program, folder / "fail.so", folder / "report"
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-D_GNU_SOURCE",
                        "-o", self.library,
                        REPO / "tests" / "kit" / "fail_malloc.c"], check=True)

    def run(self, args, env, at=0, on=False):
        """The result, how many allocations there were, and how many of them failed."""
        self.report.unlink(missing_ok=True)
        more = {"LD_PRELOAD": str(self.library), "FAIL_MALLOC_AT": str(at),
                "FAIL_MALLOC_REPORT": str(self.report), **({"FAIL_MALLOC_ON": "1"} if on else {})}
        result = self.program.run(args, {**env, **more}, timeout=60)
        assert result.returncode >= 0, f"ended by a signal, allocation {at}\n{result}"
        count, failed = map(int, self.report.read_text(encoding="ascii").split())
        return result, count, failed


@pytest.fixture(scope="module")
def fail_malloc(program, tmp_path_factory):
    return FailMalloc(program, tmp_path_factory.mktemp("fail-malloc"))


def sample(count, evenly, last):
    """Some of 1..count: spread evenly, the same in every run, and the last ones."""
    generator = random.Random(count)
    step = count / evenly
    spread = {1 + min(count - 1, int((i + generator.random()) * step)) for i in range(evenly)}
    return sorted(spread | set(range(max(1, count - last + 1), count + 1)))


def assert_failed(result, at):
    """An error line, and in JSON the same. OpenSSL does not always tell that memory was the reason:
    then it is a connection that can't be made (4) or a CA bundle that has nothing in it (1)."""
    where = f"allocation {at}\n{result}"
    assert result.returncode in (1, 3, 4, 6), where
    errors = [line for line in result.stderr.splitlines() if line.startswith("s3-ktls: error: ")]
    assert errors and len(errors[-1]) > len("s3-ktls: error: "), where
    if result.returncode == 1:
        assert "the CA bundle" in errors[-1], where
    if result.returncode == 6:
        assert any(said in errors[-1] for said in MAY_EXIST), where


def assert_put(server, bucket, key, payload, result, at):
    if result.returncode == 0:
        assert result.json["sha256"] == payload.sha256, f"allocation {at}\n{result}"
        assert result.json["bucket"] == bucket and result.json["key"] == key, result
        assert result.json["etag"], result
        assert_object(server, bucket, key, payload)
        return
    assert_failed(result, at)
    error = json.loads(result.stdout)["error"]
    assert error["exit_code"] == result.returncode and error["message"], result
    if server.head(bucket, key) is not None:
        assert any(said in result.stderr for said in MAY_EXIST), f"allocation {at}\n{result}"
        assert_object(server, bucket, key, payload)


one_or_all = pytest.mark.parametrize("on", [False, True], ids=["one", "all-that-follow"])


@one_or_all
def test_an_upload_without_memory(fail_malloc, program, payloads, ceph, ceph_bucket, key, on):
    payload = payloads.get(65537)
    env = program.environment(ceph)
    args = ["put", payload.path, "", "--json", "--timeout", "10", "--connect-timeout", "10"]

    def put(name, at):
        args[2] = f"s3://{ceph_bucket}/{name}"
        return fail_malloc.run(args, env, at, on)

    result, count, failed = put(f"{key}-whole", 0)
    assert result.returncode == 0 and count > 1000 and failed == 0, result
    refused = crashed = 0
    chosen = sample(count, *((12, 8) if on else (30, 25)))
    for at in chosen:
        result, _, failed = put(f"{key}-{at}", at)
        assert failed or result.returncode == 0, f"allocation {at}\n{result}"
        if result.returncode == OPENSSL_CRASHED:
            crashed += 1
            assert_nothing_stored(ceph, ceph_bucket, f"{key}-{at}")
            continue
        assert_put(ceph, ceph_bucket, f"{key}-{at}", payload, result, at)
        refused += failed > 0 and result.returncode != 0
    print(f"{count} allocations, {crashed} crashes of OpenSSL in {len(chosen)} runs")
    assert refused > 10
    assert crashed <= MOST_CRASHES * len(chosen)


@one_or_all
def test_hashing_without_memory(fail_malloc, program, payloads, on):
    payload = payloads.get(65537)
    args, env = ["hash", payload.path], program.environment()
    result, count, _ = fail_malloc.run(args, env)
    assert result.returncode == 0 and count > 100, result
    refused = crashed = 0
    chosen = sample(count, 8, 7)
    for at in chosen:
        result, _, failed = fail_malloc.run(args, env, at, on)
        assert failed or result.returncode == 0, f"allocation {at}\n{result}"
        crashed += result.returncode == OPENSSL_CRASHED
        if result.returncode == 0:
            assert result.stdout == f"{payload.sha256}  {payload.path}\n", f"{at}\n{result}"
        elif result.returncode != OPENSSL_CRASHED:
            assert result.returncode == 3, f"allocation {at}\n{result}"
            assert_failed(result, at)
            refused += failed > 0
    print(f"{count} allocations, {crashed} crashes of OpenSSL in {len(chosen)} runs")
    assert crashed <= MOST_CRASHES * len(chosen)
    assert refused > 5 or not on  # libbpf does without many a single one
