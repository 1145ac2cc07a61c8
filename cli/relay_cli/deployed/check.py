"""Checking stored backups: their bytes and lines against their tags, and against what Firestream has now."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO, cast

from botocore.exceptions import ClientError
from relay.aws_errors import error_code
from relay.backups.backup import Backup, days
from relay.backups.bucket import Archive
from relay.backups.fetcher import NEIGHBOUR_DAYS, usual_if_few
from relay.backups.gunzip import drain
from relay.backups.identity import Identity
from relay.backups.reader import read_backup
from relay.backups.stored_object import StoredObject
from relay.credentials import LOGIN, SecretParameter
from relay.errors import Absent, Corrupt, Refused, RelayError, Retry, StartOver, Unchanged

from relay_cli.deployed.backup_file import NOT_THERE, MeasuredReader
from relay_cli.failure import NO_AWS, Failure
from relay_cli.text import count, one_line, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from relay.backups.events import Backfill
    from relay.backups.firestream import Firestream
    from relay.backups.reader import BadLine

    from relay_cli.deployed.stack import Stack

    Tags = dict[str, str]

MAX_READS = 3
"""How often a backup is read if another version replaces it meanwhile."""


class Note(StrEnum):
    """What an operator should know of a backup that is as it was stored."""

    NO_TAGS = "no-tags"
    """Its tags do not say what was stored."""
    ODD = "odd"
    """It has lines that are neither empty nor a JSON object. All are parsed here, so that there may be more of them
    than its tag says."""
    FEW_LINES = "few-lines"
    """It has no lines, or far fewer than the backups of the days around it."""
    GONE = "gone"
    """Firestream does not have it now."""
    NOT_COMPARED = "not-compared"
    """It could not be compared with Firestream's file."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A stored backup, as it was read.

    Attributes:
        file_type: Its type.
        day: Its day.
        bytes: Its size.
        lines: How many JSON objects it holds, each of them parsed; of a damaged one, those before the damage.
        odd_lines: How many other lines it holds that are not empty.
        sha256: The checksum of its bytes, in hexadecimal.
        differences: What is not as it should be; to be fetched anew if there is any.
        notes: What else an operator should know.
    """

    file_type: str
    day: date
    bytes: int
    lines: int
    odd_lines: int
    sha256: str
    differences: tuple[str, ...] = ()
    notes: dict[Note, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its type and day."""
        return one_line(f"{self.file_type} {self.day}")


class Checker:
    """Reads backups of a stack, one at a time, in little memory."""

    def __init__(self, stack: Stack, *, with_firestream: bool) -> None:
        """Use a stack's archive; compare with Firestream only if asked to."""
        self._stack = stack
        self._bucket = stack.output("BackupBucketName")
        self._archive = Archive(lambda: stack.client("s3"), self._bucket, time.time)
        self._firestream = _firestream(stack) if with_firestream else None
        self._silent = ""

    def sizes(self, file_type: str, period: Backfill) -> dict[Backup, int]:
        """Return the stored backups of a period with their sizes, oldest first.

        Raises:
            Failure: S3 did not list them.
        """
        try:
            stored = self._archive.stored(file_type, period.first_day, period.last_day)
        except Retry as error:
            raise _unreadable(error) from None
        return {Backup(day, file_type): each.bytes for day, each in sorted(stored.items())}

    def check(self, backup: Backup, on_progress: Callable[[int], object]) -> Checked | None:
        """Read a backup, and compare it.

        Args:
            backup: Which one.
            on_progress: Called with the number of bytes that were read since the last call.

        Returns:
            What was found; None if it was deleted since it was listed.

        Raises:
            Failure: S3 did not give its tags.
            ClientError, BotoCoreError: S3 did not give its bytes.
        """
        for number in range(1, MAX_READS + 1):
            tags = self._tags(backup)
            try:
                with StoredObject(self._stack.client("s3"), self._bucket, backup.key) as stored:
                    found = _read(stored, on_progress)
            except ClientError as error:
                if error_code(error) in NOT_THERE:
                    return None
                raise
            except StartOver as error:
                if number == MAX_READS:
                    raise Failure(f"{backup} cannot be read to its end: {error.reason}.", NO_AWS) from None
                continue
            differences = _differences(tags, found)
            # If another version is stored meanwhile, these may be the tags of the one before.
            if not differences or self._tags(backup) == tags:
                break
        checked = Checked(
            backup.file_type,
            backup.day,
            found.bytes,
            found.lines,
            found.odd_lines,
            found.sha256,
            tuple(differences),
            _notes(tags, found),
        )
        return self._compare(backup, checked, tags) if self._firestream else checked

    def with_few_lines(self, checked: Sequence[Checked]) -> list[Checked]:
        """Note which backups of one file type have few lines; the tags tell those of days that were not checked.

        Raises:
            Failure: S3 did not list them, or did not give their tags.
        """
        if not checked:
            return []
        file_type = checked[0].file_type
        lines: dict[date, int | None] = {each.day: None if each.differences else each.lines for each in checked}
        span = timedelta(days=NEIGHBOUR_DAYS)
        first, last = min(lines), max(lines)
        for start, end in ((first - span, first - timedelta(days=1)), (last + timedelta(days=1), last + span)):
            lines |= self._tagged_lines(file_type, start, end)
        return [_with_few_lines(each, usual_if_few(lines, each.day)) for each in checked]

    def _tagged_lines(self, file_type: str, first: date, last: date) -> dict[date, int | None]:
        try:
            stored = self._archive.stored(file_type, first, last)
        except Retry as error:
            raise _unreadable(error) from None
        return {
            day: read_number(self._tags(Backup(day, file_type)).get("lines"))
            for day in days(first, last)
            if day in stored
        }

    def _tags(self, backup: Backup) -> Tags:
        try:
            return self._archive.tags(backup)
        except Retry as error:
            raise _unreadable(error) from None

    def _compare(self, backup: Backup, checked: Checked, tags: Tags) -> Checked:
        """Compare a backup with Firestream's file, of which nothing is downloaded."""
        assert self._firestream  # noqa: S101  # nosec B101  # the caller has it
        known = Identity.of_tags(tags, checked.bytes)
        unable = self._silent if known.conditions else "its tags do not say which file of Firestream's it is"
        if unable:
            return _noted(checked, Note.NOT_COMPARED, unable)
        try:
            with self._firestream.open(backup, lambda: math.inf, known) as download:
                etag = download.identity.etag
        except Unchanged:
            return checked
        except Absent:
            return _noted(checked, Note.GONE, "Firestream does not have it now")
        except Refused as error:
            return _noted(checked, Note.NOT_COMPARED, error.reason)
        except RelayError as error:  # the same would happen for every day
            self._silent = f"not asked, because of this: {error.reason}"
            return _noted(checked, Note.NOT_COMPARED, error.reason)
        text = "Firestream's file is another one now"
        if etag and known.etag:
            text += f": its ETag is {etag}, and was {known.etag}"
        return replace(checked, differences=(*checked.differences, text))


@dataclass(frozen=True, slots=True)
class _Content:
    """What was read of a backup; `size` is what S3 announced."""

    size: int
    bytes: int
    lines: int
    odd_lines: int
    first_odd: BadLine | None
    sha256: str
    damage: str


class _OddLines:
    """Counts the lines that are not JSON objects, and keeps the first."""

    def __init__(self) -> None:
        self.count = 0
        self.first: BadLine | None = None

    def __call__(self, line: BadLine) -> None:
        self.count += 1
        self.first = self.first or replace(line, text=b"")


def _read(stored: StoredObject, on_progress: Callable[[int], object]) -> _Content:
    """Read a backup to its end; raises as `StoredObject` does."""
    reader, odd, lines, damage = MeasuredReader(stored, on_progress), _OddLines(), 0, ""
    try:
        # As dicts, because text in strings is only looked at if it is decoded.
        for _ in read_backup(cast("BinaryIO", reader), errors=odd):
            lines += 1
    except Corrupt as error:
        damage = error.reason
        with suppress(Corrupt):  # a checksum of S3's that does not match
            drain(reader)
    return _Content(stored.size, reader.bytes, lines, odd.count, odd.first, reader.sha256.hexdigest(), damage)


def _differences(tags: Tags, found: _Content) -> list[str]:
    differences = []
    if found.bytes != found.size:
        differences.append(f"{found.bytes:,} of its {found.size:,} bytes can be read")
    if tags.get("sha256", found.sha256) != found.sha256:
        differences.append("its bytes do not match the sha256 in its tag")
    if found.damage:
        differences.append(f"it is damaged: {found.damage}")
        return differences
    lines, odd_lines = read_number(tags.get("lines")), read_number(tags.get("odd-lines", "0"))
    # Together, because only some lines were parsed when it was stored: what looks like an object may be odd.
    here = found.lines + found.odd_lines
    if lines is not None and odd_lines is not None and lines + odd_lines != here:
        differences.append(f"it has {count(here, 'line')}, where its tags say {lines + odd_lines:,}")
    if found.odd_lines and not found.lines:
        differences.append("none of its lines is a JSON object")
    return differences


def _notes(tags: Tags, found: _Content) -> dict[Note, str]:
    notes = {}
    if missing := [name for name in ("sha256", "lines") if name not in tags]:
        notes[Note.NO_TAGS] = f"nothing to compare with: it has no tag {' or '.join(missing)}"
    if found.first_odd:
        first = f"the first is line {found.first_odd.number}, {found.first_odd.reason}"
        notes[Note.ODD] = f"{count(found.odd_lines, 'line')} of {found.lines + found.odd_lines:,} odd: {first}"
    return notes


def _with_few_lines(checked: Checked, usual: int | None) -> Checked:
    if usual is None:
        return checked
    text = f"{count(checked.lines, 'line')}, where the days around it have about {usual:,}" if usual else "no lines"
    return _noted(checked, Note.FEW_LINES, text)


def _noted(checked: Checked, note: Note, text: str) -> Checked:
    return replace(checked, notes=checked.notes | {note: text})


def _firestream(stack: Stack) -> Firestream:
    from relay.backups.firestream import Firestream  # noqa: PLC0415  slow to import, and rarely needed

    name = stack.parameter("FirestreamCredentialsParameter")
    login = SecretParameter(LOGIN, lambda: stack.client("ssm"), name, time.time)
    return Firestream(stack.parameter("FirestreamUrl"), login.credentials, time.time)


def _unreadable(error: Retry) -> Failure:
    return Failure(f"The archive cannot be read: {one_line(error.reason)}.", NO_AWS)


def by_note(checked: Iterable[Checked]) -> dict[Note, list[Checked]]:
    """Return the backups with each note; notes that none has are left out."""
    found: dict[Note, list[Checked]] = {}
    for each in checked:
        for note in each.notes:
            found.setdefault(note, []).append(each)
    return found
