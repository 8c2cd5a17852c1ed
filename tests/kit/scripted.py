# SPDX-License-Identifier: Apache-2.0
"""Scripted peers, for the few things that no real server at hand can do."""
import base64
import contextlib
import hashlib
import http
import re
import socket
import threading
import typing

TRAILER = re.compile(rb"\r\n0\r\nx-amz-checksum-sha256:([A-Za-z0-9+/=]{44})\r\n\r\n")


class HungUp(Exception):
    """The client ended the connection where it could."""


class Request(typing.NamedTuple):
    """connection: the number, from 1, of the one it came over; first: its first line; headers by
    lower-case name; content: without any framing, b"" if there is no body."""

    connection: int
    first: str
    headers: dict
    content: bytes


def decode_chunked(body):
    """What is inside Transfer-Encoding: chunked, or inside aws-chunked; and what follows."""
    content = []
    while True:
        line, rest = body.split(b"\r\n", 1)
        size = int(line, 16)
        if size == 0:
            return b"".join(content), rest
        assert rest[size:size + 2] == b"\r\n"
        content.append(rest[:size])
        body = rest[size + 2:]


def read_head(connection):
    """(request line, {lower-case name: value}, first bytes of the body)"""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise HungUp
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return first, {name.lower(): value for name, value in headers.items()}, rest


def answer_put(connection, trailer):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"0\"\r\n"
                       b"x-amz-request-id: scripted\r\n"
                       b"x-amz-checksum-sha256: " + trailer + b"\r\n\r\n")


class Sink:
    """Takes one PUT with chunked framing, throws the body away, and answers with the checksum of
    the trailer. For bodies that would fill a real server's disk.

    before_answer: called when the whole body is there and the client waits.
    """

    def __init__(self, before_answer=None):
        self._before_answer = before_answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True, name="sink")
        self.body_bytes, self.trailer, self.error = 0, None, None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        self._listener.close()
        self._thread.join(timeout=10)

    def _serve(self):
        try:
            with self._listener.accept()[0] as connection:
                self._take(connection)
        except Exception as error:  # told by the test that looks at it
            self.error = error

    def _take(self, connection):
        _, headers, rest = read_head(connection)
        if "expect" in headers:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        buffer = bytearray(1024 * 1024)
        tail = rest
        self.body_bytes = len(rest)
        while not TRAILER.search(tail) or not tail.endswith(b"\r\n0\r\n\r\n"):
            n = connection.recv_into(buffer)
            assert n, "the client hung up"
            self.body_bytes += n
            tail = (tail + buffer[max(0, n - 512):n])[-512:]
        self.trailer = TRAILER.search(tail).group(1)
        if self._before_answer:
            self._before_answer()
        answer_put(connection, self.trailer)


def read_body(connection, rest):
    """(content, trailer's value) of a body with chunked framing whose first bytes are there; the
    trailer is checked against the content."""
    body = bytearray(rest)
    while not body.endswith(b"\r\n0\r\n\r\n"):
        more = connection.recv(65536)
        if not more:
            raise HungUp
        body += more
    inner, rest = decode_chunked(bytes(body))
    assert rest == b"\r\n"
    content, trailer = decode_chunked(inner)
    assert trailer.startswith(b"x-amz-checksum-sha256:")
    told = trailer.split(b":", 1)[1].rstrip(b"\r\n")
    assert base64.b64decode(told) == hashlib.sha256(content).digest()
    return content, told


def take_put(connection):
    """Serves one PUT of a small file with chunked framing: (request line, headers, content)."""
    first, headers, rest = read_head(connection)
    content, told = read_body(connection, rest)
    answer_put(connection, told)
    return first, headers, content


def response(status, *headers, body=b"", length=None):
    """An answer as bytes. length: what it says of its body, where that does not follow."""
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}",
             f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def say_continue(connection):
    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


class Listener:
    """with ... as it: serves one connection of loopback after the other, in a thread of its own.
    A subclass has _converse(connection, number), number from 1 on."""

    def __init__(self, scheme):
        self._listener = socket.socket()
        # Inherited by connections: a body that is not read fills it soon.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        port = self._listener.getsockname()[1]
        self.url, self.vm_url = f"{scheme}://localhost:{port}", f"{scheme}://10.0.2.2:{port}"
        self._thread = threading.Thread(target=self._serve, daemon=True, name="peer")
        self._error = None

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exc):
        # accept() in another thread does not notice close().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=20)
        assert not self._thread.is_alive(), "the peer hangs"
        self._listener.close()
        if self._error:
            raise self._error

    def _serve(self):
        try:
            number = 0
            while True:
                try:
                    connection = self._listener.accept()[0]
                except OSError:
                    return
                connection.settimeout(10)
                number += 1
                # That a client hangs up is for the test to judge, by its result and what was asked.
                with contextlib.suppress(OSError, HungUp):
                    self._converse(connection, number)
        except Exception as error:  # raised at the end
            self._error = error


class Peer(Listener):
    """with Peer(answer, ...) as peer: an HTTP server at peer.url whose answers a test writes; what
    was asked is in peer.requests.

    answer: called with a whole Request; what it returns is sent: bytes, or a list of them. Those of
    a list arrive at once, but in TLS records of their own. An answer with "Connection: close" ends
    the connection. at_head: called with the connection when a head that expects 100 Continue is
    there. tls: the ssl.SSLContext of the first connection, of the second..., the last one's for
    all others; none: http. For one that does not keep to the protocol: kit/hostile.py.
    """

    def __init__(self, answer, at_head=say_continue, tls=()):
        super().__init__("https" if tls else "http")
        self._answer, self._at_head, self._tls = answer, at_head, tls
        self.requests = []

    def _converse(self, connection, number):
        with contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            if self._tls:
                context = self._tls[min(number, len(self._tls)) - 1]
                connection = stack.enter_context(context.wrap_socket(connection, server_side=True))
            answer = b""
            while b"\r\nConnection: close\r\n" not in answer:
                first, headers, rest = read_head(connection)
                if "expect" in headers:
                    self._at_head(connection)
                content = read_body(connection, rest)[0] if first.startswith("PUT ") else b""
                self.requests.append(Request(number, first, headers, content))
                answer = self._answer(self.requests[-1])
                records = [answer] if isinstance(answer, bytes) else answer
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                for record in records:
                    connection.sendall(record)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
                answer = b"".join(records)


@contextlib.contextmanager
def deaf_port():
    """A port of 127.0.0.1 whose queue is full: a SYN gets no answer."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
