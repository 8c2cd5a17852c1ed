#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Uploads a file of 64 MiB into a real Ceph RGW over TLS, and shows the same SHA-256 four times:
# of the file, of the BPF tap, of the store, of the object downloaded by another client. On a kernel
# without kTLS the upload runs in a virtual machine with Debian bookworm's. Needs root (it loads
# BPF programs and mounts) and build/s3-ktls; "make demo" installs and builds all that is needed.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
bytes=$((64 * 1024 * 1024))
bucket=demo key=archive/demo.bin
program=$tools_dir/../build/s3-ktls

need_root "tools/demo.sh"
[ -x "$program" ] || die "build/s3-ktls is missing: run make"
# Nothing of the caller's own accounts and settings: neither the program nor botocore may see them.
for name in "${!AWS_@}"; do
    unset "$name"
done
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null

work=$(mktemp -d "${TMPDIR:-/tmp}/s3-ktls-demo.XXXXXX")
jobs=()
cleanup() {
    trap '' INT TERM HUP
    local pid
    for pid in "${jobs[@]}"; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf --one-file-system "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Does this kernel encrypt for a TCP socket, and hash? The program's own doctor has tried both.
kernel_has_all() {
    AWS_ACCESS_KEY_ID=none AWS_SECRET_ACCESS_KEY=none AWS_REGION=us-east-1 "$program" doctor >"$work/doctor" 2>&1 &&
        grep -q '^ok  *kTLS ' "$work/doctor"
}

# another_client CODE ARGUMENT...: Python code with botocore, which is not ours.
client_setup='
import base64, botocore.client, botocore.session, os, sys
env = os.environ
s3 = botocore.session.Session().create_client(
    "s3", endpoint_url=env["S3_HTTPS_URL"], verify=env["S3_CA_BUNDLE"],
    region_name=env["S3_REGION"], aws_access_key_id=env["S3_ACCESS_KEY"],
    aws_secret_access_key=env["S3_SECRET_KEY"],
    config=botocore.client.Config(s3={"addressing_style": "path"}, proxies={}))
'
another_client() {
    local code=$1
    shift
    /usr/bin/python3 -I -c "$client_setup$code" "$@"
}

begin=$SECONDS
if kernel_has_all; then
    say "this kernel ($(uname -r)) has kTLS: the upload runs here"
    in_vm=no
else
    say "this kernel ($(uname -r)) has no kTLS: the upload runs in a virtual machine, emulated," \
        "so its speed says nothing"
    "$tools_dir/setup.sh" vm-bookworm
    in_vm=yes
fi

say "starting Ceph RGW with TLS under a throw-away CA (about 5 s)"
mkdir "$work/ceph"
"$tools_dir/server.sh" ceph "$work/ceph" >"$work/server.out" 2>"$work/server.err" &
jobs+=($!)
until [ -e "$work/ceph/env" ]; do
    kill -0 "${jobs[0]}" 2>/dev/null || {
        cat "$work/server.err" >&2
        die "Ceph RGW did not start"
    }
    sleep 0.1
done
while IFS= read -r line; do
    export "${line?}"
done <"$work/ceph/env"
say "$S3_SERVER_NAME $S3_SERVER_VERSION answers at $S3_HTTPS_URL"
another_client 's3.create_bucket(Bucket=sys.argv[1])' "$bucket"

say "making a random file of 64 MiB"
mkdir "$work/share"
file=$work/share/demo.bin
head -c "$bytes" /dev/urandom >"$file"
of_file=$(sha256sum "$file" | cut -d' ' -f1)

# The guest sees the share and nothing else that changes: what it needs goes there.
cp "$program" "$work/share/s3-ktls"
cp "$S3_CA_BUNDLE" "$work/share/ca.pem"
(
    umask 077
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$S3_ACCESS_KEY" \
        "$S3_SECRET_KEY" >"$work/share/credentials"
)
url=$S3_HTTPS_URL
run=()
if [ "$in_vm" = yes ]; then
    url=$S3_VM_HTTPS_URL
    run=("$tools_dir/vm.sh" bookworm "$work/share" --)
fi
run+=(env AWS_SHARED_CREDENTIALS_FILE="$work/share/credentials" AWS_CONFIG_FILE=/dev/null)
put=(put "$file" "s3://$bucket/$key" --endpoint-url "$url" --ca-bundle "$work/share/ca.pem"
    --region "$S3_REGION" --require-ktls)
[ "$in_vm" = no ] || say "uploading in the virtual machine (boots first; about 40 s in all)"
echo
echo "\$ s3-ktls ${put[*]}"
# In the background, so that this script can be ended meanwhile.
"${run[@]}" "$work/share/s3-ktls" "${put[@]}" >"$work/result" &
jobs+=($!)
wait "${jobs[1]}" || die "the upload failed (exit code $?)"
cat "$work/result"
echo

of_tap=$(sed -n 's/.*, sha256 \([0-9a-f]\{64\}\), hashed: bpf,.*/\1/p' "$work/result")
of_store=$(another_client '
head = s3.head_object(Bucket=sys.argv[1], Key=sys.argv[2], ChecksumMode="ENABLED")
print(base64.b64decode(head["ChecksumSHA256"]).hex())' "$bucket" "$key")
say "downloading the object with another client"
another_client '
body = s3.get_object(Bucket=sys.argv[1], Key=sys.argv[2])["Body"]
with open(sys.argv[3], "wb") as file:
    for piece in body.iter_chunks(1 << 20):
        file.write(piece)' "$bucket" "$key" "$work/downloaded"
of_download=$(sha256sum "$work/downloaded" | cut -d' ' -f1)

echo
echo "sha256sum of the file:             $of_file"
echo "BPF tap, while it was sent:        $of_tap"
echo "store's HEAD (recomputed there):   $of_store"
echo "sha256sum of what was downloaded:  $of_download"
[ "$of_file" = "$of_tap" ] || die "the tap's SHA-256 is not the file's"
[ "$of_file" = "$of_store" ] || die "the store's SHA-256 is not the file's"
[ "$of_file" = "$of_download" ] || die "the downloaded object's SHA-256 is not the file's"
cmp "$file" "$work/downloaded" || die "the downloaded object is not the file"
grep -q 'encrypted: kTLS ' "$work/result" || die "the kernel did not encrypt"
say "all of it took $((SECONDS - begin)) s"
echo "demo: ok"
