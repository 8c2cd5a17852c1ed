# SPDX-License-Identifier: Apache-2.0
"""Odd keys, odd file names, addressing, and uploads without a hash or a signature."""
import os
import subprocess
import urllib.parse

import pytest

from kit.checks import assert_object, assert_result
from kit.proxy import Proxy
from kit.strace import Way

KEYS = {
    "space": "a b  c",
    "plus": "a+b",
    "percent": "100%/50%25",
    "utf-8": "grüße/日本語/\N{PILE OF POO}",
    "double slash": "a//b///c",
    "reserved": "a:b?c#d[e]@f!g$h&i'j(k)l*m,n;o=p",
    "quotes": "a\"b<c>d\\e^f`g{h|i}",
    "tilde and dots": "~a/..b/c../...",
    "leading slash": "/a",
    "longest": "k" * 1024,
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())
def test_odd_keys(program, payloads, server, bucket, key):
    payload = payloads.get(65537)
    result = program.put(server, payload.path, bucket, key)
    assert_result(result, payload, key=key)
    assert_object(server, bucket, key, payload)
    assert key in server.list_keys(bucket)


@pytest.mark.parametrize("prefix, separator", [("", "/"), ("folder/", "/"), ("", "")])
def test_a_key_without_a_name_takes_the_file_s(program, payloads, ceph, ceph_bucket, work_dir,
                                               prefix, separator):
    payload = payloads.write(work_dir / "own name.bin", 1000)
    result = program.run(
        ["put", payload.path, f"s3://{ceph_bucket}{separator}{prefix}", "--json"],
        program.environment(ceph))
    assert_result(result, payload, key=prefix + "own name.bin")
    assert_object(ceph, ceph_bucket, prefix + "own name.bin", payload)


@pytest.mark.parametrize("key", ["k" * 1025, "a/../b", "./a", "a/.", b"not-utf-8-\xff"])
def test_keys_that_are_refused(program, payloads, ceph, ceph_bucket, key):
    uri = f"s3://{ceph_bucket}/".encode() + (key if isinstance(key, bytes) else key.encode())
    result = program.run(["put", payloads.get(1).path, uri, "--json"], program.environment(ceph))
    result.expect(1, "key")
    assert result.json["error"]["class"] == "usage"


@pytest.mark.parametrize("name", [
    "-leading-dash", "--help", "line\nbreak", "back\\slash", "sp ace", "ümläut", b"latin-1-\xe9",
    "~", "100%"])
def test_odd_file_names(program, payloads, ceph, ceph_bucket, key, tmp_path, name):
    payload = payloads.write(tmp_path / os.fsdecode(name), 1000)
    result = program.run(["put", "--json", "--", name, f"s3://{ceph_bucket}/{key}"],
                         program.environment(ceph), cwd=tmp_path)
    assert_result(result, payload, key=key)
    assert_object(ceph, ceph_bucket, key, payload)


def test_a_symbolic_link_is_followed(program, payloads, ceph, ceph_bucket, key, tmp_path):
    payload = payloads.get(65537)
    (tmp_path / "link").symlink_to(payload.path)
    assert_result(program.put(ceph, tmp_path / "link", ceph_bucket, key), payload)
    assert_object(ceph, ceph_bucket, key, payload)


def assert_unhashed(result, server, bucket, key, payload, moved_by):
    said = result.expect(0).json
    assert (said["sha256"], said["hashed_by"], said["tap_network"]) == (None, "none", None)
    assert (said["moved_by"], said["store"], said["bytes"]) == (moved_by, "accepted", payload.size)
    assert "--hash none" in result.stderr and "UNSIGNED-PAYLOAD" in result.stderr
    assert server.get(bucket, key) == payload.data


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_without_a_hash(program, payloads, server, bucket, key, ktls_here, scheme, sender):
    payload = payloads.get(5_000_001)
    result = program.put(server, payload.path, bucket, key, "--hash", "none", "--sender", sender,
                         scheme=scheme)
    moved_by = sender if scheme == "http" or ktls_here else "read"
    assert_unhashed(result, server, bucket, key, payload, moved_by)


def test_strace_shows_a_file_that_is_read(program, payloads, ceph, ceph_bucket, key, ktls_here,
                                          tmp_path):
    """What the VM's tests look for is found where it is: OpenSSL reads what it encrypts."""
    payload = payloads.get(1_100_000)
    result = program.put(ceph, payload.path, ceph_bucket, key, "--hash", "none", prefix=[
        "strace", "-f", "-qq", "-s", "0", "-o", str(tmp_path / "trace")])
    result.expect(0)
    way = Way((tmp_path / "trace").read_text(), payload.path)
    assert way.opened == 1
    assert bool(way.touched) != ktls_here
    assert way.spliced + way.fed == (payload.size if ktls_here else 0)


@pytest.mark.parametrize("size", [0, 1])
def test_without_a_hash_small(program, payloads, server, bucket, key, size):
    payload = payloads.get(size)
    result = program.put(server, payload.path, bucket, key, "--hash", "none", scheme="http")
    assert_unhashed(result, server, bucket, key, payload, "sendfile")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_virtual_hosts(program, payloads, server, key, scheme):
    """The bucket stands in the host's name: TLS verifies it, and the signature covers it."""
    bucket = server.vhost_bucket
    if not any(b["Name"] == bucket for b in server.client.list_buckets()["Buckets"]):
        server.make_bucket(bucket)
    payload = payloads.get(65537)
    result = program.put(server, payload.path, bucket, key, "--addressing-style", "virtual", "-v",
                         scheme=scheme, hosts={f"{bucket}.localhost": ["127.0.0.1"]})
    assert_result(result, payload, bucket=bucket, key=key)
    assert_object(server, bucket, key, payload)


def test_path_addressing_needs_no_name_for_the_bucket(program, payloads, server, bucket, key):
    """The same hosts as above do not have the bucket's name."""
    payload = payloads.get(1)
    for style in ("path", "auto"):
        result = program.put(server, payload.path, bucket, key, "--addressing-style", style,
                             hosts={"localhost": ["127.0.0.1"]})
        assert_result(result, payload)


def test_an_address_that_refuses_is_passed_over(program, payloads, ceph, ceph_bucket, key):
    """localhost is ::1 too, where Ceph does not listen."""
    payload = payloads.get(1)
    result = program.put(ceph, payload.path, ceph_bucket, key,
                         hosts={"localhost": ["::1", "127.0.0.1"]})
    assert assert_result(result, payload)["peer"].startswith("127.0.0.1:")


def test_an_ip_address_as_the_endpoint(program, payloads, ceph, ceph_bucket, key):
    payload = payloads.get(1)
    url = ceph.https_url.replace("localhost", "127.0.0.1")
    result = program.put(ceph, payload.path, ceph_bucket, key, "--endpoint-url", url)
    assert_result(result, payload, endpoint=url)
    assert_object(ceph, ceph_bucket, key, payload)


def test_an_ipv6_address_as_the_endpoint(program, payloads, server, bucket, key):
    payload = payloads.get(65537)
    with Proxy(server.https_url, address="::1") as proxy:
        result = program.put(server, payload.path, bucket, key, "--endpoint-url", proxy.url)
    assert assert_result(result, payload)["peer"] == f"[::1]:{proxy.port}"
    assert_object(server, bucket, key, payload)


@pytest.fixture(scope="module")
def public_bucket(ceph):
    """Everybody may write into it and read it, so nobody's credentials are needed."""
    ceph.client.create_bucket(Bucket="public", ACL="public-read-write")
    return "public"


def put_unsigned(program, ceph, payload, bucket, key, *more):
    """With no credentials anywhere."""
    return program.run(
        ["put", payload.path, f"s3://{bucket}/{key}", "--json", "--no-sign-request",
         "--endpoint-url", ceph.https_url, *more], program.environment(AWS_CA_BUNDLE=ceph.ca))


def get_unsigned(ceph, bucket, key):
    """The object belongs to nobody, so that even the bucket's owner may not read it by name."""
    return subprocess.run(
        ["curl", "--disable", "-sS", "--fail", "--noproxy", "*", "--cacert", ceph.ca,
         f"{ceph.https_url}/{bucket}/{key}"], stdout=subprocess.PIPE, check=True).stdout


def test_without_a_signature(program, payloads, ceph, public_bucket, key):
    payload = payloads.get(65537)
    result = put_unsigned(program, ceph, payload, public_bucket, key, "--hash", "none")
    assert result.expect(0).json["store"] == "accepted"
    assert get_unsigned(ceph, public_bucket, key) == payload.data


def test_a_store_that_keeps_the_framing_as_content(program, payloads, ceph, public_bucket, key):
    """Ceph decodes aws-chunked in signed requests only, and answers 200: that is no success."""
    payload = payloads.get(65537)
    result = put_unsigned(program, ceph, payload, public_bucket, key)
    result.expect(6, "do not trust it")
    stored = get_unsigned(ceph, public_bucket, key)
    assert len(stored) > payload.size and b"x-amz-checksum-sha256:" in stored


def test_without_a_signature_where_it_is_needed(program, payloads, server, bucket, key):
    result = program.put(server, payloads.get(1).path, bucket, key, "--no-sign-request")
    result.expect(5, "refused with", {"ceph": "AccessDenied", "swift": "400"}[server.kind])
    assert server.head(bucket, key) is None


def test_the_result_line(program, payloads, ceph, ceph_bucket, ktls_here):
    payload = payloads.get(65537)
    result = program.run(["put", payload.path, f"s3://{ceph_bucket}/line\nbreak"],
                         program.environment(ceph)).expect(0)
    assert result.stdout.count("\n") == 1 and result.stdout.endswith(" MB/s\n"), result
    said = dict(part.split(": ", 1) for part in result.stdout.split(", ") if ": " in part)
    assert f"sha256 {payload.sha256}" in result.stdout
    assert (said["hashed"], said["moved"], said["store"]) == ("bpf", "sendfile", "confirmed")
    assert said["encrypted"].startswith("kTLS TLSv1." if ktls_here else "OpenSSL TLSv1.")
    assert result.stdout.startswith(f"s3://{ceph_bucket}/line?break: {payload.size} bytes, ")


def test_the_result_line_over_http(program, payloads, swift, swift_bucket, key):
    result = program.run(
        ["put", payloads.get(1).path, f"s3://{swift_bucket}/{key}", "--hash", "none"],
        program.environment(swift, "http")).expect(0)
    assert "1 bytes, sha256 none, hashed: none, moved: sendfile, encrypted: none, " \
           "store: accepted, " in result.stdout, result


def test_quiet(program, payloads, ceph, ceph_bucket, key):
    payload = payloads.get(65537)
    result = program.run(["put", "-q", payload.path, f"s3://{ceph_bucket}/{key}"],
                         program.environment(ceph)).expect(0)
    assert (result.stdout, result.stderr) == ("", "")
    assert_object(ceph, ceph_bucket, key, payload)


def test_verbose(program, payloads, ceph, ceph_bucket, key):
    payload = payloads.get(1_100_000)
    result = program.put(ceph, payload.path, ceph_bucket, key, "-v")
    assert_result(result, payload)
    port = urllib.parse.urlsplit(ceph.https_url).port
    for step in (f"{payload.size} bytes", "BPF program loaded", "tap proven", "kernel TLS",
                 f"connected to 127.0.0.1:{port}, TLSv1.", "100 Continue",
                 f"body complete: {payload.size} bytes", "the store answered 200"):
        assert step in result.stderr, result
