"""Fetching one backup to its outcome: one that is missing, or a newer version of one that is stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from relay.backups.backup import Backup, Remark, days
from relay.backups.identity import Identity
from relay.errors import Absent, Corrupt, Halt, Refused, Reject, RelayError, Retry, StartOver, Unchanged, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from relay.backups.bucket import Archive, Stored
    from relay.backups.firestream import Download
    from relay.backups.upload import Receipt
    from relay.errors import Pause

MAX_STARTS = 3
"""How often a download is begun because the file changed while it was read."""

NEIGHBOUR_DAYS = 4
"""A backup's neighbours are those of so many days before and after it."""

MIN_NEIGHBOURS = 3
"""Fewer neighbours than this do not tell how many lines are usual."""

FEW_LINES_SHARE = 0.1
"""A backup has few lines if it has less than this share of its neighbours' median. Quiet days, such as weekends and
holidays, have more than that."""


_FASTER = "another worker was faster"


class Result(StrEnum):
    """What became of a backup."""

    STORED = "stored"
    ALREADY_THERE = "already_there"
    NOT_YET = "not_yet"
    ABSENT = "absent"
    QUEUED = "queued"
    HELD = "held"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a backup, and why.

    Attributes:
        backup: Which one; None when a request names none.
        result: What became of it.
        reason: Why, for an operator.
        status: The HTTP status that decided it, if one did.
        final: Whether another attempt would be pointless.
        dead_lettered: Whether its request waits for an operator in BackupFailures.
        pause: The pause that makes further attempts pointless now, if there is one.
        held_until: Until when Firestream asks to wait, in seconds since the epoch, if it does.
        late: Whether it is missing though it is older than missing files usually are.
        damaged: Whether Firestream sent all of it, but no whole backup.
        kept: Whether what it sent is kept apart, as it is.
        replaced: Whether it took the place of another version.
        remarks: What an operator should know of what is stored.
        bytes: How much was stored.
        lines: How many objects it contains.
        resumes: How often the transfer broke and was taken up again.
    """

    backup: Backup | None
    result: Result
    reason: str = ""
    status: int | None = None
    final: bool = False
    dead_lettered: bool = False
    pause: Pause | None = None
    held_until: float | None = None
    late: bool = False
    damaged: bool = False
    kept: bool = False
    replaced: bool = False
    remarks: tuple[Remark, ...] = ()
    bytes: int = 0
    lines: int = 0
    resumes: int = 0

    @property
    def done(self) -> bool:
        """Whether its request, if it has one, may leave the queue."""
        return self.result not in {Result.FAILED, Result.HELD} or self.dead_lettered

    @property
    def notable(self) -> bool:
        """Whether an operator should read it."""
        told = self.reason and self.reason != _FASTER and not self.status
        return self.result is Result.FAILED or self.late or bool(self.remarks or told)


@dataclass(frozen=True)
class Fetcher:
    """Fetches backups, one at a time.

    Attributes:
        archive: What is there, and where to store.
        open: Begins a download, as `relay.backups.firestream.Firestream.open`.
    """

    archive: Archive
    open: Callable[[Backup, Callable[[], float], Identity | None], Download]

    def fetch(
        self,
        backup: Backup,
        seconds_left: Callable[[], float],
        stored: Stored | None = None,
        *,
        anew: bool = False,
    ) -> Outcome:
        """Fetch one backup, unless another worker is faster.

        Args:
            backup: Which one.
            seconds_left: How long this invocation may still run.
            stored: The version that is stored, if one is: it is replaced if Firestream's file is another one.
            anew: Replace it in any case.
        """
        try:
            return self._fetch(backup, seconds_left, stored, anew=anew)
        except Unchanged:
            return Outcome(backup=backup, result=Result.ALREADY_THERE)
        except (Absent, Refused) as error:
            if stored and not anew:
                reason = f"{error.reason}; the stored one is kept"
                return Outcome(backup=backup, result=Result.ALREADY_THERE, reason=reason, status=error.status)
            result = Result.NOT_YET if isinstance(error, Absent) else Result.FAILED
            return Outcome(backup=backup, result=result, reason=error.reason, status=error.status)
        except RelayError as error:
            held = isinstance(error, Wait)
            return Outcome(
                backup=backup,
                result=Result.HELD if held else Result.FAILED,
                reason=error.reason,
                status=error.status,
                final=isinstance(error, Reject),
                pause=error.pause if isinstance(error, Wait | Halt) else None,
                held_until=error.pause.until if held and error.pause else None,
                damaged=isinstance(error, Corrupt),
            )
        except Exception as error:  # noqa: BLE001  a defect that one file meets must not cost the others
            return Outcome(backup=backup, result=Result.FAILED, reason=_defect(error))

    def is_unfinished(self, backup: Backup) -> bool:
        """Return whether what is stored has no tags, because its worker ended before it wrote them."""
        return "sha256" not in self.archive.tags(backup)

    def keep_damaged(self, outcome: Outcome, seconds_left: Callable[[], float]) -> Outcome:
        """Fetch a damaged backup once more, and keep it apart as it is: Firestream may not have it for long."""
        backup = outcome.backup
        assert backup  # noqa: S101  # nosec B101  # it was asked for
        try:
            with self.open(backup, seconds_left, None) as download:
                damage = self.archive.keep_damaged(backup, download)
        except RelayError as error:
            return replace(outcome, reason=f"{outcome.reason}; what Firestream sends was not kept: {error.reason}")
        except Exception as error:  # noqa: BLE001  as above
            return replace(outcome, reason=f"{outcome.reason}; what Firestream sends was not kept: {_defect(error)}")
        if not damage:
            return replace(outcome, damaged=False, reason="it was damaged, and whole when it was asked for once more")
        fetch = f"relay get {backup.file_type} {backup.day} --damaged"
        return replace(outcome, kept=True, reason=f"{damage}; what Firestream sends is kept as it is: {fetch}")

    def few_lines(self, file_type: str, first: date, last: date) -> list[Outcome]:
        """Remark on the backups of a range that have no lines, or far fewer than their neighbours.

        Returns:
            An outcome for each new remark.
        """
        span = timedelta(days=NEIGHBOUR_DAYS)
        try:
            stored = self.archive.stored(file_type, first - span, last + span)
            lines = {day: _lines(self.archive.tags(Backup(day, file_type))) for day in stored}
            of_range = {day: stored[day] for day in days(first, last) if day in stored}
            remarks = self.archive.remarks(file_type, of_range)
            found = []
            for day, each in of_range.items():
                few = usual_if_few(lines, day)
                if few is None or Remark.FEW_LINES in remarks.get(day, ()):
                    continue
                backup = Backup(day, file_type)
                details = {"lines": lines[day], "usual_lines": few}
                self.archive.remark(backup, each.etag, Remark.FEW_LINES, details)
                reason = f"{lines[day]:,} lines, where the days around it have about {few:,}" if few else "no lines"
                outcome = Outcome(backup=backup, result=Result.ALREADY_THERE, reason=reason)
                found.append(replace(outcome, remarks=(Remark.FEW_LINES,)))
        except Retry as error:
            reason = f"its lines could not be compared with those of the days around it: {error.reason}"
            return [Outcome(backup=Backup(last, file_type), result=Result.ALREADY_THERE, reason=reason)]
        return found

    def _fetch(
        self, backup: Backup, seconds_left: Callable[[], float], stored: Stored | None, *, anew: bool
    ) -> Outcome:
        tags = self.archive.tags(backup) if stored else {}
        sha256 = None if anew else tags.get("sha256")
        # Without its checksum, nothing is known of what is stored: tags could not be written, or somebody else put it.
        known = Identity.of_tags(tags, stored.bytes) if stored and sha256 else None
        for start in range(MAX_STARTS):
            try:
                with self.open(backup, seconds_left, known) as download:
                    receipt = self.archive.store(backup, download, replaces=stored, unless_sha256=sha256)
            except StartOver:
                if start == MAX_STARTS - 1:
                    raise
                continue
            break
        if receipt is None:
            return Outcome(backup=backup, result=Result.ALREADY_THERE, reason=_FASTER)
        outcome = Outcome(
            backup=backup,
            result=Result.STORED if receipt.made else Result.ALREADY_THERE,
            bytes=receipt.bytes if receipt.made else 0,
            lines=receipt.content.lines if receipt.made else 0,
            resumes=download.resumes,
        )
        try:
            self.archive.tag(backup, receipt, download.identity)
        except Retry as error:
            return replace(outcome, reason=f"stored whole, but without tags: {error.reason}")
        return self._remark(outcome, receipt, stored, tags)

    def _remark(self, outcome: Outcome, receipt: Receipt, stored: Stored | None, before: Mapping[str, str]) -> Outcome:
        """Remark on odd lines, and on a version that took the place of another one; `before` are that one's tags."""
        backup, content = outcome.backup, receipt.content
        if not backup or not receipt.etag:
            return outcome
        replaced = stored is not None and stored.etag != receipt.etag and before.get("sha256") != receipt.sha256
        remarks: dict[Remark, dict[str, object]] = {}
        if content.odd:
            remarks[Remark.ODD] = {"odd_lines": content.odd, "first_odd_line": content.first_odd}
        if replaced:
            remarks[Remark.REPLACED] = {
                "replaced_lines": before.get("lines"),
                "replaced_sha256": before.get("sha256"),
            }
        outcome = replace(outcome, replaced=replaced, remarks=tuple(remarks))
        try:
            for remark, details in remarks.items():
                self.archive.remark(backup, receipt.etag, remark, {"lines": content.lines, **details})
        except Retry as error:
            return replace(outcome, reason=f"stored whole, but without a remark in the calendar: {error.reason}")
        words = {
            Remark.ODD: f"{content.odd:,} lines are no JSON objects, the first is line {content.first_odd}",
            Remark.REPLACED: f"Firestream's file is another one now: {content.lines:,} lines after "
            f"{before.get('lines', 'an unknown number')}",
        }
        return replace(outcome, reason="; ".join(words[remark] for remark in remarks))


def _lines(tags: Mapping[str, str]) -> int | None:
    text = tags.get("lines", "")
    return int(text) if text.isdecimal() else None


def usual_if_few(lines: Mapping[date, int | None], day: date) -> int | None:
    """Return how many lines are usual if the day has few or none; None if it has enough, or nobody knows."""
    mine = lines[day]
    span = timedelta(days=NEIGHBOUR_DAYS)
    others = sorted(
        number for each in days(day - span, day + span) if each != day and (number := lines.get(each)) is not None
    )
    usual = others[len(others) // 2] if len(others) >= MIN_NEIGHBOURS else 0  # `statistics` is slow to import
    return usual if mine is not None and (not mine or mine < FEW_LINES_SHARE * usual) else None


def _defect(error: Exception) -> str:
    """Name a defect by its place, and not by its text, which may show a link."""
    where = extract_tb(error.__traceback__)[-1]
    return f"a defect, please report it: {type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
