"""The status of every day's backup, from the bucket, BackupFailures and BackupRequests."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from relay.backups.backup import FILE_TYPES, Backup, Remark, days, parse_file_types
from relay.backups.bucket import Archive
from relay.backups.events import Backfill, read_event, read_request
from relay.errors import Reject

from relay_cli.deployed import peek, queues
from relay_cli.failure import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relay.backups.bucket import Stored

    from relay_cli.deployed.stack import Stack

_Wanted = TypeVar("_Wanted")

LAG_DAYS = "2"
"""`BackupLagDays` of a stack that does not have this parameter."""

LOOKBACK_DAYS = "7"
"""The same of `BackupLookbackDays`."""

NO_REASON = "its worker ended without a reason; see the function's log"
"""The reason shown for a request that SQS itself moved to BackupFailures."""


class Status(StrEnum):
    """The status of a day's backup."""

    STORED = "stored"
    FAILED = "failed"
    ABSENT = "absent"
    MISSING = "missing"
    NOT_YET = "not_yet"
    DAMAGED = "damaged"


class Mark(StrEnum):
    """What an operator should know of a day's backup, besides its status. See docs/backups.md."""

    ODD = Remark.ODD
    FEW_LINES = Remark.FEW_LINES
    REPLACED = Remark.REPLACED
    DAMAGED = "damaged"
    """What Firestream sent for it was not whole, and is kept as it was received; of a stored one, it was sent later."""


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a file type.

    Attributes:
        day: The date.
        status: The status of its backup.
        bytes: The size of the stored backup.
        reason: Why it failed.
        marks: What else an operator should know.
    """

    day: date
    status: Status
    bytes: int = 0
    reason: str = ""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """A file type, day by day.

    Attributes:
        file_type: One of `FILE_TYPES`.
        days: Every day of a range, oldest first.
    """

    file_type: str
    days: tuple[Day, ...]

    @property
    def counts(self) -> Counter[Status]:
        """How many days have each status."""
        return Counter(each.status for each in self.days)

    @property
    def bytes(self) -> int:
        """The total size of the stored backups."""
        return sum(each.bytes for each in self.days)

    @property
    def largest(self) -> int:
        """The size of the largest backup."""
        return max(each.bytes for each in self.days)


@dataclass(frozen=True, slots=True)
class Overview:
    """The archive over a range of days.

    Attributes:
        calendars: One for each file type.
        requested: How many requests are in BackupRequests, waiting or in progress.
        failures: How many requests are in BackupFailures, for any day.
    """

    calendars: tuple[Calendar, ...]
    requested: int
    failures: int


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A request in BackupFailures.

    Attributes:
        id: The SQS message id.
        backup: The backup it asked for; None if it does not name one.
        reason: Why it failed.
    """

    id: str
    backup: Backup | None
    reason: str


def today() -> date:
    """Return the current day (UTC)."""
    return datetime.now(UTC).date()


def parse_backup(file_type: str, day: str) -> Backup:
    """Parse a file type and a day; raises `Failure` if there cannot be such a backup."""
    try:
        return read_request(json.dumps({"file_type": file_type, "day": day}), today()).backup
    except Reject as error:
        raise Failure(f"{_without_fields(error.reason)}.", USAGE) from None


def _without_fields(reason: str) -> str:
    """Leave out the names of the event's fields, which an operator did not type."""
    value = re.sub(r"^(?:first_day|last_day|day|file_types?): ", "", reason)
    return value.replace("last_day, ", "the last day, ")


def parse_period(
    first_day: str,
    last_day: str,
    file_types: Sequence[str] | None = None,
    *,
    retry_absent: bool = False,
    again: bool = False,
) -> Backfill:
    """Parse a range of days with the checks of the function that fetches backups.

    Raises:
        Failure: A day or a file type is invalid, or the last day is before the first.
    """
    event: dict[str, Any] = {
        "first_day": first_day,
        "last_day": last_day,
        "retry_absent": retry_absent,
        "again": again,
    }
    if file_types:
        event["file_types"] = list(file_types)
    try:
        found = read_event(event, today())
    except Reject as error:
        raise Failure(f"{_without_fields(error.reason)}.", USAGE) from None
    assert isinstance(found, Backfill)  # noqa: S101  # nosec B101  # it has a first day
    return found


def file_types(stack: Stack) -> tuple[str, ...]:
    """Return the file types that a stack keeps."""
    return parse_file_types(stack.parameters.get("BackupFileTypes", ",".join(FILE_TYPES)))


def may_still_come(stack: Stack, backup: Backup) -> bool:
    """Return whether Firestream may not have the file yet."""
    return (today() - backup.day).days <= int(stack.parameters.get("BackupLagDays", LAG_DAYS))


def is_looked_for(stack: Stack, backup: Backup) -> bool:
    """Return whether the nightly run asks for it."""
    return (today() - backup.day).days <= int(stack.parameters.get("BackupLookbackDays", LOOKBACK_DAYS))


def read(stack: Stack, period: Backfill) -> Overview:
    """Read the status of every day of a period.

    For each file type, it lists the stored backups, the remarks about them, the notes of absent ones and the damaged
    ones, a thousand per request.

    Raises:
        Failure: The stack has no archive.
        ClientError, BotoCoreError: An AWS request failed.
    """
    waiting = requested(stack)  # before the listing: a backup stored meanwhile is then counted twice, not missed
    kept = period.file_types or file_types(stack)
    failed = failures(stack)
    reasons = {each.backup: each.reason for each in failed if each.backup}
    calendars = []
    for file_type in kept:
        backups = [Backup(day, file_type) for day in days(period.first_day, period.last_day)]
        there, absences = stored(stack, backups), absent(stack, backups)
        marks = _marks(stack, backups, there)
        found = (_day(stack, each, there, absences, reasons, marks.get(each, ())) for each in backups)
        calendars.append(Calendar(file_type, tuple(found)))
    return Overview(tuple(calendars), waiting, len(failed))


def stored(stack: Stack, backups: Iterable[Backup]) -> dict[Backup, Stored]:
    """Return those backups of one file type that are stored."""
    return _find(stack, {each.key: each for each in backups})


def absent(stack: Stack, backups: Iterable[Backup]) -> dict[Backup, Stored]:
    """Return those backups of one file type that Firestream does not have."""
    return _find(stack, {each.absent_key: each for each in backups})


def _marks(stack: Stack, backups: Iterable[Backup], there: Mapping[Backup, Stored]) -> dict[Backup, tuple[Mark, ...]]:
    """Return the marks of backups of one file type, in the order of `Mark`."""
    keys = {
        backup.remark_key(each.etag, remark): (backup, Mark(remark))
        for backup, each in there.items()
        for remark in Remark
    }
    found = set(_find(stack, keys))
    for backup, each in _find(stack, {each.damaged_key: each for each in backups}).items():
        if backup not in there or each.modified > there[backup].modified:  # otherwise a whole one came afterwards
            found.add((backup, Mark.DAMAGED))
    marked = {backup for backup, _ in found}
    return {backup: tuple(mark for mark in Mark if (backup, mark) in found) for backup in marked}


def requested(stack: Stack) -> int:
    """Return the approximate number of requests that wait or are in progress."""
    return queues.depth(stack, "BackupRequests")


def failures(stack: Stack) -> list[FailedRequest]:
    """Return the requests in BackupFailures. They stay there, hidden from other readers meanwhile."""
    # A message that cannot be made visible again reappears by itself, and nothing here depends on it.
    with peek.open_queue(stack, "BackupFailuresQueueUrl", lambda _: None) as queue:
        return [_failed_request(each) for each in queue.messages()]


def _failed_request(message: Mapping[str, Any]) -> FailedRequest:
    try:
        backup = read_request(message["Body"], today()).backup
    except Reject:
        backup = None
    attributes = message.get("MessageAttributes", {})
    ours = "DeadLetterQueueSourceArn" not in message["Attributes"]  # as in `relay_cli.deployed.dead_letters`
    reason = attributes.get("RejectReason", {}).get("StringValue", "") if ours else ""
    return FailedRequest(message["MessageId"], backup, reason or NO_REASON)


def _find(stack: Stack, wanted: Mapping[str, _Wanted]) -> dict[_Wanted, Stored]:
    return Archive(lambda: stack.client("s3"), stack.output("BackupBucketName"), time.time).find(wanted)


def _day(  # noqa: PLR0913, PLR0917  all that says what a day's status is
    stack: Stack,
    backup: Backup,
    there: Mapping[Backup, Stored],
    absences: Mapping[Backup, Stored],
    reasons: Mapping[Backup, str],
    marks: tuple[Mark, ...],
) -> Day:
    if backup in there:  # whatever failed before
        return Day(backup.day, Status.STORED, there[backup].bytes, marks=marks)
    if backup in reasons:  # even if the day is absent: it waits for an operator
        return Day(backup.day, Status.FAILED, reason=reasons[backup], marks=marks)
    if marks:  # even if it is absent by now: there was something
        return Day(backup.day, Status.DAMAGED, marks=marks)
    if backup in absences:
        return Day(backup.day, Status.ABSENT)
    return Day(backup.day, Status.NOT_YET if may_still_come(stack, backup) else Status.MISSING)
