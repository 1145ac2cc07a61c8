"""The runs of the function that fetches backups: the nightly one, a backfill, and requests to be fulfilled."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from relay.backups.backup import Backup, days
from relay.backups.bucket import timestamp
from relay.backups.events import IfStored, Request, read_request
from relay.backups.fetcher import Outcome, Result
from relay.errors import Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from relay.backups.bucket import Stored
    from relay.backups.events import Backfill
    from relay.backups.fetcher import Fetcher
    from relay.queue_message import QueueMessage

START_SECONDS = 120.0
"""No download is begun with less time left than this."""

ENQUEUE_SECONDS = 20.0
"""No requests are sent with less time left than this."""

ENQUEUE_AT_ONCE = 100
"""Requests between two looks at the clock."""

SECOND_LOOK_SECONDS = 300
"""After so long a backfill asks once more for a file that Firestream does not have, before a note says so."""

REQUEST_RECEIVES = 50
"""After so many receives SQS moves a request to BackupFailures: what is left of one that ends its worker each time. A
test compares it with the template."""

GIVE_UP_SECONDS = 24 * 3600
"""A request that still fails so long after its first receive is given up, and moved to BackupFailures. Not after it was
sent: the requests of a backfill of years wait longer for their turn."""

HOLD_LIMIT_SECONDS = 900
"""How long a new request can be held back:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html."""


@dataclass(slots=True)
class Run:
    """What became of a nightly run or a backfill.

    Attributes:
        name: ``nightly`` or ``backfill``.
        on_outcome: Called with each backup that something was done about.
        counts: How many backups came to each result.
        replaced: How many took the place of another version.
        bytes: How much was stored.
        lines: How many objects it contains.
        stopped: Why it ended early, if it did.
        newest: The newest stored day of each file type; None when there is none.
        days_beyond_lag: How many days older than it may be the oldest missing backup is, at least 0; None when that
            was not checked.
    """

    name: str
    on_outcome: Callable[[Outcome], None]
    counts: Counter[Result] = field(default_factory=Counter)
    replaced: int = 0
    bytes: int = 0
    lines: int = 0
    stopped: str = ""
    newest: dict[str, date | None] = field(default_factory=dict)
    days_beyond_lag: int | None = None

    def note(self, outcome: Outcome) -> None:
        """Count a backup, and pass its outcome on."""
        self.counts[outcome.result] += 1
        self.replaced += outcome.replaced
        self.bytes += outcome.bytes
        self.lines += outcome.lines
        if outcome.pause and outcome.held_until is None:
            self.stopped = outcome.reason
        self.on_outcome(outcome)

    def summary(self) -> dict[str, Any]:
        """Return what the function returns."""
        counts = {str(result): self.counts[result] for result in Result}
        return {
            **counts,
            "replaced": self.replaced,
            "bytes": self.bytes,
            "lines": self.lines,
            "stopped": self.stopped,
        }


@dataclass(frozen=True)
class Backups:
    """Keeps the archive complete and current.

    Attributes:
        fetcher: Fetches a backup.
        request: ``(requests, delay)`` sends requests, to be received after so many seconds; returns those that were
            not taken.
        dead_letter: Sends a request to BackupFailures; False when its reason could not go with it.
        file_types: The types that are kept.
        lag_days: A missing backup that is older than this, in days, is reported.
        lookback_days: The age in days up to which the nightly run looks for what is missing or has changed.
        now: The clock, in seconds since the epoch.
    """

    fetcher: Fetcher
    request: Callable[[Sequence[str], int], list[str]]
    dead_letter: Callable[[QueueMessage, Outcome], bool]
    file_types: Sequence[str]
    lag_days: int
    lookback_days: int
    now: Callable[[], float]

    def today(self) -> date:
        """Return the day that is not over yet (UTC)."""
        return datetime.fromtimestamp(self.now(), UTC).date()

    def nightly(self, seconds_left: Callable[[], float], on_outcome: Callable[[Outcome], None]) -> Run:
        """Fetch what is missing of the last days, then what has changed; request what failed or found no time.

        A file may come late: a missing one is asked for each night, and a note of its absence is written when its day
        leaves the look-back. Missing ones go first, oldest first; then stored ones are compared, newest first.

        Args:
            seconds_left: How long this invocation may still run.
            on_outcome: Called with each backup as it ends.

        Raises:
            Retry: S3 did not list what is there.
        """
        run = Run("nightly", on_outcome)
        today = self.today()
        first, last = today - timedelta(days=self.lookback_days), today - timedelta(days=1)
        stored = self._stored(self.file_types, first, last)
        every = sorted(Backup(day, file_type) for file_type in self.file_types for day in days(first, last))
        missing = [each for each in every if each not in stored]
        wanted = [Request(each) for each in missing]
        wanted += [Request(each, IfStored.COMPARE) for each in reversed(every) if each in stored]
        later, held_until, there = list[Request](), 0.0, set[Backup]()
        for place, request in enumerate(wanted):
            if seconds_left() < START_SECONDS:
                later.append(request)
                continue
            backup = request.backup
            outcome = self.fetcher.fetch(backup, seconds_left, stored.get(backup))
            if outcome.result is Result.NOT_YET:
                outcome = self._missing(outcome, leaves=backup.day <= first)
            run.note(outcome)
            if outcome.result in {Result.STORED, Result.ALREADY_THERE}:
                there.add(backup)
            if outcome.held_until is not None:
                held_until = outcome.held_until
                later += wanted[place:]
                break
            if run.stopped:  # nothing can be fetched before an operator acts, and the next night looks at the same days
                later = []
                break
            if outcome.result is Result.FAILED:
                later.append(request)
        self._enqueue(run, later, seconds_left, held_until - self.now())
        for file_type in self.file_types:
            for outcome in self.fetcher.few_lines(file_type, first, last):
                on_outcome(outcome)
        run.newest = {file_type: self.fetcher.archive.newest(file_type) for file_type in self.file_types}
        ages = [(today - each.day).days for each in missing if each not in there]
        run.days_beyond_lag = max(0, *ages, self.lag_days) - self.lag_days
        return run

    def backfill(
        self, event: Backfill, seconds_left: Callable[[], float], on_outcome: Callable[[Outcome], None]
    ) -> Run:
        """Request every day of a range that is missing, or every day, oldest first; otherwise as `nightly`."""
        run = Run("backfill", on_outcome)
        wanted = []
        for file_type in event.file_types or self.file_types:
            stored = self._stored([file_type], event.first_day, event.last_day)
            absent = self.fetcher.archive.absent(file_type, event.first_day, event.last_day)
            for backup in (Backup(day, file_type) for day in days(event.first_day, event.last_day)):
                if backup in stored and not event.again:
                    run.counts[Result.ALREADY_THERE] += 1
                elif backup in stored:
                    wanted.append(Request(backup, IfStored.REPLACE))
                elif backup.day in absent and not event.retry_absent:
                    run.counts[Result.ABSENT] += 1
                else:
                    wanted.append(Request(backup))
        self._enqueue(run, sorted(wanted, key=lambda each: each.backup), seconds_left)
        return run

    def fulfil(
        self, messages: Sequence[QueueMessage], seconds_left: Callable[[], float], on_outcome: Callable[[Outcome], None]
    ) -> list[tuple[QueueMessage, Outcome]]:
        """Fetch what requests name.

        Args:
            messages: The requests as they came off the queue.
            seconds_left: How long this invocation may still run.
            on_outcome: Called with each request as it ends.

        Returns:
            Each request with its outcome, in the same order. What can never be fetched, or has been tried too often, is
            in BackupFailures.
        """
        fulfilled: list[tuple[QueueMessage, Outcome]] = []
        refused: Outcome | None = None
        for message in messages:
            outcome = self._fulfil(message, seconds_left, refused)
            if outcome.pause:
                refused = outcome
            if outcome.result is Result.FAILED and (outcome.final or self._given_up(message)):
                outcome = self._give_up(message, outcome, seconds_left)
            on_outcome(outcome)
            fulfilled.append((message, outcome))
        return fulfilled

    def _stored(self, file_types: Iterable[str], first: date, last: date) -> dict[Backup, Stored]:
        return {
            Backup(day, file_type): each
            for file_type in file_types
            for day, each in self.fetcher.archive.stored(file_type, first, last).items()
        }

    def _missing(self, outcome: Outcome, *, leaves: bool) -> Outcome:
        """Say whether a missing file is late; note its absence if nobody will ask for it again by itself."""
        backup = outcome.backup
        assert backup  # noqa: S101  # nosec B101  # it was asked for
        outcome = replace(outcome, late=(self.today() - backup.day).days > self.lag_days)
        if not leaves:
            return outcome
        try:
            self.fetcher.archive.mark_absent(backup)
        except Retry as error:
            return replace(outcome, result=Result.FAILED, reason=error.reason)
        return replace(outcome, result=Result.ABSENT)

    def _enqueue(
        self, run: Run, requests: Sequence[Request], seconds_left: Callable[[], float], delay: float = 0
    ) -> None:
        for start in range(0, len(requests), ENQUEUE_AT_ONCE):
            if seconds_left() < ENQUEUE_SECONDS:
                run.stopped = (
                    f"time ran out before {requests[start].backup} was requested: request the remaining days from there"
                )
                return
            batch = {each.body: each for each in requests[start : start + ENQUEUE_AT_ONCE]}
            refused = self.request(list(batch), max(0, min(round(delay), HOLD_LIMIT_SECONDS)))
            run.counts[Result.QUEUED] += len(batch) - len(refused)
            for body in refused:
                reason = "SQS did not accept the request: request the backup again"
                run.note(Outcome(backup=batch[body].backup, result=Result.FAILED, reason=reason))

    def _fulfil(self, message: QueueMessage, seconds_left: Callable[[], float], refused: Outcome | None) -> Outcome:
        try:
            request = read_request(message.body, self.today())
        except Reject as error:
            return Outcome(backup=None, result=Result.FAILED, reason=error.reason, final=True)
        if refused:
            return replace(refused, backup=request.backup)
        if seconds_left() < START_SECONDS:
            reason = "there was not enough time left to start it"
            return Outcome(backup=request.backup, result=Result.FAILED, reason=reason)
        return self._fetch(request, seconds_left)

    def _fetch(self, request: Request, seconds_left: Callable[[], float]) -> Outcome:
        backup = request.backup
        try:
            stored = self.fetcher.archive.stored(backup.file_type, backup.day, backup.day).get(backup.day)
            keep = stored and request.if_stored is IfStored.KEEP and not self.fetcher.is_unfinished(backup)
        except Retry as error:
            return Outcome(backup=backup, result=Result.FAILED, reason=error.reason)
        if keep:
            return Outcome(backup=backup, result=Result.ALREADY_THERE)
        outcome = self.fetcher.fetch(backup, seconds_left, stored, anew=request.if_stored is IfStored.REPLACE)
        if outcome.result is Result.NOT_YET:
            return self._not_there(request, outcome)
        if outcome.result is not Result.STORED:
            return outcome
        for few in self.fetcher.few_lines(backup.file_type, backup.day, backup.day):
            reason = "; ".join(filter(None, (outcome.reason, few.reason)))
            outcome = replace(outcome, reason=reason, remarks=(*outcome.remarks, *few.remarks))
        return outcome

    def _not_there(self, request: Request, outcome: Outcome) -> Outcome:
        """Leave a file of the last days to the nightly run; ask for an older one once more, then note its absence."""
        looked_for = (self.today() - request.backup.day).days <= self.lookback_days
        if looked_for or request.asked_at:
            return self._missing(outcome, leaves=not looked_for)
        second = replace(request, asked_at=timestamp(self.now()))
        if self.request([second.body], SECOND_LOOK_SECONDS):
            return replace(outcome, result=Result.FAILED, reason="SQS did not accept the request for a second look")
        minutes = SECOND_LOOK_SECONDS // 60
        return replace(outcome, reason=f"{outcome.reason}; it is asked for once more in {minutes} minutes")

    def _given_up(self, message: QueueMessage) -> bool:
        first_received_at = self.now() if message.first_received_at is None else message.first_received_at
        return self.now() - first_received_at >= GIVE_UP_SECONDS or message.receive_count >= REQUEST_RECEIVES

    def _give_up(self, message: QueueMessage, outcome: Outcome, seconds_left: Callable[[], float]) -> Outcome:
        """Move a request to BackupFailures; keep what Firestream sends for it first, if that is not whole."""
        if outcome.damaged:
            returns = message.receive_count < REQUEST_RECEIVES
            if returns and seconds_left() < START_SECONDS:
                return outcome  # it returns, with the whole time of an invocation
            outcome = self.fetcher.keep_damaged(outcome, seconds_left)
            if returns and not outcome.damaged:
                return outcome
        return self._dead_letter(message, outcome)

    def _dead_letter(self, message: QueueMessage, outcome: Outcome) -> Outcome:
        try:
            if not outcome.final:
                outcome = replace(outcome, reason=f"{outcome.reason} (given up after {message.receive_count} receives)")
            with_reason = self.dead_letter(message, outcome)
        except Exception as error:  # noqa: BLE001  whatever happened, it is not in BackupFailures yet
            return replace(outcome, reason=f"{outcome.reason}; BackupFailures did not take it ({type(error).__name__})")
        reason = outcome.reason if with_reason else f"{outcome.reason} (this reason did not fit beside it)"
        return replace(outcome, dead_lettered=True, reason=reason)


def retry_seconds(message: QueueMessage, outcome: Outcome, now: float) -> float:
    """Return the seconds to wait before a backup is asked for again: as long as asked, or 300, 1200, 4800, 14400."""
    if outcome.held_until is not None:
        return max(0.0, outcome.held_until - now)
    return float(min(300 * 4 ** min(message.receive_count - 1, 4), 14400))
