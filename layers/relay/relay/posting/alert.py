"""An alert as a publisher wrote it: reading it, checking it, counting its characters. Pure.

A message is text, or a JSON object with the fields of `Alert`, or either of them inside an SNS notification or an
EventBridge event. Anything else raises `Reject` with a reason that its publisher understands; what is recognised by its
look alone is in `not_alerts`.
"""

import hashlib
import html
import re
import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from relay.errors import Reject
from relay.posting import not_alerts
from relay.posting.envelopes import envelope
from relay.posting.instants import instant

MAX_BODY_CHARACTERS = 1000
"""StockTwits' limit on a counted body: https://api.stocktwits.com/developers/docs/api#messages-create-docs."""

MAX_TEXT_CHARACTERS = 10_000
"""The longest body as it stands. A link counts the same whatever its length, so a body of any length could be within
StockTwits' limit; but a link need not be so long, and each character is looked at several times."""

MAX_ENTITY_LEVELS = 8
"""How often a body's HTML entities may have been encoded, one within the other. Each level is one more pass over the
text when it is looked for on StockTwits; one or two are a publisher's mistake, and more are an attack."""

LINK_CHARACTERS = 23
"""What a link counts, whatever its length: the larger of the two published numbers (20 and 23)."""

CHART_CHARACTERS = 24
"""What a chart adds to the count (same source)."""

ENTITY_CHARACTERS = 4
"""What ``<`` and ``>`` count each: StockTwits stores them as ``&lt;`` and ``&gt;`` (same source)."""

MAX_KEY_CHARACTERS = 256
"""Keeps a key of 4-byte characters inside DynamoDB's 2048 bytes for a partition key:
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html."""

MAX_QUOTED_CHARACTERS = 200
"""How much of what a publisher wrote goes into a reason."""

MAX_SHOWN_CHARACTERS = 1000
"""How much of an alert's text is shown: all of it, unless its links are long."""

NOT_BEFORE_SECONDS = 13 * 24 * 3600
"""How long after it was sent a message's own ``not_before`` may be: SQS keeps it for a day more."""

MAX_ENVELOPES = 3
"""How deep a message may be wrapped: EventBridge inside SNS is two, and three is enough for anything."""

LINK = re.compile(r"https?://\S+", re.IGNORECASE)
"""A link in a text."""

_CHART_URL = r"^(https://[^\s/]+/\S*|s3://[^\s/]+/\S.*)$(?!\n)"
_ALLOWED_CONTROLS = frozenset("\t\n\r")
_NONCHARACTERS = frozenset("\ufffe\uffff")  # no SQS attribute can hold them, so no dead letter could carry such a key
_LEADING_ZEROS = re.compile(r"&#0+(?=[0-9])")
_BEYOND_UNICODE = re.compile(r"&#[0-9]{8,};?")


class Alert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be posted on StockTwits."""

    body: Annotated[
        str, msgspec.Meta(min_length=1, description="The text to post: at most 1000 characters as StockTwits counts.")
    ]
    sentiment: Annotated[
        Literal["bullish", "bearish", "neutral"] | None, msgspec.Meta(description="The sentiment shown with the post.")
    ] = None
    in_reply_to_message_id: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)] | None,
        msgspec.Meta(description="The StockTwits id of the message that this one answers."),
    ] = None
    chart: Annotated[
        Annotated[str, msgspec.Meta(pattern=_CHART_URL, max_length=2000)] | None,
        msgspec.Meta(
            description="An image: an https URL that StockTwits fetches itself, or s3://bucket/key in the relay's "
            "chart bucket, a JPG, PNG or GIF under 2 MB."
        ),
    ] = None
    key: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_KEY_CHARACTERS)] | None,
        msgspec.Meta(description="The idempotency key: a key is posted at most once, however often it is sent."),
    ] = None
    expires_at: Annotated[
        Annotated[datetime, msgspec.Meta(tz=True)] | None,
        msgspec.Meta(
            description="Do not post after this moment: ISO 8601 with a zone, as in 2026-11-21T16:00:00Z. Its other "
            "forms, such as 20261121T170000+01 and 2026-W47-6T16:00Z, are read too."
        ),
    ] = None
    not_before: Annotated[
        Annotated[datetime, msgspec.Meta(tz=True)] | None,
        msgspec.Meta(
            description="Do not post before this moment, written as expires_at is; at most 13 days after the message "
            "is sent."
        ),
    ] = None
    priority: Annotated[
        Literal["high", "normal"] | None,
        msgspec.Meta(description="high goes before others among what waits for the gate."),
    ] = None


class Reading(msgspec.Struct, frozen=True):
    """An alert, and what the envelopes around it say of its key.

    Attributes:
        alert: What is to be posted.
        relay_key: The attribute ``RelayKey`` of the innermost SNS notification that has one.
        envelope_id: The id of the innermost SNS notification or EventBridge event that has one; it stays the same when
            SNS or EventBridge deliver twice.
    """

    alert: Alert
    relay_key: str | None = None
    envelope_id: str | None = None


def read(body: str) -> Alert:
    """Read the alert of a message's body, as `read_message` does.

    Raises:
        Reject: It cannot be posted; the reason says why.
    """
    return read_message(body).alert


def read_message(body: str) -> Reading:
    """Read a message's body.

    Args:
        body: The body as it came off the queue.

    Returns:
        What is to be posted, checked as far as we can check it without a network, and what is around it.

    Raises:
        Reject: It cannot be posted; the reason says why.
    """
    try:
        reading = _unwrap(body)
    except RecursionError:
        raise Reject("the message is JSON nested too deeply to be an alert") from None
    _check(reading.alert)
    check_key("RelayKey", reading.relay_key)
    check_key("the id of its envelope", reading.envelope_id)
    return reading


def check_not_before(alert: Alert, sent_at: float) -> None:
    """Refuse an alert that SQS might not keep until its time.

    Args:
        alert: What is to be posted.
        sent_at: When its message was sent, in seconds since the epoch.

    Raises:
        Reject: Its ``not_before`` is too late.
    """
    if alert.not_before and alert.not_before.timestamp() > sent_at + NOT_BEFORE_SECONDS:
        raise Reject("not_before: must be at most 13 days after the message is sent")


def check_not_expired(alert: Alert, now: float) -> None:
    """Refuse an alert whose time is over before it is sent.

    Args:
        alert: What is to be posted.
        now: The time, in seconds since the epoch.

    Raises:
        Reject: Its ``expires_at`` is past.
    """
    if alert.expires_at and alert.expires_at.timestamp() <= now:
        raise Reject("expires_at: is past")


def given_fields(alert: Alert) -> dict[str, Any]:
    """Return the fields that an alert has, as JSON holds them."""
    return {name: value for name, value in msgspec.to_builtins(alert).items() if value is not None}


def fingerprint(alert: Alert) -> str:
    """Return what only the same post has: a SHA-256, in hexadecimal, of text, sentiment, reply and chart.

    StockTwits' default sentiment is neutral, so none and neutral are the same post.
    """
    sentiment = None if alert.sentiment == "neutral" else alert.sentiment
    post = [alert.body, sentiment, alert.in_reply_to_message_id, alert.chart]
    return hashlib.sha256(msgspec.json.encode(post)).hexdigest()


def _check(alert: Alert) -> None:
    """Refuse an alert that StockTwits would refuse, or post otherwise than it was meant."""
    if len(alert.body) > MAX_TEXT_CHARACTERS:
        raise Reject(
            f"the body has {len(alert.body)} characters including its links; at most {MAX_TEXT_CHARACTERS} are allowed"
        )
    count = count_characters(alert.body) + (CHART_CHARACTERS if alert.chart else 0)
    if count > MAX_BODY_CHARACTERS:
        raise Reject(
            f"the body has {count} characters as StockTwits counts (a link {LINK_CHARACTERS}, a chart "
            f"{CHART_CHARACTERS}, < and > {ENTITY_CHARACTERS} each); at most {MAX_BODY_CHARACTERS} are allowed"
        )
    if alert.not_before and alert.expires_at and alert.not_before >= alert.expires_at:
        raise Reject("not_before: must be earlier than expires_at")
    # Last, and not of a megabyte that is refused for its length: each character is looked at.
    _check_text("body", alert.body)
    plain = unescaped(alert.body)
    if plain is None:
        raise Reject(f"body: its HTML entities are nested more than {MAX_ENTITY_LEVELS} levels deep")
    if not_alerts.shows_nothing(plain):
        raise Reject("body: has no character that can be seen")
    if plain != alert.body and (cause := not_alerts.cause(plain)):
        raise Reject(f"body: with its HTML entities resolved, it {_quoted(cause)}")
    _check_placeholders("body", plain, LINK.sub(" ", plain))
    check_key("key", alert.key)
    _check_text("chart", alert.chart or "")
    _check_placeholders("chart", alert.chart or "")


def check_key(name: str, key: str | None) -> None:
    """Refuse an idempotency key that the ledger cannot hold, or that many alerts have by mistake.

    Raises:
        Reject: It is too long, has characters that no SQS attribute can hold, or was not filled in.
    """
    if not key:
        return
    if not key.strip():
        raise Reject(f"{name}: is blank, as every alert without a value would have it: give each alert its own")
    if len(key) > MAX_KEY_CHARACTERS:
        raise Reject(f"{name}: has {len(key)} characters, at most {MAX_KEY_CHARACTERS} are allowed")
    _check_text(name, key)
    if not_alerts.stands_for_nothing(key):
        raise Reject(f"{name}: is {key}, which every alert without a value would have: give each alert its own")
    _check_placeholders(name, key)


def count_characters(text: str) -> int:
    """Count a text's characters as StockTwits does, rounding up where its sources disagree."""
    without_links, links = LINK.subn("", text)
    entities = without_links.count("<") + without_links.count(">")
    return len(without_links) + entities * (ENTITY_CHARACTERS - 1) + links * LINK_CHARACTERS


def shown(text: str) -> str:
    """Return a text as logs and events show it: cut short, and without what may be a presigned link's secret."""
    return without_queries(text)[:MAX_SHOWN_CHARACTERS]


def without_queries(text: str) -> str:
    """Cut off what follows each link's ``?``."""
    # Each link is found whole and cut then: a pattern with the mark in it would begin anew at every link in a link.
    return LINK.sub(_without_query, text)


def printable(text: str) -> str:
    """Return a text with a space in place of each character that a log, an event or an attribute cannot show."""
    return "".join(character if character.isprintable() else " " for character in text)


def unescaped(text: str, levels: int = MAX_ENTITY_LEVELS) -> str | None:
    """Resolve HTML entities, those within others too; None if there are more than so many levels of them."""
    for _ in range(levels + 1):
        # The standard library fails on decimal numbers of more than 4300 digits; nothing else changes by these two.
        plain = html.unescape(_BEYOND_UNICODE.sub("\ufffd", _LEADING_ZEROS.sub("&#", text)))
        if plain == text:
            return text
        text = plain
    return None


def schema() -> dict[str, Any]:
    """Return the JSON schema of a JSON message, as published in ``docs/message.schema.json``."""
    (_, components) = msgspec.json.schema_components([Alert], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **components["Alert"],
        "title": "A JSON message for the Outbox of StockTwits Relay",
    }


def _without_query(link: re.Match[str]) -> str:
    shown, _, query = link[0].partition("?")
    return f"{shown}?…" if query else link[0]


def _unwrap(body: str) -> Reading:
    """Take an alert out of a body, through the envelopes of SNS and EventBridge."""
    relay_key = envelope_id = None
    for _ in range(MAX_ENVELOPES + 1):
        text = not_alerts.trimmed(body)
        if not text:
            raise Reject("the message is empty")
        content = _parse(text)
        if content is None:
            return Reading(Alert(body=text), relay_key, envelope_id)
        around = envelope(content)
        if around is None:
            return Reading(_alert(content), relay_key, envelope_id)
        body, relay_key, envelope_id = around.inside, around.relay_key or relay_key, around.id or envelope_id
    raise Reject(f"the message is wrapped in more than {MAX_ENVELOPES} envelopes")


def _parse(text: str) -> dict[str, Any] | None:
    """Return a JSON object, or None for plain text; refuse what a publisher cannot have meant as text."""
    bare = not_alerts.bare(text)
    try:
        content = msgspec.json.decode(bare)
    except (msgspec.DecodeError, UnicodeError) as error:
        if bare.startswith("{"):
            why = _look(bare) or _quoted(error)
            raise Reject(f"the message begins like a JSON object but cannot be read: {why}") from None
        if cause := not_alerts.cause(text) or not_alerts.cause_of_quotes(bare):
            raise Reject(f"the message {_quoted(cause)}") from None
        return None
    if not isinstance(content, dict):
        cause = not_alerts.cause_of_json(content) or (
            f"is JSON, but a {_json_name(content)}: send plain text, or a JSON object with a body"
        )
        raise Reject(f"the message {_quoted(cause)}")
    return content


def _look(text: str) -> str | None:
    if look := not_alerts.look(text):
        return f"it {look}"
    placeholder = not_alerts.placeholder(text)
    return f"it has the placeholder {_quoted(placeholder)}, which nobody replaced" if placeholder else None


def _check_placeholders(field: str, text: str, words: str = "") -> None:
    if placeholder := not_alerts.placeholder(text, words):
        raise Reject(f"{field}: has the placeholder {_quoted(placeholder)}, which nobody replaced")


def _json_name(content: object) -> str:
    match content:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "list"
    return "number"


def _alert(content: dict[str, Any]) -> Alert:
    body = content.get("body")
    if isinstance(body, str):
        content = {**content, "body": not_alerts.trimmed(body)}
        if cause := not_alerts.cause(content["body"]):
            raise Reject(f"body: {_quoted(cause)}")
    for field in ("expires_at", "not_before"):
        if isinstance(moment := content.get(field), str):
            content = {**content, field: _moment(field, moment)}
    try:
        return msgspec.convert(content, Alert, strict=True)
    except msgspec.ValidationError as error:
        why = _in_words(str(error), content)
        if cause := not_alerts.cause_of_json(content):
            raise Reject(f"the message {_quoted(cause)} ({_quoted(why)})") from None
        raise Reject(f"the message is not valid: {_quoted(why)}") from None


def _moment(field: str, text: str) -> datetime:
    try:
        return instant(text)
    except ValueError as error:
        example = "2026-11-21T16:00:00Z"
        raise Reject(
            f"the message is not valid: {field}: must be ISO 8601 with a zone, as in {example}: {error}"
        ) from None


def _in_words(complaint: str, content: dict[str, Any]) -> str:
    """Name the field first, and spare the reader a regular expression."""
    problem, _, where = complaint.partition(" - at ")
    field = where.strip("`").removeprefix("$.")
    if field == "chart" and "regex" in problem:
        return "chart: must be an https:// URL, or s3://bucket/key"
    if field == "body" and content.get("body") == "":
        return "body: is empty"
    return f"{field}: {problem}" if field and field != "$" else problem


def _quoted(words: object) -> str:
    """Make printable, and shorten, what may repeat a publisher's text, which may be of any length and character."""
    text = str(words)
    shown = printable(text[:MAX_QUOTED_CHARACTERS])
    return shown if len(text) <= MAX_QUOTED_CHARACTERS else f"{shown}…"


def _check_text(field: str, text: str) -> None:
    """Refuse characters that nobody typed: StockTwits would drop them silently, or refuse the post."""
    for position, character in enumerate(text):
        control = unicodedata.category(character) in {"Cc", "Cs"} and character not in _ALLOWED_CONTROLS
        if control or character in _NONCHARACTERS:
            raise Reject(f"{field}: has the control character U+{ord(character):04X} at position {position + 1}")
