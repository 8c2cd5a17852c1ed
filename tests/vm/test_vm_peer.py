# SPDX-License-Identifier: Apache-2.0
"""What a hostile peer does where it matters that the kernel encrypts: OpenSSL reads, the kernel
sends. The peers are on the host; the rest of them is in tests/integration/test_hostile_*.py."""
import pytest

from kit import rows
from kit.content import MIB
from kit.hostile import (
    HostilePeer, close, confirm, go_on, mid_body, read_head, records, reset, says, silence, then)
from kit.rows import CUT, MAY_EXIST, WHOLE, Row, answer
from kit.scripted import response
from kit.tls_server import (
    ALERT, CLOSE_NOTIFY, HANDSHAKE, HELLO_REQUEST, INTERNAL_ERROR, KEY_UPDATE,
    KEY_UPDATE_REQUESTED, NEW_SESSION_TICKET)

BIG = 8 * MIB + 1  # the guest has it
HOST = "10.0.2.2"
# Emulated, so slow; what ends sooner than by a timeout must not take longer than these.
TIMEOUTS_S, WITHIN_S = (20, 5), 60

DENIED = response(403, body=b"<Error><Code>AccessDenied</Code><Message>Not you.</Message></Error>")
DENIED_SAYS = ["403", "AccessDenied: Not you."]

ROWS = [
    Row("KeyUpdate in mid-body", mid_body(then(records(HANDSHAKE, KEY_UPDATE), go_on)), 0, [],
        WHOLE, BIG),
    Row("KeyUpdate asked for in mid-body",
        mid_body(then(records(HANDSHAKE, KEY_UPDATE_REQUESTED), go_on)), 0, [], WHOLE, BIG),
    answer("KeyUpdate", then(records(HANDSHAKE, KEY_UPDATE), confirm()), 0),
    answer("KeyUpdate asked for", then(records(HANDSHAKE, KEY_UPDATE_REQUESTED), confirm()), 0),
    Row("1,000 session tickets in mid-body",
        mid_body(then(records(HANDSHAKE, *[NEW_SESSION_TICKET] * 1000), go_on)), 0, [], WHOLE, BIG),
    answer("1,000 session tickets", then(records(HANDSHAKE, *[NEW_SESSION_TICKET] * 1000),
                                         confirm()), 0),
    Row("close_notify in mid-body, read on", mid_body(then(records(ALERT, CLOSE_NOTIFY), go_on)), 4,
        ["closed", "before it answered"], CUT, BIG),
    Row("403 in mid-body, kept", mid_body(says(DENIED)), 5, DENIED_SAYS, CUT, BIG, at_most=BIG),
    Row("403 in mid-body, closed", mid_body(then(says(DENIED), close)), 5, DENIED_SAYS, CUT, BIG,
        at_most=BIG),
    Row("403 in mid-body, not read", mid_body(then(says(DENIED), silence)), 5, DENIED_SAYS, CUT,
        BIG, at_most=BIG),
    Row("reset in mid-body", mid_body(reset), 4, [HOST], CUT, BIG),
    Row("an alert in mid-body", mid_body(records(ALERT, INTERNAL_ERROR)), 4,
        [HOST, "internal error"], CUT, BIG),
    Row("silence in mid-body", mid_body(silence), 4, ["no progress for 5 s"], CUT, BIG),
    answer("an alert", records(ALERT, INTERNAL_ERROR), 4, "internal error", MAY_EXIST),
    Row("renegotiation asked for, TLS 1.2", mid_body(then(records(HANDSHAKE, HELLO_REQUEST), go_on)),
        4, [HOST], CUT, BIG, tls="TLS 1.2"),
]


@pytest.mark.kernels("bookworm", "sid")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_a_peer_does(guest, payloads, in_guest, certificates, row):
    payload = payloads.get(row.size)
    with HostilePeer(row.script, certificates.context(row.tls)) as peer:
        result = rows.put(guest, in_guest(payload), peer.vm_url, certificates.ca, WITHIN_S,
                          TIMEOUTS_S, ["--require-ktls"])
    rows.check(row, result, peer, payload, HOST)
    if row.exit_code == 0:
        assert result.json["encrypted_by"] == "ktls"


@pytest.mark.kernels("bookworm", "sid")
@pytest.mark.parametrize("update, connections", [(KEY_UPDATE, 1), (KEY_UPDATE_REQUESTED, 2)],
                         ids=["told", "asked for"])
def test_new_keys_take_a_new_connection(guest, payloads, in_guest, certificates, update,
                                        connections):
    """OpenSSL can't give the kernel new keys for sending: what is under way ends with the old ones,
    and the next request, here the HEAD that confirms, goes over another connection."""
    payload = payloads.get(rows.SMALL)

    def script(line):
        if line.number == 1:
            read_head(line)
            line.whole_body()
            line.tls.send_records(HANDSHAKE, update)
            line.say(response(200))
        line.start_tls()
        assert line.head().startswith(b"HEAD ")
        line.say(response(200, length=payload.size))

    with HostilePeer(script, certificates.context("good")) as peer:
        result = rows.put(guest, in_guest(payload), peer.vm_url, certificates.ca, WITHIN_S,
                          TIMEOUTS_S, ["--require-ktls"])
    assert result.expect(0).json["store"] == "accepted"
    assert len(peer.lines) == connections
