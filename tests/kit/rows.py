# SPDX-License-Identifier: Apache-2.0
"""A table of what a hostile peer does, and what must be true of the upload that meets it."""
import concurrent.futures
import re
import typing

from kit import measure
from kit.content import MIB
from kit.hostile import HostilePeer, after_body, says

CONNECT_TIMEOUT_S, TIMEOUT_S, CONTINUE_WAIT_S = 4, 3, 1
NO_PROGRESS = f"no progress for {TIMEOUT_S} s"
# Name, TCP and TLS; 100 Continue; one wait while sending; one for the answer to begin and one for
# it to end, and the same for HEAD; start and end of the program on a machine that is busy.
WITHIN_S = 2 * CONNECT_TIMEOUT_S + CONTINUE_WAIT_S + 5 * TIMEOUT_S + 3
# Where nothing but one wait stands between the program and its end.
ONE_WAIT_S = 2 * TIMEOUT_S + 3
AT_ONCE = 4

SMALL = 65537
BIG = 16 * MIB  # more than the buffers between the program and the peer hold

SECRETS = {"AWS_SECRET_ACCESS_KEY": "some-secret-access-key",
           "AWS_SESSION_TOKEN": "some-session-token"}
MAY_EXIST = "an object may exist"
WHOLE, CUT = "a whole body arrived", "no whole body arrived"


class Row(typing.NamedTuple):
    """says: parts of the message; body: WHOLE or CUT; at_most: bytes that may arrive at the peer,
    where that says more than CUT; within_s: how long it may take; tls: name of a context, "" for http."""

    name: str
    script: typing.Callable
    exit_code: int
    says: list
    body: str
    size: int = SMALL
    at_most: int = 0
    within_s: float = WITHIN_S
    tls: str = "good"


def answer(name, bytes_or_act, exit_code, *words, **more):
    """After the whole body of a small file."""
    act = says(bytes_or_act) if isinstance(bytes_or_act, bytes) else bytes_or_act
    return Row(f"answer: {name}", after_body(act), exit_code, list(words), WHOLE, **more)


def put(program, path, url, ca, within_s=WITHIN_S, timeouts_s=(CONNECT_TIMEOUT_S, TIMEOUT_S),
        more=()):
    """One upload; the last line of its stderr is its peak memory. program: this machine's, or
    kit.guest's."""
    env = program.environment(AWS_ACCESS_KEY_ID="some-key-id", AWS_CA_BUNDLE=ca, **SECRETS)
    connect_s, idle_s = map(str, timeouts_s)
    return program.run(
        ["put", path, "s3://bucket/key", "--json", "--endpoint-url", url, "--connect-timeout",
         connect_s, "--timeout", idle_s, *more], env, prefix=measure.PREFIX, timeout=within_s)


def run(row, program, payloads, certificates):
    """(result, peer) of the upload that meets that row's peer."""
    context = certificates.context(row.tls) if row.tls else None
    with HostilePeer(row.script, context) as peer:
        result = put(program, payloads.get(row.size).path, peer.url, certificates.ca, row.within_s)
    return result, peer


class Outcomes:
    """Runs rows side by side, because most of them wait. of(row): what run(row, ...) gave."""

    def __init__(self, rows, run_one, *arguments):
        self._pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        self._runs = {row.name: self._pool.submit(run_one, row, *arguments) for row in rows}

    def of(self, row):
        return self._runs[row.name].result()

    def close(self):
        self._pool.shutdown(cancel_futures=True)


def selected_rows(request):
    """The rows of the tests of this module that were asked for."""
    return [item.callspec.params["row"] for item in request.session.items
            if item.module is request.module and hasattr(item, "callspec")]


def assert_honest(result, whole_bodies, host):
    """What every failure must say, and what none may: about the object, to the terminal."""
    errors = [line for line in result.stderr.splitlines() if "s3-ktls: error: " in line]
    assert len(errors) == 1, result
    assert host in errors[0] or "s3://bucket/key" in errors[0], result
    if result.returncode == 4:
        assert (MAY_EXIST in errors[0]) == bool(whole_bodies), result
    assert not (whole_bodies and "nothing was stored" in errors[0]), result


def assert_printable(result):
    """No control character but the line feed, of ASCII or of UTF-8; and no invalid UTF-8."""
    text = result.stdout + result.stderr
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]",
                         text), repr(text)


def check(row, result, peer, payload, host="localhost"):
    result.expect(row.exit_code, *row.says)
    assert_printable(result)
    for secret in SECRETS.values():
        assert secret not in result.stdout + result.stderr, "a secret is in the output"
    peak_kib = measure.peak_kib(result)
    assert peak_kib <= measure.LIMIT_KIB, f"peak RSS {peak_kib} KiB\n{result}"
    assert peer.whole_bodies == (row.body == WHOLE), f"{peer.whole_bodies} whole bodies\n{result}"
    if row.body == CUT:
        assert peer.trailers == 0, "a trailer left"
    if row.at_most:
        assert len(peer.received) <= row.at_most, f"{len(peer.received)} bytes came\n{result}"
    if row.exit_code:
        assert_honest(result, peer.whole_bodies, host)
        assert len(result.json) == 1 and result.json["error"]["exit_code"] == row.exit_code, result
    else:
        assert result.json["sha256"] == payload.sha256 and result.json["store"] == "confirmed"
