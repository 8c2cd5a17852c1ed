#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: tools/run-fuzz.sh BUILD SECONDS TARGET...
# Run each fuzz target on its seeds, and for SECONDS (0: not at all) on what libFuzzer makes of them.
# What it learns stays in BUILD/corpus, what it finds in BUILD/findings. All targets run, also when
# one has found something.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
build=$1 seconds=$2
shift 2
mkdir -p "$build/findings"

# one TARGET: fuzz it; its log goes to BUILD/TARGET.log.
one() {
    local target=$1 seeds=tests/fuzz/seeds/$1 corpus=$build/corpus/$1
    local dict=tests/fuzz/dict/$1.dict options=(-max_len=16384 -timeout=10 -rss_limit_mb=2048)
    [ -n "$(ls -A "$seeds" 2>/dev/null)" ] || { echo "no seeds in $seeds"; return 1; }
    options+=("-artifact_prefix=$build/findings/$target-")
    [ ! -e "$dict" ] || options+=("-dict=$dict")
    if [ "$seconds" = 0 ]; then
        "$build/fuzz_$target" "${options[@]}" -runs=0 "$seeds"
    else
        mkdir -p "$corpus"
        "$build/fuzz_$target" "${options[@]}" -max_total_time="$seconds" -print_final_stats=1 \
            "$corpus" "$seeds"
    fi
}

found=0
for target; do
    if one "$target" >"$build/$target.log" 2>&1; then
        echo "ok   fuzz_$target: $(grep -E '(DONE|INITED|REDUCE|NEW|pulse)' "$build/$target.log" |
            tail -n 1 | sed -E 's/^#([0-9]+)\s+\S+\s+(cov: [0-9]+ ft: [0-9]+ corp: [0-9]+).*/\1 runs, \2/')"
    else
        found=1
        tail -n 40 "$build/$target.log"
        echo "FAIL fuzz_$target: run again with $build/fuzz_$target FILE;" \
            "once mended, FILE belongs in tests/fuzz/seeds/$target"
    fi
done
exit $found
