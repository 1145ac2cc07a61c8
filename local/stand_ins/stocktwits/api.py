"""The API of StockTwits: its endpoints with their parameters and responses, and the rules for a post."""

from __future__ import annotations

import hashlib
import html
import itertools
import json
import math
import re
import threading
import time
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from email.message import Message

API = "/api/2/"
CHART_LIMIT = 2_000_000
CHARACTER_LIMIT = 1000
CHART_WEIGHT = 24
ANGLE_WEIGHT = 4
STREAM_LIMIT = 30
DUPLICATE_SECONDS = 30 * 60
HOUR = 3600
SENTIMENTS = {"neutral": None, "bullish": {"basic": "Bullish"}, "bearish": {"basic": "Bearish"}}
IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
NUMBER = r"[1-9][0-9]{0,17}"
CASHTAG = re.compile(r"(?<![\w$])\$([A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z]{1,3})?)(?![\w$])", re.ASCII)
"""`$AAPL`, `$BRK.B`, `$BTC.X`, `$ES_F`; amounts such as `$5k` or `$50USD` and runs such as `$FOO$BAR` do not match."""
_LINK = re.compile(r"https?://\S+")


@dataclass(eq=False, repr=False)
class Settings:
    """The settings of the stand-in.

    `oauth/token` returns the token for `client_id`, `client_secret` and `code`. A stream shows `stream_times` as many
    posts as StockTwits would, for tests that post so many times as fast.
    """

    port: int = 0
    _: KW_ONLY
    access_token: str = "demo-token"
    username: str = "relay_demo"
    user_id: int = 4242
    latency_seconds: float = 0.0
    rate_limit: int | None = None
    near_identical: bool = False
    duplicate_seconds: float = DUPLICATE_SECONDS
    stream_times: int = 1
    link_weight: int = 23
    clock: Callable[[], float] = time.time
    client_id: str = "demo-client"
    client_secret: str = "demo-secret"
    code: str = "demo-code"

    @property
    def url(self) -> str:
        """The root of the server, with the account's page."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Chart:
    """The chart of a post: an uploaded image, or the address of an image."""

    url: str = ""
    type: str = ""
    content: bytes = field(default=b"", repr=False)

    @property
    def size(self) -> int:
        """The size of the uploaded image in bytes; 0 for an address."""
        return len(self.content)


@dataclass(frozen=True)
class PostRecord:
    """An accepted post; `body` is the text exactly as it was sent."""

    id: int
    body: str
    sentiment: str
    in_reply_to: int | None
    chart: Chart | None
    created_at: datetime


@dataclass(frozen=True)
class SeenRequest:
    """A request to the API as it arrived; `headers` ignore case."""

    method: str
    path: str
    query: dict[str, str]
    headers: Message
    fields: dict[str, str]
    files: dict[str, bytes]
    at: float

    @property
    def resource(self) -> str:
        """The resource of the request, such as `messages/create` or `streams/user/4242`."""
        return self.path.removeprefix(API).removesuffix(".json")


class RefusedError(Exception):
    """The request is refused; the arguments are a status and the API's error message."""


@dataclass(frozen=True)
class Reply:
    """An HTTP response."""

    status: int
    body: bytes
    type: str = "text/html; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, payload: object, status: int = 200) -> Self:
        """A response in JSON."""
        return cls(status, json.dumps(payload).encode(), "application/json; charset=utf-8")

    @classmethod
    def error(cls, status: int, message: str) -> Self:
        """An error in the format of the API."""
        return cls.json({"response": {"status": status}, "errors": [{"message": message}]}, status)

    @classmethod
    def rate_limited(cls, limit: int) -> Self:
        """The error when the rate limit is exceeded."""
        return cls.error(429, f"Rate limit exceeded. Client may not make more than {limit} requests an hour.")

    def with_headers(self, headers: Mapping[str, str]) -> Self:
        """The same response with additional headers; its own take precedence."""
        return replace(self, headers={**headers, **self.headers})


class Timeline:
    """The account's posts, and the texts against which duplicates are detected."""

    def __init__(self, ids: Iterator[int]) -> None:
        """Start without posts."""
        self.posts: list[PostRecord] = []
        self._ids = ids
        self._posted_at: dict[tuple[str, ...], datetime] = {}
        self._lock = threading.Lock()

    def find(self, post_id: str) -> PostRecord | None:
        """Return the post with this id."""
        return next((post for post in list(self.posts) if str(post.id) == post_id), None)

    def add(
        self, draft: PostRecord, *, near_identical: bool = False, duplicate_seconds: float = DUPLICATE_SECONDS
    ) -> PostRecord:
        """Add a post with a new id, unless the same (or nearly the same) text was posted within `duplicate_seconds`."""
        same = ("same", *draft.body.split())
        near = ("near", *CASHTAG.sub("", draft.body).split())
        with self._lock:
            for words in (same, near) if near_identical else (same,):
                before = self._posted_at.get(words)
                if before and (draft.created_at - before).total_seconds() < duplicate_seconds:
                    raise RefusedError(422, "Duplicate messages within 30 minutes will not be posted.")
            self._posted_at[same] = self._posted_at[near] = draft.created_at
            post = replace(draft, id=next(self._ids))
            self.posts.append(post)
            return post


class RateLimit:
    """A limit of requests within an hour of the first."""

    def __init__(self) -> None:
        """Start without requests."""
        self._used = self._reset = 0
        self._lock = threading.Lock()

    def take(self, limit: int, now: float) -> tuple[bool, dict[str, str]]:
        """Count a request; return whether it is within the limit, and the rate limit headers."""
        with self._lock:
            if now >= self._reset:
                self._used, self._reset = 0, math.ceil(now) + HOUR
            self._used += 1
            headers = {"Limit": limit, "Remaining": max(limit - self._used, 0), "Reset": self._reset}
            return self._used <= limit, {f"X-RateLimit-{name}": str(value) for name, value in headers.items()}


class Api:
    """The endpoints of the API."""

    def __init__(self, settings: Settings) -> None:
        """Define the endpoints."""
        self._settings = settings
        self._ids = itertools.count(600_000_001)  # ids are never reused, not even after a reset
        self.timeline = Timeline(self._ids)
        self._endpoints: dict[str, Callable[..., dict[str, Any]]] = {
            "POST messages/create": self._create,
            "GET messages/show/([^/]+)": self._show,
            "GET streams/user/([^/]+)": self._stream,
            "GET account/verify": self._verify,
            "POST oauth/token": self._grant,
        }

    def forget(self) -> None:
        """Forget all posts."""
        self.timeline = Timeline(self._ids)

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer a request; raise RefusedError if it is refused."""
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
        now = datetime.fromtimestamp(self._settings.clock(), UTC)
        draft = PostRecord(0, body, sentiment, in_reply_to, chart, now)
        own = self._settings
        post = self.timeline.add(draft, near_identical=own.near_identical, duplicate_seconds=own.duplicate_seconds)
        return {"response": {"status": 200}, "message": self._message(post)}

    def _show(self, _: SeenRequest, wanted: str) -> dict[str, Any]:
        post = self.timeline.find(wanted)
        if post is None:
            raise RefusedError(404, "Message not found")
        return {"response": {"status": 200}, "message": self._message(post)}

    def _stream(self, seen: SeenRequest, account: str) -> dict[str, Any]:
        if account not in (str(self._settings.user_id), self._settings.username):
            raise RefusedError(404, "User not found")
        limit = min(_number(seen.query, "limit") or STREAM_LIMIT, STREAM_LIMIT) * self._settings.stream_times
        since = _number(seen.query, "since") or 0
        newer = [post for post in reversed(self.timeline.posts) if post.id > since]
        shown = [self._message(post) for post in newer[:limit]]
        ends = {"since": shown[0]["id"], "max": shown[-1]["id"]} if shown else {"since": None, "max": None}
        cursor = {"more": len(newer) > limit, **ends}
        return {"response": {"status": 200}, "user": self._user(), "cursor": cursor, "messages": shown}

    def _verify(self, seen: SeenRequest) -> dict[str, Any]:
        self._authenticate(seen)
        return {"response": {"status": 200}, "user": self._user()}

    def _grant(self, seen: SeenRequest) -> dict[str, Any]:
        own = self._settings
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
        if token != self._settings.access_token:
            raise RefusedError(401, "Authentication required")

    def _weight(self, body: str, chart: Chart | None) -> int:
        """Return the length of a post as StockTwits counts it."""
        text, links = _LINK.subn("", body)
        angles = text.count("<") + text.count(">")
        attached = CHART_WEIGHT if chart else 0
        return len(text) + angles * (ANGLE_WEIGHT - 1) + links * self._settings.link_weight + attached

    def _user(self) -> dict[str, Any]:
        return {"id": self._settings.user_id, "username": self._settings.username, "name": self._settings.username}

    def _message(self, post: PostRecord) -> dict[str, Any]:
        """Return a post as the API shows it: links shortened, then `&`, `<` and `>` encoded."""
        symbols = dict.fromkeys(symbol.upper() for symbol in CASHTAG.findall(_LINK.sub("", post.body)))
        entities: dict[str, Any] = {"sentiment": SENTIMENTS[post.sentiment]}
        if post.chart:
            address = post.chart.url or f"{self._settings.url}/charts/{post.id}"
            entities["chart"] = dict.fromkeys(("thumb", "large", "original", "url"), address)
        parents = dict.fromkeys(("parent_message_id", "in_reply_to_message_id"), post.in_reply_to)
        return {
            "id": post.id,
            "body": html.escape(_LINK.sub(_shorten, post.body), quote=False),
            "created_at": iso_utc(post.created_at),
            "user": self._user(),
            "source": {"id": 1, "title": "StockTwits stand-in", "url": self._settings.url},
            "symbols": [{"symbol": symbol, "title": symbol} for symbol in symbols],
            "entities": entities,
            **({"conversation": {**parents, "parent": False, "replies": 0}} if post.in_reply_to else {}),
        }


def _chart(seen: SeenRequest) -> Chart | None:
    """Return the chart of a request."""
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
    """Return the positive integer of this name, if there is one."""
    value = values.get(name)
    if value is not None and not re.fullmatch(NUMBER, value):
        raise RefusedError(422, f"{name} must be a positive integer")
    return None if value is None else int(value)


def _shorten(link: re.Match[str]) -> str:
    return f"http://stks.co/{hashlib.sha256(link[0].encode()).hexdigest()[:5]}"


def iso_utc(moment: datetime) -> str:
    """Format a moment as the API does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
