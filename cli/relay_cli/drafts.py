"""Messages before they are published, from options or from the lines of a file, checked by the relay's own code."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from relay import client
from relay.errors import Reject
from relay.posting import not_alerts
from relay.posting.alert import fingerprint

from relay_cli.failure import USAGE, Failure
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

_CASHTAG = re.compile(r"(?<![\w$])\$[A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z]{1,3})?(?![\w$])", re.ASCII)
_FIELDS = re.compile(r"\b(?:in_reply_to_message_id|expires_at|not_before)\b")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Draft(client.Draft):
    """A valid message that is still to be sent.

    Attributes:
        line: Its line number in the file; 0 if it is not from a file.
    """

    line: int = 0

    @property
    def has_new_key(self) -> bool:
        """Whether its key was made for it, so that no message before it can have the same."""
        return self.key == self.relay_key != self.reading.envelope_id

    @property
    def body_sha256(self) -> str:
        """The hash of its text, as in the ledger."""
        return hashlib.sha256(self.alert.body.encode()).hexdigest()

    @property
    def alert_sha256(self) -> str:
        """The hash of its text, sentiment, reply and chart, as in the ledger."""
        return fingerprint(self.alert)

    @property
    def line_with_key(self) -> bytes:
        """The message as a JSON line that includes its key, so that sending it again is the same post."""
        return msgspec.json.encode(self.fields)

    @property
    def has_cashtag(self) -> bool:
        """Whether it mentions a symbol such as ``$AAPL``, ``$BRK.B`` or ``$BTC.X``."""
        return _CASHTAG.search(self.alert.body) is not None


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """A line that is not a valid message.

    Attributes:
        line: Its number.
        content: The line, unchanged.
        reason: What is wrong with it.
    """

    line: int
    content: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A local image to be uploaded to the chart bucket."""

    bucket: str
    key: str
    media_type: str
    content: bytes

    @property
    def address(self) -> str:
        """Its address in a message."""
        return f"s3://{self.bucket}/{self.key}"


def draft(body: str, line: int = 0) -> Draft:
    """Check a message's body with the relay's own code.

    Raises:
        Reject: It cannot be posted; the reason says why.
    """
    checked = client.draft(body)
    return Draft(checked.body, checked.reading, checked.relay_key, line)


OPTIONS = {
    "sentiment": "--sentiment",
    "in_reply_to_message_id": "--reply-to",
    "chart": "--chart",
    "key": "--key",
    "expires_at": "--expires-in",
    "not_before": "--not-before",
    "priority": "--priority",
}
"""The options of ``relay send`` that become fields of a message."""


def from_fields(text: str, fields: dict[str, Any]) -> Draft:
    """Create a message from a text and the fields of options; those that are None are left out.

    Raises:
        Failure: It cannot be posted.
    """
    if is_object(text):
        raise Failure("The text is JSON: pipe it to `relay send -`, or use --file for many messages.", USAGE)
    try:
        return draft(client.to_body({"body": text, **fields}))
    except Reject as error:
        raise Failure(f"The message is invalid: {_in_options(error.reason)}.", USAGE) from None


def from_json(text: str, key: str | None = None) -> Draft:
    """Create a message from a JSON object.

    Args:
        text: The object.
        key: The key of a message that has none of its own, such as one whose answer was lost.

    Raises:
        Failure: It cannot be posted, or has another key.
    """
    try:
        found = draft(text)
    except Reject as error:
        raise Failure(f"The message is invalid: {error.reason}.", USAGE) from None
    if key in {None, found.key}:
        return found
    if not found.has_new_key:
        raise Failure(f"Leave out --key: the message has the key {one_line(repr(found.key))} already.", USAGE)
    fields = found.fields | {"key": key}
    return from_fields(fields.pop("body"), fields)


def _in_options(reason: str) -> str:
    """Name options where a reason names fields: the field that it begins with, and others that are no words."""
    reason = reason.removeprefix("the message is not valid: ")
    field, colon, rest = reason.partition(": ")
    if colon and field == "body":
        reason = f"the text {rest}"
    elif colon and field in OPTIONS:
        reason = f"{OPTIONS[field]}: {rest}"
    return _FIELDS.sub(lambda found: OPTIONS[found[0]], reason)


def from_lines(lines: Iterable[bytes]) -> tuple[list[Draft], list[InvalidLine]]:
    """Parse JSON lines.

    Returns:
        The messages and the invalid lines. Empty lines are skipped.
    """
    drafts, invalid = [], []
    for number, content in enumerate(lines, 1):
        if not content.strip():
            continue
        try:
            drafts.append(_from_line(content, number))
        except Reject as error:
            invalid.append(InvalidLine(number, content, error.reason))
    return drafts, invalid


def is_url(chart: str) -> bool:
    """Return whether a chart is a URL, and not a local file."""
    return _URL.match(chart) is not None


def chart(given: str, bucket: str) -> Chart:
    """Read and check a local chart.

    Args:
        given: The path of the file.
        bucket: The stack's chart bucket; empty if it has none.

    Raises:
        Failure: The file cannot be read, StockTwits does not accept it, or there is no bucket.
    """
    from relay.posting.charts import MAX_CHART_BYTES  # noqa: PLC0415  both import requests, which only charts need
    from relay.posting.stocktwits import image_type  # noqa: PLC0415

    file = Path(given)
    try:
        size = file.stat().st_size
        if size >= MAX_CHART_BYTES:
            raise Failure(f"The chart {given} has {size:,} bytes; it must be under {MAX_CHART_BYTES:,}.", USAGE)
        content = file.read_bytes()
        name, media_type = image_type(content)
    except OSError as error:
        raise Failure(f"The chart {given} cannot be read: {error.strerror}.", USAGE) from None
    except Reject:
        raise Failure(f"The chart {given} is not a JPG, PNG or GIF file, whatever its name.", USAGE) from None
    if not bucket:
        raise Failure(
            "The stack has no chart bucket: create one, then run `make deploy PARAMETERS=ChartBucketName=its-name`.",
            USAGE,
        )
    key = f"relay-send/{hashlib.sha256(content).hexdigest()[:32]}{Path(name).suffix}"
    return Chart(bucket, key, media_type, content)


def without_cashtag(drafts: list[Draft], *, quoted: bool = False) -> str | None:
    """Return a warning about messages without a symbol; None if there are none.

    Args:
        drafts: The messages.
        quoted: Whether a shell has read the text, and may have taken its cashtag away.
    """
    bare = [each for each in drafts if not each.has_cashtag]
    if not bare:
        return None
    what = f'"{one_line(bare[0].alert.body, 60)}"' if len(bare) == 1 else count(len(bare), "message")
    tip = " Within double quotes, the shell replaces $AAPL by nothing: use single quotes." if quoted else ""
    return f"{what} without a cashtag such as $AAPL: StockTwits may refuse it, and no symbol's stream shows it.{tip}"


def _from_line(content: bytes, number: int) -> Draft:
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Reject("it is not in UTF-8") from None
    read = draft(text, number)  # first, because the relay knows best what is wrong with it
    if not _seen(text).startswith("{"):
        raise Reject('it is not a JSON object such as {"body": "Up 3% $AAPL"}')
    return read


def is_object(text: str) -> bool:
    """Return whether a text is a JSON object, and not what to post."""
    try:
        return isinstance(json.loads(_seen(text)), dict)
    except (ValueError, RecursionError):
        return False


def _seen(text: str) -> str:
    """Return a text as the relay reads it: without marks and code fences around JSON."""
    return not_alerts.bare(not_alerts.trimmed(text))
