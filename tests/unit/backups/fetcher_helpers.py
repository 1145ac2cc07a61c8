"""What the tests of the fetcher share: an archive, a Firestream and two queues in memory."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Self

from relay.backups.backup import Backup
from relay.backups.events import Backfill
from relay.backups.fetcher import Backups, Outcome, Run
from relay.backups.upload import Receipt
from relay.errors import Absent, Halt, Pause, Reject, RelayError, Wait
from relay.queue_message import QueueMessage

from tests.factories import NOW, Clock

TODAY = datetime.fromtimestamp(NOW, UTC).date()
TYPES = ("activity", "message")
REFUSED = Halt(Pause("firestream_refused", "Firestream refused the login of me (401)", NOW + 300), status=401)
BUSY = Wait(Pause("firestream_limited", "Firestream asks to wait (429)", NOW + 3600), status=429)
RECEIPT = Receipt(1000, 7, "5a" * 32)
ENDLESS = float("inf")


def ago(age: int, file_type: str = "message") -> Backup:
    return Backup(TODAY - timedelta(days=age), file_type)


class FakeDownload:
    """A download; closing it is counted."""

    etag, resumes = '"tag"', 2

    def __init__(self, backups: "FakeBackups") -> None:
        self.backups = backups

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.backups.closed += 1


class FakeBackups:
    """An archive, a Firestream and two queues in memory.

    Attributes:
        there: The backups that are stored.
        recorded_absent: The backups that are recorded as absent.
        answers: What becomes of a download: errors to raise, in this order; then it is stored.
        refused: Bodies that SQS does not take.
    """

    def __init__(self) -> None:
        self.there: set[Backup] = set()
        self.recorded_absent: set[Backup] = set()
        self.tags: dict[Backup, tuple[Receipt, str]] = {}
        self.answers: dict[Backup, list[Exception | None]] = {}
        self.broken: dict[str, RelayError] = {}
        self.asked: list[Backup] = []
        self.closed = 0
        self.listings = 0
        self.sent: list[list[str]] = []
        self.delays: list[int] = []
        self.refused: set[str] = set()
        self.dead_letters: list[tuple[str, str]] = []
        self.taken: bool | Exception = True
        self.outcomes: list[Outcome] = []
        self.clock = Clock()
        self.left = ENDLESS
        self.backups = Backups(
            archive=self,  # type: ignore[arg-type]
            open=self.open,  # type: ignore[arg-type]
            request=self.request,
            dead_letter=self.dead_letter,
            file_types=TYPES,
            lag_days=2,
            lookback_days=7,
            now=self.clock,
        )

    # The archive

    def stored(self, file_type: str, first: date, last: date) -> set[date]:
        self._fail_if_broken("list")
        self.listings += 1
        return {each.day for each in self.there if each.file_type == file_type and first <= each.day <= last}

    def absent(self, file_type: str, first: date, last: date) -> set[date]:
        self.listings += 1
        return {each.day for each in self.recorded_absent if each.file_type == file_type and first <= each.day <= last}

    def newest(self, file_type: str) -> date | None:
        return max((each.day for each in self.there if each.file_type == file_type), default=None)

    def mark_absent(self, backup: Backup) -> None:
        self._fail_if_broken("mark")
        self.recorded_absent.add(backup)

    def store(self, backup: Backup, download: FakeDownload) -> Receipt | None:
        answers = self.answers.get(backup)
        if answers and (error := answers.pop(0)):
            raise error
        if backup in self.there:
            return None
        self.there.add(backup)
        return RECEIPT

    def tag(self, backup: Backup, receipt: Receipt, etag: str) -> None:
        self._fail_if_broken("tag")
        self.tags[backup] = receipt, etag

    def _fail_if_broken(self, verb: str) -> None:
        if verb in self.broken:
            raise self.broken[verb]

    # Firestream and the queues

    def open(self, backup: Backup, seconds_left: Callable[[], float]) -> FakeDownload:
        self.asked.append(backup)
        answers = self.answers.get(backup)
        if answers and isinstance(answers[0], Absent | Halt | Reject | Wait):
            raise answers[0]
        return FakeDownload(self)

    def request(self, bodies: Sequence[str], delay: int) -> list[str]:
        assert bodies
        self.sent.append(list(bodies))
        self.delays.append(delay)
        return [body for body in bodies if body in self.refused]

    def dead_letter(self, message: QueueMessage, outcome: Outcome) -> bool:
        if isinstance(self.taken, Exception):
            raise self.taken
        self.dead_letters.append((message.body, outcome.reason))
        return self.taken

    @property
    def requested(self) -> list[str]:
        return [body for call in self.sent for body in call]

    # What is done with them

    def fail(self, backup: Backup, *errors: Exception | None) -> None:
        self.answers[backup] = list(errors)

    def fetch(self, backup: Backup) -> Outcome:
        return self.backups.fetch(backup, lambda: self.left)

    def nightly(self) -> Run:
        return self.backups.nightly(lambda: self.left, self.outcomes.append)

    def backfill(self, first: date, last: date, *types: str, retry_absent: bool = False) -> Run:
        event = Backfill(first, last, types or None, retry_absent)
        return self.backups.backfill(event, lambda: self.left, self.outcomes.append)

    def fulfil(self, *requests: QueueMessage) -> list[Outcome]:
        fulfilled = self.backups.fulfil(requests, lambda: self.left, self.outcomes.append)
        assert [request for request, _ in fulfilled] == list(requests)
        assert [outcome for _, outcome in fulfilled] == self.outcomes
        return self.outcomes


def counted(run: Run) -> dict[str, int]:
    return {name: count for name, count in run.summary().items() if count and isinstance(count, int)}
