# SPDX-License-Identifier: Apache-2.0
"""Scripted peers, for the few things that no real server at hand can do."""
import base64
import hashlib
import re
import socket
import threading

TRAILER = re.compile(rb"\r\n0\r\nx-amz-checksum-sha256:([A-Za-z0-9+/=]{44})\r\n\r\n")


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
        assert more, "the client hung up in its head"
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


def take_put(connection):
    """Serves one PUT of a small file with chunked framing: (request line, headers, content), the
    trailer checked against the content."""
    first, headers, body = read_head(connection)
    while not body.endswith(b"\r\n0\r\n\r\n"):
        more = connection.recv(65536)
        assert more, "the client hung up"
        body += more
    inner, rest = decode_chunked(body)
    assert rest == b"\r\n"
    content, trailer = decode_chunked(inner)
    assert trailer.startswith(b"x-amz-checksum-sha256:")
    told = trailer.split(b":", 1)[1].rstrip(b"\r\n")
    assert base64.b64decode(told) == hashlib.sha256(content).digest()
    answer_put(connection, told)
    return first, headers, content
