"""What the tests of the fetcher share: an archive, a Firestream and two queues in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Self

from relay.backups.backup import Backup, Remark
from relay.backups.bucket import Stored
from relay.backups.events import Backfill
from relay.backups.fetcher import Fetcher, Outcome
from relay.backups.identity import Identity
from relay.backups.runs import Backups, Run
from relay.backups.upload import Receipt
from relay.backups.verifier import Content
from relay.errors import Absent, Halt, Pause, Refused, Reject, RelayError, Unchanged, Wait
from relay.queue_message import QueueMessage

from tests.factories import NOW, Clock

TODAY = datetime.fromtimestamp(NOW, UTC).date()
TYPES = ("activity", "message")
REFUSED = Halt(Pause("firestream_refused", "Firestream refused the login of me (401)", NOW + 300), status=401)
BUSY = Wait(Pause("firestream_limited", "Firestream asks to wait (429)", NOW + 3600), status=429)
RECEIPT = Receipt(1000, Content(7, 900), "5a" * 32, '"new"')
TAGS = {"sha256": "01" * 32, "lines": "7", "source-etag": "known"}
ENDLESS = float("inf")


def ago(age: int, file_type: str = "message") -> Backup:
    return Backup(TODAY - timedelta(days=age), file_type)


class FakeDownload:
    """A download; closing it is counted."""

    identity, resumes = Identity("tag"), 2

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
        known_tags: The tags of what is stored, if they are not `TAGS`.
        answers: What becomes of a download: errors to raise, in this order; then a missing one is stored, and a stored
            one has not changed.
        changed: The stored backups that are others at Firestream, and what is stored of each then.
        asked, compared: What was asked of Firestream: whole files, and whether they are still the known ones.
        refused: Bodies that SQS does not take.
    """

    def __init__(self) -> None:
        self.there: set[Backup] = set()
        self.recorded_absent: set[Backup] = set()
        self.etags: dict[Backup, str] = {}
        self.known_tags: dict[Backup, dict[str, str]] = {}
        self.tagged: dict[Backup, tuple[Receipt, Identity]] = {}
        self.remarked: list[tuple[Backup, str, Remark, dict[str, object]]] = []
        self.damage = "the gzip data ends early"
        self.kept: list[Backup] = []
        self.changed: dict[Backup, Receipt] = {}
        self.compared: list[Backup] = []
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
            fetcher=Fetcher(self, self.open),  # type: ignore[arg-type]
            request=self.request,
            dead_letter=self.dead_letter,
            file_types=TYPES,
            lag_days=2,
            lookback_days=7,
            now=self.clock,
        )

    # The archive

    def stored(self, file_type: str, first: date, last: date) -> dict[date, Stored]:
        self._fail_if_broken("list")
        self.listings += 1
        return {
            each.day: Stored(self.etags.get(each, '"old"'), 1000, datetime.fromtimestamp(NOW, UTC))
            for each in self.there
            if each.file_type == file_type and first <= each.day <= last
        }

    def tags(self, backup: Backup) -> dict[str, str]:
        return self.known_tags.get(backup, TAGS)

    def remarks(self, file_type: str, stored: dict[date, Stored]) -> dict[date, set[Remark]]:
        found: dict[date, set[Remark]] = {}
        for backup, etag, remark, _ in self.remarked:
            if backup.file_type == file_type and backup.day in stored and stored[backup.day].etag == etag:
                found.setdefault(backup.day, set()).add(remark)
        return found

    def remark(self, backup: Backup, etag: str, remark: Remark, details: dict[str, object]) -> None:
        self._fail_if_broken("remark")
        self.remarked.append((backup, etag, remark, details))

    def keep_damaged(self, backup: Backup, download: FakeDownload) -> str:
        self._fail_if_broken("keep")
        if self.damage:
            self.kept.append(backup)
        return self.damage

    def absent(self, file_type: str, first: date, last: date) -> set[date]:
        self.listings += 1
        return {each.day for each in self.recorded_absent if each.file_type == file_type and first <= each.day <= last}

    def newest(self, file_type: str) -> date | None:
        return max((each.day for each in self.there if each.file_type == file_type), default=None)

    def mark_absent(self, backup: Backup) -> None:
        self._fail_if_broken("mark")
        self.recorded_absent.add(backup)

    def store(
        self, backup: Backup, download: FakeDownload, *, replaces: Stored | None, unless_sha256: str | None
    ) -> Receipt | None:
        answers = self.answers.get(backup)
        if answers and (error := answers.pop(0)):
            raise error
        if backup in self.there and (replaces is None or replaces.etag != self.etags.get(backup, '"old"')):
            return None
        receipt = self.changed.get(backup, RECEIPT)
        if receipt.sha256 == unless_sha256:
            return replace(receipt, etag=None, made=False)
        self.there.add(backup)
        if receipt.etag:
            self.etags[backup] = receipt.etag
        return receipt

    def tag(self, backup: Backup, receipt: Receipt, identity: Identity) -> None:
        self._fail_if_broken("tag")
        self.tagged[backup] = receipt, identity
        self.known_tags[backup] = {**TAGS, "sha256": receipt.sha256, "lines": str(receipt.content.lines)}

    def _fail_if_broken(self, verb: str) -> None:
        if verb in self.broken:
            raise self.broken[verb]

    # Firestream and the queues

    def open(self, backup: Backup, seconds_left: Callable[[], float], known: Identity | None) -> FakeDownload:
        (self.asked if known is None else self.compared).append(backup)
        answers = self.answers.get(backup)
        if answers and isinstance(answers[0], Absent | Halt | Refused | Reject | Wait):
            raise answers[0]
        if known and not answers and backup not in self.changed:
            raise Unchanged(f"{backup} is the same at Firestream")
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

    def fetch(self, backup: Backup, *, anew: bool = False) -> Outcome:
        stored = self.stored(backup.file_type, backup.day, backup.day).get(backup.day)
        return self.backups.fetcher.fetch(backup, lambda: self.left, stored, anew=anew)

    def nightly(self) -> Run:
        return self.backups.nightly(lambda: self.left, self.outcomes.append)

    def backfill(self, first: date, last: date, *types: str, retry_absent: bool = False, again: bool = False) -> Run:
        event = Backfill(first, last, types or None, retry_absent, again)
        return self.backups.backfill(event, lambda: self.left, self.outcomes.append)

    def fulfil(self, *requests: QueueMessage) -> list[Outcome]:
        fulfilled = self.backups.fulfil(requests, lambda: self.left, self.outcomes.append)
        assert [request for request, _ in fulfilled] == list(requests)
        assert [outcome for _, outcome in fulfilled] == self.outcomes
        return self.outcomes


def counted(run: Run) -> dict[str, int]:
    return {name: count for name, count in run.summary().items() if count and isinstance(count, int)}
