# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, good and bad ones."""
import datetime
import ipaddress
import itertools
import ssl
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kit.tls_server import server_context

NOW = datetime.datetime.utcnow()
DAY = datetime.timedelta(days=1)
_serial = itertools.count(1)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A CA of a test. name: its subject; above: the Authority that signed it, none: itself."""

    def __init__(self, name, above=None):
        self.name, self._above = name, above
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = (above or self)._sign(name, self.key, [
            x509.BasicConstraints(ca=True, path_length=None)])

    def _sign(self, name, key, extensions, valid=(NOW - DAY, NOW + DAY), algorithm=hashes.SHA256()):
        builder = x509.CertificateBuilder(
            issuer_name=_name(self.name), subject_name=_name(name), public_key=key.public_key(),
            serial_number=next(_serial), not_valid_before=valid[0], not_valid_after=valid[1])
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self.key, algorithm)

    def pem(self):
        return _pem(self.certificate)

    def issue(self, folder, name, host="localhost", key=None, subject="localhost", **how):
        """A server's certificate with the chain above it and its key, as PEM files in that folder:
        (chain, key). how: valid and algorithm of the signature."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(host)]
        if host == "localhost":  # 10.0.2.2: the host, as a QEMU guest sees it
            names += [x509.IPAddress(ipaddress.ip_address(it)) for it in ("127.0.0.1", "10.0.2.2")]
        leaf = self._sign(subject, key, [x509.SubjectAlternativeName(names)], **how)
        chain, above = _pem(leaf), self
        while above._above:
            chain, above = chain + above.pem(), above._above
        return write(folder, name, chain, key)

    def as_server(self, folder, name):
        """The same for itself."""
        return write(folder, name, self.pem(), self.key)


def write(folder, name, chain, key):
    chain_path, key_path = folder / f"{name}.pem", folder / f"{name}-key.pem"
    chain_path.write_bytes(chain)
    key_path.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    return chain_path, key_path


class Certificates:
    """ca: the file that a client trusts; context(name): for a kit.tls_server.TlsServer, made at the
    first call. A chain that nothing is wrong with is "good"; each has a good one's host."""

    def __init__(self, folder):
        self._folder, self._paths = folder, {}
        self._lock = threading.Lock()  # uploads run side by side
        self._authority = Authority("CA of these tests")
        self.ca = str(folder / "ca.pem")
        (folder / "ca.pem").write_bytes(self._authority.pem())

    def context(self, name):
        versions = {"TLS 1.1": ssl.TLSVersion.TLSv1_1, "TLS 1.2": ssl.TLSVersion.TLSv1_2}
        issued = "good" if name in versions else name
        with self._lock:
            if issued not in self._paths:
                self._paths[issued] = self._issue(issued)
        weak = name in ("TLS 1.1", "RSA of 1024 bits", "SHA-1 signature")
        return server_context(*self._paths[issued], weak=weak,
                              version=versions.get(name, ssl.TLSVersion.TLSv1_3))

    def _issue(self, name):
        issue = self._authority.issue
        if name == "self-signed":
            return Authority("localhost").as_server(self._folder, name)
        if name == "unknown CA":
            return Authority("CA that nobody knows").issue(self._folder, name)
        if name.startswith("a chain of "):
            above = Authority("a far root")
            for n in range(int(name.split()[-1]) - 1):
                above = Authority(f"link {n}", above)
            return above.issue(self._folder, name)
        how = {
            "good": {},
            "expired": {"valid": (NOW - 2 * DAY, NOW - DAY)},
            "not yet valid": {"valid": (NOW + DAY, NOW + 2 * DAY)},
            "another name": {"host": "elsewhere.example"},
            "RSA of 1024 bits": {"key": rsa.generate_private_key(65537, 1024)},
            "SHA-1 signature": {"algorithm": hashes.SHA1()},
            "controls in the names": {"host": "\x1b[2J.example", "subject": "\x1b]0;owned\x07"},
        }[name]
        return issue(self._folder, name, **how)
