# SPDX-License-Identifier: Apache-2.0
"""Answers that no real server gives at a test's will, and waits that only a signal ends."""
import email.utils
import fcntl
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import types

import pytest

from kit.checks import assert_result
from kit.content import MIB
from kit.proxy import tls_context
from kit.scripted import Peer, deaf_port, response, say_continue
from rig.process import REPO

SIZE = 65537
MAY_EXIST = "an object may exist"
# Promised within a second; the rest is for a machine that does other things, too.
STOPS_WITHIN_S = 1.6


@pytest.fixture(scope="module")
def ca(work_dir):
    """Has `ca`, as a server of the rig: the certificate beside it is localhost's."""
    subprocess.run([REPO / "tools" / "make-ca.sh", work_dir / "peer-tls"], check=True)
    return types.SimpleNamespace(ca=str(work_dir / "peer-tls" / "ca.pem"))


@pytest.fixture
def tls(ca):
    """tls(version, ...): for Peer, what each connection gets."""
    return lambda *versions: [tls_context(ca, version) for version in versions]


@pytest.fixture
def environment(program, ca):
    return program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_CA_BUNDLE=ca.ca,
                               AWS_SECRET_ACCESS_KEY="some-secret-access-key")


@pytest.fixture
def put(program, payloads, environment):
    """put(peer, size, *more): put --json of a payload of that size."""
    return lambda peer, size=SIZE, *more: program.run(
        ["put", payloads.get(size).path, "s3://bucket/key", "--json", "--endpoint-url", peer.url,
         *more], environment)


def accept(payload, put_headers=(), unasked=(), etag=None, head_bytes=None):
    """For Peer: a store that takes the PUT, says no checksum, and shows the object to HEAD.
    put_headers: more in the answer to PUT; unasked: what comes right behind that; etag and
    head_bytes: what HEAD shows, where it is not what was put."""
    def answer(request):
        if request.first.startswith("PUT "):
            return [response(200, f'ETag: "{payload.md5}"', "x-amz-request-id: 1", *put_headers),
                    *unasked]
        return response(200, f'ETag: "{etag or payload.md5}"', length=head_bytes or payload.size)

    return answer


def asked(peer):
    """[(connection, method), ...]"""
    return [(request.connection, request.first.split()[0]) for request in peer.requests]


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("head_bytes, returncode", [(SIZE, 0), (SIZE + 85, 6)])
def test_an_answer_that_nobody_asked_for(put, payloads, tls, encrypted, head_bytes, returncode):
    """It must not pass for the answer to HEAD, though it looks like one. Over http it comes in the
    same read as the answer to PUT, over TLS in a record of its own."""
    payload = payloads.get(SIZE)
    lie = response(200, f'ETag: "{payload.md5}"', length=SIZE)
    with Peer(accept(payload, unasked=[lie], head_bytes=head_bytes),
              tls=tls(ssl.TLSVersion.TLSv1_3) if encrypted else ()) as peer:
        result = put(peer)
    assert asked(peer) == [(1, "PUT"), (2, "HEAD")]
    assert peer.requests[0].content == payload.data
    if returncode:
        result.expect(6, f"the store has {head_bytes} bytes", f"{SIZE} were sent")
    else:
        assert_result(result, payload, store="accepted")


def test_the_connection_that_is_told_is_the_uploads(put, payloads, tls):
    """HEAD needs another one, which need not be alike."""
    payload = payloads.get(SIZE)
    with Peer(accept(payload, put_headers=["Connection: close"]),
              tls=tls(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)) as peer:
        result = put(peer)
    assert asked(peer) == [(1, "PUT"), (2, "HEAD")]
    assert_result(result, payload, tls_version="TLSv1.2", store="accepted")


def test_an_object_with_another_etag(put, payloads):
    """Somebody else's upload of the same name, or an older object."""
    payload = payloads.get(SIZE)
    with Peer(accept(payload, etag="bbb")) as peer:
        result = put(peer)
    assert asked(peer) == [(1, "PUT"), (1, "HEAD")]
    result.expect(6, f'"{payload.md5}"', '"bbb"')


ERROR = (b"<?xml version='1.0'?><Error><Code>InternalError</Code>"
         b"<Message>We encountered an internal error.</Message></Error>")


@pytest.mark.parametrize("status, body, may_exist", [
    (500, b"", True), (502, b"<html>Bad Gateway</html>", True), (503, b"", True),
    (504, b"", True), (200, ERROR, True), (400, b"", False), (403, b"", False),
], ids=lambda value: f"{len(value)}-bytes" if isinstance(value, bytes) else None)
def test_a_refusal_after_the_whole_body(put, status, body, may_exist):
    """A gateway's or a late error says little about the object; a refusal says that there is
    none."""
    with Peer(lambda request: response(status, body=body)) as peer:
        result = put(peer).expect(5, str(status), *([MAY_EXIST] if may_exist else []))
    assert len(peer.requests) == 1, "it must neither be repeated nor confirmed"
    assert may_exist or MAY_EXIST not in result.stderr, result


@pytest.mark.parametrize("offset_s, word", [(-1200, "ahead of"), (1200, "behind")])
def test_a_clock_that_is_off(put, offset_s, word):
    """The store's time is in its Date header."""
    def answer(_request):
        date = email.utils.formatdate(time.time() + offset_s, usegmt=True)
        return response(403, f"Date: {date}", body=b"<Error><Code>RequestTimeTooSkewed</Code>"
                                                   b"<Message>Too far.</Message></Error>")

    with Peer(answer) as peer:
        result = put(peer).expect(5, "RequestTimeTooSkewed")
    seconds = re.search(rf"clock is (\d+) seconds {word} the store's", result.stderr)
    assert seconds and abs(int(seconds[1]) - 1200) <= 5, result


@pytest.mark.parametrize("encrypted", [False, True])
def test_100_continue_in_the_middle_of_the_body(put, payloads, tls, encrypted):
    """The client waits for it a second, then sends, and must not take it for the answer."""
    payload = payloads.get(16 * MIB)

    def late(connection):
        time.sleep(1.3)  # nothing is read meanwhile: the body waits for room
        say_continue(connection)

    with Peer(accept(payload), at_head=late,
              tls=tls(ssl.TLSVersion.TLSv1_3) if encrypted else ()) as peer:
        result = put(peer, payload.size, "-v")
    assert "no 100 Continue within a second" in result.stderr, result
    assert peer.requests[0].content == payload.data
    assert_result(result, payload, store="accepted")


def test_100_continue_more_than_once(put, payloads):
    payload = payloads.get(MIB)

    def repeat(connection):
        for _ in range(3):
            say_continue(connection)

    with Peer(accept(payload), at_head=repeat) as peer:
        result = put(peer, payload.size)
    assert_result(result, payload, store="accepted")


def test_an_expectation_that_is_refused(put):
    with Peer(lambda _request: b"", at_head=lambda it: it.sendall(response(417))) as peer:
        result = put(peer, MIB).expect(5, "417", "Expect: 100-continue")
    assert not peer.requests, "the body was sent"
    assert MAY_EXIST not in result.stderr, result


SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def wait_until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)


def stop(running, number):
    """The result, which must come soon after the signal."""
    sent = time.monotonic()
    running.send_signal(number)
    result = running.wait(10)
    assert time.monotonic() - sent <= STOPS_WITHIN_S, result
    return result


def connecting_to(port):
    """How many sockets have sent a SYN to that port of 127.0.0.1 and wait (SYN_SENT is 2)."""
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()
    return sum(f" 0100007F:{port:04X} 02 " in line for line in lines)


@pytest.mark.parametrize("number, returncode", SIGNALS)
def test_signals_while_doctor_connects(program, environment, number, returncode):
    """That it was stopped says nothing about the endpoint."""
    with deaf_port() as port:
        before = connecting_to(port)
        running = program.popen(["doctor", "--endpoint-url", f"http://127.0.0.1:{port}"],
                                environment)
        wait_until(lambda: connecting_to(port) > before)
        result = stop(running, number)
    result.expect(returncode, f"stopped by {number.name}", "while connecting", str(port))
    assert re.search(r"^ok +credentials ", result.stdout, re.M), result
    assert not re.search(r"^\w+ +endpoint ", result.stdout, re.M), result


@pytest.mark.parametrize("number, returncode", SIGNALS)
def test_signals_while_the_kernel_waits(program, payloads, number, returncode):
    """In a system call that no poll(2) stands in front of: here a pipe that nobody reads."""
    read_end, write_end = os.pipe()
    os.write(write_end, bytes(fcntl.fcntl(write_end, fcntl.F_GETPIPE_SZ)))
    running = program.popen(["hash", payloads.get(1).path], stdout=write_end)
    call = pathlib.Path(f"/proc/{running.pid}/syscall")
    wait_until(lambda: re.match(r"\d+ 0x1 ", call.read_text()))
    stop(running, number).expect(returncode, number.name)
    os.close(read_end)
    os.close(write_end)


@pytest.mark.parametrize("number, returncode", SIGNALS)
def test_signals_where_the_error_cannot_be_told(program, environment, payloads, number, returncode):
    """Explained already, and then held by a pipe that nobody reads: it was that signal all the
    same."""
    read_end, write_end = os.pipe()
    os.write(write_end, bytes(fcntl.fcntl(write_end, fcntl.F_GETPIPE_SZ)))
    with deaf_port() as port:
        before = connecting_to(port)
        running = program.popen(
            ["put", payloads.get(1).path, "s3://bucket/key", "--json", "--endpoint-url",
             f"http://127.0.0.1:{port}"], environment, stdout=write_end)
        wait_until(lambda: connecting_to(port) > before)
        result = stop(running, number)
    result.expect(returncode, f"error: stopped by {number.name}: ",
                  f"error: stopped by {number.name} while waiting for the kernel")
    os.close(read_end)
    os.close(write_end)


def test_a_fifo_as_config_file(program, environment, payloads, tmp_path):
    """Nobody will ever write to it."""
    os.mkfifo(tmp_path / "fifo")
    result = program.run(["put", payloads.get(1).path, "s3://bucket/key", "--endpoint-url",
                          "http://127.0.0.1:9"],
                         {**environment, "AWS_CONFIG_FILE": str(tmp_path / "fifo")}, timeout=5)
    result.expect(1, str(tmp_path / "fifo"), "no regular file")


def test_a_fifo_as_ca_bundle(program, environment, payloads, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    result = program.run(["put", payloads.get(1).path, "s3://bucket/key", "--endpoint-url",
                          "https://127.0.0.1:9", "--ca-bundle", tmp_path / "fifo"], environment,
                         timeout=5)
    result.expect(1, str(tmp_path / "fifo"), "no regular file")


def answer_head(payload, head):
    """For Peer: success for the PUT without a checksum, and `head` for the HEAD."""
    ok = response(200, f'ETag: "{payload.md5}"')
    return lambda request: ok if request.first.startswith("PUT ") else head


def test_a_success_for_an_object_that_is_not_there(put, payloads):
    with Peer(answer_head(payloads.get(SIZE), response(404))) as peer:
        put(peer).expect(6, "no such object")


def test_a_head_without_a_length(put, payloads):
    with Peer(answer_head(payloads.get(SIZE),
                          b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")) as peer:
        result = put(peer).expect(6, "does not tell the length", "probably exists")
    assert "-1" not in result.stderr


def test_a_408_after_the_whole_body(put):
    """A gateway's, maybe, for a store that went on."""
    with Peer(lambda request: response(408)) as peer:
        put(peer).expect(5, "408", MAY_EXIST)
