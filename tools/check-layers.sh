#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Includes point downwards only: base < hash, net, http < s3 < upload < cli. hash, net and http are
# peers and never include each other; what joins them is above. Asks the compiler (-MM), so an
# include through another header counts too.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may=(
    [base]="base"
    [hash]="hash base"
    [net]="net base"
    [http]="http base"
    [s3]="s3 http hash base"
    [upload]="upload s3 http net hash base"
    [cli]="cli upload s3 http net hash base"
)
# s3 needs the digest and the encodings, not the tap: the BPF side has one user, upload.
declare -A never=([s3]="hash/tap.h")

bad=0
for file in user/*/*.c user/*/*.h; do
    module=$(basename "$(dirname "$file")")
    [ -n "${may[$module]:-}" ] || { echo "layers: $file: unknown module $module" >&2; bad=1; continue; }
    deps=$("${CC:-cc}" -std=c11 -D_GNU_SOURCE -DS3_KTLS_VERSION='""' -Iuser -Iinclude -Ibpf \
        -Ibuild/gen -MM -x c "$file" | grep -oE '(user|build/gen)/[^ \\]+' || true)
    for dep in $deps; do
        case $dep in
        build/gen/*)
            [ "$module" = hash ] || { echo "layers: $file includes the BPF skeleton" >&2; bad=1; }
            continue ;;
        esac
        dep_module=$(basename "$(dirname "$dep")")
        case " ${may[$module]} " in
        *" $dep_module "*) ;;
        *) echo "layers: $file (module $module) includes $dep" >&2; bad=1 ;;
        esac
        for n in ${never[$module]:-}; do
            [ "${dep#user/}" != "$n" ] || { echo "layers: $file includes $dep" >&2; bad=1; }
        done
    done
done
exit $bad
