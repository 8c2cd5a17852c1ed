#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: build-initramfs.sh MODULES-DIR OUT
# MODULES-DIR is what a kernel image has as /lib/modules/RELEASE, at a path that ends so. Its module
# index is made, and OUT: busybox, tools/guest-init and the modules needed to mount the root.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
modules=$1 out=$2
release=${modules##*/}
# kmod looks below BASE/lib/modules.
base=${modules%/lib/modules/*}
early=(virtio_pci virtio_console virtio_net virtio_rng 9pnet_virtio 9p overlay)

depmod -b "$base" "$release"
work=$(mktemp -d "$out.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/modules"
cp "$(command -v busybox)" "$work/bin/busybox"
cp "$tools_dir/guest-init" "$work/init"
chmod +x "$work/init"

# modprobe knows the order; what is built into the kernel it reports as "builtin".
for module in "${early[@]}"; do
    modprobe -d "$base" -S "$release" --show-depends "$module" ||
        die "the kernel $release has no module $module"
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/files"
while IFS= read -r file; do
    name=${file##*/}
    name=${name%%.ko*}
    case $file in
    *.xz) xz -dc "$file" ;;
    *.zst) zstd -dc "$file" ;;
    *) cat "$file" ;;
    esac >"$work/modules/$name.ko"
    printf '%s\n' "$name.ko" >>"$work/order"
done <"$work/files"
touch "$work/order"
rm "$work/files"
(cd "$work" && find . | cpio --quiet -o -H newc -R 0:0) | gzip -1 >"$out"
