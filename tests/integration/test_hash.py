# SPDX-License-Identifier: Apache-2.0
"""s3-ktls hash prints what sha256sum prints."""
import os
import subprocess

import pytest

from kit.content import MIB
from kit.program import PATH

SENDERS = ["sendfile", "splice"]


def sha256sum(paths, cwd):
    return subprocess.run(
        ["sha256sum", "--", *paths], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={"PATH": PATH, "LANG": "C.UTF-8"}).stdout.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("sender", SENDERS)
def test_many_sizes(program, payloads, tmp_path, sender):
    border = [64, 4096, 16 * 1024, 64 * 1024, 256 * 1024, MIB]
    sizes = sorted({*range(0, 131), *(b + d for b in border for d in (-1, 0, 1)), 8 * MIB + 1})
    for size in sizes:
        payloads.write(tmp_path / f"{size:09}", size)
    names = sorted(os.listdir(tmp_path))
    result = program.run(["hash", "--sender", sender, *names], cwd=tmp_path).expect(0)
    assert result.stdout == sha256sum(names, tmp_path)
    assert result.stderr == ""


def test_names_are_escaped_as_sha256sum_does(program, tmp_path):
    names = ["plain", "two words", "line\nbreak", "back\\slash", "return\r", "\\n", "-dash", "tab\t",
             "ümläut", os.fsdecode(b"latin-1-\xe9"), "all\\of\nit\r"]
    for name in names:
        (tmp_path / name).write_text(name, errors="surrogateescape")
    result = program.run(["hash", "--", *names], cwd=tmp_path).expect(0)
    assert result.stdout == sha256sum(names, tmp_path)
    checked = subprocess.run(["sha256sum", "--check", "--strict", "--status"], cwd=tmp_path,
                             input=result.stdout.encode("utf-8", "surrogateescape"))
    assert checked.returncode == 0


@pytest.mark.parametrize("sender", SENDERS)
def test_a_large_sparse_file(program, tmp_path, sender):
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(256 * MIB)
        file.seek(100 * MIB + 3)
        file.write(b"not zero")
    result = program.run(["hash", "sparse", "--sender", sender], cwd=tmp_path).expect(0)
    assert result.stdout == sha256sum(["sparse"], tmp_path)


def test_one_that_fails_does_not_stop_the_others(program, payloads, tmp_path):
    payloads.write(tmp_path / "a", 100_000)
    payloads.write(tmp_path / "b", 1)
    (tmp_path / "folder").mkdir()
    result = program.run(["hash", "a", "missing", "folder", "/proc/version", "b"], cwd=tmp_path)
    result.expect(2, "missing", "No such file", "folder", "directory", "/proc/version", "3 of 5")
    assert result.stdout == sha256sum(["a", "b"], tmp_path)


def test_hash_needs_no_credentials_and_no_network(program, tmp_path):
    (tmp_path / "file").write_text("x")
    result = program.run(["hash", "file"], env={"PATH": PATH}, cwd=tmp_path,
                         prefix=["unshare", "--net"]).expect(0)
    assert result.stdout == sha256sum(["file"], tmp_path)


def test_a_full_standard_output(program, tmp_path):
    (tmp_path / "file").write_text("x")
    with open("/dev/full", "w", encoding="ascii") as full:
        program.run(["hash", "file"], cwd=tmp_path, stdout=full).expect(3, "stdout")
