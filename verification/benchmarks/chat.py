"""A chat service with an incoming webhook, on loopback: over HTTPS, since a notice goes nowhere else."""

import ssl
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from local.stand_ins.http_server import Handler, Server
from verification.certificate import certificate

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
        own, both = certificate(_HOST, ends_in=12)
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
