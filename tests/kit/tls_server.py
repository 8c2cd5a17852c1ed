# SPDX-License-Identifier: Apache-2.0
"""The server's side of TLS, down to the single record: it can send what OpenSSL would not."""
import hashlib
import hmac
import re
import ssl
import tempfile

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23

# Handshake messages (RFC 8446, section 4), for TlsServer.send_records(HANDSHAKE, ...).
HELLO_REQUEST = bytes(4)  # RFC 5246, 7.4.1.1
KEY_UPDATE, KEY_UPDATE_REQUESTED = b"\x18\0\0\1\0", b"\x18\0\0\1\1"
_TICKET = bytes([0, 0, 14, 16]) + b"age_" + b"\1n" + b"\0\x20" + b"t" * 32 + b"\0\0"
NEW_SESSION_TICKET = b"\4" + len(_TICKET).to_bytes(3, "big") + _TICKET

# The same for ALERT: level, description.
CLOSE_NOTIFY, INTERNAL_ERROR, USER_CANCELED = b"\1\0", b"\2\x50", b"\1\x5a"

TLS12_CIPHER = "ECDHE-ECDSA-AES256-GCM-SHA384"


def expand_label(secret, label, length):
    """HKDF-Expand-Label without context (RFC 8446, 7.1); one block is enough for a key."""
    info = length.to_bytes(2, "big") + bytes([6 + len(label)]) + b"tls13 " + label + b"\0"
    return hmac.digest(secret, info + b"\1", hashlib.sha384)[:length]


class Records13:
    """Protects what the server sends over TLS 1.3 with AES-256-GCM (RFC 8446, 5.2)."""

    def __init__(self, secret):
        self._use(secret)

    def _use(self, secret):
        self._secret, self._number = secret, 0
        self._key = AESGCM(expand_label(secret, b"key", 32))
        self._iv = int.from_bytes(expand_label(secret, b"iv", 12), "big")

    def seal(self, kind, content):
        nonce = (self._iv ^ self._number).to_bytes(12, "big")
        self._number += 1
        head = b"\x17\3\3" + (len(content) + 17).to_bytes(2, "big")
        sealed = head + self._key.encrypt(nonce, content + bytes([kind]), head)
        if kind == HANDSHAKE and content in (KEY_UPDATE, KEY_UPDATE_REQUESTED):
            self._use(expand_label(self._secret, b"traffic upd", 48))
        return sealed


class Records12:
    """The same for TLS 1.2 (RFC 5288); Finished has been record 0."""

    def __init__(self, master, client_random, server_random):
        seed = b"key expansion" + server_random + client_random
        block, a = b"", seed
        while len(block) < 72:  # two keys of 32 bytes, two salts of 4 (RFC 5246, 6.3)
            a = hmac.digest(master, a, hashlib.sha384)
            block += hmac.digest(master, a + seed, hashlib.sha384)
        self._key, self._salt, self._number = AESGCM(block[32:64]), block[68:72], 1

    def seal(self, kind, content):
        number = self._number.to_bytes(8, "big")
        self._number += 1
        head = bytes([kind]) + b"\3\3"
        sealed = self._key.encrypt(self._salt + number, content,
                                   number + head + len(content).to_bytes(2, "big"))
        return head + (8 + len(sealed)).to_bytes(2, "big") + number + sealed


def server_context(chain, key, version=ssl.TLSVersion.TLSv1_3, weak=False):
    """For TlsServer: PEM files. It sends no session tickets by itself, and keeps a log of keys. weak:
    takes keys and signatures that OpenSSL refuses by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    if weak:
        context.set_ciphers("ALL:@SECLEVEL=0")
    elif version == ssl.TLSVersion.TLSv1_2:
        context.set_ciphers(TLS12_CIPHER)
    context.load_cert_chain(chain, key)
    context.num_tickets = 0
    return context


class TlsServer:
    """TLS over a connected socket: handshake(), then recv() and sendall() as a socket has them.
    OpenSSL shakes hands and reads; what is sent afterwards are records made here."""

    def __init__(self, sock, context):
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._log = tempfile.NamedTemporaryFile("r", prefix="keys.")
        context.keylog_filename = self._log.name
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._records = None
        self.flight = b""  # what the server sent until it first waited for the client

    def close(self):
        self._log.close()

    def _run(self, operation, *arguments):
        """One of OpenSSL's operations, with all the reading and writing that it wants."""
        while True:
            try:
                return operation(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                data = self._sock.recv(65536)
                if not data:
                    raise ConnectionAbortedError("no close_notify") from None
                self._in.write(data)
            finally:
                self._flush()

    def _flush(self):
        data = self._out.read()
        # Once records are made here, OpenSSL's (alerts) would have the wrong number.
        if data and not self._records:
            self._sock.sendall(data)
            self.flight = self.flight or data

    def answer_hello(self):
        """What answers a ClientHello, as bytes that were not sent."""
        self._in.write(self._sock.recv(65536))
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        return self._out.read()

    def handshake(self):
        self._run(self._tls.do_handshake)

    def recv(self, n):
        try:
            return self._run(self._tls.read, n)
        except ssl.SSLZeroReturnError:
            return b""

    def sendall(self, data):
        self.send_records(APPLICATION_DATA,
                          *(data[at:at + 16384] for at in range(0, len(data), 16384)))

    def send_records(self, kind, *contents):
        """Each content as a record of that kind, all at once."""
        self._records = self._records or self._take_over()
        self._sock.sendall(b"".join(self._records.seal(kind, content) for content in contents))

    def _take_over(self):
        log = self._log.read()
        if self._tls.version() == "TLSv1.3":
            assert self._tls.cipher()[0] == "TLS_AES_256_GCM_SHA384"
            secret = re.search(r"SERVER_TRAFFIC_SECRET_0 \w+ (\w+)", log)[1]
            return Records13(bytes.fromhex(secret))
        assert self._tls.cipher()[0] == TLS12_CIPHER
        client_random, master = re.search(r"CLIENT_RANDOM (\w+) (\w+)", log).groups()
        # Behind the heads of record and message and the version: ServerHello's random.
        return Records12(bytes.fromhex(master), bytes.fromhex(client_random), self.flight[11:43])
