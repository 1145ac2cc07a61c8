"""A batch of messages to their outcomes: ask the gate once, deliver side by side, stop when told to.

Both edges call `Posting.deliver`; they differ only in where messages come from and how they are acknowledged.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING

from relay import message as messages
from relay.delivery import Outcome, Result, unexpected
from relay.errors import Pause, Reject, RelayError
from relay.queues import GIVE_UP_SECONDS, LEFTOVERS_RECEIVES, OUTBOX_RECEIVES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.delivery import Delivery
    from relay.gate import Admission, Gate
    from relay.message import Post
    from relay.received import Message

RESERVE_SECONDS = 20
"""No request is begun with less time left: connecting and reading take 13 s at most, settling a moment more."""

LOOK_SECONDS = 1.0
"""How long a look at the gate is good for: so long at most one worker goes on after another met a 429."""

LEDGER_THREADS = 3
"""Threads beside those that hold a request: they claim and settle while the others wait for StockTwits."""


@dataclass(frozen=True)
class Posting:
    """Delivers batches.

    Attributes:
        delivery: Takes one message to its outcome.
        gate: Asked once a batch, and told what StockTwits' answers impose.
        bury: Puts a rejected message into Dead letters; False when its reason had to stay behind.
        concurrency: Requests to StockTwits at a time; 1 is strictly in order.
        now: The clock, in seconds since the epoch.
    """

    delivery: Delivery
    gate: Gate
    bury: Callable[[Message, Outcome], bool]
    concurrency: int
    now: Callable[[], float]

    def deliver(
        self,
        batch: Sequence[Message],
        seconds_left: Callable[[], float],
        tell: Callable[[Message, Outcome], None] = lambda _message, _outcome: None,
    ) -> list[tuple[Message, Outcome]]:
        """Deliver a batch.

        Args:
            batch: The messages, in the order in which to begin.
            seconds_left: How long this invocation may still run.
            tell: Told of each message as it ends, in several threads: a function that is cut off has told by then.

        Returns:
            Each message with its outcome, in the same order; the rejected ones are buried.
        """
        read = [_read(each) for each in batch]
        wanted = sum(not isinstance(post, Outcome) for post in read)
        turn = _Turn(self, seconds_left, tell)
        if wanted:
            turn.ask(wanted)
        threads = 1 if self.concurrency == 1 else self.concurrency + LEDGER_THREADS
        with ThreadPoolExecutor(min(threads, max(1, len(batch)))) as pool:
            outcomes = list(pool.map(turn.deliver, batch, read))
        turn.end()
        for place, (message, post, outcome) in enumerate(zip(batch, read, outcomes, strict=True)):
            if outcome.alone and not isinstance(post, Outcome):
                outcomes[place] = self._deliver_by_itself(message, post, seconds_left, tell)
        return list(zip(batch, outcomes, strict=True))

    def _deliver_by_itself(
        self,
        message: Message,
        post: Post,
        seconds_left: Callable[[], float],
        tell: Callable[[Message, Outcome], None],
    ) -> Outcome:
        """Deliver a message that may end this function: everything else is settled, and given back to the gate."""
        turn = _Turn(self, seconds_left, tell, alone=True)
        turn.ask(1)
        outcome = turn.deliver(message, post)
        turn.end()
        return outcome


def _read(message: Message) -> Post | Outcome:
    """Read one message; what cannot be read is an outcome already, whatever the gate says."""
    try:
        messages.check_key("RelayKey", message.relay_key)
        return messages.read(message.body)
    except Reject as error:
        reason = error.reason
    except Exception as error:  # noqa: BLE001  a defect that this one meets, it meets each time; its neighbours do not
        reason = unexpected(error)
    return Outcome(Result.REJECTED, message.key(None)[: messages.MAX_KEY_CHARACTERS], reason)


@dataclass
class _Turn:
    """One batch's share of the gate: how many may still go, and whether somebody called a stop."""

    posting: Posting
    seconds_left: Callable[[], float]
    tell: Callable[[Message, Outcome], None]
    alone: bool = False
    admission: Admission | None = None
    left: int = 0
    pause: Pause | None = None
    looked_at: float = 0.0
    proven: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    keys: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    def __post_init__(self) -> None:
        self.slot = _Slots(self, SimpleQueue())
        for _ in range(self.posting.concurrency):
            self.slot.free.put(None)

    def ask(self, wanted: int) -> None:
        """Ask the gate for the whole batch."""
        self.admission = self.posting.gate.admit(wanted)
        self.left = self.admission.granted
        self.looked_at = self.posting.now()

    def deliver(self, message: Message, post: Post | Outcome) -> Outcome:
        """Deliver one message, or leave it untried; bury it if it can never be posted, or has come too often."""
        if isinstance(post, Outcome):
            outcome = self._bury(message, post)
        else:
            said = self._deliver(message, post)
            if said.alone:  # its outcome is yet to come
                return said
            outcome = self._bury(message, replace(said, text=messages.shown(post.body), sentiment=post.sentiment))
        self.tell(message, outcome)
        return outcome

    def _bury(self, message: Message, outcome: Outcome) -> Outcome:
        """Bury a message if it can never be posted, or has come too often or too late; others pass."""
        left_over = message.receive_count > OUTBOX_RECEIVES
        too_old = left_over and self.posting.now() - message.sent_at >= GIVE_UP_SECONDS
        if not outcome.done and (message.receive_count >= LEFTOVERS_RECEIVES or too_old):
            waited = "13 days and " if too_old else ""
            reason = f"given up after {waited}{message.receive_count} receives, the last one: {outcome.reason}"
            outcome = replace(outcome, result=Result.REJECTED, reason=reason)
        if outcome.result is Result.REJECTED:
            try:
                if not self.posting.bury(message, outcome):
                    return replace(outcome, reason=f"{outcome.reason} (Dead letters has it without this reason)")
            except Exception as error:  # noqa: BLE001  whatever happened, it is not in Dead letters yet
                reason = f"{outcome.reason} (Dead letters did not take it: {type(error).__name__})"
                return replace(outcome, result=Result.DEFERRED, reason=reason)
        return outcome

    def end(self) -> None:
        """Give back what nobody used; if the gate cannot be told, the pace is slower for it, never faster."""
        if not self.admission or not self.admission.granted:
            return
        try:
            if self.left:
                self.posting.gate.give_back(self.admission, self.left)
            elif self.admission.probe and self.proven:
                self.posting.gate.open(self.admission)
        except RelayError:
            return

    def _deliver(self, message: Message, post: Post) -> Outcome:
        with self.lock:
            key = self.keys[message.key(post)]
        with key:  # of two messages with one key, the later one finds the earlier one's outcome
            return self._deliver_alone(message, post)

    def _deliver_alone(self, message: Message, post: Post) -> Outcome:
        pause = self._take()
        if pause:
            return Outcome(Result.DEFERRED, message.key(post), pause.reason, pause=pause, tried=False)
        outcome = self.posting.delivery.deliver(message, post, self.slot, self.stopped, alone=self.alone)
        with self.lock:
            self.left += not outcome.sent
            self.proven |= outcome.sent and outcome.done
        if outcome.pause and outcome.tried:
            self._stop(outcome.pause)
        return outcome

    def stopped(self) -> Pause | None:
        """Say whether nothing more may be sent: a wall was met, time runs short, or the gate was shut meanwhile."""
        now = self.posting.now()
        if self.pause is None and self.seconds_left() < RESERVE_SECONDS:
            self._stop(Pause("time", "this invocation's time runs short", now), tell=False)
        if self.pause is None and self.admission and now - self.looked_at > LOOK_SECONDS:
            self.looked_at = now
            pause = self.posting.gate.closed(self.admission)
            if pause:
                self._stop(pause, tell=False)
        return self.pause

    def _take(self) -> Pause | None:
        """Take one of the posts that the gate granted; or say why there is none."""
        pause = self.stopped()
        if pause or not self.admission:
            return pause
        with self.lock:
            if self.left == 0:
                return self.admission.pause or Pause("pace", "the gate granted no more to this batch", self.looked_at)
            self.left -= 1
        return None

    def _stop(self, pause: Pause, *, tell: bool = True) -> None:
        """Stop this batch, and everyone else if the gate does not know yet."""
        self.pause = pause
        if not tell:
            return
        try:
            self.posting.gate.close(pause)
        except RelayError:
            # The others will meet the same wall themselves; this batch stops in any case.
            return


@dataclass(frozen=True)
class _Slots:
    """The requests at a time; a wall that one of them met is known before the next one begins."""

    turn: _Turn
    free: SimpleQueue[None]  # wakes one thread once; a semaphore may do so twice

    def __enter__(self) -> None:
        self.free.get()

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, RelayError) and error.pause:
            self.turn.pause = error.pause
        self.free.put(None)
        time.sleep(0)  # whoever waits for this slot goes first: settling can wait, StockTwits' answer takes its time
