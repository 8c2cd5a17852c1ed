# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the integration and VM tests. Each server starts once, and only if a test asks."""
import os
import pathlib
import shutil
import signal
import tempfile

import pytest

from kit.certificates import Certificates
from kit.content import Payloads
from kit.program import Program
from rig.process import REPO
from rig.servers import Server

# Neither the servers' client nor the program may see the settings of whoever runs the tests.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]

# A shell's background job ignores these two, and so would all that is started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

BINARY = REPO / "build" / "s3-ktls"


@pytest.fixture(scope="session")
def work_dir():
    """A folder that every user can read, unlike pytest's own: some tests run as uid 65534."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="s3-ktls-test."))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def program(work_dir):
    """A copy of the build that every user can reach, wherever the repository is."""
    assert os.getuid() == 0, "these tests load BPF programs and mount: run them as root"
    assert BINARY.exists(), f"{BINARY} is missing: run make"
    home = work_dir / "home"
    home.mkdir()
    return Program(shutil.copy(BINARY, work_dir / "s3-ktls"), home)


@pytest.fixture(scope="session")
def payloads(work_dir):
    folder = work_dir / "payloads"
    folder.mkdir()
    return Payloads(folder)


@pytest.fixture(scope="session")
def certificates(work_dir):
    """For peers with TLS of a test's own; where a virtual machine sees them, too."""
    folder = work_dir / "certificates"
    folder.mkdir()
    return Certificates(folder)


@pytest.fixture(scope="session")
def ceph():
    with Server("ceph") as server:
        yield server


@pytest.fixture(scope="session")
def swift():
    with Server("swift") as server:
        yield server


@pytest.fixture(params=["ceph", "swift"])
def server(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def buckets():
    """make(server): the bucket of these tests on that server, made at the first call."""
    made = set()

    def make(server):
        if server not in made:
            server.make_bucket("tests")
            made.add(server)
        return "tests"

    return make


@pytest.fixture
def bucket(server, buckets):
    """The bucket on `server`."""
    return buckets(server)


@pytest.fixture
def key(request):
    """A key of this test's own: parameters may hold what a key can't."""
    return "".join(c if c.isalnum() or c in "-._" else "-" for c in request.node.name)
