# SPDX-License-Identifier: Apache-2.0
"""One bit flips behind TLS, before the store: the upload is refused, and what was stored before
stays. Where the flip is in a byte that the store does not look at, the object must be the right
one, to the last byte."""
import ssl
import time
import typing

import pytest

from kit.checks import assert_object, sha256_base64
from kit.content import KIB
from kit.proxy import Proxy, flip, tls_context
from kit.rows import Outcomes, selected_rows
from kit.wire import Wire

CHUNK = 192 * KIB
SIZE = CHUNK + 0x193e1  # the second chunk's size line has a letter
WINDOW = 128 * KIB      # TAP_WINDOW_BYTES, of each chunk anew
RECORD = 16 * KIB
TIMEOUT_S = 10          # for a store that waits for what the flip made it expect

BEFORE = b"what was there before"

CASE = 0x20  # of an ASCII letter
# Who takes the flipped byte for the one that was sent, or does not look at it. Ceph RGW 20.2.4
# skips what stands behind a chunk, and computes the checksum by x-amz-sdk-checksum-algorithm,
# whatever the trailer is called; what it then returns is compared. Swift's server (eventlet) skips
# the line ends of HTTP's chunks, and its s3api the last byte behind the trailer.
CEPH, SWIFT = {"ceph"}, {"swift"}
# A request that breaks a rule is refused; one whose checksum is not that of its payload is more than
# that (6). A trailer's value with no = at its end, or with more behind it, breaks a rule of Swift's
# and is a wrong checksum to Ceph. Where a store waits for more than was sent, nothing is known (4).
REFUSED = {"ceph": 5, "swift": 5}
WRONG_SUM = {"ceph": 6, "swift": 6}
WRONG_VALUE = {"ceph": 6, "swift": 5}
NO_ANSWER = {"ceph": 4, "swift": 4}


class Flip(typing.NamedTuple):
    """place: from a Wire to the offset of the byte; mask: which of its bits; harmless: to whom;
    exit_codes: with whom else."""

    name: str
    place: typing.Callable
    mask: int = 1
    harmless: set = set()
    exit_codes: dict = REFUSED


def payload(name, offset):
    return Flip(f"payload: {name}", lambda wire: wire.payload(offset), exit_codes=WRONG_SUM)


def header(name, offset=0, **more):
    return Flip(f"header: {name}", lambda wire: wire.header(name) + offset, **more)


HEAD = [
    Flip("method", lambda wire: 0),
    Flip("target", lambda wire: wire.request.index(b" /") + 2),
    Flip("end of the request line", lambda wire: wire.request.index(b"\r\n")),
    header("host"),
    header("authorization", 20),
    header("content-encoding"),
    header("x-amz-content-sha256"),
    header("x-amz-date", 15),
    header("x-amz-decoded-content-length", 5),
    header("x-amz-sdk-checksum-algorithm"),
    header("x-amz-trailer", 8),
    Flip("end of the head", lambda wire: wire.body - 2),
    # Nobody signs it, and nobody reads it.
    header("user-agent", harmless=CEPH | SWIFT),
]
BODY = [
    Flip("first size line", lambda wire: wire.inner[0]),
    Flip("end of the first size line", lambda wire: wire.data[0][0] - 2),
    Flip("second size line, first digit", lambda wire: wire.inner[1]),
    Flip("second size line, last digit", lambda wire: wire.data[1][0] - 3),
    # 193E1 is the same number as 193e1.
    Flip("second size line, a letter's case", lambda wire: wire.data[1][0] - 4, CASE,
         CEPH | SWIFT),
    payload("first byte", 0),
    payload("last byte of a record", RECORD - 1),
    payload("first byte of a record", RECORD),
    payload("last byte of a window", WINDOW - 1),
    payload("first byte of a window", WINDOW),
    payload("middle", SIZE // 2),
    payload("last byte of a chunk", CHUNK - 1),
    payload("first byte of a chunk", CHUNK),
    payload("last byte", SIZE - 1),
    Flip("CR behind a chunk", lambda wire: sum(wire.data[0]), harmless=CEPH),
    Flip("LF behind a chunk", lambda wire: sum(wire.data[0]) + 1, harmless=CEPH),
    Flip("CR behind the last data", lambda wire: sum(wire.data[-1]), harmless=CEPH),
    Flip("the last chunk's 0", lambda wire: wire.inner[-1], harmless=CEPH),
    Flip("CR of the last chunk", lambda wire: wire.inner[-1] + 1, harmless=CEPH),
    Flip("first letter of the trailer's name", lambda wire: wire.trailer, harmless=CEPH),
    Flip("last letter of the trailer's name", lambda wire: wire.value - 2, harmless=CEPH),
    Flip("the trailer's colon", lambda wire: wire.value - 1, harmless=CEPH),
    Flip("first digit of the trailer's value", lambda wire: wire.value, exit_codes=WRONG_SUM),
    Flip("middle of the trailer's value", lambda wire: wire.value + 20, exit_codes=WRONG_SUM),
    Flip("a letter's case in the trailer's value", lambda wire: next(
        at for at in range(wire.value, wire.value_end) if wire.request[at:at + 1].isalpha()), CASE,
        exit_codes=WRONG_SUM),
    # Six bits, of which two are padding: this one is not.
    Flip("last digit of the trailer's value", lambda wire: wire.value_end - 2, 4,
         exit_codes=WRONG_SUM),
    Flip("= of the trailer's value", lambda wire: wire.value_end - 1, exit_codes=WRONG_VALUE),
    Flip("CR behind the trailer", lambda wire: wire.value_end, exit_codes=WRONG_VALUE),
    Flip("LF behind the trailer", lambda wire: wire.value_end + 1, harmless=SWIFT,
         exit_codes=WRONG_VALUE),
    Flip("last CR of aws-chunked", lambda wire: wire.value_end + 2, harmless=CEPH),
]
CHUNKED = [
    header("transfer-encoding"),
    Flip("first size line of HTTP", lambda wire: wire.outer[0]),
    Flip("second size line of HTTP", lambda wire: wire.outer[1]),
    Flip("last size line of HTTP", lambda wire: wire.outer[-1], harmless=SWIFT,
         exit_codes=NO_ANSWER),
    Flip("CR behind a chunk of HTTP", lambda wire: wire.outer[1] - 2, harmless=SWIFT),
    Flip("the last 0 of HTTP", lambda wire: len(wire.request) - 5, harmless=SWIFT,
         exit_codes=NO_ANSWER),
]
LENGTH = [header("content-length")]
LAST_DIGIT = Flip("header: content-length, last digit",
                  lambda wire: wire.header("content-length") + 5, exit_codes=NO_ANSWER)


class Row(typing.NamedTuple):
    name: str
    kind: str
    framing: str
    flip: Flip


def rows_of(kind, framing, flips):
    return [Row(f"{kind}, {framing}: {one.name}", kind, framing, one) for one in flips]


ROWS = [*rows_of("ceph", "chunked", HEAD + BODY + CHUNKED),
        *rows_of("ceph", "length", BODY + LENGTH + [LAST_DIGIT]),
        *rows_of("swift", "chunked", CHUNKED), *rows_of("swift", "length", BODY + LENGTH)]


def put(program, server, bucket, key, file, framing, edit):
    """The result of an upload through a proxy that edits it; before, something else was there."""
    server.put(bucket, key, BEFORE)
    with Proxy(server.http_url, edit=edit,
               tls=tls_context(server, ssl.TLSVersion.TLSv1_3)) as proxy:
        return program.put(server, file.path, bucket, key, "--endpoint-url", proxy.url, "--framing",
                           framing, "--chunk-size", str(CHUNK), "--timeout", str(TIMEOUT_S))


def upload(row, program, servers, buckets, file):
    server = servers[row.kind]
    bucket, key = buckets(server), f"flip-{ROWS.index(row)}"
    edited = []

    def edit(request):
        edited.append(flip(request, row.flip.place(Wire(request)), row.flip.mask))
        assert edited[0] != request and len(edited[0]) == len(request)
        return edited[0]

    result = put(program, server, bucket, key, file, row.framing, edit)
    assert len(edited) == 1, f"no bit was flipped\n{result}"
    if result.returncode == 4:
        time.sleep(0.3)  # the store may not have seen the end of the connection yet
    return result, server, bucket, key


@pytest.fixture(scope="module")
def outcomes(request, program, payloads, ceph, swift, buckets):
    servers = {server.kind: server for server in (ceph, swift)}
    for server in servers.values():
        buckets(server)
    it = Outcomes(selected_rows(request), upload, program, servers, buckets, payloads.get(SIZE))
    yield it
    it.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_one_bit(outcomes, payloads, row):
    result, server, bucket, key = outcomes.of(row)
    if row.kind in row.flip.harmless:
        result.expect(0)
        assert_object(server, bucket, key, payloads.get(SIZE))
    else:
        result.expect(row.flip.exit_codes[row.kind])
        assert server.get(bucket, key) == BEFORE, result


def test_two_flips(program, payloads, ceph, ceph_bucket, key):
    """A trailer that Ceph does not know by its name is not compared with the payload: what it
    returns then says so."""
    def edit(request):
        wire = Wire(request)
        return flip(flip(request, wire.trailer), wire.payload(SIZE // 2))

    result = put(program, ceph, ceph_bucket, key, payloads.get(SIZE), "chunked", edit)
    result.expect(6, sha256_base64(payloads.get(SIZE).sha256), "an object exists", "do not trust it")


def test_a_length_that_is_one_more(program, payloads, swift, swift_bucket, key):
    """Swift answers when it has the trailer, and then takes the first byte of the HEAD for the last
    of the body. So nothing is confirmed, and that is said."""
    payload = payloads.get(SIZE)
    result = put(program, swift, swift_bucket, key, payload, "length",
                 lambda request: flip(request, LAST_DIGIT.place(Wire(request))))
    result.expect(6, "could not be looked at", "probably exists")
    assert_object(swift, swift_bucket, key, payload)
