"""The API of StockTwits: its endpoints with their parameters and responses, and the rules for a post."""

from __future__ import annotations

import itertools
import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from local.stand_ins.stocktwits.rendering import CASHTAG, LINK, render, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from email.message import Message

API = "/api/2/"
CHART_LIMIT = 2_000_000
CHARACTER_LIMIT = 1000
CHART_WEIGHT = 24
ANGLE_WEIGHT = 4
STREAM_LIMIT = 30
STREAM_REACH = 800
"""How many messages of a stream can be reached through cursors; what is older is not shown (parameters page)."""

DUPLICATE_SECONDS = 30 * 60
HOUR = 3600
DUPLICATE = "Duplicate messages within 30 minutes will not be posted."
PARENT_NOT_FOUND = "The message that you reply to was not found"
SENTIMENTS = {"neutral": None, "bullish": {"basic": "Bullish"}, "bearish": {"basic": "Bearish"}}
IMAGE_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
NUMBER = r"[1-9][0-9]{0,17}"
Alteration = Callable[[dict[str, Any]], dict[str, Any]]
"""From a post as the API would show it, to how it is shown."""


@dataclass(eq=False, repr=False)
class Settings:
    """The settings of the stand-in.

    `oauth/token` returns the token for `client_id`, `client_secret` and `code`. A stream shows `stream_times` as many
    posts as StockTwits would, for tests that post so many times as fast.

    Attributes:
        duplicate_seconds: For how long a text is refused again; 0 accepts every duplicate.
        near_identical: Whether texts that differ only in cashtags are duplicates.
        stream_lag_seconds: After how many seconds a post is shown, on streams and by itself.
        parent_lag_seconds: For how many seconds after a post a reply to it is refused, with `parent_status`.
        parent_status: 404 or 422.
        renderings: How every post's text is altered; values of `Rendering`.
        contrary: The seed of the contrary mode; None switches it off.
        contrary_share: The share of requests, of posts and of whole runs that each get one of its behaviours.
        contrary_behaviours: The values of `Contrary` that it draws from; empty for all.
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
    stream_lag_seconds: float = 0.0
    parent_lag_seconds: float = 0.0
    parent_status: int = 404
    renderings: Sequence[str] = ()
    contrary: int | None = None
    contrary_share: float = 0.2
    contrary_behaviours: Sequence[str] = ()

    @property
    def url(self) -> str:
        """The root of the server, with the account's page."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True)
class Rules:
    """The rules for posts that may change; see `Settings`."""

    duplicate_seconds: float
    near_identical: bool
    stream_lag_seconds: float
    parent_lag_seconds: float
    parent_status: int
    renderings: tuple[str, ...]


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
    """An accepted post; `body` is the text exactly as it was sent.

    Attributes:
        source: Who posted it, if it was not a request to this API: the owner's hand, or another tool.
        lag_seconds: After how many seconds it is shown.
        renderings: How its text is altered wherever it is shown; values of `Rendering`.
        alterations: How else it is altered wherever it is shown.
    """

    id: int
    body: str
    sentiment: str
    in_reply_to: int | None
    chart: Chart | None
    created_at: datetime
    source: str = ""
    lag_seconds: float = 0.0
    renderings: tuple[str, ...] = ()
    alterations: tuple[Alteration, ...] = field(default=(), compare=False, repr=False)


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
                    raise RefusedError(422, DUPLICATE)
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
        self._require_visible_parent(in_reply_to)
        post = self._accept(seen, PostRecord(0, body, sentiment, in_reply_to, chart, self._now()))
        return {"response": {"status": 200}, "message": self._shown(seen, post)}

    def _accept(self, _: SeenRequest, draft: PostRecord) -> PostRecord:
        """Add a post to the timeline; RefusedError if it is a duplicate."""
        rules = self._rules()
        return self.timeline.add(draft, near_identical=rules.near_identical, duplicate_seconds=rules.duplicate_seconds)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._settings.clock(), UTC)

    def _rules(self) -> Rules:
        """Return the rules that apply now."""
        own = self._settings
        return Rules(
            own.duplicate_seconds,
            own.near_identical,
            own.stream_lag_seconds,
            own.parent_lag_seconds,
            own.parent_status,
            tuple(own.renderings),
        )

    def _require_visible_parent(self, parent: int | None) -> None:
        """Refuse a reply to a post that was made a moment ago; any other number may be a post of another account."""
        rules = self._rules()
        post = self.timeline.find(str(parent))
        if post and self._settings.clock() - post.created_at.timestamp() < rules.parent_lag_seconds:
            raise RefusedError(rules.parent_status, PARENT_NOT_FOUND)

    def _visible(self) -> list[PostRecord]:
        """Return the posts that are shown by now, newest first."""
        now, lag = self._settings.clock(), self._rules().stream_lag_seconds
        posts = list(reversed(self.timeline.posts))
        return [
            each
            for each in posts
            if (wait := max(each.lag_seconds, lag)) <= 0 or now - each.created_at.timestamp() >= wait
        ]

    def _show(self, seen: SeenRequest, wanted: str) -> dict[str, Any]:
        post = self.timeline.find(wanted)
        if post is None or post not in self._visible():
            raise RefusedError(404, "Message not found")
        return {"response": {"status": 200}, "message": self._shown(seen, post)}

    def _stream(self, seen: SeenRequest, account: str) -> dict[str, Any]:
        if account not in (str(self._settings.user_id), self._settings.username):
            raise RefusedError(404, "User not found")
        times = self._settings.stream_times
        limit = min(_number(seen.query, "limit") or STREAM_LIMIT, STREAM_LIMIT) * times
        since, newest = _number(seen.query, "since") or 0, _number(seen.query, "max") or math.inf
        visible = self._visible()
        asked = [post for post in visible if since < post.id <= newest]
        reachable = {post.id for post in visible[: STREAM_REACH * times]}
        page = [post for post in asked[:limit] if post.id in reachable]
        shown = [self._shown(seen, post) for post in page]
        ends = {"since": page[0].id, "max": page[-1].id} if page else {"since": None, "max": None}
        cursor = {"more": bool(page) and len(asked) > len(page), **ends}
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
        text, links = LINK.subn("", body)
        angles = text.count("<") + text.count(">")
        attached = CHART_WEIGHT if chart else 0
        return len(text) + angles * (ANGLE_WEIGHT - 1) + links * self._settings.link_weight + attached

    def _user(self) -> dict[str, Any]:
        return {"id": self._settings.user_id, "username": self._settings.username, "name": self._settings.username}

    def _shown(self, _: SeenRequest, post: PostRecord) -> dict[str, Any]:
        """Return a post as the answer to this request shows it."""
        return self._message(post)

    def _message(self, post: PostRecord) -> dict[str, Any]:
        """Return a post as the API shows it: its text rendered, then altered as this post is."""
        symbols = dict.fromkeys(symbol.upper() for symbol in CASHTAG.findall(LINK.sub("", post.body)))
        entities: dict[str, Any] = {"sentiment": SENTIMENTS[post.sentiment]}
        if post.chart:
            address = post.chart.url or f"{self._settings.url}/charts/{post.id}"
            entities["chart"] = dict.fromkeys(("thumb", "large", "original", "url"), address)
        # As in the API's own sample, a link's address is whole, whatever the text shows.
        links = [{"title": link, "url": link, "shortened_url": shortened(link)} for link in LINK.findall(post.body)]
        parents = dict.fromkeys(("parent_message_id", "in_reply_to_message_id"), post.in_reply_to)
        message: dict[str, Any] = {
            "id": post.id,
            "body": render(post.body, (*self._rules().renderings, *post.renderings)),
            "created_at": iso_utc(post.created_at),
            "user": self._user(),
            "source": {"id": 1, "title": post.source or "StockTwits stand-in", "url": self._settings.url},
            "symbols": [{"symbol": symbol, "title": symbol} for symbol in symbols],
            "entities": entities,
            **({"links": links} if links else {}),
            **({"conversation": {**parents, "parent": False, "replies": 0}} if post.in_reply_to else {}),
        }
        for alter in post.alterations:
            message = alter(message)
        return message


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


def iso_utc(moment: datetime) -> str:
    """Format a moment as the API does."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
