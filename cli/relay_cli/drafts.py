"""Messages before they are published: made of a command's words or of a file's lines, and checked as the relay will."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from relay.errors import Reject
from relay.posting import alert as messages

from relay_cli.failure import USAGE, Failure
from relay_cli.text import count, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.posting.alert import Alert

    from relay_cli.deployed.stack import Stack

MAX_MESSAGE_BYTES = 262_144 - 1024
"""The Outbox's MaximumMessageSize, less what the key takes; a test compares it with the template."""

_CASHTAG = re.compile(r"(?<![\w$])\$[A-Za-z][A-Za-z0-9]*(?:[._][A-Za-z]{1,3})?(?![\w$])", re.ASCII)
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that the relay can read.

    Attributes:
        body: The message's body.
        post: What the relay reads in it.
        relay_key: Its ``RelayKey``: of a message that is sent twice because an answer was lost, one is posted.
        line: The number of its line in the file; 0 when it came from no file.
    """

    body: str
    post: Alert
    relay_key: str
    line: int = 0

    @property
    def key(self) -> str:
        """Its key in the ledger."""
        return self.post.key or self.relay_key

    @property
    def fingerprint(self) -> str:
        """What the ledger keeps of its text."""
        return hashlib.sha256(self.post.body.encode()).hexdigest()

    @property
    def again(self) -> bytes:
        """A line that says the same with this key: sent in place of this one, or beside it, it is the same post."""
        fields = {name: value for name, value in msgspec.to_builtins(self.post).items() if value is not None}
        return msgspec.json.encode(fields | {"key": self.key})

    @property
    def has_cashtag(self) -> bool:
        """Whether it names a symbol, such as ``$AAPL``, ``$BRK.B`` or ``$BTC.X``."""
        return _CASHTAG.search(self.post.body) is not None


@dataclass(frozen=True, slots=True)
class InvalidLine:
    """A line that is no message.

    Attributes:
        line: Its number.
        content: The line as it is.
        reason: What is wrong with it.
    """

    line: int
    content: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A local image on its way to the chart bucket."""

    bucket: str
    key: str
    media_type: str
    content: bytes

    @property
    def address(self) -> str:
        """What a message calls it."""
        return f"s3://{self.bucket}/{self.key}"

    def upload(self, stack: Stack) -> None:
        """Put it into the chart bucket; twice the same is once."""
        stack.client("s3").put_object(Bucket=self.bucket, Key=self.key, Body=self.content, ContentType=self.media_type)


def draft(body: str, line: int = 0) -> Draft:
    """Check a message's body with the relay's own code.

    Raises:
        Reject: The relay could not post it; the reason says why.
    """
    size = len(body.encode(errors="surrogatepass"))
    if size > MAX_MESSAGE_BYTES:
        raise Reject(f"it has {size:,} bytes, and the Outbox takes {MAX_MESSAGE_BYTES:,}")
    return Draft(body, messages.read(body), secrets.token_hex(16), line)


def from_fields(text: str, fields: dict[str, Any]) -> Draft:
    """Make a message of a text and of other fields; None stands for none.

    Raises:
        Failure: The relay could not post it.
    """
    if text.lstrip().startswith("{"):
        raise Failure("The text is JSON, and would be posted as it is: give messages in JSON by --from -.", USAGE)
    given = {"body": text, **{name: value for name, value in fields.items() if value is not None}}
    try:
        return draft(json.dumps(given, ensure_ascii=False))
    except Reject as error:
        raise Failure(f"It could not be posted: {error.reason}.", USAGE) from None


def from_lines(lines: Iterable[bytes]) -> tuple[list[Draft], list[InvalidLine]]:
    """Read JSON lines.

    Returns:
        The messages; and the lines that are none. Empty lines are left out.
    """
    drafts, wrong = [], []
    for number, content in enumerate(lines, 1):
        if not content.strip():
            continue
        try:
            drafts.append(draft(_json_line(content), number))
        except Reject as error:
            wrong.append(InvalidLine(number, content, error.reason))
    return drafts, wrong


def is_address(chart: str) -> bool:
    """Tell an address from a local file."""
    return _ADDRESS.match(chart) is not None


def chart(given: str, bucket: str) -> Chart:
    """Look at a local chart.

    Args:
        given: The file.
        bucket: The stack's chart bucket; empty for none.

    Raises:
        Failure: The file cannot be read, or is no chart that StockTwits takes, or there is no bucket.
    """
    from relay.posting.charts import MAX_CHART_BYTES  # noqa: PLC0415  both bring requests, which only a chart needs here
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
        raise Failure(f"The chart {given} is no JPG, PNG or GIF, whatever its name says.", USAGE) from None
    if not bucket:
        raise Failure(
            "There is no chart bucket to put it in: make one, then `make deploy PARAMETERS=ChartBucketName=its-name`.",
            USAGE,
        )
    key = f"relay-send/{hashlib.sha256(content).hexdigest()[:32]}{Path(name).suffix}"
    return Chart(bucket, key, media_type, content)


def without_cashtag(drafts: list[Draft]) -> str | None:
    """Warn of messages that name no symbol; None when there are none."""
    bare = [each for each in drafts if not each.has_cashtag]
    if not bare:
        return None
    whom = f'"{one_line(bare[0].post.body, 60)}"' if len(bare) == 1 else count(len(bare), "message")
    return f"{whom} without a cashtag such as $AAPL: StockTwits may refuse it, and nobody who follows a symbol sees it."


def _json_line(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        raise Reject("it is not in UTF-8") from None
    if not text.startswith("{"):
        raise Reject('it is no JSON object such as {"body": "Up 3% $AAPL"}')
    return text
