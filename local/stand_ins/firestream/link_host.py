"""The host of the links, which behaves as S3 does with presigned ones; and the faults that happen on the wire."""

from __future__ import annotations

import fcntl
import os
import re
import select
import termios
from contextlib import contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from local.stand_ins.firestream.faults import LINK_FAULTS, Fault, PlannedFault
from local.stand_ins.http_server import Handler, Server, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.stand_ins.firestream.days import Backup
    from local.stand_ins.firestream.state import Link, State

PIECE = 1 << 20
_DRAIN_SECONDS, _DRAIN_CHECKS = 0.005, 1000
_XML = {"Content-Type": "application/xml"}


class RefusedError(Exception):
    """The request is refused: a status, a code and a message in the words of S3; and headers, if there are any."""


class LinkHandler(Handler):
    """One connection to the host of the links."""

    server: Server[State]
    server_version = "AmazonS3"

    def do_HEAD(self) -> None:  # noqa: N802 - the parent's way to name it
        """Serve a request."""
        self.serve()

    def serve(self) -> None:
        """Answer a request."""
        try:
            self.read_body()
            self._download()
        except UnreadableError as unreadable:
            status, text = unreadable.args
            self._refuse(status, "InvalidRequest", text)
        except RefusedError as refused:
            self._refuse(*refused.args)

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        told = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        self.answer(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{told}'.encode(), {**_XML, **(headers or {})})

    def _download(self) -> None:
        stand_in = self.server.stand_in
        link = self._admit()
        backup = stand_in.behind(link)
        if backup is None:
            raise RefusedError(404, "NoSuchKey", "The specified key does not exist.")
        planned = stand_in.take(LINK_FAULTS, link.file_type, link.day)
        fault = planned.fault if planned else None
        if fault is Fault.SERVER_ERROR:
            raise RefusedError(503, "SlowDown", "Please reduce your request rate.")
        # What a fault changes for later requests changes before this one's client can have noticed.
        if fault is Fault.EXPIRED:
            link.expires_at = float("-inf")
            if planned and planned.details["after"] is None:
                raise _expired()
        if self.headers.get("If-Match", "*") not in ("*", backup.etag):
            raise RefusedError(
                412, "PreconditionFailed", "At least one of the preconditions you specified did not hold"
            )
        part = None if fault is Fault.NO_RANGE else self._part(backup.size)
        if fault is Fault.CHANGED:
            stand_in.rewrite(link, backup)
        self._deliver(link, backup, part, planned)

    def _admit(self) -> Link:
        """The link of a request; RefusedError if it has none that is valid."""
        stand_in, target = self.server.stand_in, urlsplit(self.path)
        query = dict(parse_qsl(target.query))
        stand_in.note("link", self.command, target.path, query, self.headers)
        if "Authorization" in self.headers:
            ways = "the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header"
            raise RefusedError(
                400, "InvalidArgument", f"Only one auth mechanism allowed; only {ways} should be specified"
            )
        link = stand_in.link(query.get("X-Amz-Signature", ""))
        # A link is signed for one method, too.
        if link is None or target.path != link.path or self.command != "GET":
            raise RefusedError(
                403, "SignatureDoesNotMatch", "The request signature we calculated does not match the one you provided."
            )
        if stand_in.clock() >= link.expires_at:
            raise _expired()
        return link

    def _part(self, size: int) -> tuple[int, int] | None:
        """The part of so many bytes that is asked for, or None for the whole, as S3 takes what it cannot read."""
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))
        if not found or (found[2] and int(found[2]) < int(found[1])):
            return None
        if int(found[1]) >= size:
            told = {"Content-Range": f"bytes */{size}"}
            raise RefusedError(416, "InvalidRange", "The requested range is not satisfiable", told)
        return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size

    def _deliver(self, link: Link, backup: Backup, part: tuple[int, int] | None, planned: PlannedFault | None) -> None:
        """Send a backup, or a part of it, as far as a fault lets it come."""
        fault, details = (planned.fault, planned.details) if planned else (None, {})
        start, stop = part or (0, backup.size)
        cut = start + planned.cut(stop - start) if planned and "after" in details else stop
        chunked = bool(details.get("chunked"))
        self._introduce(backup, part, measured=fault is not Fault.TRUNCATED_UNDECLARED, chunked=chunked)
        if chunked and start < cut:
            self.wfile.write(f"{cut - start:x}\r\n".encode())
        self.wfile.flush()
        with self._opened(backup.content) as send:
            with self.server.stand_in.transferring():
                if fault is Fault.STALL:
                    self._pump(link, send, start, cut)
                    if self._hung_up(details["seconds"]):
                        raise ConnectionAbortedError
                    start, cut = cut, stop
                self._pump(link, send, start, cut - 1)
            # The last byte is for after the count: a client that has it may begin its next transfer at once.
            self._pump(link, send, max(start, cut - 1), cut)
        if chunked:
            self.wfile.write(b"\r\n0\r\n\r\n" if start < cut else b"0\r\n\r\n")
        elif fault is Fault.RESET:
            self._drain()
            self.reset_connection()
        elif fault and cut < stop:
            self.close_connection = True

    def _introduce(self, backup: Backup, part: tuple[int, int] | None, *, measured: bool, chunked: bool) -> None:
        """Send the status and the headers."""
        start, stop = part or (0, backup.size)
        headers = {
            "ETag": backup.etag,
            "Last-Modified": formatdate(backup.modified, usegmt=True),
            "Accept-Ranges": "bytes",
            "Content-Type": "binary/octet-stream",
            "Content-Encoding": backup.encoding,
            "Content-Range": part and f"bytes {start}-{stop - 1}/{backup.size}",
        }
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif measured and backup.measured:
            headers["Content-Length"] = str(stop - start)
        else:
            headers["Connection"] = "close"  # which is what then ends the body
        self.send_response(206 if part else 200)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    @contextmanager
    def _opened(self, content: bytes | Path) -> Iterator[Callable[[int, int], int]]:
        """How to send so many bytes of a content from somewhere on, copying as little as possible."""
        if isinstance(content, Path):
            with content.open("rb") as file:
                yield lambda start, length: os.sendfile(self.connection.fileno(), file.fileno(), start, length)
        else:
            view = memoryview(content)
            yield lambda start, length: self.connection.send(view[start : start + length])

    def _pump(self, link: Link, send: Callable[[int, int], int], start: int, stop: int) -> None:
        count = self.server.stand_in.count
        while start < stop:
            length, sent = min(stop - start, PIECE), 0
            count(link, length)  # before anybody can have received it
            try:
                sent = send(start, length)
            finally:
                count(link, sent - length)
            if not sent:
                raise ConnectionAbortedError  # the file has become shorter
            start += sent

    def _hung_up(self, seconds: float) -> bool:
        """Wait, but not longer than either side keeps the connection."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def _drain(self) -> None:
        """Wait until the client has what was sent: a reset would drop it."""
        with suppress(OSError):  # a system that cannot tell
            for _ in range(_DRAIN_CHECKS):
                waiting = fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4))
                if waiting == bytes(4) or self._hung_up(_DRAIN_SECONDS):
                    break


def _expired() -> RefusedError:
    return RefusedError(403, "AccessDenied", "Request has expired")
