"""The HTTP server that the stand-ins share: it starts and stops at once, and reads requests completely."""

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
    """The request cannot be read; the arguments are a status and the reason."""


class Server(ThreadingHTTPServer, Generic[StandInT]):
    """The server of a stand-in on loopback, which keeps track of its connections so that it can close them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, handler: type[Handler], stand_in: StandInT) -> None:
        """Listen on a port; 0 picks a free one."""
        self.stand_in = stand_in
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", port), handler)

    def start(self) -> None:
        """Start serving in the background."""
        # A stop takes at most this interval.
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Stop listening, and close every connection, idle or not."""
        self.shutdown()
        self.server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def server_bind(self) -> None:
        """Bind without the DNS lookup of the parent class."""
        TCPServer.server_bind(self)
        self.server_port = self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the parent's type is not public
        """Close a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        """Ignore a client that disconnected, as tests do on purpose."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler, ABC):
    """One connection, kept open between requests."""

    protocol_version = "HTTP/1.1"
    server_version = "StandIn"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # sends headers and body in one write

    @abstractmethod
    def serve(self) -> None:
        """Handle a request with any method."""

    def do_GET(self) -> None:
        """Handle a request."""
        self.serve()

    def do_POST(self) -> None:
        """Handle a request."""
        self.serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the parent class
        """Log nothing: a request line may contain a secret."""

    def read_body(self) -> bytes:
        """Read the body; UnreadableError without a usable length, ConnectionError if the connection ends too early."""
        declared = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,15}", declared):
            self.close_connection = True  # where the next request would begin is unknown
            raise UnreadableError(411, "Content-Length is required")
        left, body = int(declared), bytearray()
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                raise ConnectionError  # never handle a truncated request as a complete one
            left -= len(piece)
            # Beyond the limit, the body is read so that the client receives the answer, but it is not stored.
            if int(declared) <= BODY_LIMIT:
                body += piece
        if int(declared) > BODY_LIMIT:
            raise UnreadableError(413, "The request is too large")
        return bytes(body)

    def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer with its body."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset_connection(self) -> None:
        """Close the connection with a TCP reset."""
        # With a linger time of 0, and without an orderly shutdown, close sends a reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close(self.connection.detach())
        self.close_connection = True
