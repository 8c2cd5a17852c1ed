# SPDX-License-Identifier: Apache-2.0
"""The secret key, the session token and what is derived from them never leave the program but as the
signature of a request: not in what it says, not in its arguments, not in a core file."""
import base64
import datetime
import hashlib
import hmac
import os
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from kit.content import MIB
from kit.program import Program
from kit.proxy import Proxy
from kit.scripted import Peer, response

NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
TOKEN = "ToKeN+that/is=distinctive0123456789"
WRONG_SECRET = "SeCrEt+that/is=distinctive9876543210"


def signing_key(secret, day, region):
    key = ("AWS4" + secret).encode()
    for step in (day, region, "s3", "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key


def forbidden(secret, region):
    """What must not be found, as bytes: as it is, and in the usual encodings."""
    today = datetime.datetime.now(datetime.timezone.utc).date()
    raw = [secret.encode(), TOKEN.encode()]
    raw += [signing_key(secret, (today - datetime.timedelta(days)).strftime("%Y%m%d"), region)
            for days in (0, 1)]
    return [form for one in raw for form in (one, base64.b64encode(one), one.hex().encode(),
                                             one.hex().upper().encode())]


def assert_kept(secret, region, *texts, more=()):
    """None of the texts (str or bytes) has one of them, or an Authorization header."""
    for text in texts:
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        for one in [*forbidden(secret, region), b"Signature=", b"AWS4-HMAC-SHA256", *more]:
            assert one not in data, f"{one!r} is in {data!r}"


class Run:
    """run(args): the result of the program, with a token, all that it said searched."""

    def __init__(self, program, server, bucket, key):
        self.program, self.server, self.bucket, self.key = program, server, bucket, key

    def __call__(self, args, secret=None, more=(), env=None, act=None, scheme="http", **options):
        secret = secret or self.server.secret_key
        env = {**self.program.environment(self.server, scheme, AWS_SESSION_TOKEN=TOKEN,
                                          AWS_SECRET_ACCESS_KEY=secret), **(env or {})}
        running = self.program.popen(args, env, **options)
        if act:
            act(running)
        result = running.wait()
        assert_kept(secret, self.server.region, result.stdout, result.stderr, more=more)
        return result

    def put(self, payload, *more, **options):
        return self(["put", payload.path, f"s3://{self.bucket}/{self.key}", *more], **options)


@pytest.fixture
def run(program, ceph, ceph_bucket, key):
    return Run(program, ceph, ceph_bucket, key)


SAID = [[], ["-v"], ["--json"], ["--json", "-v"], ["-q"]]


@pytest.mark.parametrize("said", SAID, ids=" ".join)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_good_upload(run, payloads, ceph, said, scheme):
    assert run.put(payloads.get(1_100_000), *said, scheme=scheme).returncode == 0


@pytest.mark.parametrize("said", SAID, ids=" ".join)
def test_a_signature_is_not_told(run, payloads, ceph, said):
    seen = []
    with Proxy(ceph.http_url, edit=lambda request: seen.append(request) or request) as proxy:
        result = run.put(payloads.get(1), *said, "--endpoint-url", proxy.url)
    assert result.returncode == 0, result
    signature = re.search(rb"Signature=([0-9a-f]{64})", seen[0]).group(1)
    assert TOKEN.encode() in seen[0]
    assert ceph.secret_key.encode() not in seen[0]
    assert_kept(ceph.secret_key, ceph.region, result.stdout, result.stderr, more=[signature])


@pytest.mark.parametrize("said", SAID, ids=" ".join)
def test_a_wrong_secret(run, payloads, said):
    run.put(payloads.get(1), *said, secret=WRONG_SECRET).expect(5, "SignatureDoesNotMatch")


@pytest.mark.parametrize("said", SAID, ids=" ".join)
def test_failures_on_the_way(run, payloads, ceph, said):
    payload = payloads.get(20 * MIB)
    run.put(payload, *said, env={"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}).expect(4)
    with Proxy(ceph.http_url, flip_at=5 * MIB) as proxy:
        run.put(payload, *said, "--endpoint-url", proxy.url).expect(6)
    for act, returncode in ((lambda running: proxy.cut(), 4),
                            (lambda running: running.send_signal(signal.SIGTERM), 143)):
        with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
            def then(running, act=act):
                assert proxy.held.wait(30)
                act(running)
            run.put(payload, *said, "--endpoint-url", proxy.url, act=then).expect(returncode)


@pytest.mark.parametrize("args", [["doctor"], ["doctor", "-v"], ["hash", "-v", "/etc/passwd"],
                                  ["--help"], ["put", "--bad", "--json"]], ids=" ".join)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_other_commands(run, args, scheme):
    result = run(args, scheme=scheme)
    assert result.returncode == (1 if "--bad" in args else 0), result


@pytest.mark.parametrize("text, returncode", [
    ("[default]\naws_secret_access_key {0}\n", 1),
    ("[default\naws_secret_access_key = {0}\n", 1),
    ("aws_secret_access_key = {0}\n", 1),
    ("[default]\naws_access_key_id = x\n{0}\n", 1),
    ("[default]\naws_access_key_id = x\naws_secret_access_key = {0}\x01\n", 1),
    ("[default]\naws_access_key_id = x\naws_secret_access_key = {0}\n"
     "aws_session_token = {1}\x7f\n", 1),
    ("[default]\naws_secret_access_key = {0}\n", 1),
    ("[{0}]\n", 1),
    # Right in its form, so the store says that it does not know x.
    ("[default]\naws_access_key_id = x\naws_secret_access_key = " + "{0}" * 200 + "\n", 5),
    ("[default]\naws_access_key_id = x\naws_secret_access_key = {0}\0\n", 1),
], ids=range(10))
@pytest.mark.parametrize("said", [["-v"], ["--json"]], ids=" ".join)
def test_a_credentials_file_that_is_wrong(run, payloads, tmp_path, text, returncode, said):
    """The line is named, not shown."""
    (tmp_path / "credentials").write_text(text.format(WRONG_SECRET, TOKEN))
    env = {"AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials")}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        env[name] = ""
    result = run.put(payloads.get(1), *said, env=env)
    result.expect(returncode)
    assert_kept(WRONG_SECRET, run.server.region, result.stdout, result.stderr)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"])
@pytest.mark.parametrize("more", ["\n", "\x01", "\u00e9", " ", "x" * 70_000],
                         ids=["line-feed", "control", "not-ascii", "space", "long"])
def test_secrets_that_no_header_can_have(run, payloads, name, more):
    secret = {"AWS_SECRET_ACCESS_KEY": WRONG_SECRET, "AWS_SESSION_TOKEN": TOKEN}[name] + more
    result = run.put(payloads.get(1), "--json", "-v", env={name: secret})
    result.expect(1, "credentials or key are too long" if len(more) > 1 else
                  f"{name} has a space, a line end or another character that it can't have")
    assert_kept(WRONG_SECRET, run.server.region, result.stdout, result.stderr)


@pytest.mark.parametrize("said", SAID, ids=" ".join)
def test_a_store_that_repeats_what_it_was_sent(run, payloads, said):
    """Some show the canonical request or the header that they did not like in their answer."""

    def refuse(request):
        token, sent = request.headers["x-amz-security-token"], request.headers["authorization"]
        return response(403, "Connection: close", f"x-amz-request-id: {token}", body=(
            "<Error><Code>SignatureDoesNotMatch</Code><Message>you sent x-amz-security-token:"
            f"{token} and authorization:{sent}</Message></Error>").encode())

    with Peer(refuse) as peer:
        result = run.put(payloads.get(1), *said, "--endpoint-url", peer.url)
    result.expect(5, "SignatureDoesNotMatch", "you sent")


@pytest.mark.parametrize("said", SAID, ids=" ".join)
def test_a_success_that_repeats_what_it_was_sent(run, payloads, said):
    def accept(request):
        token, payload = request.headers["x-amz-security-token"], payloads.get(1)
        return response(200, "Connection: close", f"x-amz-request-id: {token}", f'ETag: "{token}"',
                        f"x-amz-version-id: {token}", "x-amz-checksum-sha256: "
                        + base64.b64encode(bytes.fromhex(payload.sha256)).decode())

    with Peer(accept) as peer:
        result = run.put(payloads.get(1), *said, "--endpoint-url", peer.url)
    assert result.returncode == 0, result


def held(program, payloads, server, bucket, key, act, **options):
    """act(running) while an upload is in its middle; then its Running."""
    with Proxy(server.http_url, hold_at=4 * MIB) as proxy:
        running = program.popen(
            ["put", payloads.get(64 * MIB).path, f"s3://{bucket}/{key}", "-v", "--endpoint-url",
             proxy.url], program.environment(server, "http", AWS_SESSION_TOKEN=TOKEN), **options)
        assert proxy.held.wait(30)
        time.sleep(0.1)
        try:
            act(running)
        finally:
            running.send_signal(signal.SIGKILL)
            proxy.release()
    result = running.wait()
    assert_kept(server.secret_key, server.region, result.stdout, result.stderr)


def test_arguments_and_children(program, payloads, ceph, ceph_bucket, key):
    def look(running):
        base = f"/proc/{running.pid}"
        with open(f"{base}/cmdline", "rb") as cmdline, open(f"{base}/comm", "rb") as comm:
            assert_kept(ceph.secret_key, ceph.region, cmdline.read(), comm.read())
        for thread in os.listdir(f"{base}/task"):
            with open(f"{base}/task/{thread}/comm", "rb") as comm, \
                    open(f"{base}/task/{thread}/children", "rb") as children:
                assert_kept(ceph.secret_key, ceph.region, comm.read())
                assert children.read() == b"", "a child would have the environment"

    held(program, payloads, ceph, ceph_bucket, key, look)


@pytest.fixture(scope="module")
def setcap_program(program, work_dir):
    path = shutil.copy(program.path, work_dir / "s3-ktls-secrets")
    subprocess.run(["setcap", "cap_bpf,cap_net_admin,cap_perfmon+ep", path], check=True)
    return Program(path, program.home)


@pytest.mark.parametrize("capable", [True, False])
def test_the_same_user_cannot_look_into_it(program, setcap_program, payloads, ceph, ceph_bucket,
                                           key, capable):
    """Also where no file capability makes the kernel careful by itself."""
    chosen = setcap_program if capable else program
    options = [] if capable else ["--hash", "none"]

    def look(running):
        for name in ("environ", "mem", "maps", "auxv", "stack", "fd/3", "map_files", "syscall"):
            read = subprocess.run(["ls" if name == "map_files" else "cat",
                                   f"/proc/{running.pid}/{name}"], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False, **AS_NOBODY)
            assert read.returncode != 0, f"{name} can be read"
            assert re.search(rb"Permission denied|Operation not permitted", read.stderr), read
        attached = subprocess.run(["strace", "-p", str(running.pid)], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False, timeout=10, **AS_NOBODY)
        assert b"Operation not permitted" in attached.stderr, attached

    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        running = chosen.popen(
            ["put", payloads.get(64 * MIB).path, f"s3://{ceph_bucket}/{key}", *options,
             "--endpoint-url", proxy.url], chosen.environment(ceph, "http"), **AS_NOBODY)
        assert proxy.held.wait(30)
        try:
            look(running)
        finally:
            running.send_signal(signal.SIGKILL)
            proxy.release()
            running.wait()


def how_it_ended(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_code


def dumping():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGQUIT])
def test_no_core_file(program, payloads, ceph, ceph_bucket, key, tmp_path, number):
    """Where another program leaves one."""
    other = subprocess.Popen(["sleep", "60"], cwd=tmp_path, preexec_fn=dumping)
    time.sleep(0.2)
    other.send_signal(number)
    assert how_it_ended(other.pid) == os.CLD_DUMPED
    other.wait()
    with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as pattern:
        in_the_folder = "/" not in (start := pattern.read()) and not start.startswith("|")
    # Elsewhere a program of the machine's, or another folder, gets it: then CLD_KILLED alone says
    # that there is none of ours. tests/vm/test_vm_secrets.py has both, with patterns of its own.
    if in_the_folder:
        assert list(tmp_path.iterdir()) != [], "the other program left no core file"
    for left in tmp_path.iterdir():
        left.unlink()

    def crash(running):
        running.send_signal(number)
        assert how_it_ended(running.pid) == os.CLD_KILLED

    held(program, payloads, ceph, ceph_bucket, key, crash, cwd=tmp_path, preexec_fn=dumping)
    assert list(tmp_path.iterdir()) == []
