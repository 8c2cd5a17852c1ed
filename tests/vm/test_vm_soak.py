# SPDX-License-Identifier: Apache-2.0
"""Many taps at a time, attacked by other processes, where the kernel encrypts (tests/soak)."""
import shutil

from kit.soak import assert_soaked, build

TRANSFERS = 1000


def test_no_digest_is_wrong_under_attack(vm, work_dir, capsys):
    soak = shutil.copy(build(), work_dir / "soak")
    ended = vm.run([soak, "--transfers", str(TRANSFERS), "--seed", "2", "--large", "8", "--taps", "32",
                    "--dir", "/mnt/files", "--require-ktls"], timeout=600)
    with capsys.disabled():
        print(f"\n{ended.stdout}", end="")
    said = assert_soaked(ended.returncode, ended.stdout + ended.stderr, TRANSFERS)
    assert said["kernel"] == vm.kernel_release
    assert said["ktls_connections"] >= 32
    assert said["openssl_connections"] == 0
