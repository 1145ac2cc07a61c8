"""Servers on loopback with one unusual behaviour each."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from verification.certificate import certificate


class Server:
    """The address of a server, and all bytes that it received."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.received = bytearray()


@contextmanager
def tcp_server(serve: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Pass each connection to `serve`, one after the other."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(listener.getsockname()[1])

    class Recording:
        """A connection that records the received bytes."""

        def __init__(self, connection: socket.socket) -> None:
            self.connection = connection

        def recv(self, size: int) -> bytes:
            piece = self.connection.recv(size)
            server.received += piece
            return piece

        def sendall(self, content: bytes) -> None:
            self.connection.sendall(content)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                if tls:
                    with tls.wrap_socket(connection, server_side=True) as secured:
                        serve(Recording(secured))
                else:
                    serve(Recording(connection))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        listener.close()
        thread.join(5)


def request_of(connection: socket.socket) -> bytes:
    """Read one request with a Content-Length, or without a body."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += _more(connection)
    head, _, body = request.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += _more(connection)
    return head + b"\r\n\r\n" + body


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(1 << 16)
    if not piece:
        raise ConnectionError
    return piece


@contextmanager
def answering(status: int, body: bytes, more_headers: bytes = b"") -> Iterator[str]:
    """Send every request the same answer; yield the API's base URL."""

    def answer(connection: socket.socket) -> None:
        request_of(connection)
        headers = b"Content-Length: %d\r\nConnection: close\r\n" % len(body) + more_headers
        connection.sendall(b"HTTP/1.1 %d So\r\n%b\r\n" % (status, headers) + body)

    with tcp_server(answer) as server:
        yield f"http://127.0.0.1:{server.port}"


def self_signed(
    folder: Path, *, host: str = "127.0.0.1", begins_in: float = -1, ends_in: float = 1
) -> tuple[ssl.SSLContext, Path]:
    """Create a server's TLS context, and the file of its self-signed certificate.

    Args:
        folder: Where the files go.
        host: The address or the name that the certificate is for.
        begins_in: When the certificate begins to be valid, in hours.
        ends_in: When it ends to be valid, in hours.
    """
    pem, both_pem = certificate(host, begins_in=begins_in, ends_in=ends_in)
    file = folder / "certificate.pem"
    file.write_bytes(pem)
    both = folder / "both.pem"
    both.write_bytes(both_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return context, file
