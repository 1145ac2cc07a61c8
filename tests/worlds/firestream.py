"""The client of Firestream on its own: a login, downloads, and servers that answer as a test needs it."""

import socket
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from relay.backups.backup import Backup
from relay.backups.firestream import Download, Firestream
from relay.credentials import Login
from relay.errors import RelayError

from local.stand_ins.firestream import data
from local.stand_ins.firestream.server import FirestreamStandIn
from tests.servers import request_of

LINES_PER_DAY = 400
DAY = date(2024, 1, 2)
MESSAGES = Backup(DAY, "message")
CONTENT = data.backup("message", DAY, LINES_PER_DAY)
SIZE = len(CONTENT)
MOST = 1 << 16
"""As many bytes as one read may return."""
USER, PASSWORD = "demo-user", "demo-password"
FOUND = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

Serve = Callable[[socket.socket], None]
MakeClient = Callable[..., Firestream]


class StoredLogin:
    """A stored login; reading it afresh may return another password, or raise an error."""

    def __init__(self, password: str = PASSWORD, fresh: str | Exception | None = None) -> None:
        self.password = password
        self.stored = password if fresh is None else fresh
        self.fresh_reads = 0

    def __call__(self, *, fresh: bool = False) -> Login:
        if fresh:
            self.fresh_reads += 1
            if isinstance(self.stored, Exception):
                raise self.stored
            self.password = self.stored
        return Login(USER, self.password)


def plenty() -> float:
    """The seconds that are left: more than any test needs."""
    return 900.0


def read_all(download: Download, most: int = MOST) -> bytes:
    content = b""
    while piece := download.read(most):
        content += piece
    return content


def download_all(client: Firestream, backup: Backup = MESSAGES) -> bytes:
    with client.open(backup, plenty) as download:
        return read_all(download)


def failure(client: Firestream, backup: Backup = MESSAGES) -> RelayError:
    """Download a backup; returns the error that this raises."""
    with pytest.raises(RelayError) as failed:
        download_all(client, backup)
    return failed.value


def requests_to(stand_in: FirestreamStandIn, host: str) -> list[Any]:
    """The requests to a host: `api` or `link`."""
    return [each for each in stand_in.requests if each.host == host]


def ranges(stand_in: FirestreamStandIn) -> list[str | None]:
    """The ranges that were requested of the link's host, oldest first; None for the whole file."""
    return [each.headers.get("Range") for each in requests_to(stand_in, "link")]


def response(status: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Connection: close", *headers, "", ""]).encode() + body


def always(status: int, body: bytes = b"", *headers: str) -> Serve:
    """Answer each request with this status."""

    def serve(connection: socket.socket) -> None:
        request_of(connection)
        connection.sendall(response(f"{status} So", f"Content-Length: {len(body)}", *headers, body=body))

    return serve


def both_hosts(*responses: bytes) -> Serve:
    """Be both hosts: answer each login with a link, and the requests for the link with these responses in turn."""
    left = list(responses)

    def serve(connection: socket.socket) -> None:
        request = request_of(connection)
        if b"GET /backups/" in request:
            port = request.partition(b"Host: ")[2].partition(b"\r\n")[0].rpartition(b":")[2]
            connection.sendall(FOUND % (b"http://127.1:%b/link" % port))  # another name of the same host
        else:
            connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return serve
