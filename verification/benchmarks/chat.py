"""A chat service with an incoming webhook, on loopback: over HTTPS, since a notice goes nowhere else."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.stand_ins.http_server import Handler, Server

_HOST = "127.0.0.1"


class Chat:
    """The service; a context manager.

    Attributes:
        notices: How many notices it was sent.
    """

    def __init__(self) -> None:
        """Make its certificate, without listening."""
        self.notices = 0
        self._folder = TemporaryDirectory(prefix="relay-chat-")
        own, both = _certificate()
        self._server_file = Path(self._folder.name) / "server.pem"
        self._server_file.write_bytes(both)
        # Beside the machine's authorities, which take most of the time that a TLS context takes.
        authorities = ssl.get_default_verify_paths().cafile
        self.authorities = Path(self._folder.name) / "authorities.pem"
        self.authorities.write_bytes((Path(authorities).read_bytes() if authorities else b"") + own)

    def __enter__(self) -> Self:
        """Listen on a free port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._server_file)
        self._server = Server(0, _Webhook, self)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening."""
        self._server.stop()
        self._folder.cleanup()

    @property
    def url(self) -> str:
        """The address of the incoming webhook."""
        return f"https://{_HOST}:{self._server.server_port}/services/bench"


class _Webhook(Handler):
    """Takes a notice."""

    server: Server[Chat]

    def serve(self) -> None:
        self.read_body()
        self.server.stand_in.notices += 1
        self.answer(200, b"ok", {})


def _certificate() -> tuple[bytes, bytes]:
    """Make a self-signed certificate; return it, and it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _HOST)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=12))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(_HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, private + pem
