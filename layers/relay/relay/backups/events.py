"""The events of ``fetch_backups``: nightly run, backfill, and records of requests, each naming a backup. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from relay.backups.backup import FILE_TYPES, FIRST_DAY, Backup
from relay.errors import Reject
from relay.limits import moment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


MAX_QUOTED_CHARACTERS = 80
"""How much of a wrong value goes into a reason."""

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COUNT = re.compile(r"[0-9]{1,15}")  # far beyond the milliseconds of our time
_NIGHTLY = {"run": "nightly"}
_BACKFILL = frozenset({"first_day", "last_day", "file_types", "retry_absent", "again"})
_REQUEST = frozenset({"file_type", "day", "if_stored", "asked_at"})


@dataclass(frozen=True, slots=True)
class Nightly:
    """Fetch what is missing of the last days."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """Request every missing day of a range, or every day of it.

    Attributes:
        first_day: The first day.
        last_day: The last day, included.
        file_types: The types; None for those that the stack keeps.
        retry_absent: Ask again for days that Firestream was found to have no file of.
        again: Fetch stored days too, each as a new version.
    """

    first_day: date
    last_day: date
    file_types: tuple[str, ...] | None
    retry_absent: bool
    again: bool = False


@dataclass(frozen=True, slots=True)
class Requests:
    """Fetch the backups that these records of an SQS event name.

    Attributes:
        records: The records as they came.
    """

    records: Sequence[Mapping[str, Any]]


Event = Nightly | Backfill | Requests


class IfStored(StrEnum):
    """What a request does about a backup that is stored."""

    KEEP = "keep"
    """Nothing."""
    COMPARE = "compare"
    """Fetch it as a new version if Firestream's file is another one by now."""
    REPLACE = "replace"
    """Fetch it as a new version."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request for a backup.

    Attributes:
        backup: Which one.
        if_stored: What to do if it is stored.
        asked_at: When Firestream had no such file, if that is why it is asked a second time: ISO 8601.
    """

    backup: Backup
    if_stored: IfStored = IfStored.KEEP
    asked_at: str | None = None

    @property
    def body(self) -> str:
        """The body of its message, as `read_request` reads it."""
        fields = self.backup.fields
        if self.if_stored is not IfStored.KEEP:
            fields["if_stored"] = str(self.if_stored)
        if self.asked_at:
            fields["asked_at"] = self.asked_at
        return json.dumps(fields)


def read_event(event: object, today: date) -> Event:
    """Read an event.

    Args:
        event: What Lambda hands over.
        today: The day that is not over yet (UTC).

    Raises:
        Reject: It is none of the three, or a field of it is wrong; the reason names the field.
    """
    if isinstance(event, dict):
        records = event.get("Records")
        if isinstance(records, list) and all(map(_from_sqs, records)):
            return Requests(records)
        if "first_day" in event or "last_day" in event:
            return _read_backfill(event, today)
        if event == _NIGHTLY:
            return Nightly()
    raise Reject(
        'the event is none of the three that fetch_backups knows: {"run": "nightly"}, {"first_day": "2024-01-01", '
        '"last_day": "2024-12-31"}, or records of BackupRequests'
    )


def read_request(body: str, today: date) -> Request:
    """Read the body of a request: ``{"file_type": "message", "day": "2016-12-05"}``.

    ``if_stored`` may be ``keep`` (the default), ``compare`` or ``replace``; ``asked_at`` makes it the second look.

    Args:
        body: A record's body.
        today: The day that is not over yet (UTC).

    Raises:
        Reject: It names no backup that Firestream could have; the reason names the field.
    """
    try:
        request = json.loads(body)
    except (ValueError, RecursionError):
        raise Reject(f"the request is not JSON: {_quoted(body)}") from None
    if not isinstance(request, dict):
        raise Reject('the request is not a JSON object such as {"file_type": "message", "day": "2016-12-05"}')
    _refuse_unknown(request, _REQUEST)
    backup = Backup(_read_day(request, "day", today), _check_type("file_type", request.get("file_type")))
    if_stored = request.get("if_stored", IfStored.KEEP)
    if if_stored not in list(IfStored):
        raise Reject(f"if_stored: {_quoted(if_stored)} is none of {', '.join(IfStored)}")
    asked_at = request.get("asked_at")
    if asked_at is not None and moment(asked_at) is None:
        raise Reject(f"asked_at: {_quoted(asked_at)} is not a moment; give one such as 2026-11-26T09:00:00Z")
    return Request(backup, IfStored(if_stored), asked_at)


def _from_sqs(record: object) -> bool:
    """Return whether a record has everything that `relay.queues.from_record` reads."""
    return (
        isinstance(record, dict)
        and record.get("eventSource") == "aws:sqs"
        and all(isinstance(record.get(name), str) for name in ("messageId", "receiptHandle", "body"))
        and isinstance(attributes := record.get("attributes"), dict)
        and all(_is_count(attributes.get(name)) for name in ("ApproximateReceiveCount", "SentTimestamp"))
        and isinstance(of_message := record.get("messageAttributes", {}), dict)
        and isinstance(of_message.get("RelayKey", {}), dict)
    )


def _is_count(value: object) -> bool:
    return isinstance(value, str) and _COUNT.fullmatch(value) is not None


def _read_backfill(event: Mapping[str, Any], today: date) -> Backfill:
    _refuse_unknown(event, _BACKFILL)
    first, last = (_read_day(event, name, today) for name in ("first_day", "last_day"))
    if first > last:
        raise Reject(f"first_day: {first} is after last_day, {last}")
    file_types = event.get("file_types")
    if file_types is not None:
        if not isinstance(file_types, list) or not file_types:
            raise Reject(f"file_types: {_quoted(file_types)} is not a list of {', '.join(FILE_TYPES)}")
        file_types = tuple(dict.fromkeys(_check_type("file_types", each) for each in file_types))
    return Backfill(first, last, file_types, _read_switch(event, "retry_absent"), _read_switch(event, "again"))


def _read_switch(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise Reject(f"{name}: {_quoted(value)} is neither true nor false")
    return value


def _read_day(fields: Mapping[str, Any], name: str, today: date) -> date:
    value = fields.get(name)
    if value is None:
        raise Reject(f"{name}: missing; give a day such as 2016-12-05")
    try:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            raise ValueError  # noqa: TRY301  fromisoformat knows forms that Firestream does not
        day = date.fromisoformat(value)
    except ValueError:
        raise Reject(f"{name}: {_quoted(value)} is not a day; give one such as 2016-12-05") from None
    if day < FIRST_DAY:
        raise Reject(f"{name}: {day} is before {FIRST_DAY}, the first day that StockTwits kept")
    if day >= today:
        raise Reject(
            f"{name}: {day} is not over yet; {today - timedelta(days=1)} is the newest day that is complete (UTC)"
        )
    return day


def _check_type(name: str, value: object) -> str:
    if not isinstance(value, str) or value not in FILE_TYPES:
        raise Reject(f"{name}: {_quoted(value)} is none of {', '.join(FILE_TYPES)}")
    return value


def _refuse_unknown(fields: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(fields.keys() - known):
        raise Reject(f"{_quoted(unknown[0])} is not a field; the fields are {', '.join(sorted(known))}")


def _quoted(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:  # it was read where the stack was a little less deep
        return f"a {type(value).__name__} nested too deeply"
    return text if len(text) <= MAX_QUOTED_CHARACTERS else f"{text[:MAX_QUOTED_CHARACTERS]}…"
