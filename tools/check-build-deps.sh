#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Is everything here that the build needs? Tries the tools and headers themselves, not a package
# manager, so that it is also right on systems other than Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
have() { command -v "$1" >/dev/null 2>&1; }
for tool in "${CC:-cc}" "${CLANG:-clang}" "${BPFTOOL:-bpftool}"; do
    have "$tool" || missing+=("$tool")
done
if have "${CC:-cc}"; then
    for header in bpf/libbpf.h libelf.h zlib.h openssl/ssl.h liburing.h expat.h jansson.h \
        sys/capability.h linux/bpf.h; do
        echo "#include <$header>" | "${CC:-cc}" -E -x c -D_GNU_SOURCE - >/dev/null 2>&1 ||
            missing+=("<$header>")
    done
fi
if ((${#missing[@]})); then
    echo "s3-ktls cannot be built here yet; missing: ${missing[*]}" >&2
    echo "On Debian 12 this installs all of it, as root:" >&2
    echo "    apt-get install $(grep -v '^#' tools/packages/build | tr '\n' ' ')" >&2
    exit 1
fi
