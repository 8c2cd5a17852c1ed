# SPDX-License-Identifier: Apache-2.0
"""Whatever happens to the file while it goes up: the object is what the digest says, or there is
none. With --require-stable there is none as soon as the file moved."""
import contextlib
import errno
import hashlib
import itertools
import mmap
import os
import signal
import subprocess
import threading

import pytest

from kit.checks import assert_nothing_stored, assert_object, assert_result
from kit.content import KIB, MIB
from kit.fuse import Fuse
from kit.held import answer_held, assert_refused, held_put
from kit.proxy import Proxy

SIZE = 16 * MIB
HOLD_AT = 2 * MIB
# Far behind what can have left the file when the proxy stops to read.
TAIL = 15 * MIB
OTHER = b"another text"


def overwrite(path):
    with open(path, "r+b", buffering=0) as file:
        for at in (0, TAIL):
            os.pwrite(file.fileno(), OTHER, at)


def overwrite_by_mmap(path):
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        for at in (0, TAIL):
            mapped[at:at + len(OTHER)] = OTHER


def overwrite_by_direct_io(path):
    descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
    with mmap.mmap(-1, 4096) as aligned:
        aligned[:len(OTHER)] = OTHER
        for at in (0, TAIL):
            assert os.pwritev(descriptor, [aligned], at) == 4096
    os.close(descriptor)


def overwrite_and_set_mtime_back(path):
    before = os.stat(path)
    overwrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == before.st_mtime_ns


def truncate_and_grow(path):
    os.truncate(path, TAIL)
    os.truncate(path, SIZE)


def grow(path):
    with open(path, "ab") as file:
        file.write(OTHER)


def fallocate(*options):
    return lambda path: subprocess.run(["fallocate", *options, path], check=True)


def replace(path):
    path.with_suffix(".new").write_bytes(OTHER)
    path.with_suffix(".new").rename(path)


PUNCH = ("--punch-hole", "--offset", str(TAIL), "--length", str(64 * KIB))
COLLAPSE = ("--collapse-range", "--offset", str(TAIL), "--length", str(64 * KIB))
INSERT = ("--insert-range", "--offset", str(TAIL), "--length", str(64 * KIB))

# What the test does to the file, and what of it moves.
CONTENT = {
    "truncated and grown again": (truncate_and_grow, "mtime"),
    "rewritten": (overwrite, "mtime"),
    "rewritten by mmap": (overwrite_by_mmap, "mtime"),
    "rewritten with O_DIRECT": (overwrite_by_direct_io, "mtime"),
    "rewritten, mtime set back": (overwrite_and_set_mtime_back, "ctime"),
    "hole punched": (fallocate(*PUNCH), "mtime"),
    "range inserted": (fallocate(*INSERT), "size"),
}
SAME_CONTENT = {
    "grown": (grow, "size"),
    "unlinked": (os.unlink, "ctime"),
    "replaced": (replace, "ctime"),
    "renamed": (lambda path: path.rename(path.with_suffix(".old")), "ctime"),
    "linked": (lambda path: os.link(path, path.with_suffix(".link")), "ctime"),
    "chmod": (lambda path: os.chmod(path, 0o600), "ctime"),
    "chown": (lambda path: os.chown(path, 65534, 65534), "ctime"),
    "xattr": (lambda path: os.setxattr(path, "user.x", b"y"), "ctime"),
    "mtime set": (lambda path: os.utime(path, (1, 1)), "mtime"),
}
SHORTER = {
    "truncated": (lambda path: os.truncate(path, TAIL + 5), "truncated"),
    "range collapsed": (fallocate(*COLLAPSE), "truncated"),
}


def each(attacks):
    return pytest.mark.parametrize("attack, moved", attacks.values(), ids=attacks.keys())


def stored_sha256(server, bucket, key):
    """By another client."""
    return hashlib.sha256(server.get(bucket, key)).hexdigest()


@each({**CONTENT, **SAME_CONTENT})
def test_the_object_is_what_the_digest_says(program, payloads, ceph, ceph_bucket, key, tmp_path,
                                            attack, moved):
    payload = payloads.write(tmp_path / "file", SIZE)
    with held_put(program, ceph, payload.path, ceph_bucket, key) as ended:
        attack(payload.path)
    said = ended[0].expect(0, "changed while it was sent", f"{moved} from ", "--require-stable").json
    assert said["source_changed"] and said["store"] == "confirmed", ended
    assert said["bytes"] == SIZE
    assert stored_sha256(ceph, ceph_bucket, key) == said["sha256"]
    as_before = said["sha256"] == payload.sha256
    assert as_before == (attack in [attack for attack, _ in SAME_CONTENT.values()])


@each(SHORTER)
@pytest.mark.parametrize("stable", [[], ["--require-stable"]], ids=["", "stable"])
def test_a_shorter_one_is_refused(program, payloads, ceph, ceph_bucket, key, tmp_path, attack,
                                  moved, stable):
    payload = payloads.write(tmp_path / "file", SIZE)
    with held_put(program, ceph, payload.path, ceph_bucket, key, *stable) as ended:
        attack(payload.path)
    assert_refused(ended[0], payload.path, moved, "nothing was stored")
    assert_nothing_stored(ceph, ceph_bucket, key)


def refuse_and_keep(program, payloads, server, bucket, key, path, attack, moved, *more, **options):
    """Exit 2, and an older object of that key is what it was."""
    before = payloads.get(1)
    server.put(bucket, key, bytes(before.data))
    payload = payloads.write(path, SIZE)
    with held_put(program, server, payload.path, bucket, key, "--require-stable", *more,
                  **options) as ended:
        attack(payload.path)
    assert_refused(ended[0], payload.path, "--require-stable", f"{moved} from ", " to ",
                   "nothing was stored", "snapshot")
    assert server.get(bucket, key) == before.data
    assert not server.list_multipart(bucket)


@each({**CONTENT, **SAME_CONTENT})
def test_require_stable_refuses(program, payloads, ceph, ceph_bucket, key, tmp_path, attack, moved):
    refuse_and_keep(program, payloads, ceph, ceph_bucket, key, tmp_path / "file", attack, moved)


@pytest.mark.parametrize("more", [["--sender", "splice"], ["--framing", "length"],
                                  ["--hash", "none"]], ids=" ".join)
@pytest.mark.parametrize("scheme", ["http", "https"])
@each({name: CONTENT[name] for name in ("rewritten", "rewritten, mtime set back")})
def test_require_stable_refuses_in_every_way(program, payloads, ceph, ceph_bucket, key, tmp_path,
                                             attack, moved, scheme, more):
    refuse_and_keep(program, payloads, ceph, ceph_bucket, key, tmp_path / "file", attack, moved,
                    *more, scheme=scheme)


@pytest.mark.parametrize("more", [[], ["--hash", "none"]], ids=["bpf", "none"])
def test_require_stable_refuses_with_swift(program, payloads, swift, swift_bucket, key, tmp_path,
                                           more):
    refuse_and_keep(program, payloads, swift, swift_bucket, key, tmp_path / "file", overwrite,
                    "mtime", *more)


@pytest.mark.parametrize("size", [0, 1, 65537])
@pytest.mark.parametrize("more", [[], ["--hash", "none"]], ids=["bpf", "none"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_require_stable_takes_a_file_that_is(program, payloads, server, bucket, key, size, more,
                                             scheme):
    """Also the byte that --hash none sends last, by itself."""
    payload = payloads.get(size)
    result = program.put(server, payload.path, bucket, key, "--require-stable", *more,
                         scheme=scheme)
    said = result.expect(0).json
    assert (said["bytes"], said["source_changed"]) == (size, False)
    assert server.get(bucket, key) == payload.data


def test_reading_is_no_change(program, payloads, ceph, ceph_bucket, key, tmp_path):
    payload = payloads.write(tmp_path / "file", SIZE)
    with held_put(program, ceph, payload.path, ceph_bucket, key, "--require-stable") as ended:
        payload.path.read_bytes()
        with open(payload.path, "r+b"):
            pass
    assert_result(ended[0], payload)


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_pages_that_change_while_they_wait(program, payloads, server, bucket, key, tmp_path, sender):
    """On http no byte is copied by an encryption: what waits in the sockets are pages. Where the
    tap hashed a page of the file itself and no copy, the store finds the difference."""
    payload = payloads.write(tmp_path / "file", SIZE)
    with held_put(program, server, payload.path, bucket, key, "--sender", sender,
                  scheme="http") as ended:
        with open(payload.path, "r+b") as file:
            file.write(bytes(SIZE))
    if ended[0].returncode == 0:
        assert ended[0].json["source_changed"]
        assert stored_sha256(server, bucket, key) == ended[0].json["sha256"] != payload.sha256
    else:
        ended[0].expect(6, "nothing was stored")
        assert_nothing_stored(server, bucket, key)


def overwrite_first(path):
    with open(path, "r+b") as file:
        file.write(OTHER)


def test_a_change_after_the_trailer_comes_too_late(program, payloads, ceph, ceph_bucket, key,
                                                   tmp_path):
    """The digest has fixed the bytes, and the store has compared."""
    payload = payloads.write(tmp_path / "file", 65537)
    with answer_held(program, ceph, payload.path, ceph_bucket, key, "--require-stable") as ended:
        overwrite_first(payload.path)
    assert_result(ended[0], payload, encrypted_by="none")
    assert_object(ceph, ceph_bucket, key, payload)


@pytest.mark.parametrize("stable", [True, False])
def test_a_change_before_the_answer_without_a_hash(program, payloads, ceph, ceph_bucket, key,
                                                   tmp_path, stable):
    """An object is there; whether it is good, nobody knows."""
    payload = payloads.write(tmp_path / "file", 65537)
    with answer_held(program, ceph, payload.path, ceph_bucket, key, "--hash", "none",
                     *(["--require-stable"] if stable else [])) as ended:
        overwrite_first(payload.path)
    if stable:
        assert_refused(ended[0], payload.path, "mtime from", "an object exists", "delete it",
                       returncode=6)
    else:
        assert ended[0].expect(0, "changed while it was sent").json["source_changed"]


def test_a_mapping_that_was_written_before_is_seen_after_sync(program, payloads, ceph, ceph_bucket,
                                                              key, tmp_path):
    """What README says of mmap: the kernel notes the first write into a clean page."""
    payload = payloads.write(tmp_path / "file", SIZE)
    with open(payload.path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[TAIL:TAIL + len(OTHER)] = OTHER
        subprocess.run(["sync", payload.path], check=True)
        with held_put(program, ceph, payload.path, ceph_bucket, key, "--require-stable") as ended:
            mapped[TAIL:TAIL + len(OTHER)] = OTHER[::-1]
    assert_refused(ended[0], payload.path, "mtime from", "nothing was stored")
    assert_nothing_stored(ceph, ceph_bucket, key)


# --- on which file system it lies --------------------------------------------------------------

# In a mount namespace of its own: "$0" is a folder, "$1" the file to put there.
TMPFS = """
mount -t tmpfs tmpfs "$0" && cp "$1" "$0/file" && shift && exec "$@"
"""
OVERLAY = """
mount -t tmpfs tmpfs "$0" && mkdir "$0/lower" "$0/upper" "$0/work" "$0/merged" &&
cp "$1" "$0/lower/file" && mount -t overlay -o "lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work" \
    overlay "$0/merged" && shift && exec "$@"
"""


def mounted(script, folder, file):
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, folder, file]


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("script, name", [(TMPFS, "file"), (OVERLAY, "merged/file")],
                         ids=["tmpfs", "overlayfs"])
def test_file_systems_in_memory(program, payloads, ceph, ceph_bucket, key, tmp_path, script, name,
                                sender):
    payload = payloads.get(8 * MIB + 1)
    result = program.put(ceph, tmp_path / name, ceph_bucket, key, "--sender", sender,
                         "--require-stable", prefix=mounted(script, tmp_path, payload.path))
    assert_result(result, payload, moved_by=sender)
    assert_object(ceph, ceph_bucket, key, payload)


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("stable", [True, False])
def test_a_write_that_overlayfs_copies_up(program, payloads, ceph, ceph_bucket, key, tmp_path,
                                          stable, sender):
    """The open file was the lower one; what is read from it after the write is the upper one's. A
    mix as on any other file system, then: told, and the digest is of the mix."""
    payload = payloads.get(SIZE)
    with Proxy(ceph.https_url, hold_at=HOLD_AT) as proxy:
        running = program.popen(
            ["put", tmp_path / "merged/file", f"s3://{ceph_bucket}/{key}", "--json", "--sender",
             sender, "--endpoint-url", proxy.url, *(["--require-stable"] if stable else [])],
            program.environment(ceph), prefix=mounted(OVERLAY, tmp_path, payload.path))
        assert proxy.held.wait(30)
        subprocess.run(["nsenter", "--mount", "-t", str(running.pid), "sh", "-ec",
                        f"printf '{OTHER.decode()}' | dd of={tmp_path}/merged/file bs=1 "
                        f"seek={TAIL} conv=notrunc status=none; test -s {tmp_path}/upper/file"],
                       check=True)
        proxy.release()
        result = running.wait()
    if stable:
        assert_refused(result, tmp_path / "merged/file", "--require-stable", "mtime from ",
                       "nothing was stored")
        assert_nothing_stored(ceph, ceph_bucket, key)
    else:
        said = result.expect(0, "changed while it was sent", "mtime from ").json
        assert (said["source_changed"], said["store"], said["bytes"]) == (True, "confirmed", SIZE)
        stored = ceph.get(ceph_bucket, key)
        assert hashlib.sha256(stored).hexdigest() == said["sha256"]
        assert stored[:TAIL] == payload.data[:TAIL]
        assert stored[TAIL:TAIL + len(OTHER)] == OTHER
        assert stored[TAIL + len(OTHER):] == payload.data[TAIL + len(OTHER):]


@contextlib.contextmanager
def stat_all_the_time(path):
    """What backup programs and file managers do, from another thread."""
    stop = threading.Event()

    def run():
        while not stop.is_set():
            os.stat(path)

    thread = threading.Thread(target=run, daemon=True, name="stat")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()


PAST_THE_PAGE_CACHE = ["FUSE", "direct_io", "copy it to a regular file"]


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("lengths", [[70000], [65536, 4096], [1, 4095, 4096, 100_000, 511, 65536],
                                     [MIB]], ids=str)
@pytest.mark.parametrize("statfs", [True, False])
def test_a_file_past_the_page_cache(program, payloads, ceph, ceph_bucket, key, tmp_path, lengths,
                                    sender, statfs):
    """Behind a short answer sendfile(2) and splice(2) may put zeros, by kernel, and no more than
    that tells: so not even one whose answers are whole."""
    payload = payloads.get(MIB + 1)
    lengths = itertools.cycle(lengths)
    with Fuse(tmp_path / "fuse", payload.size, direct=True, cached_s=0, statfs=statfs,
              read=lambda at, n: bytes(payload.data[at:at + min(n, next(lengths))])) as fuse, \
            stat_all_the_time(fuse.path):
        hashed = program.run(["hash", fuse.path, payload.path, "--sender", sender])
        result = program.put(ceph, fuse.path, ceph_bucket, key, "--sender", sender)
    hashed.expect(2, fuse.path, *PAST_THE_PAGE_CACHE, "1 of 2")
    assert hashed.stdout == f"{payload.sha256}  {payload.path}\n"
    assert_refused(result, fuse.path, *PAST_THE_PAGE_CACHE)
    assert_nothing_stored(ceph, ceph_bucket, key)


OVERLAY_ON_FUSE = """
mkdir "$0/empty" "$0/merged" &&
mount -t overlay -o "lowerdir=$0/fuse:$0/empty" overlay "$0/merged" && exec "$@"
"""


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("direct", [True, False])
def test_a_file_past_the_page_cache_below_overlayfs(program, payloads, tmp_path, sender, direct):
    payload = payloads.get(MIB + 1)
    most = 70_000 if direct else MIB
    with Fuse(tmp_path / "fuse", payload.size, direct=direct, cached_s=0, statfs=True,
              read=lambda at, n: bytes(payload.data[at:at + min(n, most)])) as fuse, \
            stat_all_the_time(fuse.path):
        result = program.run(
            ["hash", tmp_path / "merged/file", "--sender", sender],
            prefix=["unshare", "--mount", "--propagation", "private", "sh", "-c", OVERLAY_ON_FUSE,
                    tmp_path])
    if direct:
        result.expect(2, str(tmp_path / "merged/file"), *PAST_THE_PAGE_CACHE)
        assert result.stdout == ""
    else:
        assert result.expect(0).stdout == f"{payload.sha256}  {tmp_path}/merged/file\n"


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("size", [0, 1, MIB + 1])
def test_fuse_with_the_page_cache(program, payloads, ceph, ceph_bucket, key, tmp_path, size,
                                  sender):
    payload = payloads.get(size)
    with Fuse(tmp_path / "fuse", size, cached_s=0,
              read=lambda at, n: bytes(payload.data[at:at + n])) as fuse, \
            stat_all_the_time(fuse.path):
        hashed = program.run(["hash", fuse.path, "--sender", sender])
        result = program.put(ceph, fuse.path, ceph_bucket, key, "--sender", sender,
                             "--require-stable")
    assert hashed.expect(0).stdout == f"{payload.sha256}  {fuse.path}\n"
    assert_result(result, payload, moved_by=sender)
    assert_object(ceph, ceph_bucket, key, payload)


def set_times(fuse):
    fuse.mtime_ns = fuse.ctime_ns = 10**18


def set_ctime(fuse):
    fuse.ctime_ns = 10**18


def set_size(fuse):
    fuse.size += 1


@pytest.mark.parametrize("change, moved", [(set_times, "mtime"), (set_ctime, "ctime"),
                                           (set_size, "size")], ids=["mtime", "ctime", "size"])
@pytest.mark.parametrize("stable", [True, False])
def test_attributes_that_the_kernel_has_cached(program, payloads, ceph, ceph_bucket, key, tmp_path,
                                               change, moved, stable):
    """Another client of a file server has changed the file; the kernel need not ask for an hour."""
    payload = payloads.get(SIZE)
    with Fuse(tmp_path / "fuse", SIZE, read=lambda at, n: bytes(payload.data[at:at + n])) as fuse:
        with held_put(program, ceph, fuse.path, ceph_bucket, key,
                      *(["--require-stable"] if stable else [])) as ended:
            change(fuse)
    if stable:
        assert_refused(ended[0], fuse.path, f"{moved} from ", "--require-stable")
        assert_nothing_stored(ceph, ceph_bucket, key)
    else:
        ended[0].expect(0, "changed while it was sent", f"{moved} from ")
        assert_result(ended[0], payload, source_changed=True)
        assert_object(ceph, ceph_bucket, key, payload)


def test_attributes_that_the_kernel_had_cached_before(program, payloads, ceph, ceph_bucket, key,
                                                      tmp_path):
    """A file that grew before it was opened is whole, and one that was left alone has not moved."""
    payload = payloads.get(MIB + 1)
    with Fuse(tmp_path / "fuse", MIB, read=lambda at, n: bytes(payload.data[at:at + n])) as fuse:
        assert os.stat(fuse.path).st_size == MIB
        fuse.size = payload.size
        set_times(fuse)
        assert os.stat(fuse.path).st_size == MIB  # cached
        result = program.put(ceph, fuse.path, ceph_bucket, key, "--require-stable")
    assert_result(result, payload)
    assert_object(ceph, ceph_bucket, key, payload)


BAD_AT = 5 * MIB + 4096


def fail_at(payload, bad_at=BAD_AT):
    def read(at, n):
        if at + n > bad_at:
            raise OSError(errno.EIO, "")
        return bytes(payload.data[at:at + n])

    return read


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
@pytest.mark.parametrize("more", [[], ["--hash", "none"], ["--require-stable"]], ids=" ".join)
def test_a_read_error_in_the_middle(program, payloads, ceph, ceph_bucket, key, tmp_path, sender,
                                    more):
    payload = payloads.get(8 * MIB + 1)
    with Fuse(tmp_path / "fuse", payload.size, fail_at(payload)) as fuse:
        result = program.put(ceph, fuse.path, ceph_bucket, key, "--sender", sender, *more)
    assert_refused(result, fuse.path, "cannot read", f"at byte {BAD_AT}: Input/output error")
    assert_nothing_stored(ceph, ceph_bucket, key)


def test_files_that_fail_leave_nothing_open(program, payloads, tmp_path):
    """100 read errors in one run that may have few descriptors; the good file's hash is right."""
    payload = payloads.get(MIB + 1)
    with Fuse(tmp_path / "fuse", payload.size, fail_at(payload, 128 * KIB)) as fuse:
        for sender in ("sendfile", "splice"):
            result = program.run(["hash", "--sender", sender, *[fuse.path] * 100, payload.path],
                                 prefix=["prlimit", "--nofile=48"])
            result.expect(2, f"cannot read {fuse.path} at byte {128 * KIB}: Input/output error",
                          "100 of 101")
            assert result.stdout == f"{payload.sha256}  {payload.path}\n", result


def test_a_file_that_is_shorter_than_it_says(program, payloads, ceph, ceph_bucket, key, tmp_path):
    payload = payloads.get(100_000)
    with Fuse(tmp_path / "fuse", 200_000,
              read=lambda at, n: bytes(payload.data[at:at + n])) as fuse:
        result = program.put(ceph, fuse.path, ceph_bucket, key)
    assert_refused(result, fuse.path, "byte 100000", "200000 bytes", "nothing was stored")
    assert_nothing_stored(ceph, ceph_bucket, key)


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_a_file_system_that_hangs(program, payloads, ceph, ceph_bucket, key, tmp_path, sender):
    """A dead file server: the signal ends the program all the same."""
    payload = payloads.get(8 * MIB + 1)
    hangs, release = threading.Event(), threading.Event()

    def read(at, n):
        if at + n > BAD_AT:
            hangs.set()
            release.wait(30)
        return bytes(payload.data[at:at + n])

    with Fuse(tmp_path / "fuse", payload.size, read) as fuse:
        running = program.popen(["put", fuse.path, f"s3://{ceph_bucket}/{key}", "--sender", sender],
                                program.environment(ceph))
        assert hangs.wait(30)
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(10).expect(143)
        finally:
            release.set()
    assert_nothing_stored(ceph, ceph_bucket, key)
