# SPDX-License-Identifier: Apache-2.0
"""What a store, or who plays one, may say over a connection that is in order.

Each row of the tables is one upload; what is asked of all of them is in kit/rows.py.
"""
import random

import pytest

from kit.hostile import (
    after_body, after_handshake, after_head, at_head_request, at_start, close, confirm, drop,
    floods, go_on, mid_answer, mid_body, ok, reset, says, silence, slowly, then)
from kit.rows import (
    BIG, CUT, MAY_EXIST, NO_PROGRESS, SMALL, WHOLE, Row, answer, check)
from kit.scripted import response

DENIED = response(403, body=b"<Error><Code>AccessDenied</Code><Message>Not you.</Message></Error>")
DENIED_SAYS = ["403", "AccessDenied: Not you.", "s3:PutObject"]
UNTIMELY_SAYS = ["200 before the body was complete", "can be trusted"]
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
NOT_HTTP = "no valid HTTP"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def error(message=b"", code=b"InvalidRequest", before=b"", status=400):
    return response(status, body=before + b"<Error><Code>" + code + b"</Code><Message>" + message +
                    b"</Message></Error>")


LAUGHS = b"<!DOCTYPE lolz [<!ENTITY l0 'lol'>" + b"".join(
    b"<!ENTITY l%d '%s'>" % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10)) + b"]>"
# Escape sequences that set a title, clear the screen and answer back; C1 controls; overlong text.
TERMINAL = "\x1b]0;owned\x07\x1b[2J\x1b[6n\x9b31m\u202e".encode()


EXPECT = [
    Row("417 for the expectation", after_head(says(response(417))), 5,
        ["417", "Expect: 100-continue"], CUT, BIG, at_most=4096),
    Row("403 instead of 100, kept", after_head(says(DENIED)), 5, DENIED_SAYS, CUT, BIG,
        at_most=4096),
    Row("403 instead of 100, closed", after_head(then(says(DENIED), close)), 5, DENIED_SAYS, CUT,
        BIG, at_most=4096),
    Row("200 instead of 100", after_head(says(response(200))), 5, UNTIMELY_SAYS, CUT, BIG,
        at_most=4096),
    Row("no 100", after_head(go_on), 0, [], WHOLE, BIG),
    Row("100 three times", after_head(then(says(CONTINUE * 3), go_on)), 0, [], WHOLE, BIG),
    Row("100 in the middle of the body", mid_body(then(says(CONTINUE), go_on)), 0, [], WHOLE, BIG),
    Row("100 without end", after_head(floods(CONTINUE * 100)), 4, ["more than 16 interim"], CUT, BIG,
        at_most=4096),
    Row("100 without end, in mid-body", mid_body(floods(CONTINUE * 100)), 4, ["more than 16 interim"],
        CUT, BIG, at_most=BIG),
    Row("100 with a body", after_head(says(b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc")),
        4, [NOT_HTTP, "interim"], CUT, BIG, at_most=4096),
    Row("103 early hints", after_head(then(says(HINTS, CONTINUE), go_on)), 0, [], WHOLE, BIG),
    Row("101", after_head(says(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")), 4,
        [NOT_HTTP, "101"], CUT, BIG, at_most=4096),
    Row("half a 100, then the answer", after_head(then(slowly(CONTINUE[:3], 0.4), go_on)), 4,
        [NOT_HTTP, MAY_EXIST], WHOLE, BIG),
]

EARLY = [
    Row("403 in mid-body, kept", mid_body(says(DENIED)), 5, DENIED_SAYS, CUT, BIG, at_most=BIG),
    Row("403 in mid-body, closed", mid_body(then(says(DENIED), close)), 5, DENIED_SAYS, CUT, BIG,
        at_most=BIG),
    Row("403 in mid-body, then reset", mid_body(then(says(DENIED), reset)), 5, DENIED_SAYS, CUT,
        BIG, at_most=BIG),
    Row("403 in mid-body, then not read", mid_body(then(says(DENIED), silence)), 5, DENIED_SAYS,
        CUT, BIG, at_most=BIG),
    Row("403 in mid-body, in pieces", mid_body(slowly(DENIED, 0.003, 16)), 5, DENIED_SAYS, CUT, BIG,
        at_most=BIG),
    Row("403 in mid-body, http", mid_body(says(DENIED)), 5, DENIED_SAYS, CUT, BIG, at_most=BIG,
        tls=""),
    Row("200 in mid-body", mid_body(says(response(200))), 5, UNTIMELY_SAYS, CUT, BIG, at_most=BIG),
    Row("200 in mid-body, closed", mid_body(then(says(response(200)), close)), 5, UNTIMELY_SAYS,
        CUT, BIG, at_most=BIG),
    Row("200 before the body", after_handshake(says(response(200))), 5, UNTIMELY_SAYS, CUT, BIG),
]

BREAKS = [
    Row("reset at the start", at_start(reset), 4, ["localhost"], CUT),
    Row("close at the start", at_start(drop), 4, ["localhost"], CUT),
    Row("silence at the start", at_start(silence), 4, ["localhost", "time allowed", "https?"], CUT),
    Row("reset after the handshake", after_handshake(reset), 4, ["localhost"], CUT, BIG),
    Row("close after the handshake", after_handshake(close), 4, ["closed", "before it answered"],
        CUT, BIG),
    Row("silence after the handshake", after_handshake(silence), 4, [NO_PROGRESS], CUT,
        BIG),
    Row("reset after the head", after_head(reset), 4, ["localhost"], CUT, BIG),
    Row("close after the head", after_head(close), 4, ["closed", "before it answered"], CUT, BIG),
    Row("silence after the head", after_head(silence), 4, [NO_PROGRESS, "sending"], CUT,
        BIG),
    Row("reset in mid-body", mid_body(reset), 4, ["localhost"], CUT, BIG),
    Row("close in mid-body", mid_body(close), 4, ["closed", "before it answered"], CUT, BIG),
    Row("drop in mid-body", mid_body(drop), 4, ["localhost", "close_notify"], CUT, BIG),
    Row("silence in mid-body", mid_body(silence), 4, [NO_PROGRESS, "sending"], CUT,
        BIG),
    Row("reset after the body", after_body(reset), 4, ["localhost", MAY_EXIST], WHOLE),
    Row("close after the body", after_body(close), 4, ["before it answered", MAY_EXIST], WHOLE),
    Row("silence after the body", after_body(silence), 4, ["localhost", MAY_EXIST], WHOLE),
    Row("reset in mid-answer", mid_answer(reset), 4, ["localhost", MAY_EXIST], WHOLE),
    Row("close in mid-answer", mid_answer(close), 4, ["in the middle of its answer", MAY_EXIST],
        WHOLE),
    Row("drop in mid-answer", mid_answer(drop), 4, ["close_notify", MAY_EXIST], WHOLE),
    Row("silence in mid-answer", mid_answer(silence), 4, ["localhost", MAY_EXIST], WHOLE),
]

NO_HTTP = [
    answer("a byte a second", slowly(DENIED, 1), 4, "no answer of localhost", MAY_EXIST),
    answer("a few bytes now and then, in time", slowly(DENIED, 0.003, 16), 5, *DENIED_SAYS),
    answer("half a status line", then(says(b"HTTP/1.1 20"), close), 4, "in the middle of its answer",
           MAY_EXIST),
    answer("random bytes", random.Random(5).randbytes(4096), 4, NOT_HTTP, MAY_EXIST),
    answer("zeros", bytes(4096), 4, NOT_HTTP, MAY_EXIST),
    answer("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 4, NOT_HTTP, "another protocol"),
    answer("HTTP/2 settings", b"\0\0\0\4\0\0\0\0\0", 4, NOT_HTTP, "another protocol"),
    answer("HTTP/3.7", b"HTTP/3.7 200 OK\r\n\r\n", 4, NOT_HTTP),
    answer("status 999", b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n", 4, "999"),
    answer("status 000", b"HTTP/1.1 000 What\r\nContent-Length: 0\r\n\r\n", 4, "status 0"),
    answer("status 2000", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 4, NOT_HTTP),
    answer("no status", b"HTTP/1.1\r\n\r\n", 4, NOT_HTTP),
    answer("a header line without end", floods(b"a" * 16384, OK + b"X-A: "), 4, "a head longer than"),
    answer("headers without end", floods(b"X-A: b\r\n" * 1000, OK), 4, "more than 128 headers"),
    answer("a status line without end", floods(b"K" * 16384, b"HTTP/1.1 200 O"), 4,
           "a head longer than"),
    answer("a NUL in a header", OK + b"X-A: b\0c\r\nContent-Length: 0\r\n\r\n", 4, NOT_HTTP, "0x00"),
    answer("a NUL in the status line", b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n", 4,
           NOT_HTTP),
    answer("an escape in a header", OK + b"X-A: " + TERMINAL + b"\r\nContent-Length: 0\r\n\r\n", 4,
           NOT_HTTP, "0x1b"),
    answer("obs-fold", OK + b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n", 4, NOT_HTTP, "folded"),
    answer("a bare line feed", OK + b"Content-Length: 0\n\r\n", 4, NOT_HTTP, "line feed"),
    answer("a bare carriage return", OK + b"X-A: b\rc\r\n\r\n", 4, NOT_HTTP, "carriage return"),
    answer("a blank before the colon", OK + b"Content-Length : 0\r\n\r\n", 4, NOT_HTTP),
    answer("a header without a name", OK + b": b\r\n\r\n", 4, NOT_HTTP),
]

LENGTHS = [
    answer("Content-Length twice, the same", confirm("Content-Length: 0"), 0),
    answer("Content-Length twice, different", confirm("Content-Length: 1"), 4, "two Content-Lengths",
           MAY_EXIST),
    answer("Content-Length as a list", OK + b"Content-Length: 0, 0\r\n\r\n", 4, "Content-Length"),
    answer("Content-Length -1", OK + b"Content-Length: -1\r\n\r\n", 4, "Content-Length"),
    answer("Content-Length 2^64", OK + b"Content-Length: 18446744073709551616\r\n\r\n", 4,
           "Content-Length"),
    answer("Content-Length and Transfer-Encoding",
           OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 4, "at once"),
    answer("Transfer-Encoding gzip", OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 4,
           "Transfer-Encoding"),
    answer("Transfer-Encoding twice",
           OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 4,
           "Transfer-Encoding"),
    answer("a body that is shorter", then(says(OK + b"Content-Length: 9\r\n\r\nshort"), close), 4,
           "in the middle of its answer's body", MAY_EXIST),
    answer("a chunk size of letters", CHUNKED + b"xyz\r\nabc", 4, "chunk size"),
    answer("a chunk size of 2^64", CHUNKED + b"10000000000000000\r\nabc", 4, "longer than"),
    answer("a chunk size of -1", CHUNKED + b"-1\r\nabc", 4, "chunk size"),
    answer("a chunk size of 0x3", CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 4, "chunk size"),
    answer("no CRLF after a chunk", CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n", 4,
           "longer than its size says"),
    answer("a chunk extension without end", floods(b"e" * 16384, CHUNKED + b"3;"), 4,
           "chunk size line longer"),
    answer("chunk extensions without end", floods((b"1;" + b"e" * 1000 + b"\r\nx\r\n") * 16, CHUNKED), 4,
           "more chunk framing"),
    answer("chunks without end", floods(b"4000\r\n" + b"x" * 16384 + b"\r\n", CHUNKED), 4,
           "a body longer than"),
    answer("a trailer without end", floods(b"t" * 16384, CHUNKED + b"0\r\nX-A: "), 4, MAY_EXIST),
    answer("trailers without end", floods(b"X-A: b\r\n" * 1000, CHUNKED + b"0\r\n"), 4,
           "more than 128 trailers"),
    answer("64 MiB by Content-Length", floods(bytes(16384), OK + b"Content-Length: 67108864\r\n\r\n"),
           4, "a body of 67108864 bytes", MAY_EXIST),
    answer("a body without end", floods(bytes(16384), OK + b"\r\n"), 4, "a body longer than",
           MAY_EXIST),
    answer("an error without end", floods(b"<Error>" * 2000, b"HTTP/1.1 500 Oh\r\n\r\n"), 4,
           "a body longer than", MAY_EXIST),
    answer("HTTP/1.0", then(lambda line: line.say(
        ok(line.whole_body()).replace(b"HTTP/1.1", b"HTTP/1.0")), close), 0),
    answer("HTTP/1.0 with chunks", CHUNKED.replace(b"1.1", b"1.0") + b"0\r\n\r\n", 4, "HTTP/1.0"),
]

CHECKSUM = "x-amz-checksum-sha256: "
OTHER = "A" * 43 + "="
SUCCESSES = [
    answer("another checksum", response(200, CHECKSUM + OTHER), 6, OTHER, "do not trust it"),
    answer("two checksums", confirm(CHECKSUM + OTHER), 6, "two different SHA-256", MAY_EXIST),
    answer("the checksum twice", then(lambda line: line.say(response(200, *[
        CHECKSUM + line.whole_body().decode()] * 2))), 0),
    answer("a checksum that is no Base64", response(200, CHECKSUM + "!" * 44), 6,
           "is no SHA-256: '!!!!", MAY_EXIST),
    answer("a checksum in hex", response(200, CHECKSUM + "0" * 64), 6, "is no SHA-256", MAY_EXIST),
    answer("a checksum of 60,000 bytes", response(200, CHECKSUM + "A" * 60000), 6, "is no SHA-256",
           MAY_EXIST),
    answer("an <Error> in a 200", error(b"Oh.", status=200), 5, "InvalidRequest: Oh.", MAY_EXIST),
    answer("an <Error> with the right checksum", lambda line: line.say(
        ok(line.whole_body()).replace(b"Content-Length: 0", b"Connection: close") +
        b"<Error><Code>Late</Code><Message>No.</Message></Error>") or close(line), 5, "Late: No.",
           MAY_EXIST),
    answer("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", 5, "304"),
]

HEAD = [
    Row("HEAD: reset", at_head_request(then(reset)), 6, ["could not be looked at"], WHOLE),
    Row("HEAD: silence", at_head_request(silence), 6, ["could not be looked at", "exists"], WHOLE),
    Row("HEAD: a byte a second", at_head_request(slowly(OK, 1)), 6, ["could not be looked at"],
        WHOLE),
    Row("HEAD: another checksum", at_head_request(says(
        response(200, CHECKSUM + OTHER, length=SMALL))), 6, [OTHER, "do not trust it"], WHOLE),
    Row("HEAD: headers without end", at_head_request(floods(b"X-A: b\r\n" * 1000, OK)), 6,
        ["could not be looked at", "more than 128 headers"], WHOLE),
    Row("HEAD: a length that wraps", at_head_request(says(
        OK + b"Content-Length: 4295032833\r\n\r\n")), 6, ["the store has 4295032833 bytes"], WHOLE),
]

DOCUMENTS = [
    answer("a billion laughs", error(b"&l9;", before=LAUGHS), 5, "400", "no error document"),
    answer("an external entity", error(
        b"&x;", before=b"<!DOCTYPE x [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"), 5, "400",
           "no error document"),
    answer("an attribute of 60,000 bytes", error(before=b"<?xml version='1.0'?><!--" + b"-x" * 30000 +
                                                 b"-->"), 5, "400"),
    answer("100,000 nested tags", response(400, body=b"<a>" * 100000), 5, "400"),
    answer("nested tags in an <Error>", error(b"<a>" * 20000), 5, "400", "no error document"),
    answer("invalid UTF-8", error(b"\xff\xfe\xc0\x80"), 5, "400", "no error document"),
    answer("UTF-16", response(400, body="<Error><Code>Wide</Code></Error>".encode("utf-16")), 5,
           "400", "Wide"),
    answer("a Message of 60,000 bytes", error(b"m" * 60000), 5, "InvalidRequest: mmmm"),
    answer("a Message of 900,000 bytes", error(b"m" * 900000), 5, "400"),
    answer("controls in a Message", error(TERMINAL), 5, "400"),
    answer("controls in a Message, as references", error(b"&#x9b;31mred&#x85;&#10;s3-ktls: fine"), 5,
           "InvalidRequest", "s3-ktls: fine"),
    answer("controls in a Code", error(b"m", code=b"A&#x9b;2J\xc2\x9b" * 10), 5, "400"),
    answer("controls in an ETag and a request id", error(b"m"). replace(
        b"\r\n\r\n", b"\r\nx-amz-request-id: \x9b31m\xc2\x9b\r\nETag: \x9b\r\n\r\n"), 5,
           "InvalidRequest: m"),
    answer("controls in a body that is no XML", response(400, body=TERMINAL * 9), 5, "400"),
    answer("301 with Location", response(301, "Location: https://elsewhere.example/" + "x" * 900), 5,
           "redirects are not followed", "https://elsewhere.example/"),
    answer("307 with Location and Endpoint", response(
        307, "Location: https://bucket.s3.example/key",
        body=b"<Error><Code>TemporaryRedirect</Code><Endpoint>bucket.s3.example</Endpoint></Error>"),
           5, "TemporaryRedirect", "redirects are not followed", "https://bucket.s3.example/key"),
    answer("301 with Endpoint alone", response(
        301, body=b"<Error><Code>PermanentRedirect</Code><Endpoint>bucket.s3.example</Endpoint>"
                  b"</Error>"), 5, "PermanentRedirect", "redirects are not followed"),
    answer("a redirect with controls", response(
        301).replace(b"\r\n\r\n", b"\r\nLocation: \x9b2J\xc2\x9b\r\n\r\n"), 5,
           "redirects are not followed"),
]

ROWS = [*EXPECT, *EARLY, *BREAKS, *NO_HTTP, *LENGTHS, *SUCCESSES, *HEAD, *DOCUMENTS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_peer_does(outcomes, payloads, row):
    check(row, *outcomes.of(row), payloads.get(row.size))
