# SPDX-License-Identifier: Apache-2.0
"""Every version of TLS, cipher, framing, sender and store that goes together, with kTLS."""
import contextlib
import itertools
import ssl

import pytest

from kit.content import BORDERS
from kit.guest import put_with_ktls
from kit.proxy import Proxy, tls_context

SENDERS = ["sendfile", "splice"]
SUITES = {
    ("TLSv1.2", "AES-128-GCM"): "ECDHE-ECDSA-AES128-GCM-SHA256",
    ("TLSv1.2", "AES-256-GCM"): "ECDHE-ECDSA-AES256-GCM-SHA384",
    ("TLSv1.2", "ChaCha20"): "ECDHE-ECDSA-CHACHA20-POLY1305",
    ("TLSv1.3", "AES-128-GCM"): "TLS_AES_128_GCM_SHA256",
    ("TLSv1.3", "AES-256-GCM"): "TLS_AES_256_GCM_SHA384",
    ("TLSv1.3", "ChaCha20"): "TLS_CHACHA20_POLY1305_SHA256",
}
CELLS = list(itertools.product(SUITES, ["chunked", "length"], SENDERS))
CHUNK_SIZES = ["8M", "64K"]

# What OpenSSL reads at its start. The program sets the ciphers of TLS 1.2 itself, so there the
# server has to choose; those of TLS 1.3 it leaves alone.
OPENSSL_CONF = """
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = client
[client]
"""


@pytest.fixture(scope="session")
def openssl_conf(work_dir):
    """openssl_conf(name, line): a file for OPENSSL_CONF that holds that setting of the client."""

    def make(name, line):
        path = work_dir / f"openssl-{name}.cnf"
        path.write_text(f"{OPENSSL_CONF}{line}\n")
        return {"OPENSSL_CONF": str(path)}

    return make


@pytest.fixture(scope="session")
def tls12_proxies():
    """get(server, cipher): a proxy in front of that server that speaks only this of TLS 1.2."""
    with contextlib.ExitStack() as stack:
        made = {}

        def get(server, cipher):
            if (server, cipher) not in made:
                context = tls_context(server, ssl.TLSVersion.TLSv1_2, cipher)
                made[server, cipher] = stack.enter_context(Proxy(server.http_url, tls=context))
            return made[server, cipher]

        yield get


@pytest.mark.parametrize("suite, framing, sender", CELLS,
                         ids=lambda value: "-".join(value) if type(value) is tuple else value)
def test_cell(vm, guest, payloads, in_guest, server, bucket, key, openssl_conf, tls12_proxies, suite,
              framing, sender):
    """Sizes and chunks go round, so that each border is met in many cells."""
    version, cipher = suite[0], SUITES[suite]
    number = vm.number + 2 * CELLS.index((suite, framing, sender)) + (server.kind == "swift")
    payload = payloads.get(BORDERS[number % len(BORDERS)])
    arguments = ["--framing", framing, "--chunk-size",
                 CHUNK_SIZES[number // len(BORDERS) % len(CHUNK_SIZES)]]
    env = {}
    if version == "TLSv1.2":
        arguments += ["--endpoint-url", tls12_proxies(server, cipher).vm_url]
    else:
        env = openssl_conf(cipher, f"Ciphersuites = {cipher}")
    put_with_ktls(guest, server, bucket, key, in_guest(payload), payload, sender, *arguments,
                  env=env, tls_version=version, tls_cipher=cipher)


@pytest.mark.parametrize("sender", SENDERS)
def test_tls_1_2_of_the_store_itself(guest, payloads, in_guest, server, bucket, key, openssl_conf,
                                     sender):
    payload = payloads.get(BORDERS[-1])
    said = put_with_ktls(guest, server, bucket, key, in_guest(payload), payload, sender,
                         env=openssl_conf("tls12", "MaxProtocol = TLSv1.2"), tls_version="TLSv1.2")
    assert said["tls_cipher"].startswith("ECDHE-ECDSA-AES"), said
