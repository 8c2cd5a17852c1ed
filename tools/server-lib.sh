# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the servers' scripts share. To be sourced by server-ceph.sh and server-swift.sh, which
# tools/server.sh starts in private mount and PID namespaces: what is mounted or started here
# vanishes with them. Sets chroot, run_dir (on the host) and in_dir (the same folder in the chroot).
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
chroot=$1
run_dir=$2
in_dir=/srv
start_limit_s=60

# enter_chroot: the chroot becomes read-only, so instances can't touch one another; RUNDIR is its
# /srv.
enter_chroot() {
    mount --bind "$chroot" "$chroot"
    mount -o remount,ro,bind "$chroot"
    mount -t proc proc "$chroot/proc"
    mount --bind /dev "$chroot/dev"
    local dir
    for dir in dev/shm tmp run var/log; do
        mount -t tmpfs -o size=256m tmpfs "$chroot/$dir"
    done
    mount --bind "$run_dir" "$chroot$in_dir"
    # ld.so and Python would look for what the caller's environment names.
    unset LD_LIBRARY_PATH LD_PRELOAD PYTHONPATH PYTHONHOME
    export LC_ALL=C.UTF-8 TMPDIR=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin
}

inside() {
    chroot "$chroot" "$@"
}

# start NAME COMMAND...: a server process in the chroot, its output in RUNDIR/log/NAME.out.
declare -A started=()
start() {
    local name=$1
    shift
    # In the last pipeline stage bash would fork once more: exec makes $! the server itself.
    (exec chroot "$chroot" "$@") >"$run_dir/log/$name.out" 2>&1 </dev/null &
    started[$!]=$name
}

fail() {
    say "error: $*"
    local log
    for log in "$run_dir"/log/*; do
        [ -s "$log" ] || continue
        say "the end of $log:"
        tail -n 15 "$log" >&2
    done
    exit 1
}

check_alive() {
    local pid
    for pid in "${!started[@]}"; do
        kill -0 "$pid" 2>/dev/null || fail "${started[$pid]} ended"
    done
}

# wait_until WHAT COMMAND...: until the command succeeds; fails when a server ends or time is up.
wait_until() {
    local what=$1
    shift
    until "$@" >/dev/null 2>&1; do
        check_alive
        [ "$SECONDS" -lt "$start_limit_s" ] || fail "$what: not within $start_limit_s s"
        sleep 0.05
    done
}

# answers URL: an HTTP server answers there, whatever it says; over TLS the certificate is checked.
answers() {
    curl --disable --silent --noproxy '*' --max-time 5 --output /dev/null \
        --cacert "$run_dir/tls/ca.pem" "$1"
}

# publish NAME VERSION HTTP-PORT HTTPS-PORT ACCESS-KEY SECRET-KEY REGION
publish() {
    cat >"$run_dir/env.new" <<EOF
S3_SERVER_NAME=$1
S3_SERVER_VERSION=$2
S3_HTTP_URL=http://localhost:$3
S3_HTTPS_URL=https://localhost:$4
S3_VM_HTTP_URL=http://10.0.2.2:$3
S3_VM_HTTPS_URL=https://10.0.2.2:$4
S3_CA_BUNDLE=$run_dir/tls/ca.pem
S3_ACCESS_KEY=$5
S3_SECRET_KEY=$6
S3_REGION=$7
EOF
    mv "$run_dir/env.new" "$run_dir/env"
    echo ready
}

# stay: until a server process ends, which is a failure.
stay() {
    wait -n || true
    check_alive
    fail "a server process ended"
}

# package_version NAME: upstream's part of the installed version.
package_version() {
    # shellcheck disable=SC2016  # dpkg-query expands this
    inside dpkg-query --show --showformat '${Version}' "$1" | sed -e 's/^[0-9]*://' -e 's/[+-].*//'
}
