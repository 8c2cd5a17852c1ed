# SPDX-License-Identifier: Apache-2.0
"""Uploads that stand still while a test does something to their file."""
import contextlib
import signal

from kit.content import MIB
from kit.proxy import Proxy


@contextlib.contextmanager
def ended(running):
    """Whatever goes wrong in the block, the program does not go on."""
    try:
        yield
    finally:
        if running.process.returncode is None:
            running.send_signal(signal.SIGKILL)
            running.process.communicate()


@contextlib.contextmanager
def held_put(program, server, path, bucket, key, *more, scheme="https", hold_at=2 * MIB):
    """An upload that is held in the middle while the block runs; its result is in [0] after."""
    result = []
    url = server.https_url if scheme == "https" else server.http_url
    with Proxy(url, hold_at=hold_at) as proxy:
        running = program.popen(
            ["put", path, f"s3://{bucket}/{key}", "--json", "--endpoint-url", proxy.url, *more],
            program.environment(server, scheme))
        with ended(running):
            assert proxy.held.wait(30)
            yield result
            proxy.release()
            result.append(running.wait())


@contextlib.contextmanager
def answer_held(program, server, path, bucket, key, *more):
    """As held_put(); the whole body is with the store."""
    result = []
    with Proxy(server.http_url, hold_answer=True) as proxy:
        running = program.popen(
            ["put", path, f"s3://{bucket}/{key}", "--json", "--endpoint-url", proxy.url, *more],
            program.environment(server, "http"))
        with ended(running):
            assert proxy.held.wait(30)
            yield result
            proxy.release()
            result.append(running.wait())


def assert_refused(result, path, *parts, returncode=2):
    result.expect(returncode, str(path), *parts)
    assert result.json["error"]["exit_code"] == returncode, result
    assert str(path) in result.json["error"]["message"], result
