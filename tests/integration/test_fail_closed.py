# SPDX-License-Identifier: Apache-2.0
"""When something goes wrong on the way no object appears, and the error says what it was."""
import os
import signal
import socket
import subprocess
import time

import pytest

from kit.checks import assert_nothing_stored, assert_object, assert_result
from kit.content import MIB
from kit.proxy import Proxy
from rig.process import REPO

HOLD_AT = 4 * MIB


def failed(result, returncode, *parts):
    """A failure whose JSON says the same as the exit code and stderr."""
    result.expect(returncode, *parts)
    error = result.json["error"]
    names = {1: "usage", 2: "file", 3: "environment", 4: "network", 5: "store", 6: "integrity",
             130: "interrupted", 143: "interrupted"}
    assert (error["class"], error["exit_code"]) == (names[returncode], returncode), result
    assert f"s3-ktls: error: {error['message']}" in result.stderr, result
    return result


def start_put(program, server, payload, bucket, key, proxy, *more, scheme="https", **options):
    return program.popen(
        ["put", payload.path, f"s3://{bucket}/{key}", "--json", "--endpoint-url", proxy.url, *more],
        program.environment(server, scheme), **options)


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_a_file_truncated_on_the_way(program, payloads, server, bucket, key, work_dir, sender,
                                     framing):
    payload = payloads.write(work_dir / "shrinks", 40 * MIB)
    with Proxy(server.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, server, payload, bucket, key, proxy, "--sender", sender,
                            "--framing", framing)
        assert proxy.held.wait(30)
        os.truncate(payload.path, 30 * MIB + 5)
        proxy.release()
        result = running.wait()
    failed(result, 2, str(payload.path), "truncated", str(30 * MIB + 5), str(40 * MIB))
    assert_nothing_stored(server, bucket, key)


def test_a_file_truncated_without_a_hash(program, payloads, ceph, ceph_bucket, key, work_dir):
    payload = payloads.write(work_dir / "shrinks", 40 * MIB)
    with Proxy(ceph.http_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, ceph, payload, ceph_bucket, key, proxy, "--hash", "none")
        assert proxy.held.wait(30)
        os.truncate(payload.path, 30 * MIB)
        proxy.release()
        result = running.wait()
    failed(result, 2, str(payload.path), "truncated")
    assert_nothing_stored(ceph, ceph_bucket, key)


def test_a_file_that_grows_is_sent_as_long_as_it_was(program, payloads, ceph, ceph_bucket, key,
                                                     work_dir):
    payload = payloads.write(work_dir / "grows", 20 * MIB)
    with Proxy(ceph.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, ceph, payload, ceph_bucket, key, proxy)
        assert proxy.held.wait(30)
        with open(payload.path, "ab") as file:
            file.write(b"more")
        proxy.release()
        result = running.wait()
    assert_result(result, payload, source_changed=True)
    assert "changed while it was sent" in result.stderr
    assert_object(ceph, ceph_bucket, key, payload)


def test_a_file_that_changes_is_stored_as_it_was_hashed(program, payloads, ceph, ceph_bucket, key,
                                                        work_dir):
    """What the hash covers is what was sent, not what the file has later."""
    payload = payloads.write(work_dir / "changes", 40 * MIB)
    with Proxy(ceph.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, ceph, payload, ceph_bucket, key, proxy)
        assert proxy.held.wait(30)
        with open(payload.path, "r+b") as file:
            for at in (0, 35 * MIB):
                file.seek(at)
                file.write(b"another text")
        proxy.release()
        result = running.wait().expect(0)
    changed = bytearray(payload.data)
    changed[35 * MIB:35 * MIB + 12] = b"another text"
    stored = ceph.get(ceph_bucket, key)
    assert stored == changed
    assert result.json["sha256"] != payload.sha256 and result.json["store"] == "confirmed"
    assert result.json["source_changed"] and "changed while it was sent" in result.stderr


def test_a_bit_that_flips_on_the_way(program, payloads, server, bucket, key):
    """Ceph and Swift recompute the trailer's SHA-256; what was stored before stays."""
    before = payloads.get(1)
    server.put(bucket, key, bytes(before.data))
    payload = payloads.get(8 * MIB + 1)
    with Proxy(server.http_url, flip_at=5 * MIB) as proxy:
        result = start_put(program, server, payload, bucket, key, proxy).wait()
    failed(result, 6, "nothing was stored")
    assert server.get(bucket, key) == before.data


def test_without_a_hash_nobody_notices(program, payloads, ceph, ceph_bucket, key):
    """What the trailer is for; and the proof that the test above does flip a bit."""
    payload = payloads.get(8 * MIB + 1)
    with Proxy(ceph.http_url, flip_at=5 * MIB) as proxy:
        running = start_put(program, ceph, payload, ceph_bucket, key, proxy, "--hash", "none")
        assert running.wait().expect(0).json["store"] == "accepted"
    stored = ceph.get(ceph_bucket, key)
    assert [a ^ b for a, b in zip(stored, payload.data) if a != b] == [1]


def flip_trailer(request):
    """Another digit in the middle of the trailer's value."""
    at = request.rindex(b"x-amz-checksum-sha256:") + len(b"x-amz-checksum-sha256:") + 10
    other = b"A" if request[at:at + 1] != b"A" else b"B"
    return request[:at] + other + request[at + 1:]


def test_a_trailer_that_changes_on_the_way(program, payloads, server, bucket, key):
    payload = payloads.get(65537)
    with Proxy(server.http_url, edit=flip_trailer) as proxy:
        result = start_put(program, server, payload, bucket, key, proxy).wait()
    failed(result, 6, "nothing was stored")
    assert server.head(bucket, key) is None


def test_a_body_that_is_cut_off(program, payloads, server, bucket, key):
    """The whole payload went through, its last chunk and trailer did not."""
    payload = payloads.get(65537)

    def cut(request):
        return request[:request.rindex(b"x-amz-checksum-sha256:")]

    with Proxy(server.http_url, edit=cut) as proxy:
        running = start_put(program, server, payload, bucket, key, proxy, "--timeout", "1")
        failed(running.wait(), 4)
    time.sleep(0.2)
    assert_nothing_stored(server, bucket, key)


@pytest.mark.parametrize("number, returncode", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_in_the_middle(program, payloads, server, bucket, key, number, returncode):
    before = payloads.get(1)
    server.put(bucket, key, bytes(before.data))
    payload = payloads.get(64 * MIB)
    with Proxy(server.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, server, payload, bucket, key, proxy)
        assert proxy.held.wait(30)
        time.sleep(0.3)
        sent = time.monotonic()
        running.send_signal(number)
        result = running.wait(10)
        assert time.monotonic() - sent < 1
        proxy.release()
    failed(result, returncode, number.name, "nothing was stored")
    assert server.get(bucket, key) == before.data
    assert not server.list_multipart(bucket)


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_stops_do_not_harm(program, payloads, ceph, ceph_bucket, key, sender):
    """A push that a stop interrupts must neither be hashed in part nor end the upload."""
    payload = payloads.get(64 * MIB)
    running = program.popen(["put", payload.path, f"s3://{ceph_bucket}/{key}", "--json", "--sender",
                             sender], program.environment(ceph))
    stops = 0
    while running.process.poll() is None:
        running.send_signal(signal.SIGSTOP)
        time.sleep(0.001)
        running.send_signal(signal.SIGCONT)
        time.sleep(0.004)
        stops += 1
    assert_result(running.wait(), payload, moved_by=sender)
    assert stops > 10
    assert_object(ceph, ceph_bucket, key, payload)


def test_a_signal_while_the_answer_is_awaited(program, payloads, ceph, ceph_bucket, key):
    """Then nobody can know; it must not claim that nothing was stored."""
    with Proxy(ceph.http_url, hold_answer=True) as proxy:
        running = start_put(program, ceph, payloads.get(1), ceph_bucket, key, proxy)
        assert proxy.held.wait(30)
        running.send_signal(signal.SIGTERM)
        failed(running.wait(10), 143, "an object may exist")


def test_signals_while_hashing(program, work_dir):
    sparse = work_dir / "sparse"
    with open(sparse, "wb") as file:
        file.truncate(16 << 30)
    for number, returncode in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        running = program.popen(["hash", sparse])
        time.sleep(1)
        sent = time.monotonic()
        running.send_signal(number)
        running.wait(10).expect(returncode, number.name)
        assert time.monotonic() - sent < 1


def test_a_wrong_secret(program, payloads, server, bucket, key):
    result = program.put(server, payloads.get(8 * MIB + 1).path, bucket, key,
                         env={"AWS_SECRET_ACCESS_KEY": "wrong-wrong-wrong"})
    failed(result, 5, "SignatureDoesNotMatch", "secret access key", "request id")
    assert_nothing_stored(server, bucket, key)


def test_an_unknown_access_key(program, payloads, ceph, ceph_bucket, key):
    result = program.put(ceph, payloads.get(1).path, ceph_bucket, key,
                         env={"AWS_ACCESS_KEY_ID": "nobody-knows-it"})
    failed(result, 5, "InvalidAccessKeyId")


@pytest.mark.parametrize("size", [0, 65537, 8 * MIB + 1])
def test_no_bucket(program, payloads, server, key, size):
    result = program.put(server, payloads.get(size).path, "no-such-bucket", key)
    failed(result, 5, "NoSuchBucket", "no-such-bucket", "bucket's name")


def test_a_refusal_costs_no_body(program, payloads, ceph, key):
    """Expect: 100-continue: the answer comes before the payload has left."""
    with Proxy(ceph.http_url) as proxy:
        result = start_put(program, ceph, payloads.get(64 * MIB), "no-such-bucket", key,
                           proxy).wait()
        assert proxy.bytes_from_client < 64 * 1024
    failed(result, 5, "NoSuchBucket")


def test_the_wrong_region(program, payloads, swift, swift_bucket, key):
    result = program.put(swift, payloads.get(1).path, swift_bucket, key, "--region", "eu-central-1")
    failed(result, 5, "AuthorizationHeaderMalformed", f"give --region {swift.region}")
    assert_nothing_stored(swift, swift_bucket, key)


@pytest.fixture(scope="module")
def other_ca(work_dir):
    """A CA that has signed nothing here."""
    subprocess.run([REPO / "tools" / "make-ca.sh", work_dir / "other-ca"], check=True)
    return str(work_dir / "other-ca" / "ca.pem")


def test_a_ca_that_did_not_sign(program, payloads, server, bucket, key, other_ca):
    result = program.put(server, payloads.get(1).path, bucket, key, "--ca-bundle", other_ca)
    failed(result, 4, "localhost", "--ca-bundle")
    assert_nothing_stored(server, bucket, key)


def test_a_ca_that_the_system_does_not_have(program, payloads, ceph, ceph_bucket, key):
    result = program.put(ceph, payloads.get(1).path, ceph_bucket, key, env={"AWS_CA_BUNDLE": None})
    failed(result, 4, "not trusted", "--ca-bundle")


def test_a_name_that_the_certificate_has_not(program, payloads, server, bucket, key):
    url = server.https_url.replace("localhost", "other.example")
    result = program.put(server, payloads.get(1).path, bucket, key, "--endpoint-url", url,
                         hosts={"other.example": ["127.0.0.1"]})
    failed(result, 4, "other.example", "certificate is for", "localhost")
    assert_nothing_stored(server, bucket, key)


def test_plain_http_where_tls_is_expected(program, payloads, ceph, ceph_bucket, key):
    url = ceph.http_url.replace("http:", "https:")
    result = program.put(ceph, payloads.get(1).path, ceph_bucket, key, "--endpoint-url", url)
    failed(result, 4, "not TLS")


def test_tls_where_plain_http_is_expected(program, payloads, swift, swift_bucket, key):
    url = swift.https_url.replace("https:", "http:")
    result = program.put(swift, payloads.get(1).path, swift_bucket, key, "--endpoint-url", url)
    failed(result, 4)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_nobody_listens(program, payloads, ceph, key):
    port = free_port()
    result = program.put(ceph, payloads.get(1).path, "bucket", key, "--endpoint-url",
                         f"https://localhost:{port}")
    failed(result, 4, "localhost", str(port), "refused")
    assert result.elapsed_s < 3


def test_a_name_that_does_not_exist(program, payloads, ceph, key):
    result = program.put(ceph, payloads.get(1).path, "bucket", key, "--endpoint-url",
                         "https://nowhere.invalid", "--connect-timeout", "3")
    failed(result, 4, "nowhere.invalid")
    assert result.elapsed_s < 5


def test_packets_that_get_no_answer(program, payloads, ceph, key):
    """A listener whose queue is full drops the SYN."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = []
        for _ in range(3):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(address)
        result = program.put(ceph, payloads.get(1).path, "bucket", key, "--endpoint-url",
                             f"http://127.0.0.1:{address[1]}", "--connect-timeout", "1")
        for connection in waiting:
            connection.close()
    failed(result, 4, f"port {address[1]}", "time")
    assert 1 <= result.elapsed_s < 3


@pytest.mark.parametrize("scheme, option", [("https", "--connect-timeout"), ("http", "--timeout")])
def test_a_server_that_says_nothing(program, payloads, ceph, key, scheme, option):
    """The connection is there (the kernel took it), and nothing comes: handshake, then answer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        result = program.put(ceph, payloads.get(65537).path, "bucket", key, "--endpoint-url",
                             f"{scheme}://localhost:{port}", option, "1")
    failed(result, 4)
    assert 1 <= result.elapsed_s < 3


def test_a_store_that_stops_reading(program, payloads, ceph, ceph_bucket, key):
    with Proxy(ceph.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, ceph, payloads.get(64 * MIB), ceph_bucket, key, proxy,
                            "--timeout", "1.5")
        assert proxy.held.wait(30)
        result = running.wait(15)
        proxy.release()
    failed(result, 4, "no progress for 1.5 s")
    assert_nothing_stored(ceph, ceph_bucket, key)


def test_slow_is_not_stopped(program, payloads, ceph, ceph_bucket, key):
    """Held for less than --timeout, it goes on."""
    payload = payloads.get(64 * MIB)
    with Proxy(ceph.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, ceph, payload, ceph_bucket, key, proxy, "--timeout", "5")
        assert proxy.held.wait(30)
        time.sleep(2)
        proxy.release()
        assert_result(running.wait(), payload)
    assert_object(ceph, ceph_bucket, key, payload)


def test_a_server_that_goes_away(program, payloads, ceph, ceph_bucket, key):
    """The connection breaks in the middle of the body."""
    with Proxy(ceph.https_url, hold_at=HOLD_AT) as proxy:
        running = start_put(program, ceph, payloads.get(64 * MIB), ceph_bucket, key, proxy)
        assert proxy.held.wait(30)
        proxy.cut()
        result = running.wait(15)
    failed(result, 4)
    assert_nothing_stored(ceph, ceph_bucket, key)


def test_an_answer_that_is_lost(program, payloads, ceph, ceph_bucket, key):
    """The store has the whole body and its answer never comes: nobody can know."""
    with Proxy(ceph.http_url, hold_answer=True) as proxy:
        running = start_put(program, ceph, payloads.get(65537), ceph_bucket, key, proxy)
        assert proxy.held.wait(30)
        proxy.cut()
        result = running.wait(15)
    failed(result, 4, "may exist")
    assert "nothing was stored" not in result.stderr
    with Proxy(ceph.http_url, hold_answer=True) as proxy:
        result = start_put(program, ceph, payloads.get(65537), ceph_bucket, key, proxy,
                           "--timeout", "1").wait(15)
    failed(result, 4, "may exist")


def test_uploads_side_by_side(program, payloads, ceph, ceph_bucket, key):
    """Each process has a tap of its own."""
    sizes = [20 * MIB + 1, 20 * MIB + 2, 20 * MIB + 3, 20 * MIB + 4]
    running = [program.popen(["put", payloads.get(size).path, f"s3://{ceph_bucket}/{key}-{size}",
                              "--json"], program.environment(ceph)) for size in sizes]
    for size, one in zip(sizes, running):
        assert_result(one.wait(), payloads.get(size))
        assert_object(ceph, ceph_bucket, f"{key}-{size}", payloads.get(size))
