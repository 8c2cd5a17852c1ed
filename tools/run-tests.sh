#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Run cmocka programs one after the other, all of them also when one fails, and print one line
# that counts programs. A program that skips a test has failed: nothing here is optional.
set -uo pipefail
passed=0 failed=0
for program in "$@"; do
    out=$("$program" 2>&1)
    rc=$?
    if ((rc == 0)) && ! grep -q '\[  SKIPPED \]' <<<"$out" && grep -q '\[  PASSED  \]' <<<"$out"; then
        passed=$((passed + 1))
        echo "ok   $(basename "$program"): $(grep '\[  PASSED  \]' <<<"$out" | tr '\n' ' ')"
    else
        failed=$((failed + 1))
        echo "$out"
        echo "FAIL $(basename "$program") (exit $rc)"
    fi
done
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
