# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy on loopback that stands between the program and a real server and misbehaves."""
import pathlib
import re
import select
import socket
import ssl
import threading
import urllib.parse

PIECE = 64 * 1024


def tls_context(server, version, ciphers=None):
    """For Proxy: that server's own certificate, and only this version of TLS."""
    folder = pathlib.Path(server.ca).parent
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    return context


def is_whole(request):
    """Is its body there, to the end that its framing tells?"""
    head, blank, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.I)
    if length:
        return blank and len(body) >= int(length[1])
    return blank and body.endswith(b"\r\n0\r\n\r\n")


def flip(request, at, mask=1):
    """The request with those bits of one byte flipped."""
    return request[:at] + bytes([request[at] ^ mask]) + request[at + 1:]


class Proxy:
    """with Proxy(url, ...) as proxy: use proxy.url in place of url.

    hold_at: lets about that many bytes from the client through, sets `held`, and reads on when
    release() is called. flip_at: flips a bit of the byte at that offset of what the client sends.
    edit: a function from the client's whole first request to another; for one without Expect.
    hold_answer: keeps the server's first word back until release(). address: where it listens. tls:
    an ssl.SSLContext; the proxy's own side is then TLS, the server's plain. Only the first
    connection is tampered with. An exception in it, but an OSError, is raised at the block's end.
    """

    def __init__(self, url, hold_at=None, flip_at=None, edit=None, hold_answer=False, tls=None,
                 address="127.0.0.1"):
        parts = urllib.parse.urlsplit(url)
        self._target = ("127.0.0.1", parts.port)
        self._hold_at, self._flip_at, self._edit = hold_at, flip_at, edit
        self._hold_answer, self._tls = hold_answer, tls
        self.held = threading.Event()
        self._release = threading.Event()
        ipv6 = ":" in address
        self._listener = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
        # A small window, inherited by connections: little is under way beyond what was read.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
        self._listener.bind((address, 0))
        self._listener.listen(16)
        self.port = self._listener.getsockname()[1]
        scheme = "https" if tls else parts.scheme
        self.url = f"{scheme}://{'[::1]' if ipv6 else 'localhost'}:{self.port}"
        self.vm_url = f"{scheme}://10.0.2.2:{self.port}"
        self.bytes_from_client = 0
        self._stopping = False
        self._threads = []
        self._error = None

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_exc):
        self._stopping = True
        self._release.set()
        # accept() in another thread does not notice close().
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=10)
            assert not thread.is_alive(), "a thread of the proxy hangs"
        if self._error:
            raise self._error

    def release(self):
        self._release.set()

    def cut(self):
        """Ends the connections, what is still in them unread: the client gets a reset."""
        self._stopping = True
        self._release.set()

    def _start(self, function, *args):
        thread = threading.Thread(target=function, args=args, daemon=True, name="proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        tamper = True
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, client, tamper)
            tamper = False

    def _serve(self, client, tamper):
        try:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(self._target) as server:
                self._relay(client, server, tamper)
        except OSError:
            # The client or the server hung up, which tests do on purpose.
            client.close()
        except Exception as error:  # an `edit` that failed, say: raised at the end
            self._error = error
            client.close()

    def _relay(self, client, server, tamper):
        while not self._stopping:
            has_pending = self._tls and client.pending()
            ready = [client] if has_pending else select.select([client, server], [], [], 0.1)[0]
            if server in ready:
                data = server.recv(PIECE)
                if not data:
                    return
                if self._hold_answer and tamper:
                    self.held.set()
                    self._release.wait()
                if not self._stopping:
                    client.sendall(data)
            if client in ready:
                data = client.recv(PIECE)
                if not data:
                    return
                data = self._tampered(client, data) if tamper else data
                if not self._stopping:
                    server.sendall(data)

    def _tampered(self, client, data):
        if self._edit:
            while not is_whole(data):
                more = client.recv(PIECE)
                if not more:
                    break
                data += more
            edit, self._edit = self._edit, None  # what follows on this connection is another one
            return edit(data)
        begin, end = self.bytes_from_client, self.bytes_from_client + len(data)
        self.bytes_from_client = end
        if self._flip_at is not None and begin <= self._flip_at < end:
            at = self._flip_at - begin
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]
        if self._hold_at is not None and begin <= self._hold_at < end:
            self.held.set()
            self._release.wait()
        return data
