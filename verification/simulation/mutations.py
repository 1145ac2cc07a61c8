"""Deliberate defects: with each of these, the simulation must find a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from relay.errors import Duplicate, Reject, Retry
from relay.posting import batch, delivery, ledger, stocktwits
from relay.posting.gate import Admission, Gate, State
from relay.posting.ledger import Ledger
from relay.posting.outcome import Claim, Outcome, Published, Result, Settlement, Status
from relay.posting.stocktwits import StockTwits

from functions.post_messages import app as post_messages
from verification.simulation.world import WatchedGate

Mutation = Callable[[], AbstractContextManager[object]]


def no_ledger() -> AbstractContextManager[object]:
    """Every message is treated as new."""
    return patch.object(Ledger, "claim", lambda self, key, *_: Claim(key, "anybody", first_claimed_at=self._now()))


def no_lease() -> AbstractContextManager[object]:
    """A claim does not keep other workers away."""
    return patch.object(ledger, "LEASE_SECONDS", 0)


def a_lease_shorter_than_a_run() -> AbstractContextManager[object]:
    """A claim expires before its holder has finished."""
    return patch.object(ledger, "LEASE_SECONDS", 5)


@contextmanager
def settled_before_posted() -> Iterator[None]:
    """The ledger records a post before StockTwits has it."""
    run = delivery._Attempt.run

    def mutated(self: Any) -> Outcome:
        if not self.claim.perhaps_posted:
            self._settle(Settlement(Status.POSTED, published=Published(1, "https://stocktwits.com/1")))
        return run(self)

    with patch.object(delivery._Attempt, "run", mutated):
        yield


@contextmanager
def unknown_ignored() -> Iterator[None]:
    """A retry does not look at the stream first."""
    claimed = ledger._claim

    def mutated(*given: Any) -> Claim:
        return replace(claimed(*given), perhaps_posted=False)

    with patch.object(ledger, "_claim", mutated):
        yield


def every_duplicate_taken_for_posted() -> AbstractContextManager[object]:
    """A 422 "duplicate" counts as a success."""

    def mutated(self: Any, error: Any) -> Any:
        if isinstance(error, Duplicate):
            return self._posted(Published(1, "https://stocktwits.com/1"))
        return failed(self, error)

    failed = delivery._Attempt.failed
    return patch.object(delivery._Attempt, "failed", mutated)


def every_duplicate_rejected() -> AbstractContextManager[object]:
    """A 422 "duplicate" after an unknown attempt counts as a rejection."""
    return patch.object(delivery._Attempt, "_perhaps_our_own", lambda self, error: self.failed(Reject(error.reason)))


@contextmanager
def no_gate_in_the_drain() -> Iterator[None]:
    """The drain ignores the gate."""
    look, admit, pause_since = WatchedGate.look, WatchedGate.admit, WatchedGate.pause_since

    def drains(self: Any) -> bool:
        return bool(self._worker.name.startswith("drain"))

    def open_to(self: Any, wanted: int) -> Admission:
        return Admission(wanted, None, State())

    with (
        patch.object(WatchedGate, "look", lambda self, n: open_to(self, n) if drains(self) else look(self, n)),
        patch.object(WatchedGate, "admit", lambda self, n: open_to(self, n) if drains(self) else admit(self, n)),
        patch.object(
            WatchedGate, "pause_since", lambda self, since: None if drains(self) else pause_since(self, since)
        ),
    ):
        yield


@contextmanager
def received_before_the_gate_is_asked() -> Iterator[None]:
    """The drain receives messages before it asks the gate."""
    look = WatchedGate.look
    with patch.object(WatchedGate, "look", lambda self, wanted: replace(look(self, wanted), granted=wanted)):
        yield


def released_on_time_out() -> AbstractContextManager[object]:
    """A lost answer counts as "nothing was sent"."""
    return patch.object(stocktwits, "Unknown", Retry)


def acknowledged_before_in_dead_letters() -> AbstractContextManager[object]:
    """A rejected message leaves its queue before it is in Dead letters."""
    dead_letter = batch._BatchRun._dead_letter

    def mutated(self: Any, message: Any, outcome: Outcome) -> Any:
        if outcome.result is Result.REJECTED:
            sqs = self.batches.dead_letter.args[0]._sqs()
            for queue in ("outbox", "leftovers"):
                sqs.delete_message_batch(QueueUrl=queue, Entries=[{"Id": "0", "ReceiptHandle": message.receipt_handle}])
        return dead_letter(self, message, outcome)

    return patch.object(batch._BatchRun, "_dead_letter", mutated)


def a_failed_dead_letter_forgotten() -> AbstractContextManager[object]:
    """A message is deleted although sending it to Dead letters failed."""

    def mutated(self: Any, message: Any, outcome: Outcome) -> Any:
        after = dead_letter(self, message, outcome)
        return outcome if after.result is not outcome.result else after

    dead_letter = batch._BatchRun._dead_letter
    return patch.object(batch._BatchRun, "_dead_letter", mutated)


def any_old_post_taken_for_this_one() -> AbstractContextManager[object]:
    """The search in the stream ignores when the first attempt started."""
    find = StockTwits.find
    return patch.object(StockTwits, "find", lambda self, text, _since: find(self, text, 0.0))


@contextmanager
def the_first_attempt_forgotten() -> Iterator[None]:
    """Each attempt searches the stream only from its own start."""
    claimed = ledger._claim

    def mutated(key: str, claim_id: str, item: Any, now: float) -> Claim:
        return replace(claimed(key, claim_id, item, now), first_claimed_at=now)

    with patch.object(ledger, "_claim", mutated):
        yield


def everything_acknowledged() -> AbstractContextManager[object]:
    """The Outbox's handler reports no batch item failures."""
    handler = post_messages.handler

    def mutated(event: Any, context: Any) -> Any:
        handler(event, context)
        return {"batchItemFailures": []}

    return patch.object(post_messages, "handler", mutated)


def admissions_not_written_down() -> AbstractContextManager[object]:
    """The gate does not count what it admits."""

    def mutated(self: Any, wanted: int) -> Any:
        return self.look(wanted)

    return patch.object(Gate, "admit", mutated)


def everything_given_back() -> AbstractContextManager[object]:
    """Used admissions are also given back to the gate."""
    give_back = State.give_back
    return patch.object(
        State, "give_back", lambda self, _unused, admission, *more: give_back(self, admission.granted, admission, *more)
    )


def pauses_kept_from_others() -> AbstractContextManager[object]:
    """A worker that meets a 429 or a refused token does not close the gate."""
    return patch.object(Gate, "close", lambda _self, _pause: None)


def no_look_at_the_gate() -> AbstractContextManager[object]:
    """A batch continues although the gate has been closed."""
    return patch.object(batch, "LOOK_SECONDS", 1e9)


@contextmanager
def cut_off_deliveries_forgotten() -> Iterator[None]:
    """A message that kills the function is delivered again and again."""
    claimed = ledger._claim
    with patch.object(ledger, "_claim", lambda *given: replace(claimed(*given), cut_off=0)):
        yield


@contextmanager
def cut_off_beside_others() -> Iterator[None]:
    """A message that kills the function is delivered with others, which are blamed for it."""
    postponed = delivery._Attempt.postponed
    with patch.object(delivery._Attempt, "postponed", lambda self, **_: postponed(self, alone=True)):
        yield


MUTATIONS: dict[Mutation, int] = {
    no_ledger: 0,
    no_lease: 78,
    settled_before_posted: 0,
    unknown_ignored: 0,
    every_duplicate_taken_for_posted: 0,
    every_duplicate_rejected: 0,
    no_gate_in_the_drain: 0,
    received_before_the_gate_is_asked: 2,
    released_on_time_out: 0,
    acknowledged_before_in_dead_letters: 36,
    a_failed_dead_letter_forgotten: 40,
    any_old_post_taken_for_this_one: 24,
    the_first_attempt_forgotten: 0,
    everything_acknowledged: 1,
    admissions_not_written_down: 1,
    everything_given_back: 31,
    pauses_kept_from_others: 20,
    no_look_at_the_gate: 49,
    cut_off_deliveries_forgotten: 1,
    cut_off_beside_others: 819,
}
"""Each defect, and the first day to simulate: one on which it is found."""
