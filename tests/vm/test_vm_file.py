# SPDX-License-Identifier: Apache-2.0
"""Files that fail or change under uploads that the kernel encrypts, and where they may lie."""

import pytest

from kit.checks import assert_nothing_stored, assert_object, assert_result
from kit.content import MIB
from kit.proxy import Proxy

pytestmark = pytest.mark.kernels("bookworm", "sid")

SENDERS = ["sendfile", "splice"]
SECTOR = 512
BAD_AT = 5 * MIB

# $1: a file of the guest. Its copy lies alone on a device whose sectors can be made to fail: ext4,
# all of it in one extent, with dm-error below the byte BAD_AT.
FAILING = """
set -e
modprobe dm-mod
truncate -s 64M /tmp/bad-disk
device=$(losetup --find --show /tmp/bad-disk)
sectors=$(blockdev --getsz "$device")
dmsetup create --noudevsync bad --table "0 $sectors linear $device 0"
dmsetup mknodes bad
mkfs.ext4 -q -F /dev/mapper/bad
mkdir -p /mnt/bad
mount /dev/mapper/bad /mnt/bad
cp "$1" /mnt/bad/file
sync
at=$(filefrag -b512 -v /mnt/bad/file | awk -v want="$2" '
    $1 ~ /^[0-9]+:$/ { gsub(/[.:]/, " "); if (want >= $2 && want <= $3) print $4 + want - $2 }')
dmsetup suspend bad
dmsetup load bad --table "0 $at linear $device 0
$at 8 error
$((at + 8)) $((sectors - at - 8)) linear $device $((at + 8))"
dmsetup resume bad
echo 3 >/proc/sys/vm/drop_caches
"""
MENDED = """
umount /mnt/bad; dmsetup remove --noudevsync bad; losetup -j /tmp/bad-disk -O NAME -n | xargs -r losetup -d
rm -f /tmp/bad-disk
"""


@pytest.fixture(scope="module")
def failing(vm, payloads, in_guest):
    """A file of 8 MiB + 1 that can't be read at BAD_AT."""
    payload = payloads.get(8 * MIB + 1)
    made = vm.run(["sh", "-c", FAILING, "sh", in_guest(payload), str(BAD_AT // SECTOR)])
    assert made.returncode == 0, made
    yield "/mnt/bad/file"
    vm.run(["sh", "-c", MENDED])


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("more", [[], ["--hash", "none"]], ids=["bpf", "none"])
def test_a_disk_that_can_not_be_read(vm, guest, failing, ceph, buckets, key, sender, more):
    vm.run(["sh", "-c", "echo 3 >/proc/sys/vm/drop_caches"])
    result = guest.put(ceph, failing, buckets(ceph), key, "--require-ktls", "--sender", sender,
                       *more)
    result.expect(2, f"cannot read {failing} at byte {BAD_AT}: Input/output error")
    assert_nothing_stored(ceph, buckets(ceph), key)


@pytest.mark.parametrize("sender", SENDERS)
def test_hash_of_a_disk_that_can_not_be_read(vm, guest, failing, payloads, in_guest, sender):
    good = payloads.get(65537)
    result = guest.run(["hash", "--sender", sender, failing, in_guest(good)])
    result.expect(2, f"cannot read {failing} at byte {BAD_AT}: Input/output error", "1 of 2")
    assert result.stdout == f"{good.sha256}  {in_guest(good)}\n"


SIZE = 8 * MIB + 1
OVERWRITE = "printf another >new && dd if=new of=\"$0\" bs=1 seek=7340032 conv=notrunc status=none"
ATTACKS = {
    "truncated": ("truncate -s 7340037 \"$0\"", "ended at byte 7340037"),
    "grown": ("echo more >>\"$0\"", f"size from {SIZE} to {SIZE + 5} bytes"),
    "rewritten": (OVERWRITE, "mtime from"),
    "mtime set back": ("cp -p \"$0\" as-it-was; " + OVERWRITE + "; touch -r as-it-was \"$0\"",
                       "ctime from"),
    "unlinked": ("rm \"$0\"", "ctime from"),
}


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("command, moved", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_file_that_changes_on_its_way(vm, guest, payloads, in_guest, ceph, buckets, key, sender,
                                        command, moved):
    payload = payloads.get(SIZE)
    folder = f"/mnt/files/attacked-{sender}"
    path = f"{folder}/file"
    assert vm.run(["sh", "-c", f"mkdir -p {folder} && cp {in_guest(payload)} {path}"]).returncode == 0
    before = payloads.get(1)
    ceph.put(buckets(ceph), key, bytes(before.data))
    env = {"HOME": "/mnt", **guest.environment(ceph)}
    with Proxy(ceph.https_url, hold_at=MIB) as proxy:
        job = vm.popen([guest.path, "put", path, f"s3://{buckets(ceph)}/{key}", "--json",
                        "--require-stable", "--require-ktls", "--sender", sender,
                        "--endpoint-url", proxy.vm_url], env=env, timeout=120)
        assert proxy.held.wait(60)
        done = vm.run(["sh", "-ec", command, path], cwd=folder)
        proxy.release()
        ended = job.wait()
    assert done.returncode == 0, done
    assert ended.returncode == 2, ended
    for part in (path, moved, "nothing was stored"):
        assert part in ended.stderr, ended
    assert ceph.get(buckets(ceph), key) == before.data


ON_READ_ONLY = """
mount -t tmpfs tmpfs /mnt/ro-disk && truncate -s 32M /mnt/ro-disk/disk && mkfs.ext4 -q -F /mnt/ro-disk/disk &&
mount -o loop /mnt/ro-disk/disk /mnt/ro && cp "$1" /mnt/ro/file && mount -o remount,ro /mnt/ro
"""


@pytest.fixture(scope="module")
def read_only(vm, payloads, in_guest):
    """A file on ext4 that is mounted read-only."""
    vm.run(["mkdir", "-p", "/mnt/ro", "/mnt/ro-disk"])
    made = vm.run(["sh", "-ec", ON_READ_ONLY, "sh", in_guest(payloads.get(SIZE))])
    assert made.returncode == 0, made
    yield "/mnt/ro/file"
    vm.run(["sh", "-c", "umount /mnt/ro; umount /mnt/ro-disk"])


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("where", ["read-only ext4", "9p"])
def test_where_it_may_lie(guest, payloads, ceph, buckets, key, sender, where, read_only):
    payload = payloads.get(SIZE)
    path = read_only if where == "read-only ext4" else payload.path
    result = guest.put(ceph, path, buckets(ceph), key, "--require-ktls", "--require-stable",
                       "--sender", sender)
    assert_result(result, payload, encrypted_by="ktls", moved_by=sender)
    assert_object(ceph, buckets(ceph), key, payload)


def test_the_memory_of_the_kernel(guest, ceph, buckets, key):
    """/proc/kcore says that it has more than any object may."""
    guest.put(ceph, "/proc/kcore", buckets(ceph), key).expect(2, "/proc/kcore", "multipart")
