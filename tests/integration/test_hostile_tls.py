# SPDX-License-Identifier: Apache-2.0
"""What a peer may do with TLS: before, in and after the handshake.

Each row of the tables is one upload; what is asked of all of them is in kit/rows.py.
"""
import random

import pytest

from kit.hostile import (
    after_handshake, confirm, floods_records, go_on, mid_body, records, reset, silence, then)
from kit.rows import (
    BIG, CUT, MAY_EXIST, ONE_WAIT_S, WHOLE, Row, answer, check)
from kit.scripted import response
from kit.tls_server import (
    ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, CLOSE_NOTIFY, HANDSHAKE, HELLO_REQUEST,
    INTERNAL_ERROR, KEY_UPDATE, KEY_UPDATE_REQUESTED, NEW_SESSION_TICKET, USER_CANCELED)


def untrusted(name, *words):
    """A certificate: the handshake fails, and the message names host and reason."""
    return Row(f"certificate: {name}", after_handshake(silence), 4, ["localhost", *words], CUT,
               tls=name)


CERTIFICATES = [
    untrusted("expired", "expired at", "renewed"),
    untrusted("not yet valid", "is valid from", "check the clock"),
    untrusted("another name", "is for elsewhere.example", "not for localhost"),
    untrusted("self-signed", "not trusted", "--ca-bundle"),
    untrusted("unknown CA", "issued by", "not trusted", "--ca-bundle"),
    untrusted("RSA of 1024 bits", "key too weak", "replaced"),
    untrusted("SHA-1 signature", "too weak", "replaced"),
    untrusted("controls in the names", "is for"),
    untrusted("a chain of 60", "not trusted"),
    untrusted("a chain of 600", "localhost"),
]


def after_server_hello(line):
    """Its first record, then the end."""
    flight = line.begin_tls().answer_hello()
    line.sock.sendall(flight[:5 + int.from_bytes(flight[3:5], "big")])
    close_raw(line)


def close_raw(line):
    line.sock.shutdown(2)


def read_hello(act):
    def script(line):
        line.sock.recv(65536)
        act(line)

    return script


def raw(data):
    return lambda line: line.sock.sendall(data)


def floods_raw(data, before=b""):
    def act(line):
        line.sock.sendall(before)
        while not line.is_over:
            line.sock.sendall(data)

    return act


def slow_handshake(line):
    flight = line.begin_tls().answer_hello()
    for at in range(len(flight)):
        line.sock.sendall(flight[at:at + 1])
        line.wait(0.5)


def no_tls(name, script, *words, **more):
    return Row(f"handshake: {name}", script, 4, ["localhost", *words], CUT, **more)


HANDSHAKES = [
    no_tls("closed after ClientHello", read_hello(close_raw), "closed", "https?"),
    no_tls("reset after ClientHello", read_hello(reset)),
    no_tls("silence after ClientHello", read_hello(silence), "time allowed"),
    no_tls("closed after ServerHello", after_server_hello, "closed", "https?"),
    no_tls("a byte every half second", slow_handshake, "time allowed"),
    no_tls("an alert", read_hello(raw(b"\x15\3\3\0\2\2\x28")), "none of the ciphers"),
    no_tls("plain http", read_hello(raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")), "plain http"),
    no_tls("random bytes", read_hello(raw(random.Random(6).randbytes(4096)))),
    no_tls("a record of 65,535 bytes", read_hello(raw(b"\x16\3\3\xff\xff" + bytes(65535)))),
    no_tls("a garbage record of 16 KiB", read_hello(raw(b"\x16\3\3\x40\0" + b"\xa5" * 16384))),
    no_tls("ServerHello of 16 MiB", read_hello(floods_raw(
        b"\x16\3\3\x40\0" + bytes(16384), b"\x16\3\3\0\4\2\xff\xff\xff"))),
    no_tls("empty records without end", read_hello(floods_raw(b"\x16\3\3\0\0" * 100))),
    no_tls("warnings without end", read_hello(floods_raw(b"\x15\3\3\0\2\1\x5a" * 100))),
    # OpenSSL skips each, and goes on to read.
    no_tls("HelloRequests without end", read_hello(floods_raw(b"\x16\3\3\0\4\0\0\0\0" * 20000)),
           "time allowed", within_s=ONE_WAIT_S),
    no_tls("TLS 1.1", after_handshake(silence), "no TLS 1.2 or newer", tls="TLS 1.1"),
]

RECORDS = [
    Row("KeyUpdate in mid-body", mid_body(then(records(HANDSHAKE, KEY_UPDATE), go_on)), 0, [],
        WHOLE, BIG),
    Row("KeyUpdate asked for in mid-body",
        mid_body(then(records(HANDSHAKE, KEY_UPDATE_REQUESTED), go_on)), 0, [], WHOLE, BIG),
    answer("KeyUpdate", then(records(HANDSHAKE, KEY_UPDATE), confirm()), 0),
    answer("KeyUpdate asked for", then(records(HANDSHAKE, KEY_UPDATE_REQUESTED), confirm()), 0),
    Row("KeyUpdates without end", mid_body(floods_records(HANDSHAKE, KEY_UPDATE)), 4, ["localhost"],
        CUT, BIG),
    Row("KeyUpdates asked for without end",
        mid_body(floods_records(HANDSHAKE, KEY_UPDATE_REQUESTED)), 4, ["localhost"], CUT, BIG),
    answer("KeyUpdates without end", floods_records(HANDSHAKE, KEY_UPDATE), 4, "localhost",
           MAY_EXIST),
    answer("a session ticket", then(records(HANDSHAKE, NEW_SESSION_TICKET), confirm()), 0),
    answer("1,000 session tickets", then(records(HANDSHAKE, *[NEW_SESSION_TICKET] * 1000),
                                         confirm()), 0),
    answer("session tickets without end", floods_records(
        HANDSHAKE, *[NEW_SESSION_TICKET] * 200, ahead=200), 4, "localhost", MAY_EXIST,
        within_s=ONE_WAIT_S),
    Row("session tickets without end, in mid-body",
        mid_body(floods_records(HANDSHAKE, *[NEW_SESSION_TICKET] * 200, ahead=200)), 4,
        ["localhost"], CUT, BIG, within_s=ONE_WAIT_S),
    Row("close_notify in mid-body, read on", mid_body(then(records(ALERT, CLOSE_NOTIFY), go_on)), 4,
        ["closed", "before it answered"], CUT, BIG),
    Row("an alert in mid-body", mid_body(records(ALERT, INTERNAL_ERROR)), 4,
        ["localhost", "internal error"], CUT, BIG),
    answer("an alert", records(ALERT, INTERNAL_ERROR), 4, "internal error", MAY_EXIST),
    answer("user_canceled, then go on", then(records(ALERT, USER_CANCELED), confirm()), 0),
    answer("user_canceled without end", floods_records(ALERT, *[USER_CANCELED] * 100), 4,
           "localhost", MAY_EXIST),
    answer("three empty records", then(records(APPLICATION_DATA, b"", b"", b""), confirm()), 0),
    answer("empty records without end", floods_records(APPLICATION_DATA, *[b""] * 100), 4,
           "localhost", MAY_EXIST),
    Row("empty records without end, in mid-body",
        mid_body(floods_records(APPLICATION_DATA, *[b""] * 100)), 4, ["localhost"], CUT, BIG),
    answer("a record that was not sealed", raw(b"\x17\3\3\x40\0" + b"\xa5" * 16384), 4, "localhost",
           MAY_EXIST),
    answer("a record of 65,535 bytes", raw(b"\x17\3\3\xff\xff" + bytes(65535)), 4, "localhost",
           MAY_EXIST),
    answer("a record of more than 2^14 bytes", records(APPLICATION_DATA, bytes(17000)), 4,
           "localhost", MAY_EXIST),
    answer("a record of an unknown kind", records(99, b"abc"), 4, "localhost", MAY_EXIST),
    answer("change_cipher_spec", records(CHANGE_CIPHER_SPEC, b"\1"), 4, "localhost", MAY_EXIST),
    answer("http in the open", raw(response(403)), 4, "localhost", MAY_EXIST),
    answer("a handshake message of 16 MiB", then(records(HANDSHAKE, b"\4\xff\xff\xff"),
                                                 floods_records(HANDSHAKE, bytes(16384))), 4,
           "localhost", MAY_EXIST),
    # The program refuses by an alert, and OpenSSL, as a server, ends the connection for it.
    Row("renegotiation asked for, TLS 1.2", mid_body(then(records(HANDSHAKE, HELLO_REQUEST), go_on)),
        4, ["localhost"], CUT, BIG, tls="TLS 1.2"),
    Row("renegotiation asked for without end, TLS 1.2",
        mid_body(floods_records(HANDSHAKE, HELLO_REQUEST)), 4, ["localhost"], CUT, BIG,
        tls="TLS 1.2"),
    answer("renegotiation asked for without end, TLS 1.2", floods_records(HANDSHAKE, HELLO_REQUEST),
           4, "localhost", MAY_EXIST, tls="TLS 1.2"),
]

ROWS = [*CERTIFICATES, *HANDSHAKES, *RECORDS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning",
                            "ignore:SHA1 signatures")
def test_what_a_peer_does(outcomes, payloads, row):
    check(row, *outcomes.of(row), payloads.get(row.size))
