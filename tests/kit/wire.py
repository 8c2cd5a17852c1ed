# SPDX-License-Identifier: Apache-2.0
"""Where in an upload's request what stands, for tests that damage it."""


class Wire:
    """The places of a whole PUT with an aws-chunked body, as offsets into it.

    outer, inner: of the size lines of HTTP's chunks (none with Content-Length) and of aws-chunked's,
    the last one's included; data: [(offset, bytes), ...] of the payload's chunks; trailer: of the
    trailer's name, value: of its value, value_end: behind that; body: of the body's first byte.
    """

    def __init__(self, request):
        self.request = request
        self.body = request.index(b"\r\n\r\n") + 4
        self.outer, self.inner, self.data = [], [], []
        chunked = b"\r\ntransfer-encoding: chunked\r\n" in request[:self.body].lower()
        at, size = self.body, None
        while size != 0:
            if chunked:
                self.outer.append(at)
                at = self._line_end(at)
            self.inner.append(at)
            size = int(request[at:request.index(b"\r\n", at)], 16)
            at = self._line_end(at)
            if size:
                self.data.append((at, size))
                at += size + (4 if chunked else 2)
        self.trailer = at
        self.value = request.index(b":", at) + 1
        self.value_end = request.index(b"\r\n", self.value)

    def _line_end(self, at):
        return self.request.index(b"\r\n", at) + 2

    def payload(self, offset):
        """Of that byte of the payload."""
        for at, size in self.data:
            if offset < size:
                return at + offset
            offset -= size
        raise IndexError

    def header(self, name):
        """Of a header's value."""
        return self.request.lower().index(b"\r\n" + name.encode() + b": ") + len(name) + 4
