# SPDX-License-Identifier: Apache-2.0
"""The command line, files that can't be sent, and where output goes."""
import os
import re
import subprocess

import pytest

from kit.checks import assert_object, assert_result
from kit.program import PATH
from rig.process import REPO

NOBODY = 65534

# CLI options, by command. Adding one means adding it here, and to the README.
STORE = {"--endpoint-url", "--region", "--profile", "--ca-bundle", "--no-sign-request",
         "--connect-timeout"}
COMMON = {"--verbose", "-v", "--help", "-h"}
OPTIONS = {
    "put": STORE | COMMON | {"--addressing-style", "--timeout", "--sender", "--hash", "--framing", "--chunk-size", "--require-ktls",
                             "--require-stable", "--json", "--quiet", "-q"},
    "hash": COMMON | {"--sender"},
    "doctor": STORE | COMMON,
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help_lists_the_options(program, command):
    for word in ("--help", "-h"):
        result = program.run([command, word]).expect(0)
        listed = set(re.findall(r"^ +(-\w), ", result.stdout, re.M)) | set(
            re.findall(r"^ +(?:-\w, )?(--[\w-]+)", result.stdout, re.M))
        assert listed == OPTIONS[command], result
        assert f"s3-ktls {command}" in result.stdout and result.stderr == ""


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["help"]])
def test_help_tells_the_commands(program, args):
    result = program.run(args).expect(0)
    for text in ("put FILE s3://BUCKET/KEY", "hash FILE...", "doctor", "--file F", "--bucket",
                 "AWS_ACCESS_KEY_ID", "Exit codes", "--version"):
        assert text in result.stdout, f"no {text!r} in\n{result}"


def test_version(program):
    result = program.run(["--version"]).expect(0)
    assert re.fullmatch(r"s3-ktls \d+\.\d+\.\d+\n", result.stdout)


FINE = ["put", "/etc/passwd", "s3://bucket/key"]


@pytest.mark.parametrize("args, parts", [
    ([], ["--help"]),
    (["upload"], ["unknown command 'upload'"]),
    (["put"], ["s3-ktls put FILE s3://BUCKET/KEY"]),
    (["put", "/etc/passwd"], ["s3-ktls put FILE s3://BUCKET/KEY"]),
    ([*FINE, "more"], ["s3-ktls put FILE s3://BUCKET/KEY"]),
    (["put", "/etc/passwd", "bucket/key"], ["s3://BUCKET/KEY"]),
    (["put", "/etc/passwd", "s3://"], ["bucket"]),
    (["put", "/etc/passwd", "s3:///key"], ["bucket"]),
    (["put", "/etc/passwd", "s3://buck et/key"], ["buck et"]),
    (["hash"], ["s3-ktls hash FILE..."]),
    (["doctor", "word"], ["word"]),
    ([*FINE, "--no-such-option"], ["--no-such-option", "put --help"]),
    ([*FINE, "-x"], ["-x"]),
    ([*FINE, "--region"], ["--region"]),
    ([*FINE, "--region="], ["--region"]),
    ([*FINE, "--json=yes"], ["--json"]),
    ([*FINE, "--sender", "carrier-pigeon"], ["--sender", "sendfile|splice", "carrier-pigeon"]),
    ([*FINE, "--hash", "md5"], ["--hash", "bpf|none", "md5"]),
    ([*FINE, "--framing", "x"], ["--framing", "chunked|length"]),
    ([*FINE, "--addressing-style", "x"], ["--addressing-style", "auto|path|virtual"]),
    ([*FINE, "--chunk-size", "8X"], ["--chunk-size", "8X"]),
    ([*FINE, "--chunk-size", "-1"], ["--chunk-size"]),
    ([*FINE, "--chunk-size", "8191"], ["--chunk-size", "8192"]),
    ([*FINE, "--chunk-size", "16M1"], ["--chunk-size"]),
    ([*FINE, "--chunk-size", "17MiB"], ["--chunk-size"]),
    ([*FINE, "--chunk-size", "99999999999999999999G"], ["--chunk-size"]),
    ([*FINE, "--timeout", "0"], ["--timeout"]),
    ([*FINE, "--timeout", "0.00095"], ["--timeout"]),
    ([*FINE, "--timeout", "soon"], ["--timeout", "soon"]),
    ([*FINE, "--connect-timeout", "-1"], ["--connect-timeout"]),
    ([*FINE, "--endpoint-url", "ftp://host"], ["endpoint URL", "https://"]),
    ([*FINE, "--endpoint-url", "https://"], ["endpoint URL"]),
    ([*FINE, "--endpoint-url", "https://host:99999"], ["endpoint URL", "port"]),
    ([*FINE, "--endpoint-url", "http://localhost", "--require-ktls"], ["--require-ktls", "https"]),
    ([*FINE, "--hash", "none", "--framing", "chunked"], ["--hash none", "--framing"]),
    ([*FINE, "--addressing-style", "virtual", "--endpoint-url", "http://127.0.0.1:1"],
     ["--addressing-style path"]),
    (["--file", "/etc/passwd", "--bucket", "bucket"], ["--region"]),
    (["--file", "/etc/passwd", "--region", "us-east-1"], ["--bucket"]),
    (["--bucket", "bucket", "--region", "us-east-1"], ["--file"]),
])
def test_usage_errors(program, args, parts):
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret",
                              AWS_REGION="us-east-1")
    result = program.run(args, env, timeout=10).expect(1, *parts)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1, result


def test_options_may_stand_anywhere(program, payloads, ceph, buckets, key):
    payload = payloads.get(1)
    result = program.run(
        ["put", "--json", payload.path, f"--endpoint-url={ceph.http_url}", "--timeout=5.5",
         f"s3://{buckets(ceph)}/{key}", "--sender", "splice"], program.environment(ceph))
    assert_result(result, payload, moved_by="splice", endpoint=ceph.http_url)


def put_nowhere(program, path, **options):
    """put to an endpoint that must not be asked: nobody listens there."""
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_SECRET_ACCESS_KEY="some-secret")
    return program.run(["put", "--json", "--endpoint-url", "http://127.0.0.1:9", "--", path,
                        "s3://bucket/key"], env, timeout=10, **options)


def assert_file_error(result, *parts):
    result.expect(2, *parts)
    assert result.json["error"]["class"] == "file"
    assert result.json["error"]["exit_code"] == 2


def test_a_missing_file(program, work_dir):
    path = str(work_dir / "missing")
    assert_file_error(put_nowhere(program, path), path, "No such file")


def test_a_directory(program, work_dir):
    assert_file_error(put_nowhere(program, work_dir), str(work_dir), "directory")


def test_a_fifo_does_not_hang(program, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert_file_error(put_nowhere(program, tmp_path / "fifo"), "fifo", "FIFO")


@pytest.mark.parametrize("path", ["/dev/null", "/dev/zero"])
def test_a_device(program, path):
    assert_file_error(put_nowhere(program, path), path, "device")


@pytest.mark.parametrize("path", ["/proc/version", "/proc/self/status"])
def test_a_file_whose_length_is_a_lie(program, path):
    assert_file_error(put_nowhere(program, path), path, "copy it")


def test_a_symbolic_link_to_nothing(program, tmp_path):
    (tmp_path / "link").symlink_to("nothing")
    assert_file_error(put_nowhere(program, tmp_path / "link"), "link", "No such file")


def test_a_file_that_is_too_large(program, tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate((5 << 30) + 1)
    assert_file_error(put_nowhere(program, tmp_path / "large"), str((5 << 30) + 1), str(5 << 30))


def test_a_file_that_may_not_be_read(program, work_dir):
    path = work_dir / "private"
    path.write_text("x")
    path.chmod(0o600)
    result = put_nowhere(program, path, user=NOBODY, group=NOBODY, extra_groups=[])
    assert_file_error(result, str(path), "Permission denied")


def close_descriptors(*numbers):
    return lambda: [os.close(number) for number in numbers]


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_descriptors(program, payloads, ceph, buckets, key, closed):
    """The next descriptors opened must not become 0, 1 or 2: messages would go into a socket."""
    payload = payloads.get(1_100_000)
    running = program.popen(
        ["put", payload.path, f"s3://{buckets(ceph)}/{key}", "-v"], program.environment(ceph),
        preexec_fn=close_descriptors(*closed))
    assert running.wait().returncode == 0
    assert_object(ceph, buckets(ceph), key, payload)


def test_a_full_standard_output(program, payloads, ceph, buckets, key):
    """The object is there, but nobody could be told: not a success."""
    payload = payloads.get(1)
    with open("/dev/full", "w", encoding="ascii") as full:
        result = program.run(["put", payload.path, f"s3://{buckets(ceph)}/{key}"],
                             program.environment(ceph), stdout=full)
    result.expect(3, "stdout", "No space left")
    assert_object(ceph, buckets(ceph), key, payload)


def test_a_closed_pipe_as_standard_output(program, payloads, ceph, buckets, key):
    payload = payloads.get(1)
    read_end, write_end = os.pipe()
    os.close(read_end)
    result = program.run(["put", payload.path, f"s3://{buckets(ceph)}/{key}"],
                         program.environment(ceph), stdout=write_end)
    os.close(write_end)
    result.expect(3, "stdout")
    assert_object(ceph, buckets(ceph), key, payload)


def test_no_descriptor_is_inherited_or_needed(program, payloads, ceph, buckets, key):
    """A low limit of open files is enough, or is told."""
    payload = payloads.get(1)
    limited = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    result = program.run(["put", payload.path, f"s3://{buckets(ceph)}/{key}", "--json"],
                         program.environment(ceph), prefix=limited)
    assert_result(result, payload)
    limited[2] = 'ulimit -n 8; exec "$@"'
    result = program.run(["put", payload.path, f"s3://{buckets(ceph)}/{key}", "--json"],
                         program.environment(ceph), prefix=limited)
    result.expect(3)


def test_the_build_is_installed(tmp_path):
    """make install puts the program where DESTDIR and PREFIX say."""
    subprocess.run(["make", "-s", "-C", REPO, "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/x"],
                   check=True, stdout=subprocess.DEVNULL, env={"PATH": PATH})
    program = tmp_path / "opt/x/bin/s3-ktls"
    said = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE).stdout
    assert said.startswith(b"s3-ktls ")


def test_the_readme_shows_the_help(program):
    """Option for option and word for word."""
    assert program.run(["--help"]).expect(0).stdout in (REPO / "README.md").read_text()


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["put", "--help"]])
def test_help_that_nobody_gets(program, args):
    with open("/dev/full", "wb") as full:
        program.run(args, stdout=full).expect(3, "stdout", "No space left")


@pytest.mark.parametrize("args", [["put", "--bad", "--json"], ["put", "--json", "--bad"]])
def test_a_usage_error_as_json(program, args):
    """Also where the mistake comes first."""
    result = program.run(args).expect(1, "--bad")
    error = result.json["error"]
    assert (error["class"], error["exit_code"]) == ("usage", 1)
    assert "--bad" in error["message"]
