# SPDX-License-Identifier: Apache-2.0
"""Runs s3-ktls in a virtual machine."""
import os
import time

from kit.checks import assert_object, assert_result
from kit.program import Result, assert_no_secrets, server_environment


class GuestProgram:
    """The program at a path of the guest. cas: {server: CA file that the guest sees}."""

    def __init__(self, vm, path, cas):
        self.vm, self.path, self.cas = vm, os.fspath(path), cas

    def environment(self, server=None, scheme="https", **more):
        if server is None:
            return more
        env = server_environment(server, scheme, guest=True)
        return {**env, "AWS_CA_BUNDLE": os.fspath(self.cas[server]), **more}

    def run(self, args, env=None, timeout=120, prefix=(), uid=None):
        argv = [*prefix, self.path, *map(os.fspath, args)]
        # A home that every user may look into, and without settings.
        env = {"HOME": "/mnt", **(env or {})}
        began = time.monotonic()
        ended = self.vm.run(argv, env=env, timeout=timeout, uid=uid)
        result = Result(argv, ended.returncode, ended.stdout, ended.stderr,
                        time.monotonic() - began)
        secrets = [env[name] for name in ("AWS_SECRET_ACCESS_KEY",) if name in env]
        assert_no_secrets(result, secrets)
        return result

    def put(self, server, file, bucket, key, *more, scheme="https", env=None, **options):
        return self.run(["put", file, f"s3://{bucket}/{key}", "--json", *more],
                        self.environment(server, scheme, **(env or {})), **options)


def put_with_ktls(guest, server, bucket, key, path, payload, sender, *more, env=None, prefix=(),
                  **expected):
    """Uploads the file at that path of the guest, with kTLS and nothing to complain of, and looks at
    the object. expected: fields of the result; returns it."""
    result = guest.put(server, path, bucket, key, "--require-ktls", "--sender", sender, *more,
                       env=env, prefix=prefix)
    said = assert_result(
        result, payload, bucket=bucket, key=key, moved_by=sender, encrypted_by="ktls",
        store="confirmed" if server.kind == "ceph" else "accepted", tap_network="private",
        **expected)
    assert result.stderr == "", result
    assert_object(server, bucket, key, payload)
    return said
