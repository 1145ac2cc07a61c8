"""A stand-in of StockTwits: a real HTTP server on loopback with the rules, limits and failures of the original.

Tests hold a `StandIn` in their own process; other processes run `python -m local.stocktwits` and steer it over HTTP:

    POST /_standin/faults     {"fault": "timeout-after", "times": 2, "text": "$AAPL", "seconds": 5}
    POST /_standin/settings   {"latency_seconds": 0.05, "rate_limit": 400}
    POST /_standin/reset
    GET  /_standin/posts, /_standin/requests, /_standin/stats
"""

from __future__ import annotations

import argparse
import email
import email.policy
import hashlib
import html
import itertools
import json
import math
import re
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from local import stocktwits_page as page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

API = "/api/2/"
BODY_LIMIT = 8_000_000
CHART_LIMIT = 2_000_000
CHARACTER_LIMIT = 1000
CHART_WEIGHT = 24
ANGLE_WEIGHT = 4
STREAM_LIMIT = 30
DUPLICATE_SECONDS = 30 * 60
HOUR = 3600
SENTIMENTS = {"neutral": None, "bullish": {"basic": "Bullish"}, "bearish": {"basic": "Bearish"}}
IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
SETTINGS = {"access_token", "username", "user_id", "latency_seconds", "rate_limit", "near_identical", "link_weight"}

_LINK = re.compile(r"https?://\S+")
_NUMBER = r"[1-9][0-9]{0,17}"


class Fault(StrEnum):
    """How StockTwits, or the way to it, fails; "before" and "after" say whether it had accepted the request."""

    RATE_LIMITED = "429"
    UNAUTHORIZED = "401"
    SUSPENDED = "suspended"
    FORBIDDEN = "403-json"
    BOT_BLOCK = "403-html"
    ERROR_BEFORE = "5xx-before"
    ERROR_AFTER = "5xx-after"
    TIMEOUT_BEFORE = "timeout-before"
    TIMEOUT_AFTER = "timeout-after"
    RESET_BEFORE = "reset-before"
    RESET_AFTER = "reset-after"
    CLOSE_AFTER = "close-after"
    NO_ID = "no-id"
    NOT_JSON = "not-json"
    REDIRECT = "redirect"


# What a fault can be told beside its name, and what goes without saying.
_DETAILS: dict[Fault, dict[str, Any]] = {
    Fault.RATE_LIMITED: {"reset_in_seconds": None, "retry_after": None},
    Fault.ERROR_BEFORE: {"status": 500},
    Fault.ERROR_AFTER: {"status": 500},
    Fault.TIMEOUT_BEFORE: {"seconds": 30.0},
    Fault.TIMEOUT_AFTER: {"seconds": 30.0},
    Fault.NO_ID: {"accepted": True},
    Fault.NOT_JSON: {"accepted": True},
    Fault.REDIRECT: {"location": "/"},
}


@dataclass(frozen=True)
class Chart:
    """The chart of a post: an uploaded image, or the address of one."""

    url: str = ""
    type: str = ""
    content: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """The bytes of the uploaded image; 0 when there is an address only."""
        return len(self.content)


@dataclass(frozen=True)
class PostRecord:
    """A post as it was accepted: `body` is the text exactly as it was sent."""

    id: int
    body: str
    sentiment: str
    in_reply_to: int | None
    chart: Chart | None
    created_at: datetime


@dataclass(frozen=True)
class SeenRequest:
    """A request to the API as it arrived; `headers` are looked up whatever their case."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    fields: dict[str, str]
    files: dict[str, bytes]
    at: float

    @property
    def resource(self) -> str:
        """What the request is about: `messages/create`, `streams/user/4242`."""
        return self.path.removeprefix(API).removesuffix(".json")


class RefusedError(Exception):
    """The request is refused: a status, and a message in the words of the API."""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, payload: object, status: int = 200) -> Self:
        """An answer in JSON."""
        return cls(status, json.dumps(payload).encode(), "application/json; charset=utf-8")

    @classmethod
    def error(cls, status: int, message: str) -> Self:
        """A refusal in the form of the API."""
        return cls.json({"response": {"status": status}, "errors": [{"message": message}]}, status)

    @classmethod
    def rate_limited(cls, limit: int) -> Self:
        """The refusal when the rate limit is used up."""
        return cls.error(429, f"Rate limit exceeded. Client may not make more than {limit} requests an hour.")

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same answer with these headers too; its own win."""
        return replace(self, headers={**headers, **self.headers})


_SPOILT = {
    Fault.RATE_LIMITED: Reply.rate_limited(400),
    Fault.UNAUTHORIZED: Reply.error(401, "Authentication required"),
    Fault.SUSPENDED: Reply.error(401, "Account suspended"),
    Fault.FORBIDDEN: Reply.error(403, "The access token lacks the scope publish_messages"),
    Fault.BOT_BLOCK: Reply(
        403,
        b"<!DOCTYPE html><title>Just a moment...</title><h1>Enable JavaScript and cookies to continue</h1>",
        headers={"cf-mitigated": "challenge"},
    ),
    Fault.NO_ID: Reply.json({"response": {"status": 200}, "message": {"body": ""}}),
    Fault.NOT_JSON: Reply(200, b"OK", "text/plain; charset=utf-8"),
    Fault.REDIRECT: Reply(302, b""),
}
_ERROR_PAGE = b"<!DOCTYPE html><title>StockTwits</title><h1>We're sorry, but something went wrong</h1>"


@dataclass
class PlannedFault:
    """A fault that waits for the requests it is meant for; `times` of None means for ever."""

    fault: Fault
    times: int | None
    text: str | None
    path: str
    details: dict[str, Any]

    @property
    def accepts(self) -> bool:
        """Whether the request is carried out although its answer is spoilt."""
        return self.fault.endswith("-after") or bool(self.details.get("accepted"))

    def matches(self, seen: SeenRequest) -> bool:
        """Whether this request is one of those it is meant for."""
        meant = f"{seen.resource}/".startswith(f"{self.path}/")
        return meant and (self.text is None or self.text in seen.fields.get("body", ""))

    def reply(self, now: float) -> Reply:
        """The answer to give in place of the genuine one."""
        if "status" in self.details:
            return Reply(self.details["status"], _ERROR_PAGE)
        reset = self.details.get("reset_in_seconds")
        headers = {
            "X-RateLimit-Reset": None if reset is None else math.ceil(now + reset),
            "Retry-After": self.details.get("retry_after"),
            "Location": self.details.get("location"),
        }
        told = {name: str(value) for name, value in headers.items() if value is not None}
        return _SPOILT[self.fault].with_headers(told)


class Timeline:
    """The account's posts, and the memory of what was said that duplicates are measured against."""

    def __init__(self, ids: Iterator[int]) -> None:
        """Begin with nothing said."""
        self.posts: list[PostRecord] = []
        self._ids = ids
        self._said: dict[tuple[str, ...], datetime] = {}
        self._lock = threading.Lock()

    def find(self, post_id: str) -> PostRecord | None:
        """The post with this id."""
        return next((post for post in list(self.posts) if str(post.id) == post_id), None)

    def add(self, draft: PostRecord, *, near_identical: bool) -> PostRecord:
        """Give a post its id, unless the same (or nearly the same) was said within 30 minutes."""
        same = ("same", *draft.body.split())
        near = ("near", *page.CASHTAG.sub("", draft.body).split())
        with self._lock:
            for words in (same, near) if near_identical else (same,):
                before = self._said.get(words)
                if before and (draft.created_at - before).total_seconds() < DUPLICATE_SECONDS:
                    raise RefusedError(422, "Duplicate messages within 30 minutes will not be posted.")
            self._said[same] = self._said[near] = draft.created_at
            post = replace(draft, id=next(self._ids))
            self.posts.append(post)
            return post


class RateLimit:
    """So many requests within an hour of the first."""

    def __init__(self) -> None:
        """Begin with nothing used."""
        self._used = self._reset = 0
        self._lock = threading.Lock()

    def take(self, limit: int, now: float) -> tuple[bool, dict[str, str]]:
        """Count a request: whether it is within the limit, and the headers that tell how much is left."""
        with self._lock:
            if now >= self._reset:
                self._used, self._reset = 0, math.ceil(now) + HOUR
            self._used += 1
            told = {"Limit": limit, "Remaining": max(limit - self._used, 0), "Reset": self._reset}
            return self._used <= limit, {f"X-RateLimit-{name}": str(value) for name, value in told.items()}


@dataclass(eq=False, repr=False)
class StandIn:
    """A StockTwits that lives on loopback; with port 0 the system picks a free one at the first start.

    The `access_token` and the other settings may be changed while it runs. `client_id`, `client_secret` and
    `code` are what `oauth/token` gives the access token for.
    """

    port: int = 0
    _: KW_ONLY
    access_token: str = "demo-token"
    username: str = "relay_demo"
    user_id: int = 4242
    latency_seconds: float = 0.0
    rate_limit: int | None = None
    near_identical: bool = False
    link_weight: int = 23
    clock: Callable[[], float] = time.time
    client_id: str = "demo-client"
    client_secret: str = "demo-secret"
    code: str = "demo-code"

    def __post_init__(self) -> None:
        """Begin with nothing posted, seen or planned."""
        self.api = Api(self)
        self.stopping = threading.Event()
        self._server: _Server | None = None
        self._ids = itertools.count(600_000_001)  # no id ever comes back, whatever is forgotten
        self._lock = threading.Lock()
        self.reset()

    @property
    def url(self) -> str:
        """The root of the server, where the page is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        """The base of the API."""
        return self.url + API.rstrip("/")

    @property
    def posts(self) -> list[PostRecord]:
        """The posts so far, oldest first."""
        return list(self.timeline.posts)

    @property
    def requests(self) -> list[SeenRequest]:
        """The requests to the API so far, oldest first, refused ones too."""
        return list(self._requests)

    def fail(
        self,
        fault: Fault | str,
        *,
        times: int | None = 1,
        text: str | None = None,
        path: str = "messages/create",
        **details: float | str | None,
    ) -> None:
        """Fail the next requests to `path`, or those of them whose body contains `text`, `times` times in all."""
        kind = Fault(fault)
        known = _DETAILS.get(kind, {})
        if (times is not None and times < 1) or details.keys() - known.keys():
            message = f"{kind} takes times of 1 or more, or null for ever, and these details: {sorted(known)}"
            raise ValueError(message)
        with self._lock:
            self._faults.append(PlannedFault(kind, times, text, path.strip("/"), known | details))

    def configure(self, **changes: object) -> None:
        """Change settings while it runs."""
        if unknown := changes.keys() - SETTINGS:
            message = f"No such settings: {sorted(unknown)}; there are {sorted(SETTINGS)}"
            raise ValueError(message)
        vars(self).update(changes)

    def reset(self) -> None:
        """Forget posts, requests, faults and counts; the settings stay."""
        with self._lock:
            self.timeline = Timeline(self._ids)
            self.limit = RateLimit()
            self.connections = 0
            self._requests: list[SeenRequest] = []
            self._faults: list[PlannedFault] = []

    def start(self) -> Self:
        """Serve in the background from now on; after a stop, on the same port again."""
        self.stopping.clear()
        self._server = _Server(self)
        self.port = self._server.server_port
        # The interval is how long a stop may take at most.
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop at once: held answers are dropped and every connection is closed."""
        server, self._server = self._server, None
        if server:
            self.stopping.set()
            server.shutdown()
            server.server_close()
            server.hang_up()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def note(self, seen: SeenRequest) -> PlannedFault | None:
        """Write a request down, and hand out the first fault that is meant for it."""
        with self._lock:
            self._requests.append(seen)
            planned = next((fault for fault in self._faults if fault.matches(seen)), None)
            if planned and planned.times is not None:
                planned.times -= 1
                if not planned.times:
                    self._faults.remove(planned)
            return planned


class Api:
    """The endpoints of the API."""

    def __init__(self, stand_in: StandIn) -> None:
        """List the endpoints."""
        self._stand_in = stand_in
        self._endpoints: dict[str, Callable[..., dict[str, Any]]] = {
            "POST messages/create": self._create,
            "GET messages/show/([^/]+)": self._show,
            "GET streams/user/([^/]+)": self._stream,
            "GET account/verify": self._verify,
            "POST oauth/token": self._grant,
        }

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer a request, or raise why it is refused."""
        if "access_token" in seen.query:
            raise RefusedError(400, "Send the access token in a header or the form, never in the query string")
        for pattern, endpoint in self._endpoints.items():
            if found := re.fullmatch(pattern, f"{seen.method} {seen.resource}"):
                return Reply.json(endpoint(seen, *found.groups()))
        raise RefusedError(404, "Not found")

    def _create(self, seen: SeenRequest) -> dict[str, Any]:
        self._authenticate(seen)
        body, sentiment = seen.fields.get("body", ""), seen.fields.get("sentiment", "neutral")
        if not body.strip():
            raise RefusedError(422, "Body can't be blank")
        if sentiment not in SENTIMENTS:
            raise RefusedError(422, "Sentiment must be bullish, bearish or neutral")
        in_reply_to = _number(seen.fields, "in_reply_to_message_id")
        chart = _chart(seen)
        if self._weight(body, chart) > CHARACTER_LIMIT:
            raise RefusedError(422, f"Body is too long (maximum is {CHARACTER_LIMIT} characters)")
        now = datetime.fromtimestamp(self._stand_in.clock(), UTC)
        draft = PostRecord(0, body, sentiment, in_reply_to, chart, now)
        post = self._stand_in.timeline.add(draft, near_identical=self._stand_in.near_identical)
        return {"response": {"status": 200}, "message": self._message(post)}

    def _show(self, _: SeenRequest, wanted: str) -> dict[str, Any]:
        post = self._stand_in.timeline.find(wanted)
        if post is None:
            raise RefusedError(404, "Message not found")
        return {"response": {"status": 200}, "message": self._message(post)}

    def _stream(self, seen: SeenRequest, account: str) -> dict[str, Any]:
        if account not in (str(self._stand_in.user_id), self._stand_in.username):
            raise RefusedError(404, "User not found")
        limit = min(_number(seen.query, "limit") or STREAM_LIMIT, STREAM_LIMIT)
        since = _number(seen.query, "since") or 0
        newer = [post for post in reversed(self._stand_in.posts) if post.id > since]
        shown = [self._message(post) for post in newer[:limit]]
        ends = {"since": shown[0]["id"], "max": shown[-1]["id"]} if shown else {"since": None, "max": None}
        cursor = {"more": len(newer) > limit, **ends}
        return {"response": {"status": 200}, "user": self._user(), "cursor": cursor, "messages": shown}

    def _verify(self, seen: SeenRequest) -> dict[str, Any]:
        self._authenticate(seen)
        return {"response": {"status": 200}, "user": self._user()}

    def _grant(self, seen: SeenRequest) -> dict[str, Any]:
        own = self._stand_in
        if not seen.fields.get("redirect_uri"):
            raise RefusedError(400, "redirect_uri is missing")
        if seen.fields.get("grant_type") != "authorization_code":
            raise RefusedError(400, "grant_type must be authorization_code")
        if (seen.fields.get("client_id"), seen.fields.get("client_secret")) != (own.client_id, own.client_secret):
            raise RefusedError(401, "Client authentication failed")
        if seen.fields.get("code") != own.code:
            raise RefusedError(400, "The code is not valid")
        account = {"user_id": own.user_id, "username": own.username}
        return {**account, "access_token": own.access_token, "scope": "read,publish_messages"}

    def _authenticate(self, seen: SeenRequest) -> None:
        style, _, token = seen.headers.get("Authorization", "").partition(" ")
        if style not in ("Bearer", "OAuth"):
            token = seen.fields.get("access_token", "")
        if token != self._stand_in.access_token:
            raise RefusedError(401, "Authentication required")

    def _weight(self, body: str, chart: Chart | None) -> int:
        """The length of a post as StockTwits counts it."""
        text, links = _LINK.subn("", body)
        angles = text.count("<") + text.count(">")
        attached = CHART_WEIGHT if chart else 0
        return len(text) + angles * (ANGLE_WEIGHT - 1) + links * self._stand_in.link_weight + attached

    def _user(self) -> dict[str, Any]:
        return {"id": self._stand_in.user_id, "username": self._stand_in.username, "name": self._stand_in.username}

    def _message(self, post: PostRecord) -> dict[str, Any]:
        """A post as everybody reads it: links shortened, then `&`, `<` and `>` encoded."""
        symbols = dict.fromkeys(symbol.upper() for symbol in page.CASHTAG.findall(_LINK.sub("", post.body)))
        entities: dict[str, Any] = {"sentiment": SENTIMENTS[post.sentiment]}
        if post.chart:
            address = post.chart.url or f"{self._stand_in.url}/charts/{post.id}"
            entities["chart"] = dict.fromkeys(("thumb", "large", "original", "url"), address)
        parents = dict.fromkeys(("parent_message_id", "in_reply_to_message_id"), post.in_reply_to)
        return {
            "id": post.id,
            "body": html.escape(_LINK.sub(_shorten, post.body), quote=False),
            "created_at": _zulu(post.created_at),
            "user": self._user(),
            "source": {"id": 1, "title": "StockTwits stand-in", "url": self._stand_in.url},
            "symbols": [{"symbol": symbol, "title": symbol} for symbol in symbols],
            "entities": entities,
            **({"conversation": {**parents, "parent": False, "replies": 0}} if post.in_reply_to else {}),
        }


class _Server(ThreadingHTTPServer):
    """The listening socket, which remembers its connections so that it can close them."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", stand_in.port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking DNS for a name, as the parent would."""
        TCPServer.server_bind(self)
        self.server_port = self.socket.getsockname()[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        self._open.add(connection)
        self.stand_in.connections += 1
        return connection, address

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 - the parent's type is not public
        """End a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, idle or not."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - likewise
        """Say nothing of a client that went away, as tests do on purpose."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection: requests in, answers out, and the faults that happen on the wire."""

    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "StandIn"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 1 << 16  # headers and body leave in one write

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name for it
        """Write no log: a request line may carry a token."""

    def do_GET(self) -> None:
        """Serve a request."""
        self._serve()

    def do_POST(self) -> None:
        """Serve a request."""
        self._serve()

    def _serve(self) -> None:
        try:
            reply = self._route(self._read_body())
        except RefusedError as refused:
            reply = Reply.error(*refused.args)
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Type": reply.type, **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def _read_body(self) -> bytes:
        declared = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch(r"[0-9]{1,15}", declared):
            self.close_connection = True  # where the next request would begin is unknown
            raise RefusedError(411, "Content-Length is required")
        left, kept = int(declared), bytearray()
        while left:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                raise ConnectionError  # half a request must not become a post
            left -= len(piece)
            # Past the limit it is read, so that the client hears the answer, but not kept.
            if int(declared) <= BODY_LIMIT:
                kept += piece
        if int(declared) > BODY_LIMIT:
            raise RefusedError(413, "The request is too large")
        return bytes(kept)

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
        planned = stand_in.note(seen)
        within, headers = (True, {}) if limit is None else stand_in.limit.take(limit, now)
        if stand_in.stopping.wait(stand_in.latency_seconds):
            return None
        if planned:
            reply = self._misbehave(planned, seen)
        else:
            reply = self._answer(seen) if within else Reply.rate_limited(limit or 0)
        return reply and reply.with_headers(headers)

    def _answer(self, seen: SeenRequest) -> Reply:
        try:
            return self.server.stand_in.api.answer(seen)
        except RefusedError as refused:
            return Reply.error(*refused.args)

    def _misbehave(self, planned: PlannedFault, seen: SeenRequest) -> Reply | None:
        """Act a fault out; None when the connection just ends."""
        stand_in = self.server.stand_in
        genuine = self._answer(seen) if planned.accepts else None
        match planned.fault:
            case Fault.TIMEOUT_BEFORE | Fault.TIMEOUT_AFTER:
                return None if stand_in.stopping.wait(planned.details["seconds"]) else genuine
            case Fault.RESET_BEFORE | Fault.RESET_AFTER:
                # Without lingering, and past the orderly shutdown, closing sends a TCP reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                socket.close(self.connection.detach())
                return None
            case Fault.CLOSE_AFTER:
                return None
            case _:
                return planned.reply(stand_in.clock())

    def _control(self, request: str, body: bytes) -> Reply:
        stand_in = self.server.stand_in
        shown: dict[str, Callable[[], object]] = {
            "GET posts": lambda: [_described_post(post) for post in stand_in.posts],
            "GET requests": lambda: [_described_request(seen) for seen in stand_in.requests],
            "GET stats": lambda: {
                "connections": stand_in.connections,
                "requests": len(stand_in.requests),
                "posts": len(stand_in.posts),
            },
            "POST faults": lambda: stand_in.fail(**json.loads(body)),
            "POST settings": lambda: stand_in.configure(**json.loads(body)),
            "POST reset": stand_in.reset,
        }
        if request not in shown:
            raise RefusedError(404, "Not found")
        try:
            return Reply.json(shown[request]())
        except (TypeError, ValueError) as error:
            raise RefusedError(400, str(error)) from None

    def _page(self, path: str) -> Reply:
        stand_in = self.server.stand_in
        name, status = stand_in.username, 200
        found = re.fullmatch(rf"/(charts|{re.escape(name)}/message)/({_NUMBER})", path)
        post = stand_in.timeline.find(found[2]) if found else None
        if path == "/":
            text = page.timeline(name, stand_in.posts)
        elif found and post and found[1] != "charts":
            text = page.single(name, post)
        elif post and post.chart and post.chart.content:
            return Reply(200, post.chart.content, post.chart.type)
        else:
            status, text = 404, page.missing(name)
        return Reply(status, text.encode(), headers=page.HEADERS)


def _form(content_type: str, body: bytes) -> tuple[dict[str, str], dict[str, bytes]]:
    """The fields and the files of a form, in either encoding; ValueError when it cannot be read."""
    if not content_type.startswith("multipart/form-data"):
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict")), {}
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    fields, files = {}, {}
    for part in email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts():
        name = str(part.get_param("name", header="Content-Disposition"))
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes):
            raise ValueError(name)  # noqa: TRY004 - a form within the form: the sender's fault, not a programmer's
        if part.get_filename() is None:
            fields[name] = content.decode()
        else:
            files[name] = content
    return fields, files


def _chart(seen: SeenRequest) -> Chart | None:
    """The chart that came with a request."""
    if content := seen.files.get("chart"):
        if len(content) >= CHART_LIMIT:
            raise RefusedError(422, "Chart must be under 2 MB")
        kind = next((kind for magic, kind in IMAGE_TYPES.items() if content.startswith(magic)), None)
        if kind is None:
            raise RefusedError(422, "Chart must be a JPG, PNG or GIF")
        return Chart(type=kind, content=content)
    url = seen.fields.get("chart", "")
    if url and not url.startswith(("http://", "https://")):
        raise RefusedError(422, "Chart must be a file or a URL")
    return Chart(url) if url else None


def _number(values: Mapping[str, str], name: str) -> int | None:
    """The positive integer of this name, if there is one."""
    value = values.get(name)
    if value is not None and not re.fullmatch(_NUMBER, value):
        raise RefusedError(422, f"{name} must be a positive integer")
    return None if value is None else int(value)


def _shorten(link: re.Match[str]) -> str:
    return f"http://stks.co/{hashlib.sha256(link[0].encode()).hexdigest()[:5]}"


def _zulu(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _described_post(post: PostRecord) -> dict[str, Any]:
    chart = post.chart and {"url": post.chart.url, "type": post.chart.type, "size": post.chart.size}
    return {**vars(post), "chart": chart, "created_at": _zulu(post.created_at)}


def _described_request(seen: SeenRequest) -> dict[str, Any]:
    sizes = {name: len(content) for name, content in seen.files.items()}
    return {**vars(seen), "headers": dict(seen.headers.items()), "files": sizes}


def main(arguments: list[str] | None = None) -> None:
    """Run in the foreground until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m local.stocktwits", description="A StockTwits on loopback.")
    parser.add_argument("--port", type=int, default=4010, help="0 for any free one (default: %(default)s)")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="hold every answer for so long")
    parser.add_argument("--rate-limit", type=int, help="requests an hour (default: no limit)")
    parser.add_argument("--near-identical", action="store_true", help="texts that differ in cashtags are duplicates")
    parser.add_argument("--access-token", default=StandIn.access_token, help="the token (default: %(default)s)")
    parser.add_argument("--username", default=StandIn.username, help="the account (default: %(default)s)")
    parser.add_argument("--user-id", type=int, default=StandIn.user_id, help="its id (default: %(default)s)")
    options = vars(parser.parse_args(arguments))
    options["latency_seconds"] = options.pop("latency_ms") / 1000

    # Blocked before the first thread starts, the signals reach nobody but `sigwait`.
    stops = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stops)
    with StandIn(**options) as stand_in:
        print(f"StockTwits stand-in: {stand_in.url}", flush=True)
        signal.sigwait(stops)


if __name__ == "__main__":
    main()
