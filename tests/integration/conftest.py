# SPDX-License-Identifier: Apache-2.0
"""On this machine: the servers, and the program at build/s3-ktls."""
import pytest

from kit.rows import Outcomes, run, selected_rows


@pytest.fixture
def ceph_bucket(ceph, buckets):
    return buckets(ceph)


@pytest.fixture
def swift_bucket(swift, buckets):
    return buckets(swift)


@pytest.fixture(scope="module")
def outcomes(request, program, payloads, certificates):
    """What came of each row of a table of hostile peers."""
    it = Outcomes(selected_rows(request), run, program, payloads, certificates)
    yield it
    it.close()


@pytest.fixture(scope="session")
def ktls_here():
    """Does this kernel take the TLS protocol on a socket? Then OpenSSL hands encryption to it."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener, \
            socket.create_connection(listener.getsockname()) as client:
        try:
            client.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
        except OSError:
            return False
        return True
