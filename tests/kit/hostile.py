# SPDX-License-Identifier: Apache-2.0
"""A peer that does at a chosen moment what no store should, and keeps all that it got.

A script is a function that is called with a Line. A moment makes one of an act: mid_body(reset) is
a script that resets the connection in the middle of the body. Acts are scripts, too, that begin
where the moment has come.
"""
import re
import socket
import struct
import threading

from kit.scripted import HungUp, Listener, response
from kit.tls_server import ALERT, CLOSE_NOTIFY, TlsServer

MID_BODY_BYTES = 1024 * 1024

TRAILER = rb"0\r\nx-amz-checksum-sha256:([A-Za-z0-9+/=]{44})\r\n\r\n"
WHOLE_BODY = re.compile(rb"\r\n" + TRAILER + rb"\r\n0\r\n\r\n")


class Line:
    """One connection. number: from 1; received: all that came over it, without TLS; tls: the
    kit.tls_server.TlsServer, None before it is there."""

    def __init__(self, sock, number, context, over):
        self.sock, self.number, self._context, self._over = sock, number, context, over
        self.received, self.tls = bytearray(), None
        self._begin = 0  # of the request that is being read

    @property
    def _stream(self):
        return self.tls or self.sock

    def start_tls(self):
        """Shakes hands, if this peer has TLS and it has not been done."""
        if self._context and not self.tls:
            self.tls = TlsServer(self.sock, self._context)
            self.tls.handshake()

    def begin_tls(self):
        """Only the server's side, for a handshake that goes wrong."""
        self.tls = TlsServer(self.sock, self._context)
        return self.tls

    def read(self):
        data = self._stream.recv(65536)
        if not data:
            raise HungUp
        self.received += data

    def head(self):
        """The next request's head."""
        while True:
            end = self.received.find(b"\r\n\r\n", self._begin)
            if end >= 0:
                head = bytes(self.received[self._begin:end + 4])
                self._begin = end + 4
                return head
            self.read()

    def body(self, at_least):
        """Reads on until so many bytes of the body are there."""
        while len(self.received) - self._begin < at_least:
            self.read()

    def whole_body(self):
        """Reads it to its end; returns the trailer's value."""
        while not self.received.endswith(b"\r\n0\r\n\r\n"):
            self.read()
        self._begin = len(self.received)
        return WHOLE_BODY.search(self.received)[1]

    def say(self, data):
        self._stream.sendall(data)

    def wait(self, seconds=20):
        """Until then, or until the test is over."""
        self._over.wait(seconds)

    @property
    def is_over(self):
        return self._over.is_set()


class HostilePeer(Listener):
    """with HostilePeer(script, context) as peer: run the program at peer.url, within. Everything
    that the client goes on to send after the script is read, too. context: of
    kit.tls_server.server_context(), None: http."""

    def __init__(self, script, context=None):
        super().__init__("https" if context else "http")
        self._script, self._context = script, context
        self._over = threading.Event()
        self.lines = []

    def __exit__(self, *exc):
        self._over.set()
        super().__exit__(*exc)

    def _converse(self, connection, number):
        line = Line(connection, number, self._context, self._over)
        self.lines.append(line)
        with connection:
            try:
                self._script(line)
                while True:
                    line.read()
            finally:
                if line.tls:
                    line.tls.close()

    @property
    def received(self):
        return b"".join(line.received for line in self.lines)

    @property
    def whole_bodies(self):
        return len(WHOLE_BODY.findall(self.received))

    @property
    def trailers(self):
        """How many last chunks of aws-chunked came, with or without the end of the HTTP body."""
        return len(re.findall(TRAILER, self.received))


# --- moments ------------------------------------------------------------------------------------

def at_start(act):
    return act


def after_handshake(act):
    def script(line):
        line.start_tls()
        act(line)

    return script


def after_head(act):
    """Instead of 100 Continue, if that was asked for."""
    def script(line):
        line.start_tls()
        line.head()
        act(line)

    return script


def read_head(line):
    line.start_tls()
    if b"\r\nexpect: 100-continue\r\n" in line.head().lower():
        line.say(b"HTTP/1.1 100 Continue\r\n\r\n")


def mid_body(act):
    def script(line):
        read_head(line)
        line.body(MID_BODY_BYTES)
        act(line)

    return script


def after_body(act):
    def script(line):
        read_head(line)
        line.whole_body()
        act(line)

    return script


def mid_answer(act):
    """After the first bytes of a success."""
    def script(line):
        read_head(line)
        trailer = line.whole_body()
        line.say(ok(trailer)[:60])
        act(line)

    return script


def at_head_request(act):
    """After a success without checksum, when the HEAD that asks for it is there. When it fails, it
    comes once more, over another connection."""
    def script(line):
        read_head(line)
        if line.number == 1:
            line.whole_body()
            line.say(response(200))
            line.head()
        act(line)

    return script


# --- acts ---------------------------------------------------------------------------------------

def ok(trailer):
    return response(200, "x-amz-checksum-sha256: " + trailer.decode())


def reset(line):
    """At once, and what was not read is lost."""
    line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.sock.close()
    raise HungUp


def close(line):
    """In good order: close_notify where TLS is, FIN."""
    if line.tls:
        line.tls.send_records(ALERT, CLOSE_NOTIFY)
    line.sock.shutdown(socket.SHUT_WR)


def drop(line):
    """FIN without close_notify."""
    line.sock.shutdown(socket.SHUT_WR)


def silence(line):
    line.wait()


def says(*answers):
    def act(line):
        for answer in answers:
            line.say(answer)

    return act


def slowly(answer, pause_s, piece_bytes=1):
    """A piece at a time."""
    def act(line):
        for at in range(0, len(answer), piece_bytes):
            line.say(answer[at:at + piece_bytes])
            line.wait(pause_s)
            if line.is_over:
                return

    return act


def floods(piece, before=b""):
    """The same for ever."""
    def act(line):
        line.say(before)
        while not line.is_over:
            line.say(piece)

    return act


def records(kind, *contents):
    """TLS records of that kind, made by hand."""
    return lambda line: line.tls.send_records(kind, *contents)


def floods_records(kind, *contents, ahead=1):
    """Without end, so many times of which at once: the client can't read as fast as they come."""
    def act(line):
        line.tls.send_records(kind, *contents * ahead)
        while not line.is_over:
            line.tls.send_records(kind, *contents)

    return act


def then(*acts):
    def act(line):
        for one in acts:
            one(line)

    return act


def go_on(line):
    """Reads the rest of the body and accepts it, as a good store."""
    line.say(ok(line.whole_body()))


def confirm(*more_headers):
    """After the body: success, with the right checksum."""
    def act(line):
        trailer = WHOLE_BODY.search(line.received)[1].decode()
        line.say(response(200, f"x-amz-checksum-sha256: {trailer}", *more_headers))

    return act
