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
from local.stand_ins.firestream.faults import API_FAULTS
from local.stand_ins.http_server import Handler, Server, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.stand_ins.firestream.state import SeenRequest, State

_BACKUP = re.compile(r"/backups/([^/]+)/([0-9]{4})/([0-9]{2})/([0-9]{2})")
_TEXTS = {
    400: "Please verify that the date is correct",
    401: "The username or the password is wrong",
    404: "The file was not found",
    500: "Something went wrong",
    503: "The service is not available",
}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}


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
            self.answer(status, text.encode(), _TEXT | login)

    def _route(self, body: bytes) -> None:
        target = urlsplit(self.path)
        if target.path.startswith("/_standin/"):
            result = self._control(f"{self.command} {target.path.removeprefix('/_standin/')}", body)
            self.answer(200, json.dumps(result).encode(), {"Content-Type": "application/json; charset=utf-8"})
            return
        stand_in = self.server.stand_in
        stand_in.record("api", self.command, target.path, dict(parse_qsl(target.query)), self.headers)
        wanted = _wanted(target.path)
        if planned := stand_in.take(API_FAULTS, *(wanted or (None, None))):
            raise _refusal(int(planned.fault))
        login = base64.b64encode(f"{stand_in.username}:{stand_in.password}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {login}":
            raise _refusal(401)
        if self.command != "GET" or not target.path.startswith("/backups/"):
            raise RefusedError(404, "There is nothing here")
        if wanted is None:
            raise _refusal(400)
        if stand_in.days.find(*wanted) is None:
            raise _refusal(404)
        self.answer(302, b"", {"Location": stand_in.grant(*wanted), **_TEXT})

    def _control(self, request: str, body: bytes) -> object:
        stand_in = self.server.stand_in
        actions: dict[str, Callable[[], object]] = {
            "GET requests": lambda: [_described(seen) for seen in stand_in.requests],
            "GET stats": lambda: {
                "requests": len(stand_in.requests),
                "redirects": stand_in.redirects,
                "most_at_once": stand_in.most_at_once,
                "served": {f"{file_type}/{day}": sent for (file_type, day), sent in stand_in.served.items()},
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


def _put(stand_in: State, file_type: str, day: str, file: str) -> None:
    stand_in.put(file_type, date.fromisoformat(day), Path(file))


def _described(seen: SeenRequest) -> dict[str, Any]:
    return {**vars(seen), "headers": dict(seen.headers.items())}
