# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the tools' scripts share. To be sourced.

tools_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache_dir=${S3_KTLS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/s3-ktls}

# Progress goes to stderr: stdout belongs to a script's result.
say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
    say "error: $*"
    exit 1
}

case $cache_dir in
*[[:space:],]* | [!/]*) die "the cache's path must be absolute, without blanks and commas: $cache_dir" ;;
esac

# read_list FILE: the lines of a package list without comments and blank lines.
read_list() {
    sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"
}

# run_logged LOG COMMAND...: the command's output goes to LOG; its end is shown if it fails.
run_logged() {
    local log=$1
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        say "failed: $* (the end of $log follows)"
        tail -n 25 "$log" >&2
        return 1
    fi
}

# with_lock NAME FUNCTION...: one at a time among all checkouts that share the cache. The lock
# belongs to a descriptor, so the kernel releases it however the script ends.
with_lock() {
    local name=$1 lock_fd
    shift
    mkdir -p "$cache_dir/locks"
    exec {lock_fd}>"$cache_dir/locks/$name"
    if ! flock --nonblock "$lock_fd"; then
        say "$name: waiting for another set-up that is under way"
        flock "$lock_fd"
    fi
    "$@"
    exec {lock_fd}>&-
}

# content_key FILE...: a short name for what these files contain.
content_key() {
    cat "$@" | sha256sum | cut -c1-12
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "$1 needs root (it mounts file systems): run it as root"
}

# Index targets of this machine's apt sources: URI|origin|label|codename. Nothing before the first
# "apt-get update": the fields come from the Release files.
apt_targets() {
    # shellcheck disable=SC2016  # apt expands these, not the shell
    apt-get indextargets --format '$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(CODENAME)' \
        'Created-By: Packages' 'Target-Of: deb'
}

# debian_mirror LABEL: the URI that this machine's apt uses for Debian (label "Debian") or its
# security updates ("Debian-Security"). Third parties' archives carry other origins.
debian_mirror() {
    local uri
    uri=$(apt_targets | awk -F'|' -v label="$1" '$2 == "Debian" && $3 == label { print $1; exit }')
    case $uri in
    mirror+file:*)
        # Cloud images point apt at a file with one mirror a line; debootstrap wants a mirror.
        uri=$(sed -n -e 's/[[:space:]].*//' -e '/^[a-z]/{p;q}' "/${uri#mirror+file:*/}")
        ;;
    esac
    printf '%s' "$uri"
}

# pick_port: a TCP port of 127.0.0.1 that nobody listens on. Below the usual range of ephemeral
# ports (from 32768), so that no outgoing connection takes it before the server binds it.
pick_port() {
    local port
    for _ in {1..200}; do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s' "$port"
            return 0
        fi
    done
    die "no free TCP port found between 20000 and 32000 on 127.0.0.1"
}

# Put before a command: it becomes the first process of its own mount and PID namespaces. When it
# ends, or the script that started it does (even by SIGKILL), its processes and mounts go too. An
# array and not a function, since "function &" has a shell in between that would outlive the script.
# shellcheck disable=SC2034  # used by those who source this
private_namespaces=(setpriv --pdeathsig KILL unshare --mount --propagation private --pid --fork
    --kill-child=KILL --mount-proc)

need_namespaces() {
    "${private_namespaces[@]}" true 2>/dev/null ||
        die "$1 needs mount and PID namespaces, which cannot be made here: unshare --mount --pid" \
            "must work, and / must be a mount point (so not inside a plain chroot)"
}

# chroot_dir NAME: where the chroot of tools/packages/NAME is kept. Its name contains a key of what
# made it, so that checkouts with other recipes don't disturb one another.
chroot_dir() {
    printf '%s' "$cache_dir/chroots/$1-$(content_key "$tools_dir/build-chroot.sh" \
        "$tools_dir/packages/$1")"
}

# kernel_dir NAME: where tools/setup.sh vm-NAME keeps that kernel.
kernel_dir() {
    printf '%s' "$cache_dir/kernels/$1-$(content_key "$tools_dir/setup-kernel.sh" \
        "$tools_dir/build-initramfs.sh" "$tools_dir/guest-init")"
}
