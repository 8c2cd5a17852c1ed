# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A Debian kernel for tools/vm.sh. To be sourced by setup.sh. Needs no root.
# shellcheck disable=SC2154  # setup.sh and lib.sh set cache_dir, tools_dir and refresh

# kernel_sources NAME: its meta package, and the suites to look for it, best first. A version is
# never named: it would be gone next month.
kernel_sources() {
    case $1 in
    rt) echo linux-image-rt-amd64 sid trixie bookworm ;; # the kernel with PREEMPT_RT
    *) echo linux-image-amd64 "$1" ;;
    esac
}

# kernel_apt NAME PROGRAM ARGUMENT...: apt-get or apt-cache that sees only the suite that
# prepare_kernel_apt named, with lists and state of its own: nothing of this machine's apt is changed.
kernel_apt() {
    local root=$cache_dir/apt/$1 program=$2
    shift 2
    "$program" -q -o Dir::Etc::SourceList="$root/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$root/state" -o Dir::State::Status="$root/status" \
        -o Dir::Cache="$root/cache" -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o APT::Sandbox::User= "$@"
}

# prepare_kernel_apt NAME SUITE: its sources come from the mirrors that this machine's apt uses.
prepare_kernel_apt() {
    local name=$1 suite=$2 root=$cache_dir/apt/$1 mirror security keyring
    ensure_lists
    mirror=$(debian_mirror Debian)
    security=$(debian_mirror Debian-Security)
    [ -n "$mirror" ] || die "apt has no source whose Release file says Origin and Label Debian"
    keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$root"/{state/lists/partial,cache/archives/partial}
    : >"$root/status"
    {
        echo "deb [signed-by=$keyring] $mirror $suite main"
        # sid has no security suite: fixes go into it directly.
        if [ -n "$security" ] && [ "$suite" != sid ]; then
            echo "deb [signed-by=$keyring] $security $suite-security main"
        fi
    } >"$root/sources.list"
    say "vm-$name: reading the package lists of $suite"
    run_logged "$cache_dir/vm-$name-lists.log" kernel_apt "$name" apt-get update ||
        die "vm-$name: the package lists of $suite can't be read"
}

# kernel_packages NAME META: the packages that hold the image and the modules. The meta package names
# the image; newer images depend on linux-binary-*, linux-modules-* and linux-base-* (the modules'
# index). Nothing if the suite has no such package.
kernel_packages() {
    local name=$1 queue=("$2") package depends
    local -A found=()
    while [ ${#queue[@]} -gt 0 ]; do
        package=${queue[0]}
        queue=("${queue[@]:1}")
        mapfile -t depends < <(kernel_apt "$name" apt-cache depends --no-recommends --no-suggests \
            --no-conflicts --no-breaks --no-replaces --no-enhances "$package" |
            sed -nE 's/^[ |]*(Pre)?Depends: (linux-(image|binary|modules|base)-[0-9].*)$/\2/p')
        for package in "${depends[@]}"; do
            [ -z "${found[$package]:-}" ] || continue
            found[$package]=yes
            queue+=("$package")
        done
    done
    printf '%s\n' "${!found[@]}" | sort
}

# setup_kernel NAME: leaves in kernel_dir: vmlinuz, modules/ (what /lib/modules/RELEASE holds),
# initramfs, and the files release and packages.
setup_kernel() {
    local name=$1 dir new meta suites suite packages=() deb modules image
    [ "$(dpkg --print-architecture)" = amd64 ] || die "vm-$name: only for amd64"
    dir=$(kernel_dir "$name")
    if [ -d "$dir" ] && [ "$refresh" = no ]; then
        say "vm-$name: ready in $dir"
        return 0
    fi
    mkdir -p "$cache_dir/kernels"
    rm -rf "$cache_dir/kernels/$name-"*.new
    new=$dir.new
    mkdir -p "$new/debs"
    read -r meta suites <<<"$(kernel_sources "$name")"
    for suite in $suites; do
        prepare_kernel_apt "$name" "$suite"
        mapfile -t packages < <(kernel_packages "$name" "$meta" | sed '/^$/d')
        [ ${#packages[@]} -eq 0 ] || break
        say "vm-$name: $meta of $suite names no image"
    done
    [ ${#packages[@]} -gt 0 ] || die "vm-$name: $meta names no image in: $suites"

    say "vm-$name: downloading ${packages[*]}"
    (
        cd "$new/debs"
        run_logged "$cache_dir/vm-$name-download.log" \
            kernel_apt "$name" apt-get download "${packages[@]}"
    ) || die "vm-$name: ${packages[*]} can't be downloaded"
    say "vm-$name: unpacking, making the initramfs"
    for deb in "$new"/debs/*.deb; do
        dpkg-deb -x "$deb" "$new/root"
        dpkg-deb --show "$deb" >>"$new/packages"
    done
    modules=$(find "$new/root" -type d -path '*/lib/modules/*' -prune -print -quit)
    image=$(find "$new/root" -type f -name 'vmlinuz*' -print -quit)
    [ -n "$modules" ] || die "vm-$name: no modules in ${packages[*]}"
    [ -n "$image" ] || die "vm-$name: no kernel image in ${packages[*]}"
    basename "$modules" >"$new/release"
    mv "$image" "$new/vmlinuz"
    "$tools_dir/build-initramfs.sh" "$modules" "$new/initramfs" ||
        die "vm-$name: the initramfs could not be made"
    mv "$modules" "$new/modules"
    rm -rf "$new/debs" "$new/root"
    install_dir "$name-" "$dir"
    say "vm-$name: ready in $dir"
}
