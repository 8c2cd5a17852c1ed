# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The kernel of a Debian suite for tools/vm.sh. To be sourced by setup.sh. Needs no root.
# shellcheck disable=SC2154  # setup.sh and lib.sh set cache_dir, tools_dir and refresh

# suite_apt SUITE PROGRAM ARGUMENT...: apt-get or apt-cache that sees only that suite, with lists and
# state of its own: nothing of this machine's apt is changed.
suite_apt() {
    local root=$cache_dir/apt/$1 program=$2
    shift 2
    "$program" -q -o Dir::Etc::SourceList="$root/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$root/state" -o Dir::State::Status="$root/status" \
        -o Dir::Cache="$root/cache" -o Acquire::Languages=none -o Acquire::Retries=3 \
        -o APT::Sandbox::User= "$@"
}

# prepare_suite_apt SUITE: its sources come from the mirrors that this machine's apt uses.
prepare_suite_apt() {
    local suite=$1 root=$cache_dir/apt/$1 mirror security keyring
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
    say "vm-$suite: reading the package lists of $suite"
    run_logged "$cache_dir/vm-$suite-lists.log" suite_apt "$suite" apt-get update ||
        die "vm-$suite: the package lists of $suite can't be read"
}

# kernel_packages SUITE: the packages that hold the image and the modules. The meta package names
# the image; newer images depend on linux-binary-*, linux-modules-* and
# linux-base-* (the modules' index).
kernel_packages() {
    local suite=$1 queue=(linux-image-amd64) package depends
    local -A found=()
    while [ ${#queue[@]} -gt 0 ]; do
        package=${queue[0]}
        queue=("${queue[@]:1}")
        mapfile -t depends < <(suite_apt "$suite" apt-cache depends --no-recommends --no-suggests \
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

# setup_kernel SUITE: leaves in kernel_dir: vmlinuz, modules/ (what /lib/modules/RELEASE holds),
# initramfs, and the files release and packages.
setup_kernel() {
    local suite=$1 dir new packages deb modules image
    [ "$(dpkg --print-architecture)" = amd64 ] || die "vm-$suite: only for amd64"
    dir=$(kernel_dir "$suite")
    if [ -d "$dir" ] && [ "$refresh" = no ]; then
        say "vm-$suite: ready in $dir"
        return 0
    fi
    mkdir -p "$cache_dir/kernels"
    rm -rf "$cache_dir/kernels/$suite-"*.new
    new=$dir.new
    mkdir -p "$new/debs"
    prepare_suite_apt "$suite"
    mapfile -t packages < <(kernel_packages "$suite" | sed '/^$/d')
    [ ${#packages[@]} -gt 0 ] || die "vm-$suite: linux-image-amd64 of $suite names no image"

    say "vm-$suite: downloading ${packages[*]}"
    (
        cd "$new/debs"
        run_logged "$cache_dir/vm-$suite-download.log" \
            suite_apt "$suite" apt-get download "${packages[@]}"
    ) || die "vm-$suite: ${packages[*]} can't be downloaded"
    say "vm-$suite: unpacking, making the initramfs"
    for deb in "$new"/debs/*.deb; do
        dpkg-deb -x "$deb" "$new/root"
        dpkg-deb --show "$deb" >>"$new/packages"
    done
    modules=$(find "$new/root" -type d -path '*/lib/modules/*' -prune -print -quit)
    image=$(find "$new/root" -type f -name 'vmlinuz*' -print -quit)
    [ -n "$modules" ] || die "vm-$suite: no modules in ${packages[*]}"
    [ -n "$image" ] || die "vm-$suite: no kernel image in ${packages[*]}"
    basename "$modules" >"$new/release"
    mv "$image" "$new/vmlinuz"
    "$tools_dir/build-initramfs.sh" "$modules" "$new/initramfs" ||
        die "vm-$suite: the initramfs could not be made"
    mv "$modules" "$new/modules"
    rm -rf "$new/debs" "$new/root"
    install_dir "$suite-" "$dir"
    say "vm-$suite: ready in $dir"
}
