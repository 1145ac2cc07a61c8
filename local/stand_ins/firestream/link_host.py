"""The host of the links, which behaves like S3 with presigned URLs; and the faults on the wire."""

from __future__ import annotations

import fcntl
import os
import re
import select
import termios
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from local.stand_ins.firestream.answers import replacement, s3_error
from local.stand_ins.firestream.conditions import NOT_MODIFIED, PRECONDITION_FAILED
from local.stand_ins.firestream.contrary import Contrary
from local.stand_ins.firestream.faults import Fault, PlannedFault, Stage
from local.stand_ins.firestream.redirects import HOPS
from local.stand_ins.firestream.state import BODY, SMALL
from local.stand_ins.http_server import Handler, Server, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.stand_ins.firestream.conditions import Identity
    from local.stand_ins.firestream.days import Backup
    from local.stand_ins.firestream.state import Link, State

PIECE = 1 << 20
_DRAIN_SECONDS, _DRAIN_CHECKS = 0.005, 1000


class RefusedError(Exception):
    """The request is refused; the arguments are a status, S3's error code and message, and headers, if any."""


class LinkHandler(Handler):
    """One connection to the host of the links."""

    server: Server[State]
    server_version = "AmazonS3"

    def do_HEAD(self) -> None:  # noqa: N802 - the name in the parent class
        """Handle a request."""
        self.serve()

    def serve(self) -> None:
        """Handle a request."""
        try:
            self.read_body()
            self._download()
        except UnreadableError as unreadable:
            status, text = unreadable.args
            self._refuse(status, "InvalidRequest", text)
        except RefusedError as refused:
            self._refuse(*refused.args)

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        error = s3_error(status, code, message)
        self._count_small()
        self.answer(status, error.body, {**error.headers, **(headers or {})})

    def _count_small(self) -> None:
        """Count a request that is answered without a body of a backup, if it is known for which one it was."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        link = self.server.stand_in.link(query.get("X-Amz-Signature", ""))
        if link:
            self.server.stand_in.count_answer("link", link.file_type, link.day, SMALL)

    def _download(self) -> None:
        stand_in = self.server.stand_in
        link = self._authorized_link()
        if (hop := self._hop()) is not None:
            location = link.way.location(hop)
            self._count_small()
            self.answer(link.way.status, b"", {} if location is None else {"Location": location})
            return
        backup = stand_in.target(link)
        if backup is None:
            raise RefusedError(404, "NoSuchKey", "The specified key does not exist.")
        planned = stand_in.take(Stage.LINK, link.file_type, link.day)
        if planned and isinstance(planned.fault, Contrary):
            answer = replacement(planned, stand_in.clock())
            self._count_small()
            self.answer(answer.status, answer.body, answer.headers)
            return
        fault = planned.fault if planned else None
        if fault is Fault.SERVER_ERROR:
            raise RefusedError(503, "SlowDown", "Please reduce your request rate.")
        # Change what later requests will see before this client can receive its answer.
        if fault is Fault.EXPIRED:
            link.expires_at = float("-inf")
            if planned and planned.details["after"] is None:
                raise _expired()
        identity = stand_in.identify(link, backup)
        outcome = None if stand_in.ignores_conditions(link) else identity.outcome(self.headers)
        if outcome == PRECONDITION_FAILED:
            raise RefusedError(
                412, "PreconditionFailed", "At least one of the preconditions you specified did not hold"
            )
        if outcome == NOT_MODIFIED:
            self._count_small()
            self._send_status(NOT_MODIFIED, _identifying(identity))
            return
        part = None if fault is Fault.NO_RANGE else self._part(backup.size)
        if fault is Fault.CHANGED:
            stand_in.rewrite(link, backup)
        stand_in.count_answer("link", link.file_type, link.day, BODY)
        self._deliver(link, backup, identity, part, planned)

    def _hop(self) -> int | None:
        """Return which of the addresses on the way to a link is requested; None if it is the link."""
        path = urlsplit(self.path).path
        hop = path.removeprefix(HOPS)
        return int(hop) if path.startswith(HOPS) and hop.isdecimal() else None

    def _authorized_link(self) -> Link:
        """Return the link of a request; RefusedError if it is not valid."""
        stand_in, target = self.server.stand_in, urlsplit(self.path)
        query = dict(parse_qsl(target.query))
        stand_in.record("link", self.command, target.path, query, self.headers)
        if "Authorization" in self.headers:
            mechanisms = (
                "the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header"
            )
            raise RefusedError(
                400, "InvalidArgument", f"Only one auth mechanism allowed; only {mechanisms} should be specified"
            )
        link = stand_in.link(query.get("X-Amz-Signature", ""))
        # A link is signed for one method.
        there = link and (target.path == link.path or self._hop() is not None)
        if link is None or not there or self.command != "GET":
            raise RefusedError(
                403, "SignatureDoesNotMatch", "The request signature we calculated does not match the one you provided."
            )
        if stand_in.clock() >= link.expires_at:
            raise _expired()
        return link

    def _part(self, size: int) -> tuple[int, int] | None:
        """Return the requested range of `size` bytes, or None for all: S3 ignores a range that it cannot parse."""
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]*)", self.headers.get("Range", ""))
        if not found or (found[2] and int(found[2]) < int(found[1])):
            return None
        if int(found[1]) >= size:
            headers = {"Content-Range": f"bytes */{size}"}
            raise RefusedError(416, "InvalidRange", "The requested range is not satisfiable", headers)
        return int(found[1]), min(int(found[2]) + 1, size) if found[2] else size

    def _deliver(
        self,
        link: Link,
        backup: Backup,
        identity: Identity,
        part: tuple[int, int] | None,
        planned: PlannedFault | None,
    ) -> None:
        """Send a backup, or a range of it, up to where a fault interrupts it."""
        fault, details = (planned.fault, planned.details) if planned else (None, {})
        start, stop = part or (0, backup.size)
        cut = start + planned.cut(stop - start) if planned and "after" in details else stop
        chunked = bool(details.get("chunked"))
        measured = fault is not Fault.TRUNCATED_UNDECLARED
        self._send_headers(backup, identity, part, measured=measured, chunked=chunked)
        if chunked and start < cut:
            self.wfile.write(f"{cut - start:x}\r\n".encode())
        self.wfile.flush()
        with self._open_content(backup.content) as send:
            with self.server.stand_in.transferring():
                if fault is Fault.STALL:
                    self._send_range(link, send, start, cut)
                    if self._disconnected(details["seconds"]):
                        raise ConnectionAbortedError
                    start, cut = cut, stop
                self._send_range(link, send, start, cut - 1)
            # The last byte is sent after the transfer is counted as over: the client may start its next one at once.
            self._send_range(link, send, max(start, cut - 1), cut)
        if chunked:
            self.wfile.write(b"\r\n0\r\n\r\n" if start < cut else b"0\r\n\r\n")
        elif fault is Fault.RESET:
            self._drain()
            self.reset_connection()
        elif fault and cut < stop:
            self.close_connection = True

    def _send_headers(
        self, backup: Backup, identity: Identity, part: tuple[int, int] | None, *, measured: bool, chunked: bool
    ) -> None:
        """Send the status and the headers of a backup."""
        start, stop = part or (0, backup.size)
        headers = {
            **_identifying(identity),
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
            headers["Connection"] = "close"  # which then ends the body
        self._send_status(206 if part else 200, headers)

    def _send_status(self, status: int, headers: Mapping[str, str | None]) -> None:
        """Send a status and the headers that have a value."""
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    @contextmanager
    def _open_content(self, content: bytes | Path) -> Iterator[Callable[[int, int], int]]:
        """Give a function that sends a number of bytes from an offset of the content, without copying them."""
        if isinstance(content, Path):
            with content.open("rb") as file:
                yield lambda start, length: os.sendfile(self.connection.fileno(), file.fileno(), start, length)
        else:
            view = memoryview(content)
            yield lambda start, length: self.connection.send(view[start : start + length])

    def _send_range(self, link: Link, send: Callable[[int, int], int], start: int, stop: int) -> None:
        count = self.server.stand_in.count
        while start < stop:
            length, sent = min(stop - start, PIECE), 0
            count(link, length)  # before the client can have received it
            try:
                sent = send(start, length)
            finally:
                count(link, sent - length)
            if not sent:
                raise ConnectionAbortedError  # the file was truncated
            start += sent

    def _disconnected(self, seconds: float) -> bool:
        """Wait, at most until either side closes the connection; return whether the client did."""
        return bool(select.select([self.connection], [], [], seconds)[0])

    def _drain(self) -> None:
        """Wait until the client has received what was sent: a reset would discard it."""
        with suppress(OSError):  # not every system supports it
            for _ in range(_DRAIN_CHECKS):
                waiting = fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4))
                if waiting == bytes(4) or self._disconnected(_DRAIN_SECONDS):
                    break


def _identifying(identity: Identity) -> dict[str, str | None]:
    return {"ETag": identity.etag, "Last-Modified": identity.last_modified}


def _expired() -> RefusedError:
    return RefusedError(403, "AccessDenied", "Request has expired")
