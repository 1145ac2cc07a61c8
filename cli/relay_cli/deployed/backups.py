"""The newest backup of each file type, and the last nightly run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from relay.backups.backup import parse_file_types
from relay.backups.bucket import Archive
from relay.errors import RelayError

from relay_cli.deployed.logs import BACKUPS, UNREADABLE
from relay_cli.failure import NO_AWS, Failure
from relay_cli.text import at, read_number

if TYPE_CHECKING:
    from datetime import date, datetime

    from relay_cli.deployed.logs import Logs
    from relay_cli.deployed.stack import Stack

LOOK_BACK = timedelta(days=3)
"""How far back to look for the last nightly run; the schedule is rarely slower than daily."""

_COUNTED = ("stored", "already_there", "not_yet", "absent", "failed", "queued")


@dataclass(frozen=True, slots=True)
class NightlyRun:
    """The result of a nightly run.

    Attributes:
        at: When it ended.
        counts: How many files had each outcome of docs/backups.md; zeros are left out.
        stopped: Why it ended early; None if it did not.
    """

    at: datetime
    counts: dict[str, int]
    stopped: str | None


def newest(stack: Stack) -> dict[str, date | None]:
    """Return the newest day in the archive of each file type that the stack keeps.

    Raises:
        Failure: S3 did not list the bucket.
    """
    archive = Archive(lambda: stack.client("s3"), stack.output("BackupBucketName"), time.time)
    try:
        return {each: archive.newest(each) for each in parse_file_types(stack.parameter("BackupFileTypes"))}
    except RelayError as error:
        raise Failure(f"The archive cannot be read: {error.reason}.", NO_AWS) from None


def last_nightly(logs: Logs) -> NightlyRun | None:
    """Return the last nightly run of the last days from its log line; None if there was none."""
    now = at(time.time())
    lines = logs.lines(BACKUPS, now - LOOK_BACK, "backups", run="nightly") if now else []
    if not lines:
        return None
    fields: dict[str, Any] = lines[-1].fields
    counts = {name: number for name in _COUNTED if (number := read_number(fields.get(name)))}
    stopped = str(fields.get("stopped") or "") if lines[-1].readable else UNREADABLE
    return NightlyRun(lines[-1].at, counts, stopped or None)
