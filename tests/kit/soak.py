# SPDX-License-Identifier: Apache-2.0
"""The soak program (tests/soak): how it is built, and what it must have said."""
import json
import subprocess

from rig.process import REPO

SOAK = REPO / "build" / "soak"


def build():
    subprocess.run(["make", "-s", "-C", REPO, "build/soak"], check=True, stdout=subprocess.DEVNULL)
    return SOAK


def assert_soaked(returncode, output, transfers):
    """All transfers were right, or refused where a tap was cramped on purpose; returns the counts."""
    assert returncode == 0, output
    line = output.splitlines()[-1]
    assert line.startswith("soak: {"), output
    said = json.loads(line.removeprefix("soak: "))
    assert said["transfers"] == transfers, output
    assert (said["wrong"], said["stuck"], said["refused"]) == (0, 0, {}), output
    cramped = said["cramped_right"] + sum(said["cramped_refused"].values())
    assert said["right"] + cramped == transfers, output
    assert said["right"] > 0.8 * transfers, output
    assert sum(said["cramped_refused"].values()) > 0, output
    assert all(said[way] > 0.2 * transfers for way in ("sendfile", "splice")), output
    return said
