"""What became of every day's backup: what the bucket, BackupFailures and BackupRequests say of it together."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from os.path import commonprefix
from typing import TYPE_CHECKING, Any

from relay.backups.backup import FILE_TYPES, Backup, days
from relay.backups.events import Backfill, read_event, read_request
from relay.errors import Reject

from relay_cli.deployed import peek
from relay_cli.failure import WRONG, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from relay_cli.deployed.stack import Stack

LAG_DAYS = "2"
"""`BackupLagDays` of a stack that does not name it."""

UNTOLD = "its worker ended without a word; the function's log may tell"
"""The reason of what SQS itself moved to BackupFailures."""

_DEPTHS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class Status(StrEnum):
    """What became of a day's backup."""

    STORED = "stored"
    FAILED = "failed"
    ABSENT = "absent"
    MISSING = "missing"
    NOT_YET = "not_yet"


@dataclass(frozen=True, slots=True)
class Day:
    """A day of a file type.

    Attributes:
        day: Which one.
        status: What became of its backup.
        bytes: The size of what is stored.
        reason: Why it failed, in words for a person.
    """

    day: date
    status: Status
    bytes: int = 0
    reason: str = ""


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
        """How many days came to each end."""
        return Counter(each.status for each in self.days)

    @property
    def bytes(self) -> int:
        """How much is stored."""
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
        requested: How many requests wait in BackupRequests or are being worked on; SQS does not tell which.
        failures: How many wait in BackupFailures, of whatever day.
    """

    calendars: tuple[Calendar, ...]
    requested: int
    failures: int


@dataclass(frozen=True, slots=True)
class Found:
    """An object in the bucket.

    Attributes:
        bytes: Its size.
        etag: Changes when it is written anew.
    """

    bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Buried:
    """A request in BackupFailures.

    Attributes:
        id: SQS's message id.
        backup: What it asked for; None when it names no backup.
        reason: Why it is there, in words for a person.
    """

    id: str
    backup: Backup | None
    reason: str


def today() -> date:
    """Return the day that is not over yet (UTC)."""
    return datetime.now(UTC).date()


def wanted(file_type: str, day: str) -> Backup:
    """Return the backup that a person names; raises `Failure` when there can be none."""
    try:
        return read_request(json.dumps({"file_type": file_type, "day": day}), today())
    except Reject as error:
        raise Failure(f"{error.reason}.", WRONG) from None


def order(
    first_day: str, last_day: str, file_types: Sequence[str] | None = None, *, retry_absent: bool = False
) -> Backfill:
    """Return the range of days that a person names, checked as the function does it.

    Raises:
        Failure: A day or a file type is none, or the last day is before the first.
    """
    event: dict[str, Any] = {"first_day": first_day, "last_day": last_day, "retry_absent": retry_absent}
    if file_types:
        event["file_types"] = list(file_types)
    try:
        found = read_event(event, today())
    except Reject as error:
        raise Failure(f"{error.reason}.", WRONG) from None
    assert isinstance(found, Backfill)  # noqa: S101  # nosec B101  # it has a first day
    return found


def file_types(stack: Stack) -> tuple[str, ...]:
    """Return the types that a stack keeps."""
    return tuple(stack.parameters.get("BackupFileTypes", ",".join(FILE_TYPES)).split(","))


def may_still_come(stack: Stack, backup: Backup) -> bool:
    """Say whether Firestream may not have the file yet."""
    return (today() - backup.day).days <= int(stack.parameters.get("BackupLagDays", LAG_DAYS))


def read(stack: Stack, within: Backfill) -> Overview:
    """Read what became of the days of a range.

    It takes a listing of what is stored and one of what is absent for each file type, a thousand days a request.

    Raises:
        Failure: The stack has no archive.
        ClientError, BotoCoreError: AWS did not answer.
    """
    waiting = requested(stack)  # before the listing: what is stored meanwhile is then in both, not in none
    kept = within.file_types or file_types(stack)
    buried = failures(stack)
    reasons = {each.backup: each.reason for each in buried if each.backup}
    calendars = []
    for file_type in kept:
        backups = [Backup(day, file_type) for day in days(within.first_day, within.last_day)]
        there, absences = stored(stack, backups), absent(stack, backups)
        calendars.append(
            Calendar(file_type, tuple(_day(stack, each, there, absences, reasons) for each in backups)),
        )
    return Overview(tuple(calendars), waiting, len(buried))


def stored(stack: Stack, backups: Iterable[Backup]) -> dict[Backup, Found]:
    """Return those backups of one file type that are there."""
    return _listed(stack, {each.key: each for each in backups})


def absent(stack: Stack, backups: Iterable[Backup]) -> dict[Backup, Found]:
    """Return those backups of one file type that Firestream was found to have no file of."""
    return _listed(stack, {each.absent_key: each for each in backups})


def requested(stack: Stack) -> int:
    """Return how many requests wait or are being worked on, as far as SQS knows at once."""
    return depth(stack, "BackupRequestsQueueUrl")


def depth(stack: Stack, output: str) -> int:
    """Return how many messages a queue holds, seen or not, as far as SQS knows at once."""
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.output(output), AttributeNames=list(_DEPTHS))
    return sum(int(answer["Attributes"].get(name, 0)) for name in _DEPTHS)


def failures(stack: Stack) -> list[Buried]:
    """Return what waits in BackupFailures. It stays, but nobody else sees it meanwhile."""
    # What could not be put back is seen again by itself, and looking on is all that is done here.
    with peek.into(stack, "BackupFailuresQueueUrl", lambda _: None) as looked_into:
        return [_buried(each) for each in looked_into.messages()]


def _buried(message: Mapping[str, Any]) -> Buried:
    try:
        backup = read_request(message["Body"], today())
    except Reject:
        backup = None
    attributes = message.get("MessageAttributes", {})
    ours = "DeadLetterQueueSourceArn" not in message["Attributes"]  # as in `relay_cli.deployed.dead_letters`
    reason = attributes.get("RejectReason", {}).get("StringValue", "") if ours else ""
    return Buried(message["MessageId"], backup, reason or UNTOLD)


def _listed(stack: Stack, keys: Mapping[str, Backup]) -> dict[Backup, Found]:
    """Return what is there of these keys. They sort as their days do, and somebody else's are none of them."""
    found: dict[Backup, Found] = {}
    if not keys:
        return found
    first, last = min(keys), max(keys)
    prefix = commonprefix([first, last])  # noqa: RUF071  to S3 they are characters
    pages = (
        stack.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=stack.output("BackupBucketName"), Prefix=prefix, StartAfter=first[:-1])
    )
    for page in pages:
        for each in page.get("Contents", []):
            if each["Key"] > last:
                return found
            if each["Key"] in keys:
                found[keys[each["Key"]]] = Found(each["Size"], each["ETag"])
    return found


def _day(
    stack: Stack,
    backup: Backup,
    there: Mapping[Backup, Found],
    absences: Mapping[Backup, Found],
    reasons: Mapping[Backup, str],
) -> Day:
    if backup in there:  # whatever failed before
        return Day(backup.day, Status.STORED, there[backup].bytes)
    if backup in reasons:  # even of a day that is absent: it waits for a person
        return Day(backup.day, Status.FAILED, reason=reasons[backup])
    if backup in absences:
        return Day(backup.day, Status.ABSENT)
    return Day(backup.day, Status.NOT_YET if may_still_come(stack, backup) else Status.MISSING)
