# SPDX-License-Identifier: Apache-2.0
"""Every way of sending, to both servers: what is said is right, and what is stored is the file."""
import itertools

import pytest

from kit.checks import assert_object, assert_result
from kit.content import MIB

SENDERS = ["sendfile", "splice"]
SIZES = [0, 1, 65537, 8 * MIB + 1]
WAYS = list(itertools.product(["http", "https"], ["chunked", "length"], SENDERS))
# What is large goes over every server and sender, but not in every combination.
LARGE_WAYS = [(scheme, framing, sender) for scheme, framing in (("https", "chunked"),
                                                                ("http", "length"))
              for sender in SENDERS]
CASES = [(*way, size) for way in WAYS for size in SIZES] + [(*way, 64 * MIB) for way in LARGE_WAYS]


@pytest.mark.parametrize("scheme, framing, sender, size", CASES)
def test_upload(program, payloads, server, bucket, key, ktls_here, scheme, framing, sender, size):
    payload = payloads.get(size)
    result = program.put(server, payload.path, bucket, key, "--framing", framing, "--sender",
                         sender, scheme=scheme)
    encrypted_by = "none" if scheme == "http" else "ktls" if ktls_here else "openssl"
    said = assert_result(
        result, payload, bucket=bucket, key=key, moved_by=sender, encrypted_by=encrypted_by,
        store="confirmed" if server.kind == "ceph" else "accepted", tap_network="private",
        endpoint=server.http_url if scheme == "http" else server.https_url)
    assert said["peer"].startswith("127.0.0.1:")
    warned = "OpenSSL encrypts in the program" in result.stderr
    assert warned == (encrypted_by == "openssl"), result
    assert_object(server, bucket, key, payload)


@pytest.mark.parametrize("chunk_size, size", [
    ("8K", 8192), ("8K", 8193), ("8KiB", 3 * 8192), ("65536", 1_000_003), ("16M", 20_000_000)])
def test_chunk_sizes(program, payloads, server, bucket, key, chunk_size, size):
    payload = payloads.get(size)
    result = program.put(server, payload.path, bucket, key, "--chunk-size", chunk_size)
    assert_result(result, payload)
    assert_object(server, bucket, key, payload)


def test_an_upload_replaces_the_object(program, payloads, server, bucket, key):
    for size in (65537, 1):
        payload = payloads.get(size)
        assert_result(program.put(server, payload.path, bucket, key), payload)
        assert_object(server, bucket, key, payload)
