"""The StockTwits API: one request, one answer or one error named by what to do next.

The endpoints, codes and limits are those of https://api.stocktwits.com/developers/docs/api; where its answers were seen
to differ in practice, a comment notes it.
"""

from __future__ import annotations

import io
import json
import re
import time
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPResponse
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from relay import __version__
from relay.errors import Duplicate, Halt, Pause, Reject, Retry, Unknown, Wait
from relay.posting.alert import MAX_ENTITY_LEVELS, printable, unescaped
from relay.posting.outcome import Published
from relay.tls import standard_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.credentials import Credentials, CredentialsSource
    from relay.posting.alert import Alert

CONNECT_SECONDS = 3.05
"""Just over one TCP retransmission: https://requests.readthedocs.io/en/latest/user/advanced/#timeouts."""

READ_SECONDS = 10.0
"""How long StockTwits' answer may take, to its last byte, before the outcome counts as unknown. A time-out of a socket
is for each piece of it, so that an answer in small pieces would never end."""

RATE_LIMIT_SECONDS = 60
"""The pause after a 429 without a time at which it ends; the reset header was not always seen."""

LONGEST_RATE_LIMIT_SECONDS = 24 * 3600
"""A reset later than this is a defect in the header, not a limit: limits are hourly."""

TOKEN_REFUSED_SECONDS = 300
"""The pause after a 401, or a 403 in JSON, before one probe."""

BLOCKED_SECONDS = 900
"""The pause after a 403 page of HTML: a bot challenge, which every further request prolongs."""

UNAVAILABLE_SECONDS = 60
"""The pause after a 503."""

STREAM_LIMIT = 30
"""The most messages that a stream request returns."""

CLOCK_SKEW_SECONDS = 30
"""How far StockTwits' clock may be off ours when a post is looked for."""

ADDED_ENTITY_LEVELS = 4
"""How often StockTwits may have encoded a post's HTML entities on top of what was posted; it was seen to do so once."""

MAX_ANSWER_BYTES = 1_000_000
"""How much is read of an answer, undecoded: several times the longest stream."""

MAX_ID = 2**63 - 1
"""The largest id that is believed. Ids have nine or ten digits today; DynamoDB's numbers have 38 at most."""

MAX_NUMBER_CHARACTERS = 15
"""The longest number that is read from a header; Python refuses to read some thousands of digits at all."""

MAX_QUOTED_CHARACTERS = 300
"""How much of StockTwits' own error text goes into a reason."""

_LINK = re.compile(r"https?://\S+", re.IGNORECASE)
_QUERY = re.compile(r"(\?|%3F)\S+", re.IGNORECASE)
_ABOUT_THE_MESSAGE = frozenset({400, 404, 413, 414, 418, 422})
_UNSURE = frozenset({408, 425})
_IMAGE_NAMES = {
    b"\xff\xd8\xff": ("chart.jpg", "image/jpeg"),
    b"\x89PNG\r\n\x1a\n": ("chart.png", "image/png"),
    b"GIF87a": ("chart.gif", "image/gif"),
    b"GIF89a": ("chart.gif", "image/gif"),
}


@dataclass(frozen=True, slots=True)
class _Answer:
    """What StockTwits answered; its content is empty if it was too long to be read."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any] | None:
        """Return the content if it is a JSON object."""
        try:
            answer = json.loads(self.content)
        except (ValueError, RecursionError):
            return None
        return answer if isinstance(answer, dict) else None


class StockTwits:
    """A client for one account; threads may share it."""

    def __init__(
        self,
        api_url: str,
        auth_style: str,
        credentials: CredentialsSource,
        connections: int,
        now: Callable[[], float],
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            api_url: The API's root, such as ``https://api.stocktwits.com/api/2``.
            auth_style: One of `relay.credentials.AUTH_STYLES`.
            credentials: Gives the credentials.
            connections: How many connections to open at most; further requests wait for one.
            now: The clock, in seconds since the epoch.
        """
        self._api_url = api_url.rstrip("/")
        self._auth_style = auth_style
        self._credentials = credentials
        self._now = now
        # No session: it would follow redirects, keep cookies, and read logins and proxies from the environment.
        self._adapter = _Adapter(connections, tls=self._api_url.startswith("https://"))

    def close(self) -> None:
        """Close the connections: a function may be frozen for longer than they live, and a dead one costs a post."""
        self._adapter.close()

    def publish(self, alert: Alert, chart: bytes | None) -> Published:
        """Publish an alert.

        Args:
            alert: What to post; a chart URL goes to StockTwits as it is.
            chart: The chart's bytes, when it is to be uploaded.

        Returns:
            The post as StockTwits knows it.

        Raises:
            RelayError: Named by what to do next; see the table in ``docs/operating.md``.
        """
        fields = {"body": alert.body}
        if alert.sentiment:
            fields["sentiment"] = alert.sentiment
        if alert.in_reply_to_message_id:
            fields["in_reply_to_message_id"] = str(alert.in_reply_to_message_id)
        files = None
        if chart is not None:
            name, media_type = image_type(chart)
            files = {"chart": (name, chart, media_type)}
        elif alert.chart:
            fields["chart"] = alert.chart

        answer, credentials = self._answered(lambda credentials: self._publish(fields, files, credentials))
        if not 200 <= answer.status < 300:  # noqa: PLR2004
            self._refused(answer, credentials)
        message = (answer.json() or {}).get("message")
        message_id = message.get("id") if isinstance(message, dict) else None
        if not _is_id(message_id):
            raise Unknown("StockTwits answered without a message id", status=answer.status)
        return _published(message_id, credentials.username)

    def find(self, text: str, since: float) -> Published | None:
        """Look for a text on the account's own stream.

        Args:
            text: The text that was to be posted.
            since: When the first attempt to post it began, in seconds since the epoch.

        Returns:
            The newest post with that text, or None when it certainly is not there.

        Raises:
            Reject: The stream does not reach back to `since`, so only an operator can find out.
            RelayError: The stream cannot be read now.
        """
        answer, credentials = self._answered(self._stream)
        status = answer.status
        if status in _ABOUT_THE_MESSAGE:  # this request has no message: what is wrong is the account's name
            reason = f"the stream of account {credentials.user_id} cannot be read ({status}): check the token parameter"
            raise self._halt("stream", reason, status)
        if status != 200:  # noqa: PLR2004
            self._refused(answer, credentials)
        stream = answer.json() or {}
        messages = stream.get("messages")
        if not isinstance(messages, list):
            raise Unknown("StockTwits' answer for the account's stream contains no messages", status=status)
        wanted = normal_form(text)
        start = since - CLOCK_SKEW_SECONDS
        posts = [each for each in messages if isinstance(each, dict)]
        for each in posts:
            body = each.get("body")
            if _created_at(each, start) >= start and isinstance(body, str) and normal_form(body) == wanted:
                if not _is_id(each.get("id")):
                    raise Reject("the account's stream shows a post with this text, but not its id")
                return _published(each["id"], credentials.username)
        cursor = stream.get("cursor")
        more = isinstance(cursor, dict) and cursor.get("more") is True
        # By the last one: a pinned post comes first, however old it is.
        reaches_back = bool(posts) and _created_at(posts[-1], start) < start
        if not reaches_back and (more or len(messages) >= STREAM_LIMIT):
            raise Reject(f"the account's newest {STREAM_LIMIT} posts do not reach back to the first attempt")
        return None

    def _answered(self, request: Callable[[Credentials], _Answer]) -> tuple[_Answer, Credentials]:
        """Send a request, and once more if its token is refused and a newer one is stored."""
        credentials = self._credentials()
        answer = request(credentials)
        if _token_refused(answer):
            fresh = credentials
            with suppress(Retry):  # no newer one to be had now: the one at hand is refused
                fresh = self._credentials(fresh=True)
            if fresh.access_token != credentials.access_token:
                return request(fresh), fresh
        return answer, credentials

    def _stream(self, credentials: Credentials) -> _Answer:
        path = f"/streams/user/{credentials.user_id}.json"
        return self._send("GET", path, credentials, params={"limit": str(STREAM_LIMIT)})

    def _publish(self, fields: dict[str, str], files: Any, credentials: Credentials) -> _Answer:  # noqa: ANN401
        if self._auth_style == "form":
            fields = {**fields, "access_token": credentials.access_token}
        return self._send("POST", "/messages/create.json", credentials, data=fields, files=files)

    def _send(self, method: str, path: str, credentials: Credentials, **what: Any) -> _Answer:  # noqa: ANN401
        """Send one request, and read its answer, up to a bound."""
        headers = {"User-Agent": f"StockTwitsRelay/{__version__}", "Accept": "application/json"}
        scheme = {"bearer": "Bearer", "oauth": "OAuth"}.get(self._auth_style)
        if scheme:
            headers["Authorization"] = f"{scheme} {credentials.access_token}"
        request = requests.Request(method, self._api_url + path, headers, **what).prepare()
        try:
            response = self._adapter.send(request, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
            content = b""
            # Not decoded: no encoding was asked for, and half a megabyte of gzip may become a gigabyte. To its end,
            # since only there urllib3 distinguishes an answer that broke off from a whole one.
            while piece := response.raw.read(MAX_ANSWER_BYTES + 1 - len(content), decode_content=False):
                content += piece
        except (requests.RequestException, HTTPError, ValueError) as error:  # the latter of a chunk's odd size
            # Not the exception's own text, and no cause kept: both could show what was sent.
            if _never_connected(error):
                raise Retry(f"StockTwits could not be reached ({_root(error)})") from None
            raise Unknown(f"the connection to StockTwits broke before its answer ({_root(error)})") from None
        if len(content) > MAX_ANSWER_BYTES:
            response.raw.close()
            response.raw.release_conn()  # or whoever waits for a connection waits for ever
            content = b""
        return _Answer(response.status_code, response.headers, content)

    def _refused(self, answer: _Answer, credentials: Credentials) -> NoReturn:
        """Raise what an answer other than success means."""
        status = answer.status
        quoted = _quoted(answer.json(), credentials.access_token)
        if status == 429:  # noqa: PLR2004
            raise Wait(self._rate_limited(answer.headers, quoted), status=status)
        if _token_refused(answer):
            raise self._halt(
                "token_refused", f"StockTwits refused the token ({status}{quoted}): store a valid one", status
            )
        if status == 403:  # noqa: PLR2004
            until = self._now() + BLOCKED_SECONDS
            reason = (
                "StockTwits' bot protection blocks this client (403 with a page): contact StockTwits if this continues"
            )
            raise Halt(Pause("blocked", reason, until, probe=True), status=status)
        if status == 422 and "duplicate" in quoted.lower():  # noqa: PLR2004
            raise Duplicate(f"StockTwits refused it as a duplicate (422{quoted})", status=status)
        if status in _ABOUT_THE_MESSAGE:
            raise Reject(f"StockTwits refused it ({status}{quoted})", status=status)
        if status >= 500 or status in _UNSURE:  # noqa: PLR2004
            pause = None
            if status == 503:  # noqa: PLR2004
                reason = "StockTwits is unavailable (503)"
                pause = Pause("unavailable", reason, self._now() + UNAVAILABLE_SECONDS)
            raise Unknown(f"StockTwits answered {status}{quoted}", status=status, pause=pause)
        reason = f"StockTwits answered {status}{quoted}, which is not about the message: check StockTwitsApiUrl"
        halt = self._halt("unexpected_answer", reason, status)
        if status < 400:  # noqa: PLR2004  whoever redirects may have taken the post before
            raise Unknown(reason, status=status, pause=halt.pause)
        raise halt

    def _halt(self, cause: str, reason: str, status: int | None = None) -> Halt:
        return Halt(Pause(cause, reason, self._now() + TOKEN_REFUSED_SECONDS, probe=True), status=status)

    def _rate_limited(self, headers: Mapping[str, str], quoted: str) -> Pause:
        now = self._now()
        until = now + RATE_LIMIT_SECONDS
        retry_after, reset = headers.get("Retry-After", ""), headers.get("X-RateLimit-Reset", "")
        if _is_number(retry_after):
            until = now + int(retry_after)
        elif _is_number(reset) and int(reset) > now:
            until = float(reset)
        return Pause(
            "rate_limited", f"StockTwits limits the rate (429{quoted})", min(until, now + LONGEST_RATE_LIMIT_SECONDS)
        )


def image_type(content: bytes) -> tuple[str, str]:
    """Return a file name and media type for an image, by its first bytes.

    Raises:
        Reject: It is not a JPG, PNG or GIF.
    """
    for magic, name_and_type in _IMAGE_NAMES.items():
        if content.startswith(magic):
            return name_and_type
    raise Reject("chart: the file is not a JPG, PNG or GIF")


def normal_form(text: str) -> str:
    """Reduce a text to what survives StockTwits: entities resolved, links taken out, white space collapsed.

    One whose entities go deeper than those of any post of ours stays as it is, and so equals none of ours.
    """
    plain = unescaped(text, MAX_ENTITY_LEVELS + ADDED_ENTITY_LEVELS)
    if plain is None:
        return text
    return " ".join(_LINK.sub(" ", unicodedata.normalize("NFC", _marks_in_order(plain))).split())


def _marks_in_order(text: str) -> str:
    """Decompose characters, and put combining marks into their canonical order, which is how normalizing begins.

    The standard library does it by insertion, which takes minutes for a megabyte of marks.
    """
    if text.isascii():
        return text
    decomposed = chain.from_iterable(unicodedata.normalize("NFD", character) for character in text)
    runs = groupby(decomposed, key=lambda character: unicodedata.combining(character) > 0)
    return "".join("".join(sorted(run, key=unicodedata.combining)) if marks else "".join(run) for marks, run in runs)


class _NeverConnected(NewConnectionError):
    """No connection came about, TLS included: nothing was sent."""


class _Connects:
    """Marks every failure before the first byte of a request, which requests itself does not distinguish."""

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc]
        except (OSError, HTTPError) as error:
            raise _NeverConnected(self, type(error).__name__) from error  # type: ignore[arg-type]


class _BoundedReader(io.RawIOBase):
    """Reads from a socket's file until a moment, and up to a bound: a chunk may claim to be of any size."""

    def __init__(self, file: Any, seconds: float, size: int) -> None:  # noqa: ANN401
        self._file = file
        self._end = time.monotonic() + seconds
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:  # noqa: ANN401
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._file._sock.settimeout(left)  # noqa: SLF001  there is no other way to a connection's deadline
        read: int | None = self._file.readinto(buffer)
        self._left -= read or 0
        if self._left < 0:
            raise OSError("the answer is too long")
        return read

    def close(self) -> None:
        self._file.close()
        super().close()


class _BoundedResponse(HTTPResponse):
    """An answer that has to come to its end in `READ_SECONDS`, its headers and how it is cut into chunks included."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), READ_SECONDS, 2 * MAX_ANSWER_BYTES))


class _Http(_Connects, HTTPConnection):
    response_class = _BoundedResponse


class _Https(_Connects, HTTPSConnection):
    response_class = _BoundedResponse


class _Adapter(HTTPAdapter):
    """Bounds an answer's time and size, and uses the standard library's TLS settings.

    StockTwits' bot protection was seen to block urllib3's own.
    """

    def __init__(self, connections: int, *, tls: bool) -> None:
        # Only where it is needed: reading all the authorities takes as long as making an AWS client.
        self._tls: dict[str, Any] = {"ssl_context": standard_context()} if tls else {}
        super().__init__(pool_connections=1, pool_maxsize=connections, pool_block=True)

    def cert_verify(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        """Leave the context as it is: requests would read its own authorities anew for every connection."""

    def build_response(self, _request: Any, answer: Any) -> requests.Response:  # noqa: ANN401
        """Take status, headers and body alone: requests would parse cookies, which some take it half a minute."""
        response = requests.Response()
        response.status_code = answer.status
        response.headers.update(answer.headers)
        response.raw = answer
        return response

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().init_poolmanager(*args, **kwargs | self._tls)
        pools = self.poolmanager.pool_classes_by_scheme
        self.poolmanager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": _Https if scheme == "https" else _Http})
            for scheme, pool in pools.items()
        }


def _never_connected(error: BaseException) -> bool:
    return any(isinstance(each, _NeverConnected) for each in _chain(error))


def _root(error: BaseException) -> str:
    """Name the innermost error by its type."""
    return type(_chain(error)[-1]).__name__


def _chain(error: BaseException) -> list[BaseException]:
    """List an error and what it wraps: urllib3 keeps the inner one as `reason`, requests as its argument."""
    chain = [error]
    while True:
        last = chain[-1]
        # Not its context: that may be an earlier request's error, whose handler sent this one.
        inner = [getattr(last, "reason", None), last.__cause__, *last.args]
        following = next((each for each in inner if isinstance(each, BaseException) and each not in chain), None)
        if following is None:
            return chain
        chain.append(following)


def _token_refused(answer: _Answer) -> bool:
    """Return whether the token was refused; a bot challenge is a 403, too, but a page."""
    return answer.status == 401 or (answer.status == 403 and answer.json() is not None)  # noqa: PLR2004


def _quoted(answer: dict[str, Any] | None, token: str) -> str:
    """Quote StockTwits' error texts, without the token and without what follows any ``?``: it may be half of a link."""
    errors = (answer or {}).get("errors")
    texts = (
        [str(each.get("message", "")) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    )
    text = _QUERY.sub(r"\1…", " ".join(filter(None, texts)).replace(token, "…"))
    text = printable(text[:MAX_QUOTED_CHARACTERS])  # half of an emoji could not be written down
    return f": {text}" if text else ""


def _is_id(value: object) -> TypeGuard[int]:
    """Return whether a value is an id that the ledger can store."""
    return type(value) is int and 0 < value <= MAX_ID


def _is_number(header: str) -> bool:
    """Return whether a header is a number, with no more digits than a point in time has."""
    return header.isdecimal() and len(header) <= MAX_NUMBER_CHARACTERS


def _created_at(message: dict[str, Any], otherwise: float) -> float:
    try:
        return datetime.fromisoformat(str(message["created_at"])).timestamp()
    except (KeyError, ValueError):
        return otherwise


def _published(message_id: int, username: str) -> Published:
    return Published(message_id, f"https://stocktwits.com/{username}/message/{message_id}")
