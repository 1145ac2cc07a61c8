"""The host of the API, which redirects to the link of a backup; and the control plane."""

from __future__ import annotations

import base64
import json
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from local.stand_ins.firestream import data
from local.stand_ins.firestream.answers import API_TEXTS, TEXT, replacement
from local.stand_ins.firestream.contrary import Contrary
from local.stand_ins.firestream.faults import Stage, catalogue, instant
from local.stand_ins.firestream.redirects import HOPS
from local.stand_ins.firestream.state import SMALL
from local.stand_ins.http_server import Handler, Server, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stand_ins.firestream.redirects import Way
    from local.stand_ins.firestream.state import SeenRequest, State

_BACKUP = re.compile(r"/backups/([^/]+)/([0-9]{4})/([0-9]{2})/([0-9]{2})")
_TEXTS = API_TEXTS


class RefusedError(Exception):
    """The request is refused; the arguments are a status and the reason."""


class ApiHandler(Handler):
    """One connection to the API."""

    server: Server[State]

    def serve(self) -> None:
        """Handle a request."""
        try:
            self._route(self.read_body())
        except (RefusedError, UnreadableError) as refused:
            status, text = refused.args
            login = {"WWW-Authenticate": 'Basic realm="Firestream"'} if status == 401 else {}  # noqa: PLR2004
            self.answer(status, text.encode(), TEXT | login)

    def _route(self, body: bytes) -> None:
        target = urlsplit(self.path)
        if target.path.startswith("/_standin/"):
            result = self._control(f"{self.command} {target.path.removeprefix('/_standin/')}", body)
            self.answer(200, json.dumps(result).encode(), {"Content-Type": "application/json; charset=utf-8"})
            return
        stand_in, query = self.server.stand_in, dict(parse_qsl(target.query))
        stand_in.record("api", self.command, target.path, query, self.headers)
        if target.path.startswith(HOPS):
            self._redirect_further(target.path, query)
            return
        wanted = _wanted(target.path)
        if wanted:
            stand_in.count_answer("api", *wanted, SMALL)
        if planned := stand_in.take(Stage.API, *(wanted or (None, None))):
            if not isinstance(planned.fault, Contrary):
                raise _refusal(int(planned.fault))
            answer = replacement(planned, stand_in.clock())
            self.answer(answer.status, answer.body, answer.headers)
            return
        self._check_login()
        if self.command != "GET" or not target.path.startswith("/backups/"):
            raise RefusedError(404, "There is nothing here")
        if wanted is None:
            raise _refusal(400)
        if not stand_in.ask(*wanted):
            raise _refusal(404)
        self._redirect(stand_in.way(*wanted, target.path), 0)

    def _check_login(self) -> None:
        stand_in = self.server.stand_in
        login = base64.b64encode(f"{stand_in.username}:{stand_in.password}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            raise _refusal(401)

    def _redirect(self, way: Way, hop: int) -> None:
        location = way.location(hop)
        self.answer(way.status, b"", TEXT | ({} if location is None else {"Location": location}))

    def _redirect_further(self, path: str, query: dict[str, str]) -> None:
        """Answer a request for one of the addresses between a request for a link and the link."""
        stand_in = self.server.stand_in
        link = stand_in.link(query.get("X-Amz-Signature", ""))
        hop = path.removeprefix(HOPS)
        if link is None or not hop.isdecimal():
            raise RefusedError(404, "There is nothing here")
        stand_in.count_answer("api", link.file_type, link.day, SMALL)
        if link.way.wants_login(int(hop)):
            self._check_login()
        self._redirect(link.way, int(hop))

    def _control(self, request: str, body: bytes) -> object:
        stand_in = self.server.stand_in
        actions: dict[str, Callable[[], object]] = {
            "GET faults": catalogue,
            "GET requests": lambda: [_described(seen) for seen in stand_in.requests],
            "GET stats": lambda: {
                "requests": len(stand_in.requests),
                "redirects": stand_in.redirects,
                "most_at_once": stand_in.most_at_once,
                "served": {f"{file_type}/{day}": sent for (file_type, day), sent in stand_in.served.items()},
                "counts": _counts(stand_in),
            },
            "POST faults": lambda: stand_in.fail(**json.loads(body)),
            "POST settings": lambda: stand_in.configure(**json.loads(body)),
            "POST put": lambda: _put(stand_in, **json.loads(body)),
            "POST reset": stand_in.reset,
        }
        if request not in actions:
            raise RefusedError(404, "There is nothing here")
        try:
            return actions[request]()
        except (TypeError, ValueError, OSError) as error:
            raise RefusedError(400, str(error)) from None


def _wanted(path: str) -> tuple[str, date] | None:
    """Return the file type and the day in a path, or None."""
    found = _BACKUP.fullmatch(path)
    if not found or found[1] not in data.FILE_TYPES:
        return None
    try:
        return found[1], date(int(found[2]), int(found[3]), int(found[4]))
    except ValueError:
        return None


def _refusal(status: int) -> RefusedError:
    return RefusedError(status, _TEXTS[status])


def _put(stand_in: State, file_type: str, day: str, file: str | None, at: str | float | None = None) -> None:
    content, moment = None if file is None else Path(file), None if at is None else instant(at)
    stand_in.put(file_type, date.fromisoformat(day), content, moment)


def _counts(stand_in: State) -> dict[str, dict[str, dict[str, int]]]:
    """Return how many requests were answered, by file, host, and whether with a body of a backup."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for (host, file_type, day, kind), count in list(stand_in.counts.items()):
        counts.setdefault(f"{file_type}/{day}", {}).setdefault(host, {})[kind] = count
    return counts


def _described(seen: SeenRequest) -> dict[str, Any]:
    return {**vars(seen), "headers": dict(seen.headers.items())}
