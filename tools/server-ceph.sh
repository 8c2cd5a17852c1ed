#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One Ceph node: a monitor, an object store daemon and the S3 gateway. See tools/server.sh.
set -euo pipefail
# shellcheck source=tools/server-lib.sh
. "$(dirname "$0")/server-lib.sh"
access_key=rigaccess
secret_key=rigsecretrigsecretrigsecret
region=us-east-1
data=$in_dir/data
log=$in_dir/log
conf=$data/ceph.conf

enter_chroot
mkdir -p "$run_dir"/data/{mon,osd,run,rgw}
mon_port=$(pick_port)
http_port=$(pick_port)
https_port=$(pick_port)
fsid=$(cat /proc/sys/kernel/random/uuid)
osd_uuid=$(cat /proc/sys/kernel/random/uuid)

# Ceph's usual store wants O_DIRECT, which a tmpfs (often /tmp) has only since Linux 6.6.
objectstore=bluestore
if ! dd if=/dev/zero of="$run_dir/data/.direct" bs=4096 count=1 oflag=direct status=none 2>/dev/null
then
    say "no O_DIRECT in $run_dir: objects are kept in memory"
    objectstore=memstore
fi

# One copy of everything, no authentication between the daemons (they listen on loopback only, and
# data is thrown away), and no waiting for more changes before the monitor commits one.
cat >"$run_dir/data/ceph.conf" <<EOF
[global]
fsid = $fsid
mon_host = v2:127.0.0.1:$mon_port
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_client_mode = crc
auth_allow_insecure_global_id_reclaim = true
mon_warn_on_insecure_global_id_reclaim_allowed = false
run_dir = $data/run
crash_dir = $data/run
admin_socket = $data/run/\$name.asok
pid_file = $data/run/\$name.pid
log_file = $log/\$name.log
keyring = $data/keyring
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data = $data/mon
mon_data_avail_warn = 1
mon_data_avail_crit = 1
[mon]
mon_cluster_log_file = $log/cluster.log
[osd]
osd_data = $data/osd
crush_location = root=default host=rig
osd_objectstore = $objectstore
memstore_device_bytes = 6442450944
bluestore_block_size = 8589934592
osd_memory_target = 939524096
osd_class_load_list = *
osd_class_default_list = *
osd_mclock_skip_benchmark = true
[client]
rgw_frontends = beast endpoint=127.0.0.1:$http_port ssl_endpoint=127.0.0.1:$https_port ssl_certificate=$in_dir/tls/cert.pem ssl_private_key=$in_dir/tls/key.pem
rgw_dns_name = localhost
rgw_data = $data/rgw
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
rgw_gc_processor_max_time = 5
rgw_enable_usage_log = false
rgw_run_sync_thread = false
EOF

# shellcheck disable=SC2317  # wait_until calls it
one_osd_is_up() {
    inside ceph -c "$conf" --connect-timeout 5 osd stat | grep -q '1 up'
}

say "starting the monitor"
inside monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon_port]" "$data/monmap" \
    >"$run_dir/log/monmap.out" 2>&1 || fail "monmaptool failed"
inside ceph-mon -c "$conf" -i a --mkfs --monmap "$data/monmap" >"$run_dir/log/mon-mkfs.out" 2>&1 ||
    fail "ceph-mon --mkfs failed"
start mon ceph-mon -c "$conf" -i a -f
wait_until "the monitor" inside ceph -c "$conf" --connect-timeout 5 osd new "$osd_uuid"

say "starting the object store and the gateway"
inside ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd_uuid" >"$run_dir/log/osd-mkfs.out" 2>&1 ||
    fail "ceph-osd --mkfs failed"
start osd ceph-osd -c "$conf" -i 0 -f
wait_until "the object store" one_osd_is_up
inside radosgw-admin -c "$conf" user create --uid=rig --display-name=rig \
    --access-key="$access_key" --secret-key="$secret_key" >"$run_dir/log/user.out" 2>&1 ||
    fail "radosgw-admin could not create the user"
start rgw radosgw -c "$conf" -n client.rgw -f
wait_until "the gateway over HTTP" answers "http://localhost:$http_port"
wait_until "the gateway over HTTPS" answers "https://localhost:$https_port"

publish ceph-rgw "$(package_version radosgw)" "$http_port" "$https_port" "$access_key" \
    "$secret_key" "$region"
stay
