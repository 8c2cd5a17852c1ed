#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: make-ca.sh DIR [DNS-NAME...]
# Makes a throw-away CA and a server certificate for tests:
#   DIR/ca.pem ca-key.pem     the CA
#   DIR/cert.pem key.pem      the leaf: localhost, 127.0.0.1, ::1, 10.0.2.2 (the host, seen from a
#                             QEMU guest), *.s3.localhost and the further names given
# TLS libraries accept no wildcard directly under a top-level name, so "*.localhost" is there for
# the ones that do, and a bucket name under localhost has to be given. What is valid is kept.
set -euo pipefail
# shellcheck source=tools/lib.sh
. "$(dirname "$0")/lib.sh"
[ $# -ge 1 ] || die "usage: make-ca.sh DIR [DNS-NAME...]"
dir=$1
shift

sans='DNS:localhost, DNS:*.localhost, DNS:s3.localhost, DNS:*.s3.localhost'
sans+=', IP:127.0.0.1, IP:::1, IP:10.0.2.2'
for name; do
    sans+=", DNS:$name"
done
mkdir -p "$dir"
if [ "$(cat "$dir/sans" 2>/dev/null)" = "$sans" ] &&
    openssl x509 -in "$dir/cert.pem" -noout -checkend 86400 >/dev/null 2>&1; then
    exit 0
fi

new=$(mktemp -d "$dir/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
cat >"$new/openssl.cnf" <<EOF
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
authorityKeyIdentifier = keyid
subjectAltName = $sans
EOF
key_options=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
{
    openssl req -config "$new/openssl.cnf" -x509 "${key_options[@]}" -days 30 -sha256 \
        -subj "/CN=throw-away test CA $(date +%s)" -extensions ca \
        -keyout "$new/ca-key.pem" -out "$new/ca.pem"
    openssl req -config "$new/openssl.cnf" "${key_options[@]}" -subj "/CN=localhost" \
        -keyout "$new/key.pem" -out "$new/leaf.csr"
    openssl x509 -req -in "$new/leaf.csr" -CA "$new/ca.pem" -CAkey "$new/ca-key.pem" \
        -CAcreateserial -days 30 -sha256 -extfile "$new/openssl.cnf" -extensions leaf \
        -out "$new/cert.pem"
} 2>"$new/log" || {
    cat "$new/log" >&2
    die "openssl could not make the certificates"
}
printf '%s\n' "$sans" >"$new/sans"
mv "$new"/{ca.pem,ca-key.pem,cert.pem,key.pem,sans} "$dir/"
