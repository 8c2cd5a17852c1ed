# SPDX-License-Identifier: Apache-2.0
"""Uploads that the kernel encrypts, hashes and moves; downloaded and compared on the host."""
import itertools
import ssl

import pytest

from kit.checks import assert_object, assert_result
from kit.content import MIB
from kit.guest import put_with_ktls
from kit.proxy import Proxy, tls_context

SENDERS = ["sendfile", "splice"]
WAYS = list(itertools.product(["chunked", "length"], SENDERS))


def modules(vm):
    return vm.run(["cut", "-d ", "-f1", "/proc/modules"]).stdout.split()


@pytest.mark.fresh_boot
def test_the_tls_module_comes_by_itself(vm, guest, modules_at_boot, payloads, in_guest, ceph,
                                        buckets, key):
    assert "virtio_net" in modules_at_boot and "tls" not in modules_at_boot
    assert "tls" not in modules(vm)
    payload = payloads.get(1)
    result = guest.put(ceph, in_guest(payload), buckets(ceph), key, "--require-ktls")
    assert_result(result, payload, encrypted_by="ktls")
    assert "tls" in modules(vm)


@pytest.mark.parametrize("size", [0, 1, 65537, 8 * MIB + 1])
@pytest.mark.parametrize("framing, sender", WAYS)
def test_upload(guest, payloads, in_guest, server, bucket, key, framing, sender, size):
    payload = payloads.get(size)
    put_with_ktls(guest, server, bucket, key, in_guest(payload), payload, sender, "--framing",
                  framing)


@pytest.mark.parametrize("kind, framing, sender", [("ceph", "chunked", "sendfile"),
                                                   ("swift", "length", "splice")])
def test_upload_64_mib(guest, payloads, in_guest, request, buckets, key, kind, framing, sender):
    server = request.getfixturevalue(kind)
    payload = payloads.get(64 * MIB)
    put_with_ktls(guest, server, buckets(server), key, in_guest(payload), payload, sender,
                  "--framing", framing)


@pytest.mark.parametrize("sender", SENDERS)
def test_upload_over_http(guest, payloads, in_guest, server, bucket, key, sender):
    payload = payloads.get(8 * MIB + 1)
    result = guest.put(server, in_guest(payload), bucket, key, "--sender", sender, scheme="http")
    assert_result(result, payload, moved_by=sender, encrypted_by="none")
    assert_object(server, bucket, key, payload)


@pytest.mark.parametrize("sender", SENDERS)
def test_without_a_hash(guest, payloads, in_guest, ceph, buckets, key, sender):
    """The kernel moves and encrypts; nothing is hashed."""
    payload = payloads.get(8 * MIB + 1)
    result = guest.put(ceph, in_guest(payload), buckets(ceph), key, "--hash", "none", "--sender",
                       sender, "--require-ktls")
    said = result.expect(0).json
    assert (said["moved_by"], said["encrypted_by"], said["sha256"]) == (sender, "ktls", None)
    assert_bytes(ceph, buckets(ceph), key, payload)


def assert_bytes(server, bucket, key, payload):
    assert server.get(bucket, key) == payload.data


def test_a_cipher_that_the_kernel_has_not(guest, payloads, in_guest, ceph, buckets, key):
    """Then OpenSSL encrypts, and that is said; --require-ktls refuses."""
    payload = payloads.get(65537)
    context = tls_context(ceph, ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256")
    with Proxy(ceph.http_url, tls=context) as proxy:
        arguments = (ceph, in_guest(payload), buckets(ceph), key, "--endpoint-url", proxy.vm_url)
        guest.put(*arguments, "--require-ktls").expect(3, "ECDHE-ECDSA-AES128-SHA256")
        assert ceph.head(buckets(ceph), key) is None
        result = guest.put(*arguments)
    assert_result(result, payload, encrypted_by="openssl")
    assert "OpenSSL encrypts in the program" in result.stderr
    assert_object(ceph, buckets(ceph), key, payload)


def test_a_bit_that_flips_on_the_way(guest, payloads, in_guest, ceph, buckets, key):
    """Plain http, so that the flip is not TLS's to find."""
    with Proxy(ceph.http_url, flip_at=5 * MIB) as proxy:
        result = guest.put(ceph, in_guest(payloads.get(8 * MIB + 1)), buckets(ceph), key,
                           "--endpoint-url", proxy.vm_url)
    result.expect(6, "nothing was stored")
    assert ceph.head(buckets(ceph), key) is None


def test_an_ordinary_user_with_setcap(vm, guest, payloads, in_guest, ceph, buckets, key):
    path = "/tmp/s3-ktls-setcap"
    made = vm.run(["sh", "-ec", 'cp "$0" "$1"; setcap cap_bpf,cap_net_admin,cap_perfmon+ep "$1"',
                   guest.path, path])
    assert made.returncode == 0, made
    payload = payloads.get(8 * MIB + 1)
    result = type(guest)(vm, path, guest.cas).put(ceph, in_guest(payload), buckets(ceph), key,
                                                  "--require-ktls", uid=65534)
    assert_result(result, payload, encrypted_by="ktls", tap_network="host")
    assert_object(ceph, buckets(ceph), key, payload)


def test_an_ordinary_user_without_any(guest, payloads, in_guest, ceph, buckets, key):
    result = guest.put(ceph, in_guest(payloads.get(1)), buckets(ceph), key, uid=65534)
    result.expect(3, "CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON")
