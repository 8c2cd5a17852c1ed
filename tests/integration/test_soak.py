# SPDX-License-Identifier: Apache-2.0
"""Many taps at a time on this kernel, attacked by other processes (tests/soak)."""
import subprocess

from kit.soak import assert_soaked, build

TRANSFERS = 4000


def test_no_digest_is_wrong_under_attack(capsys):
    ended = subprocess.run([build(), "--transfers", str(TRANSFERS), "--seed", "1"],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    with capsys.disabled():
        print(f"\n{ended.stdout}", end="")
    assert_soaked(ended.returncode, ended.stdout, TRANSFERS)
