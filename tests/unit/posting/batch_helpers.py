"""What the tests of a batch share: a gate in memory, and a batch delivery whose ledger and StockTwits are fakes."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from relay.errors import Pause
from relay.posting.alert import Alert
from relay.posting.batch import BatchDelivery
from relay.posting.delivery import Delivery
from relay.posting.gate import Admission, Pace, State
from relay.posting.outcome import Claim, Outcome, Published, Settlement, Status
from relay.posting.reconciliation import NOT_THERE, Lost, Verdict
from relay.queue_message import QueueMessage

from tests.factories import Clock, a_claim, published

UNREADABLE = "{"

PATIENCE = 5.0
"""How long a test waits for another thread before it fails."""


class MemoryGate:
    """The gate's arithmetic without its table, and what was asked of it."""

    def __init__(self, clock: Clock, pace: Pace = Pace(3600, 100, 0)) -> None:  # noqa: B008
        self.state = State()
        self.operator_pause: Pause | None = None
        self.asked: list[int] = []
        self.looks = 0
        self.closed_by: list[Pause] = []
        self.counted_no_ids: list[int] = []
        self.high_remembered = 0
        self.shut_until = 0.0
        self._clock, self._pace = clock, pace
        self._lock = threading.Lock()

    def pause_by_hours(self) -> Pause | None:
        return None

    def opens_at(self, moment: float) -> float:
        return max(moment, self.shut_until)

    def admit(self, wanted: int) -> Admission:
        self.asked.append(wanted)
        if self.operator_pause:
            return Admission(0, self.operator_pause, self.state)
        admission = self.state.admit(wanted, self._clock(), self._pace)
        self.state = admission.state
        return admission

    def pause_since(self, since: Admission) -> Pause | None:
        self.looks += 1
        pause = self.state.pause
        in_force = pause is not None and (pause.until or 0) > self._clock() and pause != since.state.pause
        return self.operator_pause or (pause if in_force else None)

    def give_back(self, admission: Admission, unused: int) -> None:
        self.state = self.state.give_back(unused, admission, self._clock(), self._pace)

    def close(self, pause: Pause) -> None:
        with self._lock:
            self.closed_by.append(pause)
            self.state = self.state.close(pause)

    def open(self, probe: Admission, posted_at: float) -> None:
        self.state = self.state.open(probe, posted_at)

    def count_no_ids(self, no_ids: int) -> None:
        self.counted_no_ids.append(no_ids)
        self.state = replace(self.state, no_ids=no_ids)

    def remember_high(self) -> None:
        self.high_remembered += 1
        self.state = replace(self.state, high_at=self._clock())


@dataclass
class FakeBatchDelivery:
    """A batch delivery with a gate and a ledger in memory, and a StockTwits that answers as the test wants.

    Attributes:
        answers: What StockTwits does for each text: an error to raise, or a function to call; else it is published.
        claims: What the ledger does for each text; else the key is new.
    """

    clock: Clock = field(default_factory=Clock)
    concurrency: int = 1
    answers: dict[str, Callable[[], Any] | Exception] = field(default_factory=dict)
    claims: dict[str, Claim | Exception] = field(default_factory=dict)
    dry_run: bool = False
    seconds_left: Callable[[], float] = lambda: 60.0
    sent: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    settled: dict[str, Status] = field(default_factory=dict)
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    dead_letter: Callable[[QueueMessage, Outcome], bool] | None = None
    on_outcome: Callable[[QueueMessage, Outcome], None] = lambda *_: None
    perhaps_posted: Callable[[str], bool] = lambda _: False
    claim: Callable[[str, Alert, str, float], Claim] | None = None
    settle: Callable[[Claim, Settlement], None] | None = None
    find: Callable[[Lost, float, Callable[[], Pause | None]], Verdict] = lambda *_: NOT_THERE

    def __post_init__(self) -> None:
        self.gate: Any = MemoryGate(self.clock)

    def deliver(self, batch: Sequence[QueueMessage]) -> list[Outcome]:
        delivery = Delivery(
            claim=self.claim or self._claim,
            settle=self.settle or self._settle,
            known=lambda _: False,
            perhaps_posted=self.perhaps_posted,
            find=self.find,
            page=lambda post_id: published(post_id).url,
            prepare=lambda _: None,
            send=None if self.dry_run else self._send,
            now=self.clock,
        )
        batches = BatchDelivery(
            delivery, self.gate, self.dead_letter or self._dead_letter, self.concurrency, self.clock
        )
        delivered = batches.deliver(batch, self.seconds_left, self.on_outcome)
        assert [message for message, _ in delivered] == list(batch)
        return [outcome for _, outcome in delivered]

    def _claim(self, key: str, alert: Alert, *_: object) -> Claim:
        self.claimed.append(alert.body)
        found = self.claims.get(alert.body) or a_claim(key)
        if isinstance(found, Exception):
            raise found
        return found

    def _settle(self, claim: Claim, settlement: Settlement) -> None:
        self.settled[claim.key] = settlement.status

    def _send(self, alert: Alert, _: bytes | None) -> Published:
        self.sent.append(alert.body)
        answer = self.answers.get(alert.body)
        if isinstance(answer, Exception):
            raise answer
        return (answer and answer()) or published(len(self.sent))

    def _dead_letter(self, message: QueueMessage, outcome: Outcome) -> bool:
        self.dead_letters.append((message.body, outcome.reason))
        return True


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [str(outcome.result) for outcome in outcomes]


def wait_for(event: threading.Event) -> None:
    assert event.wait(PATIENCE)
