# SPDX-License-Identifier: Apache-2.0
"""TLS versions and ciphers, in front of a real store; and --require-ktls."""
import ssl

import pytest

from kit.checks import assert_object, assert_result
from kit.content import MIB
from kit.proxy import Proxy, tls_context


@pytest.mark.parametrize("version, name, ciphers", [
    (ssl.TLSVersion.TLSv1_2, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    (ssl.TLSVersion.TLSv1_2, "TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    (ssl.TLSVersion.TLSv1_2, "TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    (ssl.TLSVersion.TLSv1_2, "TLSv1.2", "ECDHE-ECDSA-AES128-SHA256"),
    (ssl.TLSVersion.TLSv1_3, "TLSv1.3", None),
])
def test_versions_and_ciphers(program, payloads, ceph, ceph_bucket, key, version, name, ciphers):
    payload = payloads.get(8 * MIB + 1)
    with Proxy(ceph.http_url, tls=tls_context(ceph, version, ciphers)) as proxy:
        result = program.put(ceph, payload.path, ceph_bucket, key, "--endpoint-url", proxy.url)
    said = assert_result(result, payload, tls_version=name)
    assert ciphers is None or said["tls_cipher"] == ciphers
    assert_object(ceph, ceph_bucket, key, payload)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_old_versions_are_refused(program, payloads, ceph, ceph_bucket, key):
    context = tls_context(ceph, ssl.TLSVersion.TLSv1_2)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with Proxy(ceph.http_url, tls=context) as proxy:
        program.put(ceph, payloads.get(1).path, ceph_bucket, key, "--endpoint-url",
                    proxy.url).expect(4, "TLS 1.2")
    assert ceph.head(ceph_bucket, key) is None


@pytest.mark.parametrize("hashed", ["bpf", "none"])
def test_require_ktls(program, payloads, server, bucket, key, ktls_here, hashed):
    payload = payloads.get(65537)
    result = program.put(server, payload.path, bucket, key, "--require-ktls", "--hash", hashed)
    if ktls_here:
        assert result.expect(0).json["encrypted_by"] == "ktls"
    else:
        result.expect(3, "--require-ktls", "modprobe tls")
        assert server.head(bucket, key) is None
