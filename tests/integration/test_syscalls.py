# SPDX-License-Identifier: Apache-2.0
"""Each system call of an upload fails once. Which there are is read from a trace of a good upload,
so a call that is new is tried by itself. Each time: the right object, or a clear error and none.
"""
import concurrent.futures

import pytest

from kit.injected import DEADLINE_S, OPTIONS, faults, read_trace, strace, was_hit
from kit.sites import Plan

# More than eight windows, and long enough for Expect: 100-continue.
BYTES = 1_100_000
WORKERS = 2
FIRST_WAY = ("sendfile", "https")


@pytest.fixture(scope="module")
def syscalls_bucket(ceph):
    ceph.make_bucket("syscalls")
    return "syscalls"


class Uploads:
    def __init__(self, program, server, bucket, payload, folder):
        self.program, self.server, self.bucket = program, server, bucket
        self.payload, self.folder = payload, folder

    def run(self, way, number, call=None, action=None, path=None):
        sender, scheme = way
        trace = self.folder / f"trace-{sender}-{scheme}-{number}"
        key = f"{sender}-{scheme}-{number}"
        result = self.program.run(
            ["put", self.payload.path, f"s3://{self.bucket}/{key}", "--sender", sender, *OPTIONS],
            self.program.environment(self.server, scheme), timeout=DEADLINE_S,
            prefix=strace(trace, call, action, path))
        return result, read_trace(trace, path is None), key

    def good(self, way):
        result, trace, key = self.run(way, "good")
        assert result.returncode == 0, result
        assert self.server.get(self.bucket, key) == self.payload.data
        assert trace.ended and len(trace.calls) > 300, "the trace was not understood"
        assert list(trace.left_open.values()) == ["signalfd4 of main"], trace.left_open
        return trace

    def fail(self, way, number, call, action, path):
        """[what is wrong, ...]"""
        for _attempt in range(3):
            try:
                result, trace, key = self.run(way, number, call, action, path)
            except AssertionError as error:
                return [str(error)]
            stored = None
            if self.server.head(self.bucket, key) is not None:
                stored = self.server.get(self.bucket, key)
                self.server.delete(self.bucket, key)
            if was_hit(trace, call):  # else there were fewer polls or reads this time
                break
        wrong = faults(result, trace, call, action, self.payload, stored)
        return wrong and [f"{'; '.join(wrong)}\n{result}"]


@pytest.mark.parametrize("way", [FIRST_WAY, ("splice", "https"), ("sendfile", "http"),
                                 ("splice", "http")], ids="-".join)
def test_each_call_fails_once(program, payloads, ceph, syscalls_bucket, tmp_path, way):
    """The other ways: only what the first one has not."""
    uploads = Uploads(program, ceph, syscalls_bucket, payloads.get(BYTES), tmp_path)
    others = {call.site for call in uploads.good(FIRST_WAY).calls} if way != FIRST_WAY else set()
    plan = Plan(uploads.good(way), others)
    assert {name for _, name, _ in plan.beyond} <= {"mmap", "mprotect", "munmap", "close", "prctl"}, \
        plan.beyond
    assert len(plan.runs) > (250 if way == FIRST_WAY else 3)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        runs = {pool.submit(uploads.fail, way, number, *one): one
                for number, one in enumerate(plan.runs)}
        wrong = [f"{runs[run][0]}, {runs[run][1]}: {text}"
                 for run in concurrent.futures.as_completed(runs) for text in run.result()]
    print(f"{len(plan.runs)} uploads with a failed call, beyond reach: {len(plan.beyond)}")
    assert not wrong, f"{len(wrong)} of {len(plan.runs)} went wrong:\n" + "\n".join(wrong)
