#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: soak.sh "KERNEL..." [soak's options]
# Runs build/soak on this machine, or, where kernels are named, in a virtual machine with each of
# them in turn (tools/setup.sh vm-KERNEL sets one up), where the kernel has to encrypt.
set -euo pipefail
kernels=$1
shift
soak=$(cd "$(dirname "$0")/.." && pwd)/build/soak
[ -n "$kernels" ] || exec "$soak" "$@"

share=$(mktemp -d "${TMPDIR:-/tmp}/s3-ktls-soak.XXXXXX")
trap 'rm -rf --one-file-system "$share"' EXIT
cp "$soak" "$share/soak"
failed=0
for kernel in $kernels; do
    "$(dirname "$0")/vm.sh" --timeout 1000000 "$kernel" "$share" -- \
        "$share/soak" --require-ktls "$@" || failed=1
done
exit $failed
