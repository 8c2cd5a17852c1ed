# SPDX-License-Identifier: Apache-2.0
"""What must hold after an upload: the result field by field, and the object itself."""
import base64
import re

PUT_FIELDS = {"bucket", "key", "bytes", "sha256", "source_changed", "hashed_by", "moved_by", "encrypted_by",
              "tls_version", "tls_cipher", "store", "tap_network", "endpoint", "peer", "etag",
              "version_id", "request_id", "elapsed_s", "bytes_per_s"}


def sha256_base64(hexadecimal):
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def assert_result(result, payload, **expected):
    """Exit 0 and a JSON result that fits the payload and the expected fields; returns it."""
    assert result.returncode == 0, result
    said = result.json
    assert set(said) == PUT_FIELDS, result
    expected = {"bytes": payload.size, "sha256": payload.sha256, "hashed_by": "bpf",
                "source_changed": False, "version_id": None, **expected}
    for name, value in expected.items():
        assert said[name] == value, f"{name}: {said[name]!r} instead of {value!r}\n{result}"
    if said["encrypted_by"] == "none":
        assert said["tls_version"] is None and said["tls_cipher"] is None, result
    else:
        assert re.fullmatch(r"TLSv1\.[23]", said["tls_version"]), result
        assert re.search(r"AES|CHACHA20", said["tls_cipher"]), result
    assert said["etag"].strip('"') == payload.md5, result
    assert said["request_id"], result
    assert re.fullmatch(r"(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d+", said["peer"]), result
    assert 0 < said["elapsed_s"] <= result.elapsed_s, result
    rate = payload.size / said["elapsed_s"]
    assert abs(said["bytes_per_s"] - rate) <= 0.02 * rate + 1, result
    return said


def assert_object(server, bucket, key, payload):
    """Another client finds exactly these bytes; Ceph also has our checksum."""
    head = server.head(bucket, key)
    assert head is not None, f"no object {key!r}"
    assert head["ContentLength"] == payload.size
    if server.kind == "ceph":
        assert head["ChecksumSHA256"] == sha256_base64(payload.sha256)
    body = server.client.get_object(Bucket=bucket, Key=key)["Body"]
    at = 0
    for piece in body.iter_chunks(1024 * 1024):
        assert payload.data[at:at + len(piece)] == piece, f"differs in the MiB at byte {at}"
        at += len(piece)
    assert at == payload.size


def assert_nothing_stored(server, bucket, key):
    assert server.head(bucket, key) is None
    assert key not in server.list_keys(bucket)
    assert not server.list_multipart(bucket)
