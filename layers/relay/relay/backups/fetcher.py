"""Fetching backups: one to its outcome, the nightly run, the requests of a backfill, and their fulfilment."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from relay.backups.backup import Backup, days
from relay.backups.events import read_request
from relay.errors import Absent, Halt, Reject, RelayError, Retry, StartOver, Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from relay.backups.bucket import Archive
    from relay.backups.events import Backfill
    from relay.backups.firestream import Download
    from relay.errors import Pause
    from relay.queue_message import QueueMessage

START_SECONDS = 120.0
"""No download is begun with less time left than this."""

ENQUEUE_SECONDS = 20.0
"""No requests are sent with less time left than this."""

ENQUEUE_AT_ONCE = 100
"""Requests between two looks at the clock."""

MAX_STARTS = 3
"""How often a download is begun because the file changed while it was read."""

REQUEST_RECEIVES = 50
"""After so many receives SQS moves a request to BackupFailures: what is left of one that ends its worker each time. A
test compares it with the template."""

GIVE_UP_SECONDS = 24 * 3600
"""A request that still fails so long after its first receive is given up, and moved to BackupFailures. Not after it was
sent: the requests of a backfill of years wait longer for their turn."""

HOLD_LIMIT_SECONDS = 900
"""How long a new request can be held back:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html."""


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
    bytes: int = 0
    lines: int = 0
    resumes: int = 0

    @property
    def done(self) -> bool:
        """Whether its request, if it has one, may leave the queue."""
        return self.result not in {Result.FAILED, Result.HELD} or self.dead_lettered


@dataclass(slots=True)
class Run:
    """What became of a nightly run or a backfill.

    Attributes:
        name: ``nightly`` or ``backfill``.
        on_outcome: Called with each backup that something was done about.
        counts: How many backups came to each result.
        bytes: How much was stored.
        lines: How many objects it contains.
        stopped: Why it ended early, if it did.
        newest: The newest stored day of each file type; None when there is none.
        days_beyond_lag: How many days older than it may be the oldest of them is; None when that was not checked.
    """

    name: str
    on_outcome: Callable[[Outcome], None]
    counts: Counter[Result] = field(default_factory=Counter)
    bytes: int = 0
    lines: int = 0
    stopped: str = ""
    newest: dict[str, date | None] = field(default_factory=dict)
    days_beyond_lag: int | None = None

    def note(self, outcome: Outcome) -> None:
        """Count a backup, and pass its outcome on."""
        self.counts[outcome.result] += 1
        self.bytes += outcome.bytes
        self.lines += outcome.lines
        if outcome.pause and outcome.held_until is None:
            self.stopped = outcome.reason
        self.on_outcome(outcome)

    def summary(self) -> dict[str, Any]:
        """Return what the function returns."""
        counts = {str(result): self.counts[result] for result in Result}
        return {**counts, "bytes": self.bytes, "lines": self.lines, "stopped": self.stopped}


@dataclass(frozen=True)
class Backups:
    """Fetches backups.

    Attributes:
        archive: What is there, and where to store.
        open: Begins a download, as `relay.backups.firestream.Firestream.open`.
        request: ``(requests, delay)`` sends requests, to be received after so many seconds; returns those that were
            not taken.
        dead_letter: Sends a request to BackupFailures; False when its reason could not go with it.
        file_types: The types that are kept.
        lag_days: The age in days up to which a missing file may still come.
        lookback_days: The age in days up to which the nightly run looks for what is missing.
        now: The clock, in seconds since the epoch.
    """

    archive: Archive
    open: Callable[[Backup, Callable[[], float]], Download]
    request: Callable[[Sequence[str], int], list[str]]
    dead_letter: Callable[[QueueMessage, Outcome], bool]
    file_types: Sequence[str]
    lag_days: int
    lookback_days: int
    now: Callable[[], float]

    def today(self) -> date:
        """Return the day that is not over yet (UTC)."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    def fetch(self, backup: Backup, seconds_left: Callable[[], float]) -> Outcome:
        """Fetch one backup, unless another worker is faster."""
        try:
            return self._fetch(backup, seconds_left)
        except Absent as absent:
            return self._absent(backup, absent)
        except Wait as wait:
            until = wait.pause.until if wait.pause else None
            return Outcome(
                backup=backup,
                result=Result.HELD,
                reason=wait.reason,
                status=wait.status,
                pause=wait.pause,
                held_until=until,
            )
        except RelayError as error:
            return Outcome(
                backup=backup,
                result=Result.FAILED,
                reason=error.reason,
                status=error.status,
                final=isinstance(error, Reject),
                pause=error.pause if isinstance(error, Halt) else None,
            )
        except Exception as error:  # noqa: BLE001  a defect that one file meets must not cost the others
            where = extract_tb(error.__traceback__)[-1]  # and not its text, which may show a link
            place = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
            return Outcome(backup=backup, result=Result.FAILED, reason=f"a defect, please report it: {place}")

    def nightly(self, seconds_left: Callable[[], float], on_outcome: Callable[[Outcome], None]) -> Run:
        """Fetch what is missing of the last days, oldest first, and request what failed or found no time.

        Args:
            seconds_left: How long this invocation may still run.
            on_outcome: Called with each backup as it ends.

        Raises:
            Retry: S3 did not list what is there.
        """
        run = Run("nightly", on_outcome)
        today = self.today()
        first, last = today - timedelta(days=self.lookback_days), today - timedelta(days=1)
        missing = self._missing(run, self.file_types, first, last, retry_absent=False)
        later, held_until = list[Backup](), 0.0
        for place, backup in enumerate(missing):
            if seconds_left() < START_SECONDS:
                later.append(backup)
                continue
            outcome = self.fetch(backup, seconds_left)
            run.note(outcome)
            if outcome.held_until is not None:
                held_until = outcome.held_until
                later += missing[place:]
                break
            if run.stopped:  # nothing can be fetched before an operator acts, and the next night looks at the same days
                later = []
                break
            if outcome.result is Result.FAILED:
                later.append(backup)
        self._enqueue(run, later, seconds_left, held_until - self.now())
        run.newest = {file_type: self.archive.newest(file_type) for file_type in self.file_types}
        never = self.lookback_days + 1  # the age of what is not there at all: more than any that is looked for
        ages = [(today - newest).days if newest else never for newest in run.newest.values()]
        run.days_beyond_lag = max(ages) - self.lag_days
        return run

    def backfill(
        self, event: Backfill, seconds_left: Callable[[], float], on_outcome: Callable[[Outcome], None]
    ) -> Run:
        """Request every day of a range that is missing, oldest first; arguments and errors as for `nightly`."""
        run = Run("backfill", on_outcome)
        missing = self._missing(
            run, event.file_types or self.file_types, event.first_day, event.last_day, retry_absent=event.retry_absent
        )
        self._enqueue(run, missing, seconds_left)
        return run

    def fulfil(
        self, requests: Sequence[QueueMessage], seconds_left: Callable[[], float], on_outcome: Callable[[Outcome], None]
    ) -> list[tuple[QueueMessage, Outcome]]:
        """Fetch what requests name.

        Args:
            requests: As they came off the queue.
            seconds_left: How long this invocation may still run.
            on_outcome: Called with each request as it ends.

        Returns:
            Each request with its outcome, in the same order. What can never be fetched, or has been tried too often, is
            in BackupFailures.
        """
        fulfilled: list[tuple[QueueMessage, Outcome]] = []
        refused: Outcome | None = None
        for request in requests:
            outcome = self._fulfil(request, seconds_left, refused)
            if outcome.pause:
                refused = outcome
            if outcome.result is Result.FAILED and (outcome.final or self._given_up(request)):
                outcome = self._dead_letter(request, outcome)
            on_outcome(outcome)
            fulfilled.append((request, outcome))
        return fulfilled

    def _fetch(self, backup: Backup, seconds_left: Callable[[], float]) -> Outcome:
        for start in range(MAX_STARTS):
            try:
                with self.open(backup, seconds_left) as download:
                    receipt = self.archive.store(backup, download)
            except StartOver:
                if start == MAX_STARTS - 1:
                    raise
                continue
            break
        if receipt is None:
            return Outcome(backup=backup, result=Result.ALREADY_THERE, reason="another worker was faster")
        stored = Outcome(
            backup=backup,
            result=Result.STORED,
            bytes=receipt.bytes,
            lines=receipt.lines,
            resumes=download.resumes,
        )
        try:
            self.archive.tag(backup, receipt, download.etag)
        except Retry as error:
            return replace(stored, reason=f"stored whole, but without tags: {error.reason}")
        return stored

    def _absent(self, backup: Backup, absent: Absent) -> Outcome:
        """Distinguish a file that may still come from one that never will."""
        age = (self.today() - backup.day).days
        if age <= self.lag_days:
            return Outcome(backup=backup, result=Result.NOT_YET, reason=absent.reason, status=absent.status)
        try:
            self.archive.mark_absent(backup)
        except Retry as error:
            return Outcome(backup=backup, result=Result.FAILED, reason=error.reason)
        return Outcome(backup=backup, result=Result.ABSENT, reason=absent.reason, status=absent.status)

    def _missing(
        self, run: Run, file_types: Iterable[str], first: date, last: date, *, retry_absent: bool
    ) -> list[Backup]:
        """Return what is neither there nor known to be absent, oldest first; count the others."""
        missing = []
        for file_type in file_types:
            stored = self.archive.stored(file_type, first, last)
            absent = set() if retry_absent else self.archive.absent(file_type, first, last) - stored
            run.counts[Result.ALREADY_THERE] += len(stored)
            run.counts[Result.ABSENT] += len(absent)
            missing += [Backup(day, file_type) for day in days(first, last) if day not in stored | absent]
        return sorted(missing)

    def _enqueue(
        self, run: Run, backups: Sequence[Backup], seconds_left: Callable[[], float], delay: float = 0
    ) -> None:
        for start in range(0, len(backups), ENQUEUE_AT_ONCE):
            if seconds_left() < ENQUEUE_SECONDS:
                run.stopped = (
                    f"time ran out before {backups[start]} was requested: request the remaining days from there"
                )
                return
            batch = {each.request: each for each in backups[start : start + ENQUEUE_AT_ONCE]}
            refused = self.request(list(batch), max(0, min(round(delay), HOLD_LIMIT_SECONDS)))
            run.counts[Result.QUEUED] += len(batch) - len(refused)
            for body in refused:
                reason = "SQS did not accept the request: request the backup again"
                run.note(Outcome(backup=batch[body], result=Result.FAILED, reason=reason))

    def _fulfil(self, request: QueueMessage, seconds_left: Callable[[], float], refused: Outcome | None) -> Outcome:
        try:
            backup = read_request(request.body, self.today())
        except Reject as error:
            return Outcome(backup=None, result=Result.FAILED, reason=error.reason, final=True)
        if refused:
            return replace(refused, backup=backup)
        if seconds_left() < START_SECONDS:
            return Outcome(backup=backup, result=Result.FAILED, reason="there was not enough time left to start it")
        try:
            there = self.archive.stored(backup.file_type, backup.day, backup.day)
        except Retry as error:
            return Outcome(backup=backup, result=Result.FAILED, reason=error.reason)
        if there:
            return Outcome(backup=backup, result=Result.ALREADY_THERE)
        return self.fetch(backup, seconds_left)

    def _given_up(self, request: QueueMessage) -> bool:
        first_received_at = self.now() if request.first_received_at is None else request.first_received_at
        return self.now() - first_received_at >= GIVE_UP_SECONDS or request.receive_count >= REQUEST_RECEIVES

    def _dead_letter(self, request: QueueMessage, outcome: Outcome) -> Outcome:
        try:
            if not outcome.final:
                outcome = replace(outcome, reason=f"{outcome.reason} (given up after {request.receive_count} receives)")
            with_reason = self.dead_letter(request, outcome)
        except Exception as error:  # noqa: BLE001  whatever happened, it is not in BackupFailures yet
            return replace(outcome, reason=f"{outcome.reason}; BackupFailures did not take it ({type(error).__name__})")
        reason = outcome.reason if with_reason else f"{outcome.reason} (this reason did not fit beside it)"
        return replace(outcome, dead_lettered=True, reason=reason)


def retry_seconds(request: QueueMessage, outcome: Outcome, now: float) -> float:
    """Return the seconds to wait before a backup is asked for again: as long as asked, or 300, 1200, 4800, 14400."""
    if outcome.held_until is not None:
        return max(0.0, outcome.held_until - now)
    return float(min(300 * 4 ** min(request.receive_count - 1, 4), 14400))
