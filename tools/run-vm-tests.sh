#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: run-vm-tests.sh [PYTEST-ARGUMENT...]
# Runs tests/vm once per kernel of tests/rig/kernels.py, two at a time (VM_JOBS changes that): an
# emulated machine keeps about one core busy. Shows each one's output when it has ended.
set -euo pipefail
tools=$(cd "$(dirname "$0")" && pwd)
export PYTHON=${PYTHON:-/usr/bin/python3}
log_dir=$(mktemp -d "${TMPDIR:-/tmp}/s3-ktls-vm-tests.XXXXXX")
trap 'rm -rf "$log_dir"' EXIT
# shellcheck disable=SC2016  # the inner shell expands these
PYTHONPATH=$tools/../tests "$PYTHON" -m rig.kernels | xargs -P "${VM_JOBS:-2}" -I KERNEL bash -c '
    kernel=$1 tools=$2 log=$3/$1
    shift 3
    began=$SECONDS code=0
    "$tools/run-pytest.sh" "$tools/../tests/vm" --kernel "$kernel" "$@" >"$log" 2>&1 || code=$?
    # In one piece, so that two that end together do not mix.
    printf "%s\n" "== $kernel: $((SECONDS - began)) s" "$(cat "$log")"
    exit "$code"' run KERNEL "$tools" "$log_dir" "$@"
