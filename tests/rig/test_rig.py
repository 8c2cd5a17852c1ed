# SPDX-License-Identifier: Apache-2.0
"""The rigs themselves: real servers, and a machine with a Debian kernel that reaches them."""
import hashlib
import os
import shutil
import signal
import subprocess
import time

import botocore.exceptions
import pytest

from rig.process import REPO
from rig.servers import Server, ServerError
from rig.vm import Vm, VmError


@pytest.fixture(scope="module")
def vm():
    with Vm("bookworm") as machine:
        yield machine
        assert machine.kernel_warnings() == []


@pytest.fixture(params=["ceph", "swift"])
def server(request):
    return request.getfixturevalue(request.param)


def test_server_keeps_an_object(server):
    data = os.urandom(5 << 20)
    server.make_bucket("keep")
    server.put("keep", "folder/name with space", data)
    assert server.get("keep", "folder/name with space") == data
    assert server.head("keep", "folder/name with space")["ContentLength"] == len(data)
    assert server.list_keys("keep") == ["folder/name with space"]
    server.delete("keep", "folder/name with space")
    assert server.head("keep", "folder/name with space") is None
    assert server.list_keys("keep") == []


def test_server_lists_multipart_uploads(server):
    server.make_bucket("parts")
    assert server.list_multipart("parts") == []
    upload = server.client.create_multipart_upload(Bucket="parts", Key="k")["UploadId"]
    assert [u["UploadId"] for u in server.list_multipart("parts")] == [upload]
    server.client.abort_multipart_upload(Bucket="parts", Key="k", UploadId=upload)
    assert server.list_multipart("parts") == []


def test_server_refuses_a_wrong_secret(server):
    server.make_bucket("secret")
    client = server.make_client(secret_key=server.secret_key + "x")
    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        client.put_object(Bucket="secret", Key="k", Body=b"x")


def test_server_serves_virtual_hosts(server):
    """The certificate covers the bucket's host name, and the server finds the bucket by it."""
    server.make_bucket(server.vhost_bucket)
    server.put(server.vhost_bucket, "k", b"found")
    url = server.make_client(addressing_style="virtual").generate_presigned_url(
        "get_object", Params={"Bucket": server.vhost_bucket, "Key": "k"})
    port = server.https_url.rsplit(":", 1)[1]
    host = f"{server.vhost_bucket}.localhost:{port}"
    assert url.startswith(f"https://{host}/k?")
    # The C library does not resolve names below localhost everywhere.
    result = subprocess.run(
        ["curl", "--disable", "-sS", "--noproxy", "*", "--cacert", server.ca, "--resolve",
         f"{host}:127.0.0.1", url], stdout=subprocess.PIPE, check=True)
    assert result.stdout == b"found"


def test_ceph_verifies_and_returns_checksums(ceph):
    ceph.make_bucket("sums")
    ceph.put("sums", "k", b"abc", ChecksumAlgorithm="SHA256")
    expected = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
    assert ceph.head("sums", "k")["ChecksumSHA256"] == expected
    with pytest.raises(botocore.exceptions.ClientError):
        ceph.put("sums", "wrong", b"abd", ChecksumAlgorithm="SHA256",
                 ChecksumSHA256=expected)
    assert ceph.head("sums", "wrong") is None


def test_two_servers_of_a_kind_live_side_by_side(swift):
    with Server("swift") as other:
        other.make_bucket("only-here")
        assert [b["Name"] for b in other.client.list_buckets()["Buckets"]] == ["only-here"]
        names = [b["Name"] for b in swift.client.list_buckets()["Buckets"]]
        assert "only-here" not in names
    swift.client.list_buckets()


def processes_naming(text):
    """The processes that have this text in their command line or hold a file under it open."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace")
            links = [os.readlink(f"/proc/{entry}/fd/{fd}") for fd in os.listdir(f"/proc/{entry}/fd")]
        except OSError:
            continue
        if text in words or any(link.startswith(text) for link in links):
            found.append(entry)
    return found


def wait_until_gone(text, timeout_s=10):
    end = time.monotonic() + timeout_s
    while processes_naming(text) and time.monotonic() < end:
        time.sleep(0.05)
    return processes_naming(text) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_server_script(tmp_path, number):
    process = subprocess.Popen([REPO / "tools" / "server.sh", "swift", tmp_path],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "ready\n"
    assert len(processes_naming(str(tmp_path))) > 5
    process.send_signal(number)
    process.wait(timeout=30)
    process.stdout.close()
    assert wait_until_gone(str(tmp_path))
    with open("/proc/mounts", encoding="utf-8") as mounts:
        assert str(tmp_path) not in mounts.read()


def test_a_server_that_is_not_set_up_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("S3_KTLS_CACHE", str(tmp_path / "empty"))
    with pytest.raises(ServerError, match="run tools/setup.sh ceph"):
        Server("ceph").start()
    with pytest.raises(VmError, match="run tools/setup.sh vm-bookworm"):
        Vm("bookworm").start()


def test_vm_runs_jobs(vm, tmp_path):
    result = vm.run(["sh", "-c", "uname -r; echo $WORD >&2; exit 3"], env={"WORD": "hello"})
    assert (result.returncode, result.stdout, result.stderr) == (
        3, vm.kernel_release + "\n", "hello\n")
    assert vm.kernel_release != os.uname().release
    assert vm.run(["id", "-u"], uid=65534).stdout == "65534\n"
    assert vm.run(["pwd"]).stdout == f"{vm.share}\n"
    with pytest.raises(VmError, match="no-such-program"):
        vm.run(["no-such-program"])


def test_vm_kills_a_job_whose_time_is_up(vm):
    began = time.monotonic()
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        vm.run(["sh", "-c", "echo begun; sleep 100"], timeout=2)
    assert caught.value.stdout == "begun\n"
    assert time.monotonic() - began < 30


def test_vm_signals_a_job(vm):
    job = vm.popen(["sleep", "100"])
    job.send_signal(signal.SIGTERM)
    assert job.wait(timeout=30).returncode == -signal.SIGTERM


def test_vm_shares_its_work_folder(vm):
    data = os.urandom(3 << 20)
    (vm.share / "to-guest").write_bytes(data)
    result = vm.run(["sh", "-c", "sha256sum <to-guest && cp to-guest from-guest"])
    assert result.stdout.split()[0] == hashlib.sha256(data).hexdigest()
    assert (vm.share / "from-guest").read_bytes() == data


def test_vm_cannot_change_the_host(vm):
    path = f"/var/tmp/s3-ktls-rig-{os.getpid()}"
    assert vm.run(["sh", "-c", f"echo x >{path} && cat {path}"]).stdout == "x\n"
    assert not os.path.exists(path)


def test_vm_loads_the_tls_module_by_itself(vm):
    """A kTLS program asks for the module with TCP_ULP; nothing loads it before."""
    assert "tls" not in vm.run(["sh", "-c", "cut -d' ' -f1 /proc/modules"]).stdout.split()
    program = (
        "import socket as s\n"
        "l = s.create_server(('127.0.0.1', 0))\n"
        "c = s.create_connection(l.getsockname())\n"
        "c.setsockopt(s.IPPROTO_TCP, 31, b'tls')\n")
    result = vm.run(["/usr/bin/python3", "-I", "-c", program])
    assert (result.returncode, result.stderr) == (0, "")
    assert "tls" in vm.run(["sh", "-c", "cut -d' ' -f1 /proc/modules"]).stdout.split()


def test_vm_reaches_the_servers(vm, server):
    """A signed upload from the guest, with the certificate checked against the server's own CA."""
    server.make_bucket("from-vm")
    client = server.make_client(endpoint_url=server.vm_https_url)
    url = client.generate_presigned_url("put_object", Params={"Bucket": "from-vm", "Key": "k"})
    ca = shutil.copy(server.ca, vm.share / f"{server.kind}-ca.pem")
    (vm.share / "body").write_bytes(b"body")
    argv = ["curl", "--disable", "-sS", "--fail", "--upload-file", "body", url]
    untrusted = vm.run(argv)
    assert untrusted.returncode == 60, untrusted
    result = vm.run([*argv, "--cacert", ca])
    assert result.returncode == 0, result
    assert server.get("from-vm", "k") == b"body"
    assert vm.run(["curl", "--disable", "-sS", server.vm_http_url + "/"]).returncode == 0


RUN_OUT_OF_MEMORY = """
mkdir /sys/fs/cgroup/small
cd /sys/fs/cgroup/small
echo +memory >../cgroup.subtree_control
echo 2M >memory.max
echo 0 >cgroup.procs
head -c 9M /dev/zero | tail
"""
OOM = """[ 1.0] tail invoked oom-killer: gfp_mask=0xcc0, order=0
[ 1.1] Call Trace:
[ 1.2] RIP: 0033:0x7f
[ 1.3] Memory cgroup out of memory: Killed process 7 (tail)
"""


@pytest.mark.parametrize("fault", [
    "[ 1.2] WARNING: CPU: 0 PID: 1 at rig", "[ 1.2] BUG: KASAN: made up",
    "[ 1.2] sh invoked oom-killer: ", "[ 1.2] Out of memory: Killed process 8 (sh)"])
def test_a_fault_within_an_oom_report_is_reported(monkeypatch, fault):
    machine = Vm()
    console = [OOM]
    monkeypatch.setattr(machine, "console", lambda: "".join(console))
    assert machine.kernel_warnings() == []
    console[0] = OOM.replace("[ 1.2]", f"{fault}\n[ 1.2]") + OOM
    reported = machine.kernel_warnings()
    assert "[ 1.1] Call Trace:" in reported
    assert fault in reported or "oom-killer" in fault or "Out of memory" in fault


def test_only_the_lines_that_were_accepted_are_left_out(monkeypatch):
    machine = Vm()
    lines = [f"[ {second}.0] WARNING: CPU: 0 PID: 1 at rig" for second in (1, 2)]
    monkeypatch.setattr(machine, "console", lambda: "\n".join(lines))
    machine.accept(lines[:1])
    assert machine.kernel_warnings() == lines[1:]


def test_vm_reports_kernel_warnings_and_its_end():
    with Vm("bookworm", append="panic_on_warn=0") as machine:
        assert machine.kernel_warnings() == []
        machine.run(["sh", "-c", "echo '<4>WARNING: CPU: 0 PID: 1 at rig' >/dev/kmsg"])
        assert [line for line in machine.kernel_warnings() if "at rig" in line]
        before = len(machine.kernel_warnings())
        killed = machine.run(["sh", "-c", RUN_OUT_OF_MEMORY])
        assert "Memory cgroup out of memory" in machine.console(), killed
        assert len(machine.kernel_warnings()) == before, "an OOM kill is no fault of the kernel"
        assert "invoked oom-killer" in machine.console() and "Call Trace" in machine.console()
        job = machine.popen(["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 60"])
        with pytest.raises(VmError, match="Kernel panic"):
            job.wait(timeout=60)
    assert any("Kernel panic" in line for line in machine.kernel_warnings())


def test_the_vm_does_not_outlive_the_host_process(tmp_path):
    argv = [REPO / "tools" / "vm.sh", "bookworm", tmp_path, "--", "sh", "-c", "echo up; sleep 100"]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "up\n"
    assert processes_naming(str(tmp_path))
    process.kill()
    process.wait()
    process.stdout.close()
    assert wait_until_gone(str(tmp_path))


def test_vm_command_passes_output_and_exit_code(tmp_path):
    argv = [REPO / "tools" / "vm.sh", "bookworm", tmp_path, "--"]
    result = subprocess.run([*argv, "sh", "-c", "echo out; echo err >&2; exit 9"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (result.returncode, result.stdout) == (9, "out\n")
    assert "err\n" in result.stderr
    warn = "echo '<2>BUG: made up by the test' >/dev/kmsg"
    result = subprocess.run([*argv, "sh", "-c", warn], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, timeout=120)
    assert result.returncode == 70
    assert "BUG: made up by the test" in result.stderr
