# SPDX-License-Identifier: Apache-2.0
"""A machine that lacks things: limits, mounts, descriptors, clocks, signals, surroundings."""
import ctypes
import itertools
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest

from kit.checks import assert_nothing_stored, assert_object, assert_result
from kit.content import MIB
from kit.program import Program
from kit.proxy import Proxy

NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
BYTES = 1_100_000
CODES = {1, 2, 3, 4, 5, 6}


@pytest.fixture
def upload(program, payloads, ceph, ceph_bucket, key):
    """upload(*options, env=..., ...): puts the payload, as Program.put."""

    def run(*more, name=key, **options):
        return program.put(ceph, payloads.get(BYTES).path, ceph_bucket, name, *more, **options)

    return run


@pytest.fixture
def assert_uploaded(payloads, ceph, ceph_bucket, key):
    def check(result, name=key, **expected):
        assert_result(result, payloads.get(BYTES), **expected)
        assert_object(ceph, ceph_bucket, name, payloads.get(BYTES))

    return check


def limited(**limits):
    """For preexec_fn: RLIMIT_ names in lower case and their soft and hard value."""
    return lambda: [resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
                    for name, value in limits.items()]


def assert_uploaded_or_refused(result, check, ceph, bucket, name):
    """True if it was uploaded."""
    if result.returncode == 0:
        check(result, name)
        return True
    assert result.returncode in CODES, result
    result.expect(result.returncode)
    assert ceph.head(bucket, name) is None, result
    return False


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_each_limit_of_open_files(upload, assert_uploaded, ceph, ceph_bucket, key, sender):
    """From what the dynamic loader needs on: an error that says it, or an upload; and once there
    are enough there are enough."""
    went = {}
    for files in range(4, 26):
        name = f"{key}-{files}"
        result = upload("--sender", sender, name=name, preexec_fn=limited(nofile=files))
        went[files] = assert_uploaded_or_refused(result, assert_uploaded, ceph, ceph_bucket, name)
        if not went[files]:
            assert "oo many open files" in result.stderr, result
    assert not went[4] and went[25], went
    assert list(went.values()) == sorted(went.values()), went


def test_each_limit_of_address_space(upload, assert_uploaded, ceph, ceph_bucket, key):
    went = []
    for mib in [*range(24, 72, 4), 128, 256]:
        name = f"{key}-{mib}"
        result = upload(name=name, preexec_fn=limited(**{"as": mib * MIB}))
        if result.returncode == 127:  # the loader itself
            assert "error while loading shared libraries" in result.stderr, result
            continue
        went.append(assert_uploaded_or_refused(result, assert_uploaded, ceph, ceph_bucket, name))
    assert False in went and went[-1], went


@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_no_locked_memory(upload, assert_uploaded, sender):
    assert_uploaded(upload("--sender", sender, preexec_fn=limited(memlock=0)))


def test_no_file_may_be_written(upload, ceph, ceph_bucket, key):
    """RLIMIT_FSIZE holds for files in memory too, and its signal ends what does not ignore it."""
    upload(preexec_fn=limited(fsize=0)).expect(3, "File too large")
    assert ceph.head(ceph_bucket, key) is None


def test_no_thread_can_start(program, payloads, ceph, ceph_bucket, key, work_dir):
    path = shutil.copy(program.path, work_dir / "s3-ktls-no-threads")
    subprocess.run(["setcap", "cap_bpf,cap_net_admin,cap_perfmon+ep", path], check=True)
    result = Program(path, program.home).put(
        ceph, payloads.get(BYTES).path, ceph_bucket, key, scheme="http",
        preexec_fn=limited(nproc=0), **AS_NOBODY)
    result.expect(3, "thread", "Resource temporarily unavailable")
    assert ceph.head(ceph_bucket, key) is None


def in_own_mounts(script):
    """A command in front: what follows it, after that script, in a mount namespace of its own."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", f'{script}; exec "$@"',
            "sh"]


WITHOUT = {
    "proc": "mount -t tmpfs none /proc",
    "sys": "mount -t tmpfs none /sys",
    "dev": "mount -t tmpfs none /dev",
    "all": "mount -t tmpfs none /sys; mount -t tmpfs none /dev; mount -t tmpfs none /proc",
    "a root that can be written": "mount -o remount,bind,ro /",
}


@pytest.mark.parametrize("without", WITHOUT)
@pytest.mark.parametrize("sender", ["sendfile", "splice"])
def test_without(upload, assert_uploaded, without, sender):
    assert_uploaded(upload("--sender", sender, prefix=in_own_mounts(WITHOUT[without])))


def test_hash_without_dev_null(program, payloads):
    program.run(["hash", payloads.get(1).path], prefix=in_own_mounts(WITHOUT["dev"])).expect(
        3, "/dev/null")


def closed(numbers):
    return lambda: [os.close(number) for number in numbers]


@pytest.mark.parametrize("dev", [True, False], ids=["with-dev", "without-dev"])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("numbers", [
    numbers for n in (1, 2, 3) for numbers in itertools.combinations((0, 1, 2), n)])
def test_closed_standard_descriptors(program, payloads, ceph, ceph_bucket, key, numbers, scheme,
                                     dev):
    """What is said must never go into the tap or to the store, also without /dev/null in their
    place. The shell in front needs none of the three."""
    close = "; ".join(f"exec {number}>&-" for number in numbers)
    prefix = in_own_mounts(close if dev else f"{WITHOUT['dev']}; {close}")
    payload = payloads.get(BYTES)
    result = program.run(["put", payload.path, f"s3://{ceph_bucket}/{key}", "-v"],
                         program.environment(ceph, scheme), prefix=prefix)
    # Without /dev/null what stands for a closed stdout takes nothing: that is told.
    assert result.returncode == (3 if 1 in numbers and not dev else 0), result
    assert_object(ceph, ceph_bucket, key, payload)


@pytest.mark.parametrize("dev", [True, False], ids=["with-dev", "without-dev"])
def test_what_stands_for_closed_descriptors(program, payloads, ceph, ceph_bucket, key, dev):
    """Never a socket, the file or the program's own business."""
    close = "exec 0>&- 1>&- 2>&-"
    links = []

    def look(running):
        links.extend(os.readlink(f"/proc/{running.pid}/fd/{number}") for number in range(3))

    held_upload(program, payloads, ceph, ceph_bucket, key, look,
                prefix=in_own_mounts(close if dev else f"{WITHOUT['dev']}; {close}"))
    assert links == (["/dev/null"] if dev else ["/"]) * 3


def test_a_full_standard_error(program, payloads, upload, assert_uploaded, ceph, ceph_bucket):
    """Warnings are lost; the result is not, nor the exit code of a failure."""
    with open("/dev/full", "w", encoding="ascii") as full:
        assert_uploaded(upload(stderr=full))
        result = program.put(ceph, payloads.get(1).path, "no-such-bucket", "key", stderr=full)
    assert result.returncode == 5 and result.json["error"]["class"] == "store", result


def test_a_full_standard_output_with_json(upload, payloads, ceph, ceph_bucket, key):
    with open("/dev/full", "w", encoding="ascii") as full:
        upload(stdout=full).expect(3, "the upload is done and verified", "No space left")
    assert_object(ceph, ceph_bucket, key, payloads.get(BYTES))


# Shifts what the program sees of the time of day by SHIFT_S seconds; with JUMP, only after the first
# question, and forth and back from then on. The monotonic clock stays.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long shift(void)
{
    static long asked;
    const char *by = getenv("SHIFT_S");
    long s = by ? atol(by) : 0;
    if (!getenv("JUMP"))
        return s;
    return asked++ == 0 ? 0 : asked % 2 ? s : -s;
}
int clock_gettime(clockid_t id, struct timespec *t)
{
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int rc = real(id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        t->tv_sec += shift();
    return rc;
}
time_t time(time_t *out)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}
int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture(scope="module")
def clock(work_dir):
    """clock(seconds, jump): the environment of a program whose clock is off by that."""
    path = work_dir / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", path, "-x", "c", "-"], check=True,
                   input=CLOCK.encode())

    def environment(seconds, jump=False):
        return {"LD_PRELOAD": str(path), "SHIFT_S": str(seconds), "JUMP": "1" if jump else None}

    return environment


# The store's certificate is as old as the session, which an hour is more than: not yet valid (4).
@pytest.mark.parametrize("scheme, minutes, returncode", [
    ("http", -20, 5), ("http", 20, 5), ("https", 20, 5), ("https", -60, 4)])
def test_a_clock_that_is_off(upload, ceph, ceph_bucket, key, clock, scheme, minutes, returncode):
    result = upload(scheme=scheme, env=clock(minutes * 60))
    result.expect(returncode, "clock")
    assert_nothing_stored(ceph, ceph_bucket, key)


def test_a_clock_that_jumps(program, payloads, ceph, ceph_bucket, key, clock):
    """By a day, forth and back, while the store holds its breath: no deadline is of that clock."""
    payload = payloads.get(40 * MIB)
    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        running = program.popen(
            ["put", payload.path, f"s3://{ceph_bucket}/{key}", "--json", "--endpoint-url",
             proxy.url, "--timeout", "10"],
            program.environment(ceph, "http", **clock(86400, jump=True)))
        assert proxy.held.wait(30)
        time.sleep(1)
        proxy.release()
        assert_result(running.wait(), payload)
    assert_object(ceph, ceph_bucket, key, payload)


def held_upload(program, payloads, ceph, bucket, key, act, **options):
    """The result of an upload that is held in the middle while act(running) is done."""
    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        running = program.popen(
            ["put", payloads.get(40 * MIB).path, f"s3://{bucket}/{key}", "--json",
             "--endpoint-url", proxy.url], program.environment(ceph, "http"), **options)
        assert proxy.held.wait(30)
        act(running)
        proxy.release()
        return running.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_ignored_stays_ignored(program, payloads, ceph, ceph_bucket, key, number):
    """As a shell without job control starts what runs in the background."""

    def act(running):
        running.send_signal(number)
        time.sleep(1.2)  # longer than the program's patience

    result = held_upload(program, payloads, ceph, ceph_bucket, key, act,
                         preexec_fn=lambda: signal.signal(number, signal.SIG_IGN))
    assert_result(result, payloads.get(40 * MIB))


@pytest.mark.parametrize("number, returncode", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_is_blocked_at_the_start_ends_it(program, payloads, ceph, ceph_bucket, key,
                                                       number, returncode):
    """A mask is inherited by accident; and one signal that is ignored leaves the other."""
    other = signal.SIGINT if number == signal.SIGTERM else signal.SIGTERM

    def prepare():
        signal.signal(other, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())

    result = held_upload(program, payloads, ceph, ceph_bucket, key,
                         lambda running: running.send_signal(number), preexec_fn=prepare)
    result.expect(returncode, number.name)
    assert ceph.head(ceph_bucket, key) is None


@pytest.mark.parametrize("how", ["default", "ignored", "blocked"])
def test_sigpipe_does_not_matter(program, payloads, ceph, ceph_bucket, key, how):
    """The store goes away in the middle."""

    def prepare():
        signal.signal(signal.SIGPIPE, signal.SIG_IGN if how == "ignored" else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK if how == "blocked" else signal.SIG_UNBLOCK,
                               [signal.SIGPIPE])

    with Proxy(ceph.http_url, hold_at=4 * MIB) as proxy:
        running = program.popen(
            ["put", payloads.get(40 * MIB).path, f"s3://{ceph_bucket}/{key}", "--json",
             "--endpoint-url", proxy.url], program.environment(ceph, "http"), preexec_fn=prepare)
        assert proxy.held.wait(30)
        proxy.cut()
        running.wait().expect(4)
    assert ceph.head(ceph_bucket, key) is None


@pytest.mark.parametrize("env", [
    {"HOME": None}, {"HOME": ""}, {"HOME": "/nonexistent"}, {"HOME": "/etc/passwd"},
    {"TZ": ":/etc/passwd"}, {"TZ": "-" * 4000}, {"LC_ALL": "xx_YY.invalid", "LANG": "\udcff"},
    {"PATH": None}, {f"FILLER_{i}": "x" * 120_000 for i in range(14)}], ids=[
        "no-home", "empty-home", "missing-home", "file-home", "strange-tz", "long-tz",
        "strange-locale", "no-path", "large"])
def test_odd_environment(upload, assert_uploaded, env):
    assert_uploaded(upload(env=env))


def test_a_home_that_cannot_be_read(program, payloads, ceph, ceph_bucket, key, tmp_path):
    """Whether there are settings in it cannot be known."""
    (tmp_path / ".aws").mkdir(mode=0o700)
    tmp_path.chmod(0o700)
    result = program.put(ceph, payloads.get(1).path, ceph_bucket, key, "--hash", "none",
                         scheme="http", env={"HOME": str(tmp_path)}, **AS_NOBODY)
    result.expect(1, str(tmp_path), "Permission denied")


def test_umask(upload, assert_uploaded):
    assert_uploaded(upload(umask=0o777))


def test_a_working_folder_that_is_gone(upload, assert_uploaded, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f'cd "{gone}"; rmdir "{gone}"; exec "$@"'
    assert_uploaded(upload(prefix=["sh", "-ec", script, "sh"]))


@pytest.mark.parametrize("argv", [(), ("",), ("", "")], ids=["none", "empty", "two-empty"])
def test_an_argv_that_names_no_program(program, argv):
    """execve(2) takes it; a kernel since 5.18 then gives an empty name."""
    strings = (ctypes.c_char_p * (len(argv) + 1))(*[word.encode() for word in argv], None)

    def execute():
        ctypes.CDLL(None).execve(program.path.encode(), strings, (ctypes.c_char_p * 1)(None))

    result = program.run([], preexec_fn=execute)
    result.expect(1, "--help")
