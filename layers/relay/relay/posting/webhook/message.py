"""The message that a source's payload becomes, checked before anything is sent. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from relay.errors import Reject
from relay.posting.alert import check_not_before, check_not_expired, given_fields, read_message
from relay.posting.webhook.body_template import example, render

if TYPE_CHECKING:
    from relay.posting.alert import Alert, Reading
    from relay.posting.webhook.body_template import Template
    from relay.posting.webhook.sources import Source

SAME_SECONDS = 1800
"""How long the same payload of a source is the same alert, counted in whole half hours: StockTwits refuses an identical
post for so long."""

EMPTY = "the message is empty"
"""The reason by which an empty request tells that address and secret are right."""


@dataclass(frozen=True, slots=True)
class Composed:
    """A message for the Outbox.

    Attributes:
        body: Its body.
        key: Its idempotency key, to be sent as the attribute ``RelayKey``.
        alert: What is to be posted.
    """

    body: str
    key: str
    alert: Alert


def compose(name: str, source: Source, payload: str, now: float) -> Composed:
    """Make a message of what a source sent.

    Args:
        name: The source's name.
        source: The source.
        payload: What it sent.
        now: The time, in seconds since the epoch.

    Raises:
        Reject: It cannot be posted; the reason says why.
    """
    if not payload.strip():  # whatever its template
        raise Reject(EMPTY)
    body = payload if source.template is None else msgspec.json.encode(render(source.template, payload)).decode()
    reading = read_message(body)
    alert = reading.alert
    check_not_before(alert, now)
    check_not_expired(alert, now)
    key = _key(reading) or _made_key(name, payload, now)
    if source.expires_in and not alert.expires_at:
        begins = max(now, alert.not_before.timestamp() if alert.not_before else now)
        alert = msgspec.structs.replace(alert, expires_at=_moment(begins + source.expires_in))
        body = _encoded(alert)
    return Composed(body, key, alert)


def try_template(template: Template) -> None:
    """Refuse a template whose own words cannot be posted, whatever the payload.

    Raises:
        Reject: They cannot; the reason says why.
    """
    try:
        read_message(msgspec.json.encode({"body": example(template)}).decode())
    except Reject as error:
        raise Reject(f"what the template makes cannot be posted: {error.reason}") from None


def _key(reading: Reading) -> str | None:
    return reading.alert.key or reading.relay_key or reading.envelope_id


def _made_key(name: str, payload: str, now: float) -> str:
    """Return the key of a payload without one: the same for its repetitions within a half hour."""
    half_hour = int(now // SAME_SECONDS)
    digest = hashlib.sha256(f"{name}\n{half_hour}\n{payload}".encode(errors="surrogatepass")).hexdigest()
    return f"webhook-{name}-{digest[:32]}"


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _encoded(alert: Alert) -> str:
    """Return an alert as a JSON message, without the fields that it does not have."""
    return msgspec.json.encode(given_fields(alert)).decode()
