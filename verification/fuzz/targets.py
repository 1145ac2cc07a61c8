"""The properties that must hold for any input: tests check them with Hypothesis, ``make fuzz`` with atheris.

Each function returns if the property holds; otherwise it raises an `AssertionError`, or lets an exception through.
"""

import base64
import gzip
import html
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch
from urllib.parse import quote, urlencode

import msgspec
from relay.backups.backup import FILE_TYPES, FIRST_DAY, Backup
from relay.backups.bootstrap import Container
from relay.backups.bucket import Stored
from relay.backups.events import Backfill, Requests, read_event, read_request
from relay.backups.fetcher import Fetcher, Outcome, Result
from relay.backups.firestream import Download, Firestream
from relay.backups.gunzip import READ_BYTES
from relay.backups.identity import Identity
from relay.backups.lines import MAX_LINE_BYTES
from relay.backups.runs import Backups, Run
from relay.backups.verifier import BLOCK_BYTES, Content, verify
from relay.errors import Absent, Corrupt, Reject
from relay.posting.alert import (
    CHART_CHARACTERS,
    MAX_BODY_CHARACTERS,
    MAX_KEY_CHARACTERS,
    MAX_SHOWN_CHARACTERS,
    Alert,
    count_characters,
    fingerprint,
    read,
    read_message,
    shown,
    unescaped,
    without_queries,
)
from relay.posting.reconciliation import normal_form
from relay.posting.webhook.body_template import Template, parse_maps
from relay.queue_message import QueueMessage

from functions.fetch_backups import app
from verification.fuzz import webhook
from verification.fuzz.checks import NOW, fits_an_sqs_attribute, is_a_reason
from verification.fuzz.shapes import UNITS

if TYPE_CHECKING:
    from relay.backups.bucket import Archive
    from relay.queues import Queue

ROOT = Path(__file__).parents[2]

TODAY = date(2026, 3, 10)

MAX_CHART_CHARACTERS = 2000
MAX_MESSAGE_ID = 2**63 - 1
MAX_PARTITION_KEY_BYTES = 2048
"""DynamoDB's: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html."""


def message(text: str) -> None:
    """A message is an alert that can be posted, or it is refused with a reason."""
    try:
        reading = read_message(text)
    except Reject as refused:
        is_a_reason(refused.reason)
        return
    for key in (reading.relay_key, reading.envelope_id):
        assert key is None or (1 <= len(key) <= MAX_KEY_CHARACTERS and all(map(fits_an_sqs_attribute, key)))
    post = reading.alert
    assert post.body.strip() == post.body != ""
    assert count_characters(post.body) + CHART_CHARACTERS * bool(post.chart) <= MAX_BODY_CHARACTERS
    for each in (post.body, post.key or "", post.chart or ""):
        assert all(map(fits_an_sqs_attribute, each))
    assert post.sentiment in {None, "bullish", "bearish", "neutral"}
    assert post.key is None or 1 <= len(post.key) <= MAX_KEY_CHARACTERS
    assert len(f"post#{post.key}".encode()) <= MAX_PARTITION_KEY_BYTES
    assert post.in_reply_to_message_id is None or 1 <= post.in_reply_to_message_id <= MAX_MESSAGE_ID
    assert post.chart is None or post.chart.startswith(("https://", "s3://"))
    assert len(post.chart or "") <= MAX_CHART_CHARACTERS
    if post.expires_at:
        assert isinstance(post.expires_at.timestamp(), float)
        assert post.expires_at.isoformat()
    again = read(_written(post))
    assert again == post  # reading is stable
    assert fingerprint(again) == fingerprint(post)


def wrapped(body: str) -> None:
    """An alert that was wrapped on its way is read as it was meant, or refused; the wrapping is never posted."""
    meant = json.dumps({"body": body, "key": "k"}, ensure_ascii=False)
    try:
        alert = read(meant)
    except Reject:
        return
    for name, wrap in WRAPPINGS.items():
        try:
            found = read(wrap(meant))
        except Reject as refused:
            is_a_reason(refused.reason)
            assert name not in CERTAIN, name
        else:
            assert found == alert, name


_QUOTES = ["''", '""', "``", "\u201c\u201d", "\u2018\u2019", "\u00ab\u00bb", "\u201e\u201c"]
WRAPPINGS: dict[str, Callable[[str], str]] = {
    **{f"quotes {ends}": lambda meant, ends=ends: ends[0] + meant + ends[1] for ends in _QUOTES},  # type: ignore[misc]
    "encoded twice": json.dumps,
    "encoded three times": lambda meant: json.dumps(json.dumps(meant)),
    "backslashes": lambda meant: meant.replace("\\", "\\\\").replace('"', '\\"'),
    "HTML": html.escape,
    "HTML, twice": lambda meant: html.escape(html.escape(meant)),
    "URL": lambda meant: quote(meant, errors="replace"),
    "form": lambda meant: urlencode(json.loads(meant), errors="replace"),
    "Base64": lambda meant: base64.b64encode(meant.encode(errors="replace")).decode(),
    "Base64 in lines": lambda meant: base64.encodebytes(meant.encode(errors="replace")).decode(),
    "Python's bytes": lambda meant: str(meant.encode(errors="replace")),
    "Python's text": repr,
    "Python's dictionary": lambda meant: str(json.loads(meant)),
    "a list": lambda meant: f"[{meant}]",
    "a fence": lambda meant: f"```json\n{meant}\n```",
    "words": lambda meant: f"Here it is: {meant}",
    "a byte order mark": lambda meant: "\ufeff" + meant,
    "a misread byte order mark": lambda meant: "\u00ef\u00bb\u00bf" + meant,
    "a zero-width space": lambda meant: f"\u200b{meant}\u200b",
}
"""What happens to JSON between a publisher and the queue."""

CERTAIN = {"a fence", "a byte order mark", "a misread byte order mark", "a zero-width space"}
"""After these, it is certain what was meant, so it is read."""


def text(text: str) -> None:
    """Every function on texts accepts any text."""
    assert len(shown(text)) <= MAX_SHOWN_CHARACTERS
    assert count_characters(text) >= 0
    assert without_queries(without_queries(text)) == without_queries(text)
    plain = unescaped(text)
    assert plain is None or unescaped(html.escape(plain), 1) == plain
    if plain is not None:  # encoding once more does not change the normal form
        assert normal_form(html.escape(text)) == normal_form(text)


def backup(content: bytes, piece_bytes: int) -> None:
    """A file is a complete backup, or `Corrupt`, and the standard library agrees.

    Args:
        content: The file.
        piece_bytes: How many bytes a read returns at most.
    """
    try:
        found = verify(_Pieces(content, piece_bytes))
    except Corrupt as refused:
        is_a_reason(refused.reason)
        found = None
    assert _agrees(found, content)


def request(body: str) -> None:
    """A request names a backup that Firestream can have, or is refused with a reason."""
    try:
        wanted = read_request(body, TODAY)
    except Reject as refused:
        is_a_reason(refused.reason)
        return
    assert FIRST_DAY <= wanted.backup.day < TODAY
    assert wanted.backup.file_type in FILE_TYPES
    assert read_request(wanted.body, TODAY) == wanted


def event(event: Any) -> None:  # noqa: ANN401  any JSON value
    """The handler completes an event, or refuses it with a reason."""
    try:
        wanted = read_event(event, TODAY)
    except Reject as refused:
        is_a_reason(refused.reason)
        wanted = None
    if isinstance(wanted, Backfill):
        assert FIRST_DAY <= wanted.first_day <= wanted.last_day < TODAY
    sent: list[str] = []
    with _handler_alone(sent):
        try:
            answer = app.handler(event, _Context())
        except Reject as refused:
            is_a_reason(refused.reason)
            assert wanted is None
            return
    assert wanted is not None
    if isinstance(wanted, Requests):
        failed = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
        assert set(failed) <= {each["messageId"] for each in wanted.records}
    else:
        assert answer["queued"] == len(sent) == len(set(sent)) <= len(FILE_TYPES) * (TODAY - FIRST_DAY).days
        for each in sent[:1] + sent[-1:]:
            request(each)


def _written(post: Alert) -> str:
    fields = {name: getattr(post, name) for name in post.__struct_fields__}
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()


# The reference for the verifier


def _agrees(found: Content | None, content: bytes) -> bool:
    """Return whether the standard library agrees about a file, except for intended differences.

    - An empty file is not a backup.
    - A gzip header of half a megabyte is refused, and so is one with a wrong checksum, which gzip does not check.
    - An object is told by its braces. Only the lines up to the first object are parsed, and the last one, if they are
      not longer than a block. A file that has lines, but no object, is refused.
    - isal accepts an incomplete code, which zlib refuses, if the data does not use the missing part. Length and CRC
      are checked anyway.
    """
    try:
        text = gzip.decompress(content)
    except (OSError, EOFError):
        return found is None
    except zlib.error as error:
        return found is None or any(words in str(error) for words in _INCOMPLETE)
    if not content or not all(_is_good_header(header) for header in _headers(content)):
        return found is None
    return found == _content(text)


def _content(text: bytes) -> Content | None:
    """Return what a decoded file contains; None if it is not a backup."""
    lines = text.removesuffix(b"\n").split(b"\n") if text else []
    inner = [line.strip(b" \t\r").removeprefix(b"\xef\xbb\xbf").strip(b" \t\r") for line in lines]
    full = [number for number, line in enumerate(inner) if line]
    good = {number for number in full if inner[number][:1] + inner[number][1:][-1:] == b"{}"}
    good = {number for number in good if len(lines[number]) <= MAX_LINE_BYTES}
    parsed = False
    for number in full:
        if len(lines[number]) < BLOCK_BYTES and number in good and (not parsed or number == full[-1]):
            if _is_json_object(lines[number].strip(b" \t\r")):
                parsed = True
            else:
                good.remove(number)
    odd = [number + 1 for number in full if number not in good]
    if odd and not good:
        return None
    return Content(len(good), len(text), len(lines) - len(full), len(odd), odd[0] if odd else None)


_INCOMPLETE = ("invalid distances set", "invalid literal/lengths set", "invalid code lengths set")


def _headers(content: bytes) -> Iterator[bytes]:
    """Yield the header of each member of a valid gzip file: https://www.rfc-editor.org/rfc/rfc1952."""
    while content:
        flags, size = content[3], 10
        if flags & _EXTRA:
            size += 2 + int.from_bytes(content[size : size + 2], "little")
        for text in (_NAME, _COMMENT):
            if flags & text:
                size = content.index(0, size) + 1
        if flags & _HEADER_CRC:
            size += 2
        yield content[:size]
        decoder = zlib.decompressobj(-zlib.MAX_WBITS)
        decoder.decompress(content[size:])
        content = decoder.unused_data[8:].lstrip(b"\0")


_HEADER_CRC, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16


def _is_good_header(header: bytes) -> bool:
    checked = not header[3] & _HEADER_CRC or zlib.crc32(header[:-2]) & 0xFFFF == int.from_bytes(header[-2:], "little")
    return checked and len(header) < READ_BYTES


def _is_json_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


class _Pieces:
    """A file that returns only some bytes at a time."""

    def __init__(self, content: bytes, piece_bytes: int) -> None:
        self._left = memoryview(content)
        self._piece_bytes = piece_bytes

    def readinto(self, buffer: memoryview, /) -> int:
        piece = self._left[: min(len(buffer), self._piece_bytes)]
        buffer[: len(piece)] = piece
        self._left = self._left[len(piece) :]
        return len(piece)


# The handler without services


class _Archive:
    """An empty archive, which stores nothing."""

    def stored(self, *_: object) -> dict[date, Stored]:
        return {}

    remarks = stored

    absent = stored

    def newest(self, _file_type: str) -> None:
        return None

    def mark_absent(self, _backup: Backup) -> None:
        return


class _Silent:
    """A queue without failures, a Firestream without files, and telemetry without output."""

    @contextmanager
    def invocation(self, _context: object) -> Iterator[Callable[[], float]]:
        yield lambda: 900.0

    def failures(self, _lines: Sequence[str]) -> None:
        return

    def backup(self, outcome: Outcome) -> None:
        assert outcome.result in {Result.ABSENT, Result.NOT_YET} or not outcome.backup
        if outcome.reason:
            is_a_reason(outcome.reason)

    def run(self, _run: Run, _today: date) -> None:
        return

    def set_visibility(self, _timeouts: Sequence[tuple[QueueMessage, int]]) -> list[str]:
        return []

    def dead_letter(self, _request: QueueMessage, _outcome: Outcome) -> bool:
        return True

    def open(self, _backup: Backup, _seconds_left: Callable[[], float], _known: Identity | None) -> Download:
        raise Absent("Firestream has no such file", status=404)

    def close(self) -> None:
        return


class _Context:
    def get_remaining_time_in_millis(self) -> int:
        return 900_000


@contextmanager
def _handler_alone(sent: list[str]) -> Iterator[None]:
    """Replace the services of the handler; `sent` receives its requests."""

    def send(bodies: Sequence[str], _delay: int) -> list[str]:
        sent.extend(bodies)
        return []

    silent = _Silent()
    backups = Backups(
        fetcher=Fetcher(cast("Archive", _Archive()), silent.open),
        request=send,
        dead_letter=silent.dead_letter,
        file_types=FILE_TYPES,
        lag_days=0,
        lookback_days=7,
        now=lambda: NOW,
    )
    container = Container(cast("Queue", silent), backups, cast("Firestream", silent))
    with patch.object(app, "container", lambda: container), patch.object(app, "telemetry", lambda: silent):
        yield


# The same for a fuzzer, whose input is bytes


@dataclass(frozen=True)
class Target:
    """A target of the fuzzer.

    Attributes:
        run: Checks the property for an input made from bytes.
        seeds: The first inputs.
        words: Likely parts of the input.
    """

    run: Callable[[bytes], None]
    seeds: Sequence[bytes]
    words: Sequence[bytes] = ()


def _run_message(data: bytes) -> None:
    message(_text(data))


def _run_wrapped(data: bytes) -> None:
    wrapped(_text(data))


def _run_text(data: bytes) -> None:
    text(_text(data))


def _run_backup(data: bytes) -> None:
    """Check a file: the first byte decides whether the rest is the file, or a text to compress and perhaps damage."""
    if len(data) < _RECIPE_BYTES:
        return
    kind, piece, where, hit = data[0], data[1], int.from_bytes(data[2:4]), data[4]
    content = data[_RECIPE_BYTES:]
    if kind & 1:
        members = [gzip.compress(part, kind >> 4 & 7, mtime=0) for part in content.split(b"|")]
        content = (b"\0" * (kind & 2)).join(members)
        if kind & 4:
            content = content[: where % (len(content) + 1)]
        elif kind & 8:
            at = where % len(content)
            content = content[:at] + bytes([content[at] ^ hit]) + content[at + 1 :]
    backup(content, piece + 1)


_RECIPE_BYTES = 5


def _run_event(data: bytes) -> None:
    """Check a text as the body of a request, and, if it is JSON, as an event."""
    text = _text(data)
    request(text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return
    event(found)


def _run_template(data: bytes) -> None:
    """Check a template and a payload: lines for body, sentiment, key and maps, and the rest."""
    body, sentiment, key, written, payload = (*_text(data).split("\n", 4), "", "", "", "")[:5]
    webhook.maps(written)
    try:
        replacements = parse_maps(written)
    except Reject:
        replacements = {}
    webhook.template(Template(body=body, sentiment=sentiment, key=key, maps=replacements), payload)


def _run_webhook(data: bytes) -> None:
    """Check a text as a request's: a line for the path, one for the authorization, and the body; and as an event."""
    path, authorization, body = (*_text(data).split("\n", 2), "", "")[:3]
    source, _, secret = path.partition("/")
    at_home = source == "home"
    webhook.request(
        {
            "pathParameters": {"source": source, "secret": secret} if secret else {"source": source},
            "headers": {"Authorization": authorization} if authorization else {},
            "requestContext": {"http": {"sourceIp": "203.0.113.7" if at_home else "192.0.2.1"}},
            "body": body,
            "isBase64Encoded": len(authorization) % 2 == 1,
        }
    )
    try:
        found = json.loads(_text(data))
    except (ValueError, RecursionError):
        return
    webhook.request(found)


def _text(data: bytes) -> str:
    """Decode bytes so that they can become any text: invalid UTF-8 becomes lone surrogates."""
    return data.decode(errors="surrogateescape")


def _words(*words: str) -> Sequence[bytes]:
    return [word.encode() for word in words]


def _samples() -> Mapping[str, Any]:
    return {path.stem: json.loads(path.read_bytes()) for path in sorted((ROOT / "events").glob("*.json"))}


def _bodies() -> list[bytes]:
    return [each["body"].encode() for sample in _samples().values() for each in sample.get("Records", ())]


_MARKS = ("null", "true", "1e999", "NaN", "9" * 20, "\\ud83d", "\\u0000", "[" * 50, '{"":', "2016-12-05")
_FIELDS = (
    *Alert.__struct_fields__,
    *(
        "TopicArn",
        "Type",
        "Message",
        "MessageId",
        "MessageAttributes",
        "detail",
        "detail-type",
        "source",
        "id",
        "Records",
    ),
)
_EVENT_FIELDS = (
    *("first_day", "last_day", "file_types", "retry_absent", "again"),
    *("file_type", "day", "if_stored", "asked_at", "Records", "attributes"),
)
_VALUES = (
    *('"Notification"', "https://", "s3://", '"bullish"', "2026-11-21T16:00:00Z", "2026-W47-6 16:00+01[Europe/Berlin]"),
    *('{"RelayKey":{"Type":"String","Value":"k"}}', "```json\n", "{{ticker}}", "&quot;", "\u200b", "eyJib2R5Ijo"),
)

TARGETS = {
    "message": Target(
        _run_message, _bodies(), _words(*_MARKS, *_VALUES, *UNITS.values(), *(f'"{name}":' for name in _FIELDS))
    ),
    "wrapped": Target(
        _run_wrapped, _words("$AAPL up", '"To the moon" $TSLA', "a'b", "\\"), _words(*UNITS.values(), "```", '{"', "'")
    ),
    "text": Target(_run_text, [name.encode() for name in UNITS], _words(*UNITS.values())),
    "template": Target(
        _run_template,
        _words(
            'Up {change}% ${symbol}\n{side}\n{id}\nside:buy=bullish,side:sell=bearish\n{"symbol":"A","change":3.10}',
            '{{{stocks.0}}}\n\n{a.b}\n\n{"stocks":["AAPL"],"a":{"b":1},"a.b":null}',
        ),
        _words(*_MARKS, "{", "}", "{{", "}}", "{a.0}", "a:b=c,", "\n", '{"a":', "[1]", "null"),
    ),
    "webhook": Target(
        _run_webhook,
        _words(
            f'plain/{webhook.SECRET}\n\n{{"body":"Up 3% $AAPL","key":"k"}}',
            f"plain\nBearer {webhook.SECRET}\nUp 3% $AAPL",
            f"home/{webhook.SECRET}\nx\nVXAgMyUgJEFBUEw=",
            f'filled/{webhook.SECRET}\n\n{{"name":"Gap","price":1.50,"symbols":["A"],"side":"buy","id":7}}',
            "plain/wrong\n\nUp 3% $AAPL",
        ),
        _words(*_MARKS, *webhook.SOURCES, webhook.SECRET, quote(webhook.SECRET), "Bearer ", "%2F", "\n", '{"body":'),
    ),
    "backup": Target(
        _run_backup,
        [
            *(bytes([kind, 9, 0, 30, 255]) + b'{"id":1}\n{"id":2}\n|{"id":3}\n' for kind in (1, 3, 5, 9)),
            bytes([0, 255, 0, 0, 0]) + gzip.compress(b'{"id":1}\n', mtime=0) * 2,
        ],
        (b"{}\n", b"|", b"\x1f\x8b\x08"),
    ),
    "event": Target(
        _run_event,
        [json.dumps(sample).encode() for sample in _samples().values()] + _bodies(),
        _words(*_MARKS, *(f'"{name}":' for name in _EVENT_FIELDS)),
    ),
}
