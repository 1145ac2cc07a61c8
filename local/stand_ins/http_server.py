"""What the stand-ins have in common as HTTP servers: prompt starts and stops, and requests read whole."""

from __future__ import annotations

import re
import socket
import struct
import sys
import threading
from abc import ABC, abstractmethod
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

BODY_LIMIT = 8_000_000
StandInT = TypeVar("StandInT")


class UnreadableError(Exception):
    """The request cannot be read: a status, and why."""


class Server(ThreadingHTTPServer, Generic[StandInT]):
    """A listener of a stand-in on loopback, which remembers its connections so that it can close them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[Handler], stand_in: StandInT) -> None:
        """Listen; port 0 is any free one."""
        self.stand_in = stand_in
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", port), handler)

    def start(self) -> None:
        """Serve in the background from now on."""
        # The interval is how long a stop may take at most.
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and end every connection, idle or not."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        """Bind without asking DNS for a name, as the parent would."""
        TCPServer.server_bind(self)
        self.server_port = self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the parent's type is not public
        """End a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        """Say nothing of a client that went away, as tests do on purpose."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler, ABC):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "StandIn"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # headers and body leave in one write

    @abstractmethod
    def serve(self) -> None:
        """Answer a request, whatever its method."""

    def do_GET(self) -> None:
        """Serve a request."""
        self.serve()

    def do_POST(self) -> None:
        """Serve a request."""
        self.serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
        """Write no log: a request line may carry a secret."""

    def read_body(self) -> bytes:
        """The body of the request; UnreadableError without a usable length, ConnectionError when it ends too early."""
        declared = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,15}", declared):
            self.close_connection = True  # where the next request would begin is unknown
            raise UnreadableError(411, "Content-Length is required")
        left, kept = int(declared), bytearray()
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                raise ConnectionError  # half a request must not become a whole one
            left -= len(piece)
            # Past the limit it is read, so that the client hears the answer, but not kept.
            if int(declared) <= BODY_LIMIT:
                kept += piece
        if int(declared) > BODY_LIMIT:
            raise UnreadableError(413, "The request is too large")
        return bytes(kept)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer with all of its body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tear(self) -> None:
        """End the connection with a TCP reset."""
        # Without lingering, and past the orderly shutdown, closing sends one.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())
        self.close_connection = True
