"""The properties of the webhook: its templates, its messages, and its answers to any request."""

import json
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import unquote

import msgspec
from relay.errors import Reject
from relay.posting.alert import MAX_KEY_CHARACTERS, read, read_message
from relay.posting.webhook.body_template import MAX_CHARACTERS, Template, check, parse_maps, render
from relay.posting.webhook.message import compose
from relay.posting.webhook.receiver import MAX_BYTES, Receipt, Receiver
from relay.posting.webhook.sources import Source, new_source

from functions.receive_alerts import app
from verification.fuzz.checks import NOW, fits_an_sqs_attribute, is_a_reason

SECRET = "q7Hk2-_vY0fuzzedSecret3xZ9bLmN4pRt6WcD8eGaJs"
"""The secret of each source of `request`."""

SOURCES = {
    "plain": new_source(SECRET, added="2026-11-27"),
    "filled": new_source(
        SECRET,
        added="2026-11-27",
        template=Template(
            body="{name} at {price} ${symbols.0}",
            sentiment="{side}",
            key="{id}",
            maps={"side": {"buy": "bullish", "sell": "bearish"}},
        ),
        expires_in=1800,
    ),
    "home": new_source(SECRET, added="2026-11-27", addresses=["203.0.113.7", "2001:db8::/32"]),
}

MESSAGE_ID = "5f3c2a10-0000-4000-8000-000000000000"
MAX_BASE64_CHARACTERS = -(-MAX_BYTES // 3) * 4
_SAID_TO_STRANGERS = {404: "Not Found", 500: "Internal Server Error"}
_KEPT_OUT = {"Cc", "Cs", "Zl", "Zp"}


def template(form: Template, payload: str) -> None:
    """A template is refused with a reason; a good one makes alerts of payloads, and refuses others with a reason."""
    try:
        check(form)
    except Reject as refused:
        is_a_reason(refused.reason)
        return
    try:
        fields = render(form, payload)
    except Reject as refused:
        is_a_reason(refused.reason)
    else:
        own = {*form.body, *form.sentiment, *form.key, *json.dumps(form.maps, ensure_ascii=False)}
        assert {"body"} <= set(fields) <= {"body", "sentiment", "key"}
        for each in fields.values():
            assert len(each) <= MAX_CHARACTERS
            assert {character for character in each if unicodedata.category(character) in _KEPT_OUT} <= own
    message(new_source(SECRET, added="2026-11-27", template=form, expires_in=3600), payload)


def message(source: Source, payload: str) -> None:
    """What a source sends is a message that the functions which post can read, or is refused with a reason."""
    try:
        made = compose("fuzz", source, payload, NOW)
    except Reject as refused:
        is_a_reason(refused.reason)
        return
    assert 1 <= len(made.key) <= MAX_KEY_CHARACTERS
    assert all(map(fits_an_sqs_attribute, made.key))
    assert compose("fuzz", source, payload, NOW) == made  # a repetition is the same message
    reading = read_message(made.body)
    assert reading.alert == made.alert
    assert (reading.alert.key or reading.relay_key or reading.envelope_id or made.key) == made.key
    assert made.alert.expires_at is None or made.alert.expires_at.timestamp() > NOW


def maps(written: str) -> None:
    """Maps are read as an operator writes them, or refused with a reason."""
    try:
        found = parse_maps(written)
    except Reject as refused:
        is_a_reason(refused.reason)
        return
    assert all(path and path == path.strip() and replacements for path, replacements in found.items())


def request(event: Any) -> None:  # noqa: ANN401  any JSON value
    """Any event is answered, and only who gives the right secret reaches the body or the Outbox.

    The secret is in no answer, log line or message, and nobody without it learns what is wrong.
    """
    sent: list[tuple[str, str]] = []
    receipts: list[Receipt] = []
    body = event.get("body") if isinstance(event, dict) else None
    sealed = _SealedBody(body) if isinstance(body, str) else None
    with _receiver_alone(sent, receipts):
        answer = app.handler({**event, "body": sealed} if sealed is not None else event, None)
    (receipt,) = receipts
    assert answer.keys() == {"statusCode", "headers", "body"}
    assert answer["statusCode"] == receipt.status in {202, 400, 404, 413, 500}
    shown = [answer["body"], *answer["headers"].values(), *map(str, msgspec.to_builtins(receipt).values())]
    assert not any(SECRET in each for each in shown)
    content = json.loads(answer["body"])
    if not _has_the_secret(event):
        assert not sent
        assert sealed is None or not sealed.opened
        assert content == {"message": _SAID_TO_STRANGERS[receipt.status]}
        return
    assert len(sent) == (receipt.status == HTTPStatus.ACCEPTED)
    for message_body, key in sent:
        assert content == {"id": MESSAGE_ID, "key": key}
        assert SECRET not in message_body + key + read(message_body).body
        assert len(sealed or "") <= MAX_BASE64_CHARACTERS
    if receipt.status == HTTPStatus.BAD_REQUEST:
        is_a_reason(content["message"])


class _SealedBody(str):
    """A body that notes when somebody opens it: decoding Base64 begins with its bytes, as reading it as UTF-8 does."""

    __slots__ = ("opened",)
    opened: bool

    def __new__(cls, text: str) -> Self:
        sealed = super().__new__(cls, text)
        sealed.opened = False
        return sealed

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        self.opened = True
        return super().encode(encoding, errors)


def _has_the_secret(event: Any) -> bool:  # noqa: ANN401
    """Return whether an event gives the right secret as a part of its path or as a header's token."""
    if not isinstance(event, dict):
        return False
    parts = [each for name in ("pathParameters", "headers") if isinstance(each := event.get(name), dict)]
    values = [each for part in parts for each in part.values() if isinstance(each, str)]
    return any(SECRET in {unquote(each), each.strip().partition(" ")[2].strip()} for each in values)


class _Receipts:
    """Telemetry that keeps what it is given."""

    def __init__(self, receipts: list[Receipt]) -> None:
        self.receipt = receipts.append

    @contextmanager
    def invocation(self, _context: object) -> Iterator[None]:
        yield


@contextmanager
def _receiver_alone(sent: list[tuple[str, str]], receipts: list[Receipt]) -> Iterator[None]:
    """Replace the services of the handler; `sent` receives its messages."""

    def sources(*, fresh: bool = False) -> Mapping[str, Source]:  # noqa: ARG001  they are always fresh
        return SOURCES

    def send(body: str, key: str) -> str:
        sent.append((body, key))
        return MESSAGE_ID

    receiver = Receiver(sources, send, lambda: NOW)
    with patch.object(app, "container", lambda: receiver), patch.object(app, "telemetry", lambda: _Receipts(receipts)):
        yield
