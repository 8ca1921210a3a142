"""A certificate authority of the tests, and a TLS server that records what clients send.

Add a kind of certificate here; which client is tried belongs to the tests.
"""

import datetime as dt
import ipaddress
import socketserver
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BEFORE = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
AFTER = dt.datetime(2120, 1, 1, tzinfo=dt.UTC)
SECONDS = 10.0
ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"


@dataclass(frozen=True)
class Authority:
    """The files of an authority's certificate, and of two servers' certificates with their keys."""

    bundle: Path
    server: Path
    other_server: Path
    """Its certificate names another machine than this one."""


def make_authority(folder: Path) -> Authority:
    """Write the files of a new authority into the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("authority of a test")
    root = (
        _certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    this_machine = [
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.DNSName("localhost"),
    ]
    return Authority(
        folder / "ca.pem",
        _server(folder / "server.pem", name, key, this_machine),
        _server(folder / "other.pem", name, key, [x509.DNSName("elsewhere.example")]),
    )


def _server(
    path: Path,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _certificate(_name("server of a test"), issuer, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEFORE)
        .not_valid_after(AFTER)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class TlsServer(socketserver.ThreadingTCPServer):
    """Records the first bytes of each encrypted connection, and answers each with HTTP 404."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.received: list[bytes] = []
        self.refusals: list[str] = []
        """Why a client ended the handshake."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(socketserver.BaseRequestHandler):
    server: TlsServer

    def handle(self) -> None:
        self.request.settimeout(SECONDS)
        try:
            with self.server.context.wrap_socket(self.request, server_side=True) as connection:
                if first := connection.recv(65536):
                    self.server.received.append(first)
                    connection.sendall(ANSWER)
        except OSError as error:
            self.server.refusals.append(str(error))


@contextmanager
def serving(certificate: Path) -> Iterator[TlsServer]:
    """A running server with this certificate and its key."""
    server = TlsServer(certificate)
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        with suppress(OSError):
            server.server_close()
