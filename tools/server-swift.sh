#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# OpenStack Swift on one disk folder, with the s3api middleware, and hitch for TLS. See
# tools/server.sh.
set -euo pipefail
# shellcheck source=tools/server-lib.sh
. "$(dirname "$0")/server-lib.sh"
# tempauth's "account:user" is what s3api takes as the access key.
access_key=rig:access
secret_key=rigsecretrigsecretrigsecret
region=us-east-1
etc=$in_dir/data/etc
host_etc=$run_dir/data/etc

enter_chroot
mkdir -p "$run_dir"/data/{etc,disks/d1}
http_port=$(pick_port)
https_port=$(pick_port)
cache_port=$(pick_port)

cat >"$host_etc/swift.conf" <<EOF
[swift-hash]
swift_hash_path_prefix = rig
swift_hash_path_suffix = rig
[storage-policy:0]
name = default
default = yes
EOF

# configure_storage KIND: the configuration and the ring (where data is kept) of one of the
# account, container and object servers.
configure_storage() {
    local kind=$1 port
    port=$(pick_port)
    cat >"$host_etc/$kind.conf" <<EOF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $port
user = root
swift_dir = $etc
devices = $in_dir/data/disks
mount_check = false
disable_fallocate = true
workers = 1
log_level = WARNING
log_address = /nonexistent
[pipeline:main]
pipeline = $kind-server
[app:$kind-server]
use = egg:swift#$kind
EOF
    {
        inside swift-ring-builder "$etc/$kind.builder" create 4 1 1
        inside swift-ring-builder "$etc/$kind.builder" add "r1z1-127.0.0.1:$port/d1" 1
        inside swift-ring-builder "$etc/$kind.builder" rebalance
    } >"$run_dir/log/ring-$kind.out" 2>&1
}

cat >"$host_etc/proxy.conf" <<EOF
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = $http_port
user = root
swift_dir = $etc
workers = 2
log_level = WARNING
log_address = /nonexistent
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth copy slo dlo versioned_writes symlink proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:$cache_port
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = $region
storage_domain = localhost
check_bucket_owner = false
[filter:tempauth]
use = egg:swift#tempauth
user_rig_access = $secret_key .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
EOF

say "making the rings"
pids=()
for kind in account container object; do
    configure_storage "$kind" &
    pids+=($!)
done
for pid in "${pids[@]}"; do
    wait "$pid" || fail "swift-ring-builder failed"
done

say "starting the storage servers, the proxy and TLS"
start memcached memcached -u root -l 127.0.0.1 -p "$cache_port" -m 32
for kind in account container object; do
    start "$kind" "swift-$kind-server" "$etc/$kind.conf"
done
start proxy swift-proxy-server "$etc/proxy.conf"
(
    umask 077
    cat "$run_dir/tls/key.pem" "$run_dir/tls/cert.pem" >"$host_etc/hitch.pem"
)
start hitch hitch --user=_hitch --group=_hitch --frontend="[127.0.0.1]:$https_port" \
    --backend="[127.0.0.1]:$http_port" --alpn-protos=http/1.1 "$etc/hitch.pem"
wait_until "the proxy" answers "http://localhost:$http_port"
wait_until "TLS" answers "https://localhost:$https_port"

publish swift-s3api "$(package_version swift-proxy)" "$http_port" "$https_port" "$access_key" \
    "$secret_key" "$region"
stay
