"""A batch of queue messages to their outcomes: ask the gate once, deliver side by side, stop when a pause is met.

Both functions that post call `BatchDelivery.deliver`; they differ only in where messages come from and how they are
acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from relay.errors import Pause, Reject, RelayError
from relay.posting import alert as alerts
from relay.posting.alert import Reading
from relay.posting.backoff import (
    GIVE_UP_SECONDS,
    HIGH_AFTER_RECEIVES,
    HIGH_SECONDS,
    LEFTOVERS_RECEIVES,
    OUTBOX_RECEIVES,
    back_off_seconds,
    wait_seconds,
)
from relay.posting.delivery import held, idempotency_key, unexpected
from relay.posting.outcome import Hold, Outcome, Result
from relay.queues import MAX_VISIBILITY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay.posting.alert import Alert
    from relay.posting.delivery import Delivery
    from relay.posting.gate import Admission, Gate
    from relay.queue_message import QueueMessage

RESERVE_SECONDS = 20
"""No request is begun with less time left: connecting and reading take 13 s at most, settling a moment more."""

LOOK_SECONDS = 1.0
"""How old a look at the gate may be: so long at most one worker goes on after another met a 429."""

MOST_NO_IDS = 3
"""After so many posts in a row that StockTwits took without a usable id, everyone is paused: its API has changed."""

NO_IDS_SECONDS = 300
"""How long that pause is, before one probe."""

COMES_BACK_SECONDS = 3600
"""How much later than it may be received again a message is counted upon to be received."""

REMEMBER_HIGH_SECONDS = 3600
"""How often the gate is told again that messages of high priority were left over."""

LEDGER_THREADS = 3
"""Threads beside those that hold a request: they claim and settle while the others wait for StockTwits."""


@dataclass(frozen=True)
class BatchDelivery:
    """Delivers batches.

    Attributes:
        delivery: Takes one message to its outcome.
        gate: Asked once a batch, and given the pauses that StockTwits' answers impose.
        dead_letter: Sends a rejected message to Dead letters; False when its reason could not go with it.
        concurrency: Requests to StockTwits at a time; 1 is strictly in order.
        now: The clock, in seconds since the epoch.
    """

    delivery: Delivery
    gate: Gate
    dead_letter: Callable[[QueueMessage, Outcome], bool]
    concurrency: int
    now: Callable[[], float]

    def deliver(
        self,
        batch: Sequence[QueueMessage],
        seconds_left: Callable[[], float],
        on_outcome: Callable[[QueueMessage, Outcome], None] = lambda _message, _outcome: None,
    ) -> list[tuple[QueueMessage, Outcome]]:
        """Deliver a batch.

        Args:
            batch: The messages, in the order in which to begin; those of high priority are begun first.
            seconds_left: How long this invocation may still run.
            on_outcome: Called with each message as it ends, in several threads, so that a function that is cut off has
                logged what it did by then.

        Returns:
            Each message with its outcome, in the same order; the rejected ones are in Dead letters.
        """
        read = [self._read(each) for each in batch]
        run = _BatchRun(self, seconds_left, on_outcome)
        run.ask(sum(isinstance(each, Reading) for each in read))
        order = sorted(range(len(batch)), key=lambda place: not run.goes_first(batch[place], read[place]))
        threads = 1 if self.concurrency == 1 else self.concurrency + LEDGER_THREADS
        with ThreadPoolExecutor(min(threads, max(1, len(batch)))) as pool:
            ended = pool.map(run.deliver, [batch[place] for place in order], [read[place] for place in order])
            delivered = dict(zip(order, ended, strict=True))
        outcomes = [delivered[place] for place in range(len(batch))]
        run.end(high_left=any(each.high and not each.done and each.not_before <= self.now() for each in outcomes))
        for place, outcome in enumerate(outcomes):
            if outcome.alone:  # it may end this function: everything else is settled, and given back to the gate
                run = _BatchRun(self, seconds_left, on_outcome, alone=True)
                run.ask(1)
                outcomes[place] = run.deliver(batch[place], read[place])
                run.end()
        return list(zip(batch, outcomes, strict=True))

    def _read(self, message: QueueMessage) -> Reading | Outcome:
        """Read one message; what cannot be posted, or not yet, has its outcome already, open gate or not."""
        try:
            alerts.check_key("RelayKey", message.relay_key)
            reading = alerts.read_message(message.body)
            return self._held(message, reading) or reading
        except Reject as error:
            reason = error.reason
        except Exception as error:  # noqa: BLE001  a defect that this one meets each time, its neighbours do not
            reason = unexpected(error)
        return Outcome(Result.REJECTED, idempotency_key(message)[: alerts.MAX_KEY_CHARACTERS], reason)

    def _held(self, message: QueueMessage, reading: Reading) -> Outcome | None:
        """Keep a message back until its own ``not_before``, or refuse it if that is too late."""
        alert, key = reading.alert, idempotency_key(message, reading)
        until = alert.not_before.timestamp() if alert.not_before else 0.0
        if until <= self.now():
            return None
        try:
            alerts.check_not_before(alert, message.sent_at)
            outcome = held(key, (Hold("not_before", "it says that it may not be posted before", until),))
        except Reject as error:
            outcome = Outcome(Result.REJECTED, key, error.reason)
        return _of_alert(outcome, alert, self.delivery.expires_at(message, alert))


def _of_alert(outcome: Outcome, alert: Alert, expires_at: float | None) -> Outcome:
    """Add to an outcome what is reported of the alert."""
    return replace(
        outcome,
        text=alerts.shown(alert.body),
        sentiment=alert.sentiment,
        high=alert.priority == "high",
        not_before=alert.not_before.timestamp() if alert.not_before else 0.0,
        expires_at=expires_at,
    )


@dataclass
class _BatchRun:
    """One batch's share of the gate: how many may still go, how many at a time, and whether a pause was met.

    It is what `relay.posting.delivery.Requests` describes.
    """

    batches: BatchDelivery
    seconds_left: Callable[[], float]
    on_outcome: Callable[[QueueMessage, Outcome], None]
    alone: bool = False
    admission: Admission | None = None
    left: int = 0
    met: Pause | None = None
    looked_at: float = 0.0
    proven: bool = False
    posted_at: float = 0.0
    no_ids: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def __post_init__(self) -> None:
        # A queue wakes one thread once; a semaphore may do so twice.
        self.free: SimpleQueue[None] = SimpleQueue()
        for _ in range(self.batches.concurrency):
            self.free.put(None)

    def ask(self, wanted: int) -> None:
        """Ask the gate for the whole batch, if any of it can be posted at all."""
        if not wanted:
            return
        self.admission = self.batches.gate.admit(wanted)
        self.left = self.admission.granted
        self.looked_at = self.batches.now()
        self.no_ids = self.admission.state.no_ids

    def goes_first(self, message: QueueMessage, reading: Reading | Outcome) -> bool:
        """Return whether a message goes before others: by its priority, or because such ones often went before it."""
        if isinstance(reading, Outcome) or self.admission is None:
            return False
        there_were_high = self.looked_at - self.admission.state.high_at < HIGH_SECONDS
        often_passed = there_were_high and message.receive_count > HIGH_AFTER_RECEIVES
        return reading.alert.priority == "high" or often_passed

    def deliver(self, message: QueueMessage, reading: Reading | Outcome) -> Outcome:
        """Deliver one message, or leave it untried; what can never be posted, or came too often, is a dead letter."""
        if isinstance(reading, Outcome):
            outcome = reading
        else:
            key = idempotency_key(message, reading)
            with self.lock:
                same_key = self.keys[key]
            with same_key:  # of two messages with one key, the later one finds the earlier one's outcome
                pause = self._take()
                if pause:
                    outcome = Outcome(Result.DEFERRED, key, pause.reason, pause=pause, tried=False)
                else:
                    outcome = self.batches.delivery.deliver(message, reading, self, alone=self.alone)
                    self._learn_from(outcome)
                if outcome.pause and outcome.tried:
                    self._close_gate(outcome.pause)
            outcome = _of_alert(outcome, reading.alert, self.batches.delivery.expires_at(message, reading.alert))
            if outcome.alone:  # its outcome is yet to come
                return outcome
        outcome = self._dead_letter(message, outcome)
        self.on_outcome(message, outcome)
        return outcome

    def end(self, *, high_left: bool = False) -> None:
        """Give back what nobody used; if the gate cannot be changed, the pace is slower for it, never faster.

        Args:
            high_left: Whether a message of high priority was not delivered.
        """
        if not self.admission:
            return
        gate = self.batches.gate
        if high_left and self.batches.now() - self.admission.state.high_at > REMEMBER_HIGH_SECONDS:
            with suppress(RelayError):
                gate.remember_high()
        if not self.admission.granted:
            return
        try:
            if self.no_ids != self.admission.state.no_ids:
                gate.count_no_ids(self.no_ids)
            if self.left:
                gate.give_back(self.admission, self.left)
            elif self.admission.probe and self.proven:
                gate.open(self.admission, self.posted_at)
        except RelayError:
            return

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the requests at a time."""
        self.free.get()
        try:
            yield
        finally:
            self.free.put(None)
            time.sleep(0)  # whoever waits for a slot goes first: settling can wait, StockTwits' answer takes its time

    def pause(self) -> Pause | None:
        """Return why nothing more may be sent: a pause was met, time runs short, or the gate was closed meanwhile."""
        now = self.batches.now()
        if self.met is None and self.seconds_left() < RESERVE_SECONDS:
            self.met = Pause("time", "this invocation is almost out of time", now)
        if self.met is None and self.admission:
            self.met = self.batches.gate.pause_by_hours()
        if self.met is None and self.admission and now - self.looked_at > LOOK_SECONDS:
            self.looked_at = now
            self.met = self.batches.gate.pause_since(self.admission)
        return self.met

    def stop(self, pause: Pause) -> None:
        """Begin no more requests of this batch."""
        self.met = pause

    def posted_since(self, moment: float) -> bool:
        """Return whether a message was posted since then, in this batch or as a probe of another."""
        probed_at = self.admission.state.posted_at if self.admission else 0.0
        return max(self.posted_at, probed_at) > moment

    def _learn_from(self, outcome: Outcome) -> None:
        """Count what was used of the admission, and notice what the answer proves for all messages."""
        with self.lock:
            self.left += not outcome.sent
            self.proven |= outcome.sent and (outcome.done or bool(outcome.holds))
            if outcome.result is Result.POSTED and outcome.sent:
                self.posted_at = self.batches.now()
                self.no_ids = 0
            if not outcome.no_id:
                return
            self.no_ids += 1
            if self.no_ids < MOST_NO_IDS:
                return
            self.no_ids = 0
        reason = (
            "StockTwits' answers no longer name the posts that it takes: check StockTwitsApiUrl, and for a new version"
        )
        self._close_gate(Pause("unexpected_answer", reason, self.batches.now() + NO_IDS_SECONDS, probe=True))

    def _take(self) -> Pause | None:
        """Take one of the posts that the gate granted; or return why there is none."""
        pause = self.pause()
        if pause or not self.admission:
            return pause
        with self.lock:
            if self.left == 0:
                return self.admission.pause or Pause(
                    "pace", "the gate admitted no more posts of this batch", self.looked_at
                )
            self.left -= 1
        return None

    def _close_gate(self, pause: Pause) -> None:
        """Stop this batch and everyone else; without the gate the others meet the same pause themselves."""
        self.stop(pause)
        try:
            self.batches.gate.close(pause)
        except RelayError:
            return

    def _opens_too_late(self, message: QueueMessage, outcome: Outcome) -> bool:
        """Return whether a message that does not come back in these posting hours is too old in the next ones."""
        now = self.batches.now()
        wait: float = MAX_VISIBILITY_SECONDS  # what failed may fail again, and each time it waits for longer
        if outcome.holds or not outcome.tried:
            wait = min(wait, wait_seconds(outcome, back_off_seconds(message.receive_count), now)) + COMES_BACK_SECONDS
        # Nor does it come back while the gate is closed, as by the day's cap until midnight.
        pauses = (outcome.pause, self.met, self.admission and self.admission.pause)
        shut_until = max((each.until or 0 for each in pauses if each and each.cause != "hours"), default=0)
        comes_back = max(now + wait, shut_until)
        opens_at = self.batches.gate.opens_at(comes_back)
        return opens_at > max(comes_back, message.sent_at + GIVE_UP_SECONDS + MAX_VISIBILITY_SECONDS)

    def _dead_letter(self, message: QueueMessage, outcome: Outcome) -> Outcome:
        """Move a message to Dead letters if it can never be posted, or has come too often or too late; others pass."""
        left_over = message.receive_count > OUTBOX_RECEIVES
        # The time of one with a not_before may have begun only now.
        ends = max(message.sent_at + GIVE_UP_SECONDS, outcome.not_before + MAX_VISIBILITY_SECONDS)
        too_old = left_over and self.batches.now() >= ends
        too_late = left_over and not outcome.done and not too_old and self._opens_too_late(message, outcome)
        if not outcome.done and (message.receive_count >= LEFTOVERS_RECEIVES or too_old or too_late):
            waited = "13 days and " if too_old else ""
            given_up = f"given up after {waited}{message.receive_count} receives"
            if too_late:
                given_up += ", since SQS might delete it before the posting hours begin again"
            remark = self.batches.delivery.given_up(message, outcome.key)
            reason = f"{given_up}, the last one: {outcome.reason} - {remark}"
            outcome = replace(outcome, result=Result.REJECTED, reason=reason)
        if outcome.result is Result.REJECTED:
            try:
                if not self.batches.dead_letter(message, outcome):
                    return replace(outcome, reason=f"{outcome.reason} (the message was too large to carry this reason)")
            except Exception as error:  # noqa: BLE001  whatever happened, it is not in Dead letters yet
                reason = f"{outcome.reason} (Dead letters did not take it: {type(error).__name__})"
                return replace(outcome, result=Result.DEFERRED, reason=reason)
        return outcome
