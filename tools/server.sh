#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: server.sh ceph|swift RUNDIR
# Runs a real S3 server in the foreground. All its data is in RUNDIR (emptied first, and left there
# in the end). When it answers, RUNDIR/env holds KEY=VALUE lines and "ready" is printed. SIGTERM ends
# it, and it ends with this script, however that ends: the servers run in PID and mount namespaces of
# their own.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"

kind=${1:-}
case $kind in
ceph | swift) ;;
*) die "usage: server.sh ceph|swift RUNDIR" ;;
esac
[ $# -eq 2 ] || die "usage: server.sh ceph|swift RUNDIR"
need_root "tools/server.sh"
chroot=$(chroot_dir "$kind")
[ -d "$chroot" ] || die "$kind is not set up here: run tools/setup.sh $kind"
mkdir -p "$2"
run_dir=$(cd "$2" && pwd)

# Two servers in one folder would mix their data. The chroot's lock, shared, keeps set-up from
# removing it while it is used; its time of change says when it was used last.
exec 8>"$run_dir/.lock" 9>>"$chroot.lock"
flock --timeout 5 8 || die "another server runs in $run_dir"
flock --shared 9
touch "$chroot.lock"
rm -rf --one-file-system "$run_dir"/{env,data,log}
mkdir -p "$run_dir/log"
"$tools_dir/make-ca.sh" "$run_dir/tls" rig-vhost.localhost

# The servers inherit the lock on RUNDIR, so it becomes free when the last of them has gone. Signals
# are ignored here because a terminal or timeout(1) sends them to the whole process group, twice.
server_pid=
stop() {
    trap '' TERM HUP INT
    trap - EXIT
    if [ -n "$server_pid" ]; then
        kill -KILL "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
    fi
    rm -f "$run_dir/env"
    exec 8>&-
    flock --timeout 20 "$run_dir/.lock" true || say "servers in $run_dir have not ended yet"
}
trap 'stop; exit 143' TERM HUP
trap 'stop; exit 130' INT
trap stop EXIT
"${private_namespaces[@]}" "$tools_dir/server-$kind.sh" "$chroot" "$run_dir" &
server_pid=$!
wait "$server_pid"
