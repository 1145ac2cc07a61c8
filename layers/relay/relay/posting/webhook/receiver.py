"""From an HTTP request to a message in the Outbox. Pure but for what is given to it.

The order of the checks is part of the security. Until the secret is right, nothing of the body is decoded or read. An
unknown source, a wrong secret and an address that is not allowed get the same answer, which is also API Gateway's own
answer to a path that does not exist.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from dataclasses import dataclass, field
from http import HTTPStatus
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from relay.errors import Reject, RelayError, Retry
from relay.posting.alert import shown
from relay.posting.webhook.message import compose
from relay.posting.webhook.sources import authenticate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.posting.webhook.message import Composed
    from relay.posting.webhook.sources import Source

MAX_BYTES = 64 * 1024
"""The largest body. An alert has 1000 characters, and the payloads that templates are made for a few kilobytes."""

RETRY_AFTER_SECONDS = 5
"""When a sender whose alert was not taken may try again."""

_BEARER = "bearer "
_FORM = re.compile(r"[^\s=&{]+=[^\s=&]*(?:&[^\s=&]+=[^\s=&]*)*")
"""What a browser would send: names and values, in which spaces are + or %20."""

_REASON_IS_PRIVATE = {HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE}
"""Strangers get these answers, too, so they are API Gateway's own words; the reason is for the log alone."""


@dataclass(frozen=True, slots=True)
class Request:
    """What matters of an HTTP request.

    Attributes:
        source: The name of the source, from the path.
        secret: Its secret, from the path or the header ``Authorization``; empty if there is none.
        address: The sender's IP address.
        body: The body as API Gateway passes it on.
        is_base64: Whether that is Base64.
        content_type: The header ``Content-Type``; empty if there is none.
    """

    source: str
    secret: str = field(repr=False)
    address: str
    body: str = field(repr=False)
    is_base64: bool = False
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a request.

    Attributes:
        status: The HTTP status of the answer.
        address: The sender's IP address.
        source: The source's name; empty unless its secret was right.
        key: The alert's idempotency key.
        message_id: Its SQS message id.
        reason: Why it was not taken; contains no secret.
        text: How the body of a refused alert begins, without the secret.
    """

    status: HTTPStatus
    address: str = ""
    source: str = ""
    key: str = ""
    message_id: str = ""
    reason: str = ""
    text: str = ""

    @property
    def response(self) -> dict[str, Any]:
        """The answer in the format 2.0 of API Gateway's Lambda integrations."""
        headers = {"Content-Type": "application/json"}
        if self.status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        if self.status is HTTPStatus.ACCEPTED:
            content = {"id": self.message_id, "key": self.key}
        else:
            content = {"message": self.status.phrase if self.status in _REASON_IS_PRIVATE else self.reason}
        body = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
        return {"statusCode": int(self.status), "headers": headers, "body": body}


class SourcesReader(Protocol):
    """Returns the sources; ``fresh`` reads them again, because a secret is not among them."""

    def __call__(self, *, fresh: bool = False) -> Mapping[str, Source]:
        """Return the sources by name.

        Raises:
            Retry: They cannot be read.
        """


class Receiver:
    """Takes alerts from those who know a source's secret."""

    def __init__(self, sources: SourcesReader, send: Callable[[str, str], str], now: Callable[[], float]) -> None:
        """Use what the surroundings offer.

        Args:
            sources: The sources with their salted hashes.
            send: Sends a body with its idempotency key to the Outbox and returns the SQS message id; raises `Reject` or
                `Retry`.
            now: The time in seconds since the epoch.
        """
        self._sources = sources
        self._send = send
        self._now = now

    def receive(self, request: Request) -> Receipt:
        """Check a request and send its alert to the Outbox; an alert that is not taken is a receipt, too."""
        try:
            source = self._authenticated(request)
        except Retry as error:
            return Receipt(HTTPStatus.SERVICE_UNAVAILABLE, request.address, reason=error.reason)
        if source is None:
            reason = "unknown source, wrong secret, or address that is not allowed"
            return Receipt(HTTPStatus.NOT_FOUND, request.address, reason=reason)
        content = b""
        composed: Composed | None = None

        def refused(status: HTTPStatus, reason: str) -> Receipt:
            text = shown(_without(request.secret, content[:MAX_BYTES].decode("utf-8", "replace")))
            reason = _without(request.secret, reason)
            # It may be in the Outbox: under this key, it can be sent again.
            key = _without(request.secret, composed.key) if composed else ""
            return Receipt(status, request.address, request.source, key=key, reason=reason, text=text)

        try:
            content = _content(request)
            if len(content) > MAX_BYTES:
                too_large = f"the message has {len(content)} bytes, at most {MAX_BYTES} are allowed"
                return refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large)
            composed = compose(request.source, source, read_payload(content, request.content_type), self._now())
            _refuse_secret(request.secret, composed)
            message_id = self._send(composed.body, composed.key)
        except Reject as error:
            return refused(HTTPStatus.BAD_REQUEST, error.reason)
        except Retry as error:
            return refused(HTTPStatus.SERVICE_UNAVAILABLE, error.reason)
        return Receipt(HTTPStatus.ACCEPTED, request.address, request.source, key=composed.key, message_id=message_id)

    def _authenticated(self, request: Request) -> Source | None:
        # Each attempt costs the same whatever is wrong, and so does reading the sources again.
        who = request.source, request.secret, request.address
        return authenticate(self._sources(), *who) or authenticate(self._sources(fresh=True), *who)


def read_request(event: Mapping[str, Any]) -> Request:
    """Read an event of API Gateway in the format 2.0.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    """
    parts = event.get("pathParameters") or {}
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    authorization = headers.get("authorization", "")
    bearer = authorization[len(_BEARER) :].strip() if authorization.lower().startswith(_BEARER) else ""
    return Request(
        source=unquote(parts.get("source", "")),
        secret=unquote(parts.get("secret", "")) or bearer,
        address=event["requestContext"]["http"]["sourceIp"],
        body=event.get("body") or "",
        is_base64=bool(event.get("isBase64Encoded")),
        content_type=headers.get("content-type", ""),
    )


def read_payload(content: bytes, content_type: str = "") -> str:
    """Return the text of a body; what is not UTF-8 API Gateway may have decoded already, with U+FFFD for the rest.

    Args:
        content: The body.
        content_type: The header ``Content-Type``; empty if there is none.

    Raises:
        Reject: It is not text in UTF-8, or it is a form; the reason says which.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise Reject("the message is a form: send plain text, or a JSON object")
    try:
        payload = content.decode()
    except UnicodeDecodeError:
        payload = "\ufffd"
    if "\ufffd" in payload:
        raise Reject("the message is not text in UTF-8")
    # curl and others call every text a form unless they are told otherwise.
    if kind == "application/x-www-form-urlencoded" and _FORM.fullmatch(payload):
        raise Reject("the message is a form: send plain text (with Content-Type: text/plain), or a JSON object")
    return payload


def failure(error: Exception) -> Receipt:
    """Make the receipt of a request that failed unexpectedly.

    The error's own text stays out of it, unless it is one of ours: it could quote the request.
    """
    if isinstance(error, RelayError):
        return Receipt(HTTPStatus.INTERNAL_SERVER_ERROR, reason=error.reason)
    places = [f" in {each.filename}, line {each.lineno}" for each in extract_tb(error.__traceback__, limit=-1)]
    return Receipt(HTTPStatus.INTERNAL_SERVER_ERROR, reason=f"{type(error).__name__}{''.join(places)}")


def _content(request: Request) -> bytes:
    try:
        if request.is_base64:
            return b64decode(request.body, validate=True)
        return request.body.encode("utf-8", "surrogatepass")
    except ValueError:
        raise Reject("the body cannot be decoded: it is marked as Base64, and is not") from None


def _refuse_secret(secret: str, composed: Composed) -> None:
    # In the alert as it was read, too: in the JSON of the body, characters may be written as escapes.
    if secret in composed.body or secret in composed.key or secret in str(composed.alert):
        raise Reject("the message contains the secret of its source, which would be published: remove it")


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "…")
