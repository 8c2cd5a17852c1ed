#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what a task needs. Every part can be repeated and interrupted: what is there is kept.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tools/setup-kernel.sh
. "$tools_dir/setup-kernel.sh"

usage() {
    cat >&2 <<EOF
usage: tools/setup.sh [--refresh] WHAT...
  build         Debian packages to build s3-ktls
  test          Debian packages for the tests
  check         Debian packages for the static checks
  ceph          Ceph RGW in a chroot, for tools/server.sh ceph
  swift         OpenStack Swift with s3api in a chroot, for tools/server.sh swift
  vm-SUITE      the kernel of a Debian suite (bookworm, trixie, sid), for tools/vm.sh SUITE
  vm-rt         Debian's kernel with PREEMPT_RT, for tools/vm.sh rt
--refresh rebuilds a chroot or a kernel that is already there.
Chroots and kernels are kept in $cache_dir (S3_KTLS_CACHE changes that).
EOF
    exit 2
}

# missing_packages NAME...: those that are not installed.
missing_packages() {
    local package
    for package; do
        # shellcheck disable=SC2016  # dpkg-query expands this
        case $(dpkg-query --show --showformat '${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ?i*) ;;
        *) printf '%s\n' "$package" ;;
        esac
    done
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 "$@"
}

# update_lists: "apt-get update" at most once a run.
lists_updated=no
update_lists() {
    [ "$lists_updated" = no ] || return 0
    say "apt-get update"
    run_logged "$cache_dir/apt-update.log" apt_get update ||
        die "apt-get update failed: check the network and apt's sources"
    lists_updated=yes
}

# install_packages LIST: what is missing of tools/packages/LIST, on the host.
install_packages() {
    local list=$1 names missing
    mapfile -t names < <(read_list "$tools_dir/packages/$list")
    mapfile -t missing < <(missing_packages "${names[@]}")
    if [ ${#missing[@]} -eq 0 ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "error: packages are missing; as root, run:"
        echo "apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    update_lists
    say "$list: installing ${missing[*]}"
    run_logged "$cache_dir/apt-install-$list.log" apt_get install "${missing[@]}" ||
        die "could not install the packages of tools/packages/$list"
}

# ensure_lists: on a machine where apt was never updated, its lists name no mirror.
ensure_lists() {
    if [ -z "$(debian_mirror Debian)" ] && [ "$(id -u)" -eq 0 ]; then
        update_lists
    fi
}

# install_dir PREFIX DIR: DIR.new becomes DIR. Who uses DIR holds DIR.lock shared and touches it;
# siblings (DIR's parent/PREFIX*) that nobody has used for a week, for other recipes, are removed.
install_dir() {
    local prefix=$1 dir=$2 lock
    : >>"$dir.lock"
    flock --exclusive --nonblock "$dir.lock" rm -rf --one-file-system "$dir" ||
        die "$dir is in use: end the servers and virtual machines first"
    mv "$dir.new" "$dir"
    touch "$dir.lock"
    while IFS= read -r lock; do
        if flock --exclusive --nonblock "$lock" rm -rf --one-file-system "${lock%.lock}"; then
            rm -f "$lock"
            say "removed ${lock%.lock}, unused for a week"
        fi
    done < <(find "${dir%/*}" -maxdepth 1 -name "$prefix*.lock" -mtime +7)
}

# setup_chroot NAME SUITE...: the packages of tools/packages/NAME in a chroot, from the first of
# the suites where they can be installed.
setup_chroot() {
    local name=$1 dir suite mirror new
    shift
    dir=$(chroot_dir "$name")
    if [ -d "$dir" ] && [ "$refresh" = no ]; then
        say "$name: ready in $dir"
        return 0
    fi
    mkdir -p "$cache_dir/chroots"
    ensure_lists
    mirror=$(debian_mirror Debian)
    [ -n "$mirror" ] || die "apt has no source whose Release file says Origin and Label Debian"
    for suite; do
        # Left behind by an interrupted run; the lock says that nobody works in it now.
        rm -rf --one-file-system "$cache_dir/chroots/$name-"*.new
        new=$dir.new
        # In the background, so that a signal ends this script at once, and the work with it.
        "${private_namespaces[@]}" "$tools_dir/build-chroot.sh" "$suite" "$new" \
            "$tools_dir/packages/$name" "$mirror" &
        if wait $!; then
            install_dir "$name-" "$dir"
            say "$name: ready in $dir"
            return 0
        fi
        say "$name: could not be installed from the suite $suite"
        rm -rf --one-file-system "$new"
    done
    die "$name: no chroot could be made from: $* (the cause is named above)"
}

trap 'exit 130' INT
trap 'exit 143' TERM
refresh=no
[ "${1:-}" != --refresh ] || { refresh=yes; shift; }
[ $# -gt 0 ] || usage
for what; do
    case $what in
    build | test | check | ceph | swift | vm-bookworm | vm-trixie | vm-sid | vm-rt) ;;
    *) usage ;;
    esac
done
mkdir -p "$cache_dir"
for what; do
    case $what in
    build | test | check)
        with_lock packages install_packages "$what"
        ;;
    ceph)
        with_lock packages install_packages server
        need_root "tools/setup.sh ceph"
        need_namespaces "tools/setup.sh ceph"
        with_lock ceph setup_chroot ceph sid testing
        ;;
    swift)
        with_lock packages install_packages server
        need_root "tools/setup.sh swift"
        need_namespaces "tools/setup.sh swift"
        with_lock swift setup_chroot swift trixie
        ;;
    vm-*)
        with_lock packages install_packages vm
        with_lock "$what" setup_kernel "${what#vm-}"
        ;;
    esac
done
