# SPDX-License-Identifier: Apache-2.0
"""Real S3 servers (tools/server.sh), with botocore as the client that is not ours.

Debian's botocore belongs to Debian's Python: run with /usr/bin/python3.
"""
import pathlib
import shutil
import subprocess
import tempfile
import threading

import botocore.client
import botocore.exceptions
import botocore.session

from rig.process import REPO, popen_bound

READY_TIMEOUT_S = 90


class ServerError(Exception):
    """The server did not start; the message holds what it said."""


class Server:
    """with Server("ceph") as server: server.make_bucket("b")

    kind: "ceph" or "swift", set up by tools/setup.sh. run_dir: its data and logs; by default a
    temporary folder, removed at the end.

    Attributes: http_url, https_url (the host's loopback), vm_http_url, vm_https_url (the same from a
    rig.vm guest), ca (path of the CA file), access_key, secret_key, region, name, version, client
    (botocore's). Virtual-hosted names below "localhost" are served, but TLS libraries accept no
    wildcard there: the certificate covers vhost_bucket.localhost.
    """

    vhost_bucket = "rig-vhost"

    def __init__(self, kind, run_dir=None):
        self.kind = kind
        self._own_run_dir = run_dir is None
        self.run_dir = pathlib.Path(run_dir) if run_dir else None
        self._process = None
        self.client = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exc):
        self.stop()

    def start(self):
        if self._own_run_dir:
            self.run_dir = pathlib.Path(tempfile.mkdtemp(prefix=f"s3-ktls-{self.kind}."))
        self.run_dir.mkdir(parents=True, exist_ok=True)
        messages = self.run_dir / "server.err"
        with open(messages, "wb") as err:
            self._process = popen_bound(
                [str(REPO / "tools" / "server.sh"), self.kind, str(self.run_dir)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err, text=True)
        limit = threading.Timer(READY_TIMEOUT_S, self._process.terminate)
        limit.start()
        line = self._process.stdout.readline()
        limit.cancel()
        if line != "ready\n":
            text = messages.read_text(errors="replace")
            self.stop()
            raise ServerError(f"the {self.kind} server did not start:\n{text}")
        self._read_env()
        self.client = self.make_client()

    def _read_env(self):
        lines = (self.run_dir / "env").read_text().splitlines()
        env = dict(line.split("=", 1) for line in lines)
        self.name, self.version = env["S3_SERVER_NAME"], env["S3_SERVER_VERSION"]
        self.http_url, self.https_url = env["S3_HTTP_URL"], env["S3_HTTPS_URL"]
        self.vm_http_url, self.vm_https_url = env["S3_VM_HTTP_URL"], env["S3_VM_HTTPS_URL"]
        self.ca = env["S3_CA_BUNDLE"]
        self.access_key, self.secret_key = env["S3_ACCESS_KEY"], env["S3_SECRET_KEY"]
        self.region = env["S3_REGION"]

    def stop(self):
        """Ends the server's processes, and removes its data if the folder was not given."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=30)
            self._process.stdout.close()
            self._process = None
        if self._own_run_dir and self.run_dir is not None:
            shutil.rmtree(self.run_dir, ignore_errors=True)

    def make_client(self, endpoint_url=None, addressing_style="path", secret_key=None):
        """A botocore S3 client, by default over HTTPS with the certificate checked, without retries."""
        config = botocore.client.Config(
            signature_version="s3v4", proxies={}, retries={"total_max_attempts": 1},
            s3={"addressing_style": addressing_style}, connect_timeout=10, read_timeout=60)
        return botocore.session.Session().create_client(
            "s3", region_name=self.region, endpoint_url=endpoint_url or self.https_url,
            verify=self.ca, aws_access_key_id=self.access_key,
            aws_secret_access_key=secret_key or self.secret_key, config=config)

    def make_bucket(self, bucket, object_lock=False):
        options = {"ObjectLockEnabledForBucket": True} if object_lock else {}
        self.client.create_bucket(Bucket=bucket, **options)

    def put(self, bucket, key, data, **options):
        return self.client.put_object(Bucket=bucket, Key=key, Body=data, **options)

    def head(self, bucket, key):
        """The answer to HEAD with checksums asked for; None if there is no such object."""
        try:
            return self.client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
        except botocore.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise

    def get(self, bucket, key):
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def list_keys(self, bucket, prefix=""):
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def list_multipart(self, bucket):
        """The multipart uploads under way, as [{"Key": ..., "UploadId": ...}, ...]."""
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
        return [upload for page in pages for upload in page.get("Uploads", [])]

    def delete(self, bucket, key):
        self.client.delete_object(Bucket=bucket, Key=key)
