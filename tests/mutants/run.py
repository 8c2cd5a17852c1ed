# SPDX-License-Identifier: Apache-2.0
"""Break a copy of this tree in each way of mutants.toml, and see that the tests notice.

usage: run.py [PART-OF-A-NAME...]
"""
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

REPO = pathlib.Path(__file__).resolve().parents[2]
TEST_TIMEOUT_S = 600
NOT_LOADED = "the BPF program on Linux"  # how the program says that the verifier refused it


class ListError(Exception):
    """The list is wrong, or this machine can't try it: it says nothing about the tests."""


class Tree:
    """A copy of the repository, to be broken."""

    def __init__(self, folder):
        self.root = folder / "tree"
        shutil.copytree(REPO, self.root, ignore=lambda folder, names: (
            {".git", "build"} & set(names) if pathlib.Path(folder) == REPO else ()))

    def run(self, *command):
        with subprocess.Popen(command, cwd=self.root, stdin=subprocess.DEVNULL, text=True,
                              errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              start_new_session=True) as process:
            try:
                output, _ = process.communicate(timeout=TEST_TIMEOUT_S)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # servers and machines that it started, too
                raise
        return process.returncode, output

    def build(self, *targets):
        code, output = self.run("make", "-s", "-j2", *targets)
        if code:
            raise ListError(f"does not build:\n{output}")

    def passes(self, test):
        """Builds what `test` needs and runs it. (passed, output)"""
        if "/" in test:
            self.build("all")
            code, output = self.run("tools/run-pytest.sh", "-x", *shlex.split(test))
            if code not in (0, 1):
                raise ListError(f"pytest {test} ended with {code}:\n{output}")
        else:
            self.build(f"build/tests/{test}")
            code, output = self.run(f"build/tests/{test}")
        if NOT_LOADED in output:
            raise ListError(f"the verifier refused it:\n{output}")
        return code == 0, output

    def edit(self, edits):
        """Returns what undoes it."""
        originals = {name: (self.root / name).read_text() for name, _, _ in edits}
        texts = dict(originals)
        for name, old, new in edits:
            if texts[name].count(old) != 1:
                raise ListError(f"{name} has {texts[name].count(old)} times: {old}")
            texts[name] = texts[name].replace(old, new)
        for name, text in texts.items():
            (self.root / name).write_text(text)
        return lambda: [(self.root / name).write_text(text) for name, text in originals.items()]


def first_failed(test, output):
    """Which of its tests noticed."""
    found = re.search(r"^\[  FAILED  \] (\w+)$|^FAILED (\S+)", output, re.M)
    return f"{shlex.split(test)[0]}: {found.group(1) or found.group(2)}" if found else test


def try_mutant(tree, mutant):
    """The test that noticed, or None."""
    undo = tree.edit(mutant["edits"])
    try:
        for test in mutant["tests"]:
            passed, output = tree.passes(test)
            if not passed:
                return first_failed(test, output)
    finally:
        undo()
    return None


def main(parts):
    mutants = tomllib.loads((pathlib.Path(__file__).parent / "mutants.toml").read_text())["mutant"]
    mutants = [m for m in mutants if not parts or any(part in m["name"] for part in parts)]
    counts = {"caught": 0, "SURVIVED": 0, "ERROR": 0}
    with tempfile.TemporaryDirectory(prefix="s3-ktls-mutants-") as folder:
        tree = Tree(pathlib.Path(folder))
        for test in sorted({test for mutant in mutants for test in mutant["tests"]}):
            passed, output = tree.passes(test)
            if not passed:
                sys.exit(f"{output}\n{test} fails on the unbroken tree")
        for mutant in mutants:
            start = time.monotonic()
            try:
                noticed = try_mutant(tree, mutant)
                verdict = "caught" if noticed else "SURVIVED"
            except (ListError, subprocess.TimeoutExpired) as error:
                noticed, verdict = str(error), "ERROR"
            counts[verdict] += 1
            print(f"{verdict:8} {mutant['name']} ({time.monotonic() - start:.0f} s)"
                  f"  {noticed or 'by none of: ' + ', '.join(mutant['tests'])}", flush=True)
    print(f"{len(mutants)} mutants: {counts['caught']} caught, {counts['SURVIVED']} survived, "
          f"{counts['ERROR']} errors")
    sys.exit(0 if mutants and counts["caught"] == len(mutants) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
