# SPDX-License-Identifier: Apache-2.0
"""What the file is and how it is called: what is refused by name, and before anybody is connected to;
names that are orders to a terminal, no UTF-8, or very long."""
import fcntl
import hashlib
import os
import pathlib
import signal
import socket
import stat
import subprocess

import pytest

from kit.checks import assert_nothing_stored, assert_object, assert_result
from kit.content import MIB
from kit.held import assert_refused, held_put

# --- what it is --------------------------------------------------------------------------------

@pytest.fixture
def nobody_calls():
    """The address of a store that must not be connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listener.accept()


def put_nowhere(program, url, path, target="s3://bucket/key", **options):
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret")
    return program.run(["put", "--json", "--endpoint-url", url, "--", path, target], env, **options)


@pytest.fixture(scope="module")
def odd(work_dir):
    """A folder of what is no regular file."""
    folder = work_dir / "odd"
    (folder / "folder").mkdir(parents=True)
    os.mkfifo(folder / "fifo")
    os.mknod(folder / "no driver", 0o600 | stat.S_IFCHR, os.makedev(240, 77))
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(os.fspath(folder / "socket"))
    for name in ("folder", "fifo", "socket", "nothing", "loop a"):
        (folder / f"link to {name}").symlink_to(name)
    (folder / "loop a").symlink_to("loop b")
    (folder / "loop b").symlink_to("loop a")
    (folder / "link to zero").symlink_to("/dev/zero")
    (folder / "secret").write_text("x")
    (folder / "secret").chmod(0o600)
    (folder / "closed").mkdir(0o700)
    return folder


@pytest.mark.parametrize("name, parts", [
    ("folder", ["a directory", "regular files"]), ("fifo", ["a FIFO", "regular files"]),
    ("socket", ["a socket", "regular files"]), ("no driver", ["a device", "regular files"]),
    ("/dev/zero", ["a device", "regular files"]), ("/dev/null", ["a device", "regular files"]),
    ("link to folder", ["a directory"]), ("link to fifo", ["a FIFO"]),
    ("link to socket", ["a socket"]), ("link to zero", ["a device"]),
    ("link to nothing", ["No such file or directory"]),
    ("link to loop a", ["Too many levels of symbolic links"]),
    ("missing", ["No such file or directory"]), ("fifo/x", ["Not a directory"]),
    ("n" * 256, ["File name too long"]), ("d/" * 2100, [".../", "/d/d: File name too long"]),
    ("/proc/version", ["0 bytes", "copy it to a regular file"]),
    ("/proc/self/status", ["0 bytes"]),
], ids=lambda value: value[:20] if isinstance(value, str) else "")
def test_what_is_no_plain_file(program, nobody_calls, odd, name, parts):
    result = put_nowhere(program, nobody_calls, odd / name, timeout=10)
    shown = str(odd / name)[:150]
    result.expect(2, shown, *parts)
    assert shown in result.json["error"]["message"], result


def test_a_block_device(program, nobody_calls, tmp_path):
    (tmp_path / "disk").write_bytes(bytes(MIB))
    device = subprocess.run(["losetup", "--find", "--show", tmp_path / "disk"], check=True,
                            stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        put_nowhere(program, nobody_calls, device).expect(2, device, "a device")
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


def test_a_fifo_is_not_opened(program, nobody_calls, tmp_path):
    """It would let go whoever waits to write into it."""
    os.mkfifo(tmp_path / "fifo")
    writer = subprocess.Popen(["sh", "-c", "echo x >fifo"], cwd=tmp_path)
    try:
        put_nowhere(program, nobody_calls, tmp_path / "fifo").expect(2, "a FIFO")
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(0.3)
    finally:
        writer.kill()
        writer.wait()


def test_an_empty_name(program, nobody_calls):
    put_nowhere(program, nobody_calls, "").expect(2, "an empty name", "No such file or directory")


@pytest.mark.parametrize("name", ["secret", "closed/file"])
def test_no_permission(program, nobody_calls, odd, name):
    result = put_nowhere(program, nobody_calls, odd / name, prefix=[
        "setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"])
    result.expect(2, str(odd / name), "Permission denied")


def test_sysfs(program, ceph, ceph_bucket, key):
    """It says 4096, and has less."""
    path = "/sys/devices/system/cpu/online"
    result = program.put(ceph, path, ceph_bucket, key)
    assert_refused(result, path, "/sys", "4096 bytes", "nothing was stored")
    assert_nothing_stored(ceph, ceph_bucket, key)
    text = pathlib.Path(path).read_bytes()
    assert program.run(["hash", path]).expect(0).stdout == \
        f"{hashlib.sha256(text).hexdigest()}  {path}\n"


def test_five_gib_and_a_byte(program, nobody_calls, tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(5 * 1024 * MIB + 1)
    put_nowhere(program, nobody_calls, tmp_path / "large").expect(
        2, str(tmp_path / "large"), "5368709121 bytes", "at most 5368709120", "multipart")


def test_five_gib_are_not_too_long(program, tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(5 * 1024 * MIB)
    with socket.socket() as closed:  # bound, so that nobody else listens there
        closed.bind(("127.0.0.1", 0))
        put_nowhere(program, f"http://127.0.0.1:{closed.getsockname()[1]}",
                    tmp_path / "large").expect(4, "refused")


def test_a_lease(program, payloads, ceph, ceph_bucket, key, nobody_calls, tmp_path):
    """Opening would wait for its holder, for 45 s; it is told, and the next run works."""
    payload = payloads.write(tmp_path / "file", 1000)
    with open(payload.path, "r+b") as file:
        # SIGURG is ignored by default, unlike SIGIO.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        result = put_nowhere(program, nobody_calls, payload.path, timeout=10)
        result.expect(2, str(payload.path), "lease", "try again")
        assert fcntl.fcntl(file, fcntl.F_GETLEASE) == fcntl.F_RDLCK  # what it is asked to take
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    assert_result(program.put(ceph, payload.path, ceph_bucket, key), payload)


# --- how it is called --------------------------------------------------------------------------

def assert_printable(result):
    """No byte of it is an order to a terminal, be it set to UTF-8 or to Latin-1."""
    text = result.stderr.replace("\n", "")
    assert text.isascii() or all(c.isprintable() or "\udca0" <= c <= "\udcff" for c in text), result
    assert all(" " <= c != "\x7f" for c in text), result


EVIL = ["\x1b[31mred", "\x1b]0;title\x07", "line\nbreak", "back\rspace\b", "tab\t", "\x7f",
        "\x9b31m", b"\x9b31m", b"\xc2", b"latin-1-\xe9", b"\xed\xa0\x80", b"\xff\xfe", "%s%n%500d",
        "n" * 255]


@pytest.mark.parametrize("name", EVIL, ids=range(len(EVIL)))
def test_names_in_messages(program, nobody_calls, tmp_path, name):
    """stderr is safe for a terminal, and the JSON object is JSON: what is no UTF-8 is escaped."""
    name = os.fsdecode(name)
    result = put_nowhere(program, nobody_calls, tmp_path / name).expect(2, "No such file")
    assert_printable(result)
    message = result.json["error"]["message"]
    shown = "".join(c if c.isprintable() or "\udca0" <= c <= "\udcff" else "??" if c == "\x9b" else "?"
                    for c in name)
    shown = "".join(f"\\x{ord(c) - 0xdc00:02x}" if "\udc80" <= c <= "\udcff" else c for c in shown)
    assert f"{tmp_path}/{shown}: No such file or directory" in message, result


@pytest.mark.parametrize("name", ["--", "-", "-q", "--json", "n" * 255, "\x1b[31m\n\x07\x9b", "ü",
                                  "%s%n", "a\\b", "'\"$(x)`"], ids=range(10))
def test_a_key_from_an_odd_name(program, payloads, ceph, ceph_bucket, key, tmp_path, name):
    payload = payloads.write(tmp_path / name, 1000)
    result = program.run(["put", "--json", "--", name, f"s3://{ceph_bucket}/{key}/"],
                         program.environment(ceph), cwd=tmp_path)
    assert_result(result, payload, key=f"{key}/{name}")
    assert_printable(result)
    assert_object(ceph, ceph_bucket, f"{key}/{name}", payload)


@pytest.mark.parametrize("name", [b"latin-1-\xe9", b"\x9b", b"\xc0\xaf", b"\xed\xa0\x80"])
def test_a_name_that_can_t_be_a_key(program, payloads, ceph, ceph_bucket, key, nobody_calls,
                                    tmp_path, name):
    payload = payloads.write(tmp_path / os.fsdecode(name), 1000)
    result = put_nowhere(program, nobody_calls, payload.path, f"s3://{ceph_bucket}/")
    result.expect(2, "not valid UTF-8", "give a key")
    assert_printable(result)
    assert "\\x" in result.json["error"]["message"] or name == b"\x9b"
    assert_result(program.put(ceph, payload.path, ceph_bucket, key), payload)


def test_the_cause_is_not_lost_behind_long_names(program, payloads, ceph, ceph_bucket, tmp_path):
    """A path of some 1,300 bytes, and the longest key."""
    folder = tmp_path.joinpath(*["d" * 250] * 5)
    folder.mkdir(parents=True)
    payload = payloads.write(folder / "file", 16 * MIB)
    with held_put(program, ceph, payload.path, ceph_bucket, "k" * 1024) as ended:
        os.truncate(payload.path, 15 * MIB)
    ended[0].expect(2, "truncated", "d/file", "nothing was stored")
    result = program.put(ceph, payload.path, "no-such-bucket", "k" * 1024).expect(5, "NoSuchBucket")
    assert "bucket's name" in result.json["error"]["message"]
