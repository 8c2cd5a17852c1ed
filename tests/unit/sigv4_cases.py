#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints requests with the Authorization that botocore's S3SigV4Auth gives them.

Deterministic: the same version of botocore prints the same text. One case is a block of lines
"NAME VALUE" that ends with "end"; values that may hold anything are in hex. test_sigv4.c reads it.
"""
import datetime
import random
import sys
import types

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode

CASES = 400
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
TOKEN_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
REGIONS = ["us-east-1", "eu-central-1", "cn-north-1", "default", "us_east", "RegionOne", "r.1", "x"]
ENDPOINTS = [
    "https://s3.us-east-1.amazonaws.com",
    "https://localhost",
    "https://localhost:443",
    "http://localhost:80",
    "https://store.example.org:8443",
    "http://10.0.0.1:9000",
    "https://h.example:80",
    "https://gateway.example/prefix/s3",
]
KEY_PIECES = (
    list("abcXYZ019-._~") + list(" !\"#$%&'()*+,:;<=>?@[\\]^`{|}") +
    ["/", "//", "%20", "%2F", "+ +", "\u00e4", "\u20ac", "\U0001f600", "e\u0301", "\x01", "\x7f", "\n"])


def frozen(moment):
    class Frozen(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return moment

    return types.SimpleNamespace(datetime=Frozen)


def make_key(rnd):
    while True:
        key = "".join(rnd.choice(KEY_PIECES) for _ in range(rnd.randint(1, 60)))
        components = key.split("/")
        if len(key.encode()) <= 1024 and "." not in components and ".." not in components:
            return key


def make_headers(rnd):
    """Headers that are signed, and ones that no signer signs."""
    signed, unsigned = {}, {}
    for number in range(rnd.randint(0, 5)):
        words = [rnd.choice(["a", "b=c", ",", ";", "\"q\"", "x" * 40]) for _ in range(rnd.randint(0, 5))]
        value = "".join(word + " " * rnd.randint(0, 3) for word in words)
        signed["x-amz-meta-" + rnd.choice("az-09") + str(number)] = " " * rnd.randint(0, 2) + value
    if rnd.random() < 0.5:
        signed["content-encoding"] = "aws-chunked"
        signed["x-amz-trailer"] = "x-amz-checksum-sha256"
        signed["x-amz-decoded-content-length"] = str(rnd.randint(0, 5 << 30))
    if rnd.random() < 0.5:
        unsigned["user-agent"] = "s3-ktls/0 (x)"
    if rnd.random() < 0.5:
        unsigned["expect"] = "100-continue"
    return signed, unsigned


def make_query(rnd):
    names = rnd.choices(["uploads", "a", "a-b", "a.b", "A", "partNumber", "prefix"], k=rnd.randint(1, 5))
    return "&".join(
        name + rnd.choice(["", "=", "=" + percent_encode(make_key(rnd)), "=1"]) for name in names)


def payload_hash(request, rnd):
    """Makes botocore choose one of the ways to write the payload's hash."""
    kind = rnd.choice(["trailer", "unsigned", "empty", "body"])
    if kind == "trailer":
        request.context["checksum"] = {"request_algorithm": {"in": "trailer"}}
    elif kind == "unsigned":
        request.context["client_config"] = types.SimpleNamespace(s3={"payload_signing_enabled": False})
    elif kind == "body":
        request.data = rnd.randbytes(rnd.randint(1, 100))


def show(name, *values):
    print(name, *values)


def make_case(rnd):
    endpoint, region = rnd.choice(ENDPOINTS), rnd.choice(REGIONS)
    bucket, key = rnd.choice(["bucket", "b-1", "abc"]), make_key(rnd)
    scheme, _, rest = endpoint.partition("://")
    host, slash, prefix = rest.partition("/")
    virtual = rnd.random() < 0.4 and not host[0].isdigit()
    path = slash + prefix + ("/" if virtual else "/" + bucket + "/") + percent_encode(key, safe="/~")
    if virtual:
        host = bucket + "." + host
    query = make_query(rnd) if rnd.random() < 0.3 else ""
    signed, unsigned = make_headers(rnd)
    method = rnd.choice(["PUT", "HEAD", "GET", "POST", "DELETE"])
    request = AWSRequest(method=method, url=f"{scheme}://{host}{path}" + (f"?{query}" if query else ""),
                         headers={**signed, **unsigned})
    payload_hash(request, rnd)
    access = "".join(rnd.choice(PRINTABLE) for _ in range(rnd.randint(1, 40)))
    secret = "".join(rnd.choice(PRINTABLE) for _ in range(rnd.randint(1, 120)))
    token = None
    if rnd.random() < 0.4:
        token = "".join(rnd.choice(TOKEN_LETTERS) for _ in range(rnd.choice([1, 400, 4000])))
    seconds = rnd.randint(0, 4102444799)
    botocore.auth.datetime = frozen(datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds))
    botocore.auth.S3SigV4Auth(Credentials(access, secret, token), "s3", region).add_auth(request)

    show("case")
    show("endpoint", endpoint)
    show("virtual", int(virtual))
    show("bucket", bucket)
    show("key", key.encode().hex())
    show("target", path)
    show("query", query or "-")
    show("method", method)
    show("region", region)
    show("access", access)
    show("secret", secret)
    show("token", token or "-")
    show("time", seconds)
    show("content", request.headers["X-Amz-Content-SHA256"])
    for flag, headers in ((1, signed), (0, unsigned)):
        for name, value in headers.items():
            show("header", flag, name, value.encode().hex() or "-")
    show("authorization", request.headers["Authorization"])
    show("end")


def main():
    rnd = random.Random(20241129)
    for _ in range(CASES):
        make_case(rnd)
    return 0


if __name__ == "__main__":
    sys.exit(main())
