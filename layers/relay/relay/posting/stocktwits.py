"""The StockTwits API: one request, one answer or one error named by what to do next.

The endpoints, codes and limits are those of https://api.stocktwits.com/developers/docs/api; where its answers were seen
to differ in practice, a comment notes it.
"""

from __future__ import annotations

import io
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError

from relay import __version__
from relay.errors import Duplicate, Halt, NoId, NotYet, Pause, Reject, Retry, Unknown, Wait
from relay.limits import limit_end, moment
from relay.posting.alert import printable
from relay.posting.outcome import Published
from relay.posting.reconciliation import PAGE_SIZE, Page, Shown, is_as_sent
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

TOKEN_REFUSED_SECONDS = 300
"""The pause after a 401, or a 403 in JSON, before one probe."""

BLOCKED_SECONDS = 900
"""The pause after a 403 page of HTML: a bot challenge, which every further request prolongs."""

UNAVAILABLE_SECONDS = 60
"""The pause after a 503."""

MAX_ANSWER_BYTES = 1_000_000
"""How much is read of an answer, undecoded: several times the longest stream."""

MAX_ID = 2**63 - 1
"""The largest id that is believed. Ids have nine or ten digits today; DynamoDB's numbers have 38 at most."""

MAX_QUOTED_CHARACTERS = 300
"""How much of StockTwits' own error text goes into a reason."""

_QUERY = re.compile(r"(\?|%3F)\S+", re.IGNORECASE)
_ABOUT_THE_MESSAGE = frozenset({400, 404, 413, 414, 418, 422})
_ABOUT_A_PARENT = re.compile(r"\b(repl(y|ied|ies)|parent|conversation|not found|does not exist)\b", re.IGNORECASE)
_OF_BOT_PROTECTION = frozenset({"cloudflare_error", "ray_id", "error_code"})
_UNSURE = frozenset({408, 425})
_IMAGE_NAMES = {
    b"\xff\xd8\xff": ("chart.jpg", "image/jpeg"),
    b"\x89PNG\r\n\x1a\n": ("chart.png", "image/png"),
    b"GIF87a": ("chart.gif", "image/gif"),
    b"GIF89a": ("chart.gif", "image/gif"),
}


@dataclass(frozen=True, slots=True)
class Answer:
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

    @property
    def meant(self) -> int:
        """The status that counts: that of the body, when the HTTP status is a success and the body's is not."""
        response = (self.json() or {}).get("response") if 200 <= self.status < 300 else None  # noqa: PLR2004
        inner = _id(response.get("status")) if isinstance(response, dict) else None
        return inner if inner is not None and not 200 <= inner < 300 else self.status  # noqa: PLR2004

    @property
    def names_errors(self) -> bool:
        """Whether it has the documented shape of an error: JSON with ``errors``."""
        errors = (self.json() or {}).get("errors")
        return isinstance(errors, list) and any(isinstance(each, dict) and each.get("message") for each in errors)


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
        self._site = _site(api_url)
        self._auth_style = auth_style
        self._credentials = credentials
        self._now = now
        # No session: it would follow redirects, keep cookies, and read logins and proxies from the environment.
        self._adapter = Adapter(connections, tls=self._api_url.startswith("https://"))

    def _page(self, post_id: int, username: str) -> str:
        return f"{self._site}/{username}/message/{post_id}"

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
        found = (answer.json() or {}).get("message") if 200 <= answer.status < 300 else None  # noqa: PLR2004
        message = found if isinstance(found, dict) else {}
        post_id = _id(message.get("id"))
        if not 200 <= answer.meant < 300 and post_id is None:  # noqa: PLR2004
            self._refused(answer, credentials, is_reply=alert.in_reply_to_message_id is not None)
        if post_id is None:
            raise NoId("StockTwits answered without a message id", status=answer.meant)
        if answer.meant != answer.status:
            raise NoId(f"StockTwits answered {answer.meant}, but with a message id", status=answer.status)
        return Published(post_id, self._page(post_id, credentials.username), *_remark(alert, message))

    def page(self, post_id: int) -> str:
        """Return the page of one of the account's posts.

        Raises:
            RelayError: The credentials, with the account's name, cannot be read.
        """
        return self._page(post_id, self._credentials().username)

    def stream(self, highest: int | None) -> Page:
        """Read a page of the account's own stream.

        Args:
            highest: The highest id that it may have; None for the newest posts.

        Raises:
            RelayError: The stream cannot be read now.
        """
        answer, credentials = self._answered(lambda credentials: self._stream(credentials, highest))
        status = answer.meant
        if status in _ABOUT_THE_MESSAGE:  # this request has no message: what is wrong is the account's name
            reason = f"the stream of account {credentials.user_id} cannot be read ({status}): check the token parameter"
            raise self._halt("stream", reason, status)
        if status != 200:  # noqa: PLR2004
            self._refused(answer, credentials)
        stream = answer.json() or {}
        messages, cursor = stream.get("messages"), stream.get("cursor")
        if not isinstance(messages, list):
            raise Unknown("StockTwits' answer for the account's stream contains no messages", status=status)
        more = cursor.get("more") if isinstance(cursor, dict) else None
        return Page([_shown(each) for each in messages], more if isinstance(more, bool) else None)

    def _answered(self, request: Callable[[Credentials], Answer]) -> tuple[Answer, Credentials]:
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

    def _stream(self, credentials: Credentials, highest: int | None) -> Answer:
        path = f"/streams/user/{credentials.user_id}.json"
        params = {"limit": str(PAGE_SIZE)} | ({"max": str(highest)} if highest is not None else {})
        return self._send("GET", path, credentials, params=params)

    def _publish(self, fields: dict[str, str], files: Any, credentials: Credentials) -> Answer:  # noqa: ANN401
        if self._auth_style == "form":
            fields = {**fields, "access_token": credentials.access_token}
        return self._send("POST", "/messages/create.json", credentials, data=fields, files=files)

    def _send(self, method: str, path: str, credentials: Credentials, **what: Any) -> Answer:  # noqa: ANN401
        """Send one request, and read its answer, up to a bound."""
        headers = {"User-Agent": f"StockTwitsRelay/{__version__}", "Accept": "application/json"}
        scheme = {"bearer": "Bearer", "oauth": "OAuth"}.get(self._auth_style)
        if scheme:
            headers["Authorization"] = f"{scheme} {credentials.access_token}"
        request = requests.Request(method, self._api_url + path, headers, **what).prepare()
        try:
            return exchange(self._adapter, request, CONNECT_SECONDS, READ_SECONDS)
        except (requests.RequestException, HTTPError, ValueError) as error:  # the latter of a chunk's odd size
            # Not the exception's own text, and no cause kept: both could show what was sent.
            if _never_connected(error):
                raise Retry(f"StockTwits could not be reached ({_root(error)})") from None
            raise Unknown(f"the connection to StockTwits broke before its answer ({_root(error)})") from None

    def _refused(self, answer: Answer, credentials: Credentials, *, is_reply: bool = False) -> NoReturn:
        """Raise what an answer other than success means."""
        status = answer.meant
        quoted = _quoted(answer.json(), credentials.access_token)
        words = f"{status}{quoted}"
        if status == 429:  # noqa: PLR2004
            raise Wait(self._rate_limited(answer.headers, quoted), status=status)
        if _token_refused(answer):
            raise self._halt(
                "token_refused", f"StockTwits refused the token ({words}): store a valid one", status, words
            )
        if status == 403:  # noqa: PLR2004
            until = self._now() + BLOCKED_SECONDS
            reason = "StockTwits' bot protection blocks this client (403): contact StockTwits if this continues"
            raise Halt(Pause("blocked", reason, until, probe=True), status=status, answer=words)
        if status in _ABOUT_THE_MESSAGE and answer.names_errors:
            if status == 422 and "duplicate" in quoted.lower():  # noqa: PLR2004
                raise Duplicate(f"StockTwits refused it as a duplicate ({words})", status=status)
            not_there = is_reply and (status == 404 or _ABOUT_A_PARENT.search(quoted))  # noqa: PLR2004
            raise (NotYet if not_there else Reject)(f"StockTwits refused it ({words})", status=status)
        if status >= 500 or status in _UNSURE:  # noqa: PLR2004
            pause = None
            if status == 503:  # noqa: PLR2004
                reason = "StockTwits is unavailable (503)"
                pause = Pause("unavailable", reason, self._now() + UNAVAILABLE_SECONDS)
            raise Unknown(f"StockTwits answered {words}", status=status, pause=pause, answer=words)
        reason = f"StockTwits answered {words}, which is not about the message: check StockTwitsApiUrl"
        halt = self._halt("unexpected_answer", reason, status, words)
        if status < 400:  # noqa: PLR2004  whoever redirects may have taken the post before
            raise Unknown(reason, status=status, pause=halt.pause, answer=words)
        raise halt

    def _halt(self, cause: str, reason: str, status: int | None = None, words: str = "") -> Halt:
        pause = Pause(cause, reason, self._now() + TOKEN_REFUSED_SECONDS, probe=True)
        return Halt(pause, status=status, answer=words)

    def _rate_limited(self, headers: Mapping[str, str], quoted: str) -> Pause:
        now = self._now()
        ends = (limit_end(headers.get(name, "").strip(), now) for name in ("Retry-After", "X-RateLimit-Reset"))
        until = next((each for each in ends if each is not None), now + RATE_LIMIT_SECONDS)
        return Pause("rate_limited", f"StockTwits limits the rate (429{quoted})", until)


def exchange(
    adapter: HTTPAdapter, request: requests.PreparedRequest, connect_seconds: float, read_seconds: float
) -> Answer:
    """Send one request, and read its answer, up to a bound.

    Args:
        adapter: An `Adapter`, which bounds the answer's time as a whole.
        request: What to send.
        connect_seconds: How long the connection may take to come about.
        read_seconds: How long the answer may take, to its last byte.

    Raises:
        RequestException, HTTPError, ValueError: There was no answer, or it broke off; their texts may show what was
            sent.
    """
    response = adapter.send(request, stream=True, timeout=(connect_seconds, read_seconds))
    content = b""
    # Not decoded: no encoding was asked for, and half a megabyte of gzip may become a gigabyte. To its end, since only
    # there urllib3 distinguishes an answer that broke off from a whole one.
    while piece := response.raw.read(MAX_ANSWER_BYTES + 1 - len(content), decode_content=False):
        content += piece
    if len(content) > MAX_ANSWER_BYTES:
        response.raw.close()
        response.raw.release_conn()  # or whoever waits for a connection waits for ever
        content = b""
    return Answer(response.status_code, response.headers, content)


def is_bot_protection(answer: Mapping[str, Any] | None) -> bool:
    """Return whether bot protection answered 403: with a page (None), or with JSON that has what only Cloudflare's has.

    Source: https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/.
    """
    return answer is None or ("errors" not in answer and bool(_OF_BOT_PROTECTION & answer.keys()))


def image_type(content: bytes) -> tuple[str, str]:
    """Return a file name and media type for an image, by its first bytes.

    Raises:
        Reject: It is not a JPG, PNG or GIF.
    """
    for magic, name_and_type in _IMAGE_NAMES.items():
        if content.startswith(magic):
            return name_and_type
    raise Reject("chart: the file is not a JPG, PNG or GIF")


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
    """An answer that has to come to its end in the time for reading, its headers and its cuts into chunks included."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        # By now urllib3 has given the socket the time-out for reading.
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock.gettimeout(), 2 * MAX_ANSWER_BYTES))


class _Http(_Connects, HTTPConnection):
    response_class = _BoundedResponse


class _Https(_Connects, HTTPSConnection):
    response_class = _BoundedResponse


class Adapter(HTTPAdapter):
    """Bounds an answer's time and size, and uses the standard library's TLS settings.

    StockTwits' bot protection was seen to block urllib3's own. What `send` gets as the time-out for reading is the time
    for the whole answer.
    """

    def __init__(self, connections: int, *, tls: bool) -> None:
        """Prepare.

        Args:
            connections: How many connections to open at most; further requests wait for one.
            tls: Whether to read the authorities for certificates; only ``https`` needs them.
        """
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
        """Make connections that bound their answers."""
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


def _token_refused(answer: Answer) -> bool:
    """Return whether the token was refused; bot protection answers 403, too."""
    return answer.meant == 401 or (answer.meant == 403 and not is_bot_protection(answer.json()))  # noqa: PLR2004


def _quoted(answer: dict[str, Any] | None, token: str) -> str:
    """Quote StockTwits' error texts, without the token and without what follows any ``?``: it may be half of a link."""
    errors = (answer or {}).get("errors")
    texts = (
        [str(each.get("message", "")) for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    )
    text = _QUERY.sub(r"\1…", " ".join(filter(None, texts)).replace(token, "…"))
    text = printable(text[:MAX_QUOTED_CHARACTERS])  # half of an emoji could not be written down
    return f": {text}" if text else ""


def _id(value: object) -> int | None:
    """Return an id that the ledger can store, given as a number or as its digits; None if it is anything else."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= len(str(MAX_ID)):
        value = int(value)
    return value if type(value) is int and 0 < value <= MAX_ID else None


def _shown(message: object) -> Shown:
    """Read a post of the stream."""
    if not isinstance(message, dict):
        return Shown(None, None, None)
    body, links = message.get("body"), message.get("links")
    addresses = [each.get("url") for each in links if isinstance(each, dict)] if isinstance(links, list) else []
    return Shown(
        _id(message.get("id")),
        body if isinstance(body, str) else None,
        moment(message.get("created_at")),
        tuple(each for each in addresses if isinstance(each, str)),
    )


def _remark(alert: Alert, message: Mapping[str, Any]) -> tuple[str, bool]:
    """Say how the post that StockTwits shows differs from the alert, and whether its text does."""
    remarks = []
    body, entities = message.get("body"), message.get("entities")
    altered = isinstance(body, str) and not is_as_sent(alert.body, body)
    if altered:
        remarks.append("StockTwits shows another text than was sent")
    if isinstance(entities, dict):
        if alert.chart and not entities.get("chart"):
            remarks.append("StockTwits shows it without its chart")
        shown = entities.get("sentiment")
        basic = str(shown.get("basic", "")) if isinstance(shown, dict) else ""
        if alert.sentiment in {"bullish", "bearish"} and basic.lower() != alert.sentiment:
            remarks.append("StockTwits shows it without its sentiment")
    return "; ".join(remarks), altered


def _site(api_url: str) -> str:
    """Return where posts are shown; anything but StockTwits, such as a stand-in, shows them at the API's own host."""
    api = urlsplit(api_url)
    stocktwits = f".{api.hostname}".endswith(".stocktwits.com")
    return "https://stocktwits.com" if stocktwits else f"{api.scheme}://{api.netloc}"
