#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: build-chroot.sh SUITE DIR PACKAGE-LIST MIRROR
# Makes DIR: a minimal Debian of that suite with the listed packages. tools/setup.sh runs it in
# private mount and PID namespaces, so what is mounted here needs no unmounting.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
suite=$1 dir=$2 list=$3 mirror=$4
name=${list##*/}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8

say "$name: making a chroot of Debian $suite (about 20 s)"
run_logged "$cache_dir/$name-debootstrap.log" \
    debootstrap --variant=minbase "$suite" "$dir" "$mirror" ||
    die "debootstrap $suite failed"

# No service is started by the packages' scripts. Durability is no concern in a cache, and the
# documentation is not read there.
printf '#!/bin/sh\nexit 101\n' >"$dir/usr/sbin/policy-rc.d"
chmod +x "$dir/usr/sbin/policy-rc.d"
cat >"$dir/etc/dpkg/dpkg.cfg.d/rig" <<EOF
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
path-exclude=/usr/share/locale/*
EOF
# What this machine's apt needs to reach the mirror (a proxy, for example).
apt-config dump --no-empty --format '%f "%v";%n' |
    grep -E '^Acquire::(http|https|Check|Retries)' >"$dir/etc/apt/apt.conf.d/90host" || true
if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
    mkdir -p "$dir/etc/ssl/certs"
    cp /etc/ssl/certs/ca-certificates.crt "$dir/etc/ssl/certs/"
fi
mount -t proc proc "$dir/proc"
mount --bind /dev "$dir/dev"

mapfile -t packages < <(read_list "$list")
say "$name: installing ${packages[*]} (about 30 s)"
run_logged "$cache_dir/$name-install.log" \
    chroot "$dir" apt-get -q -y --no-install-recommends -o Acquire::Retries=3 install \
    "${packages[@]}" ||
    die "these packages of Debian $suite can't be installed: ${packages[*]}; apt says:
$(grep -E '^(E:| .*(Depends|Conflicts|Breaks):)' "$cache_dir/$name-install.log" || true)"
rm -rf "$dir"/var/cache/apt/*.bin "$dir"/var/cache/apt/archives/*.deb "$dir"/var/lib/apt/lists/*
umount "$dir/dev" "$dir/proc"
printf '%s\n' "$suite" >"$dir/etc/rig-suite"
