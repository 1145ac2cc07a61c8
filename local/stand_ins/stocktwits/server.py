"""The stand-in's HTTP server: the API with its faults, the control plane, and the pages."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from local.stand_ins.http_server import Handler, Server, UnreadableError
from local.stand_ins.stocktwits import page
from local.stand_ins.stocktwits.api import (
    API,
    NUMBER,
    RateLimit,
    RefusedError,
    Reply,
    SeenRequest,
    Settings,
    iso_utc,
)
from local.stand_ins.stocktwits.contrary import Contrary
from local.stand_ins.stocktwits.contrary_api import ContraryApi
from local.stand_ins.stocktwits.contrary_mode import ContraryMode
from local.stand_ins.stocktwits.faults import Fault, PlannedFault, RandomFaults, catalogue, plan
from local.stand_ins.stocktwits.rendering import Rendering

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from local.stand_ins.stocktwits.api import PostRecord

_CHANGEABLE = {
    "access_token",
    "username",
    "user_id",
    "latency_seconds",
    "rate_limit",
    "near_identical",
    "duplicate_seconds",
    "stream_times",
    "link_weight",
    "stream_lag_seconds",
    "parent_lag_seconds",
    "parent_status",
    "renderings",
    "contrary",
    "contrary_share",
    "contrary_behaviours",
}
_ONLY_IF_UNUSUAL = {"source", "lag_seconds", "renderings", "alterations"}


@dataclass(eq=False, repr=False)
class StandIn(Settings):
    """A stand-in for StockTwits on loopback; with port 0 the system picks a free one at the first start.

    The settings may be changed while it runs.
    """

    def __post_init__(self) -> None:
        """Start without posts, requests and planned faults."""
        self._check()
        self.api = ContraryApi(self)
        self.stopping = threading.Event()
        self._server: _Server | None = None
        self._lock = threading.Lock()
        self.reset()

    @property
    def api_url(self) -> str:
        """The base URL of the API."""
        return self.url + API.rstrip("/")

    @property
    def posts(self) -> list[PostRecord]:
        """The posts so far, oldest first."""
        return list(self.api.timeline.posts)

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests to the API so far, including refused ones, oldest first."""
        return list(self._requests)

    def fail(
        self,
        fault: Fault | Contrary | str,
        *,
        times: int | None = 1,
        text: str | None = None,
        path: str | None = None,
        **details: object,
    ) -> None:
        """Plan a fault or a contrary behaviour for the next `times` requests to `path`; see `plan`."""
        planned = plan(fault, times, text, path, details)
        with self._lock:
            self._faults.append(planned)

    def fail_at_random(self, seed: int, shares: Mapping[str, float]) -> None:
        """Fail a share of all future requests with each fault; see `RandomFaults`."""
        random_faults = RandomFaults(seed, shares)
        with self._lock:
            self._random = random_faults

    @property
    def faulted(self) -> list[tuple[SeenRequest, PlannedFault]]:
        """The requests so far that a fault affected, oldest first."""
        return list(self._faulted)

    def configure(self, **changes: object) -> None:
        """Change settings while it runs."""
        if unknown := changes.keys() - _CHANGEABLE:
            message = f"No such settings: {sorted(unknown)}; there are {sorted(_CHANGEABLE)}"
            raise ValueError(message)
        before = {name: getattr(self, name) for name in changes}
        vars(self).update(changes)
        try:
            self._check()
        except ValueError:
            vars(self).update(before)
            raise

    def _check(self) -> None:
        """Raise ValueError if a name in the settings is unknown."""
        for each in self.renderings:
            Rendering(each)
        if self.contrary is not None:
            ContraryMode(self.contrary, self.contrary_share, self.contrary_behaviours)

    def reset(self) -> None:
        """Forget posts, requests, faults (also random ones) and counts; keep the settings."""
        with self._lock:
            self.api.forget()
            self.limit = RateLimit()
            self.connections = 0
            self._requests: list[SeenRequest] = []
            self._faults: list[PlannedFault] = []
            self._random = RandomFaults(0, {})
            self._faulted: list[tuple[SeenRequest, PlannedFault]] = []

    def start(self) -> Self:
        """Start serving in the background; after a stop, on the same port again."""
        self.stopping.clear()
        self._server = _Server(self.port, _Handler, self)
        self.port = self._server.server_port
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop at once: delayed responses are dropped and every connection is closed."""
        server, self._server = self._server, None
        if server:
            self.stopping.set()
            server.stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def record(self, seen: SeenRequest) -> PlannedFault | None:
        """Record a request, and return the first fault that applies to it."""
        with self._lock:
            self._requests.append(seen)
            planned = next((fault for fault in self._faults if fault.matches(seen)), None)
            if planned and planned.times is not None:
                planned.times -= 1
                if not planned.times:
                    self._faults.remove(planned)
            planned = planned or self._random.draw(seen)
            if planned:
                self._faulted.append((seen, planned))
            return planned

    def draw(self, seen: SeenRequest) -> list[PlannedFault]:
        """Return what the contrary mode does to a request that no fault affects."""
        drawn = self.api.draw(seen)
        with self._lock:
            self._faulted += [(seen, each) for each in drawn]
        return drawn


class _Server(Server[StandIn]):
    """The HTTP server, which counts its connections."""

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        accepted = super().get_request()
        self.stand_in.connections += 1
        return accepted


class _Handler(Handler):
    """One connection: answers requests, and simulates the faults on the wire."""

    server: _Server

    def parse_request(self) -> bool:
        """Remember when the request began: the latency of an API includes its own work."""
        self.began = time.monotonic()
        return super().parse_request()

    def serve(self) -> None:
        """Handle a request."""
        try:
            reply = self._route(self.read_body())
        except (RefusedError, UnreadableError) as refused:
            reply = Reply.error(*refused.args)
        if reply is None:
            self.close_connection = True
            return
        if reply.status < 200:  # noqa: PLR2004
            self.close_connection = True  # such a response has no body, so what follows it would be misread
        headers = {"Content-Type": reply.type, **reply.headers, "X-Content-Type-Options": "nosniff"}
        self.answer(reply.status, reply.body, headers)

    def _route(self, body: bytes) -> Reply | None:
        path = urlsplit(self.path).path
        if path.startswith(API):
            return self._api(body)
        if path.startswith("/_standin/"):
            return self._control(f"{self.command} {path.removeprefix('/_standin/')}", body)
        return self._page(path)

    def _api(self, body: bytes) -> Reply | None:
        stand_in, target = self.server.stand_in, urlsplit(self.path)
        try:
            query = dict(parse_qsl(target.query, keep_blank_values=True, errors="strict"))
            fields, files = _form(self.headers.get("Content-Type", ""), body)
        except ValueError:
            raise RefusedError(400, "The form cannot be read") from None
        now, limit = stand_in.clock(), stand_in.rate_limit
        seen = SeenRequest(self.command, target.path, query, self.headers, fields, files, now)
        planned = stand_in.record(seen)
        within, headers = (True, {}) if limit is None else stand_in.limit.take(limit, now)
        if planned:
            reply = self._misbehave(planned, seen)
        else:
            reply = self._behave(stand_in.draw(seen), seen) if within else Reply.rate_limited(limit or 0)
        left = self.began + stand_in.latency_seconds - time.monotonic()
        if left > 0 and stand_in.stopping.wait(left):
            return None
        return reply and reply.with_headers(headers)

    def _answer(self, seen: SeenRequest, behaviours: Sequence[PlannedFault] = ()) -> Reply:
        try:
            return self.server.stand_in.api.answer(seen, *behaviours)
        except RefusedError as refused:
            return Reply.error(*refused.args)

    def _behave(self, behaviours: Sequence[PlannedFault], seen: SeenRequest) -> Reply | None:
        """Answer under contrary behaviours; return None if the server stops before a late answer."""
        for late in (each for each in behaviours if each.fault is Contrary.LATE):
            if self.server.stand_in.stopping.wait(late.details["seconds"]):
                return None
        return self._answer(seen, behaviours)

    def _misbehave(self, planned: PlannedFault, seen: SeenRequest) -> Reply | None:
        """Simulate a fault; return None if the connection ends without a response."""
        stand_in = self.server.stand_in
        if isinstance(planned.fault, Contrary):
            return self._behave([planned], seen)
        genuine = self._answer(seen) if planned.accepts else None
        match planned.fault:
            case Fault.TIMEOUT_BEFORE | Fault.TIMEOUT_AFTER:
                return None if stand_in.stopping.wait(planned.details["seconds"]) else genuine
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                self.reset_connection()
                return None
            case Fault.CLOSE_AFTER:
                return None
            case _:
                return planned.reply(stand_in.clock())

    def _control(self, request: str, body: bytes) -> Reply:
        stand_in = self.server.stand_in
        actions: dict[str, Callable[[], object]] = {
            "GET posts": lambda: [_described_post(post) for post in stand_in.posts],
            "GET requests": lambda: [_described_request(seen) for seen in stand_in.requests],
            "GET stats": lambda: {
                "connections": stand_in.connections,
                "requests": len(stand_in.requests),
                "posts": len(stand_in.posts),
            },
            "GET faults": catalogue,
            "POST faults": lambda: stand_in.fail(**json.loads(body)),
            "POST random": lambda: stand_in.fail_at_random(**json.loads(body)),
            "POST settings": lambda: stand_in.configure(**json.loads(body)),
            "POST reset": stand_in.reset,
        }
        if request not in actions:
            raise RefusedError(404, "Not found")
        try:
            return Reply.json(actions[request]())
        except (TypeError, ValueError) as error:
            raise RefusedError(400, str(error)) from None

    def _page(self, path: str) -> Reply:
        stand_in = self.server.stand_in
        name, status = stand_in.username, 200
        found = re.fullmatch(rf"/(charts|{re.escape(name)}/message)/({NUMBER})", path)
        post = stand_in.api.timeline.find(found[2]) if found else None
        if path == "/":
            text = page.timeline(name, stand_in.posts, stand_in.contrary)
        elif path == "/faults":
            text = page.faults(name, catalogue())
        elif found and post and found[1] != "charts":
            text = page.single(name, post)
        elif post and post.chart and post.chart.content:
            return Reply(200, post.chart.content, post.chart.type)
        else:
            status, text = 404, page.missing(name)
        return Reply(status, text.encode(), headers=page.HEADERS)


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """Return the fields and files of a form in either encoding; ValueError if it cannot be read."""
    if not content_type.startswith("multipart/form-data"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict")), {}
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    fields, files = {}, {}
    for part in email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts():
        name = str(part.get_param("name", header="Content-Disposition"))
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            raise ValueError(name)  # noqa: TRY004 - a nested form: bad input, not a wrong type
        if part.get_filename() is None:
            fields[name] = content.decode()
        else:
            files[name] = content
    return fields, files


def _described_post(post: PostRecord) -> dict[str, Any]:
    described = {name: value for name, value in vars(post).items() if name not in _ONLY_IF_UNUSUAL or value}
    chart = post.chart and {"url": post.chart.url, "type": post.chart.type, "size": post.chart.size}
    if post.alterations:
        described["alterations"] = len(post.alterations)
    return described | {"chart": chart, "created_at": iso_utc(post.created_at)}


def _described_request(seen: SeenRequest) -> dict[str, Any]:
    sizes = {name: len(content) for name, content in seen.files.items()}
    return {**vars(seen), "headers": dict(seen.headers.items()), "files": sizes}
