"""Deliberate defects: with each of these, the simulation must find a violation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from relay.errors import Duplicate, Reject, Retry
from relay.limits import LONGEST_LIMIT_SECONDS
from relay.posting import backoff, batch, delivery, ledger, reconciliation, stocktwits
from relay.posting.gate import Admission, Gate, State
from relay.posting.ledger import Ledger
from relay.posting.outcome import Claim, Outcome, Published, Result, Settlement, Status
from relay.posting.reconciliation import Reader, Shown
from relay.posting.stocktwits import Answer

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
            published = Published(1, "https://stocktwits.com/1")
            return self._posted(Settlement(Status.POSTED, published=published), "")
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

    def mutated(self: Any, message: Any, outcome: Outcome, *more: Any) -> Any:
        if outcome.result is Result.REJECTED:
            sqs = self.batches.dead_letter.args[0]._sqs()
            for queue in ("outbox", "leftovers"):
                sqs.delete_message_batch(QueueUrl=queue, Entries=[{"Id": "0", "ReceiptHandle": message.receipt_handle}])
        return dead_letter(self, message, outcome, *more)

    return patch.object(batch._BatchRun, "_dead_letter", mutated)


def a_failed_dead_letter_forgotten() -> AbstractContextManager[object]:
    """A message is deleted although sending it to Dead letters failed."""

    def mutated(self: Any, message: Any, outcome: Outcome, *more: Any) -> Any:
        after = dead_letter(self, message, outcome, *more)
        return outcome if after.result is not outcome.result else after

    dead_letter = batch._BatchRun._dead_letter
    return patch.object(batch._BatchRun, "_dead_letter", mutated)


def any_old_post_taken_for_this_one() -> AbstractContextManager[object]:
    """The search in the stream ignores when the first attempt started."""
    return patch.object(reconciliation, "_moment", lambda *_: "since")


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


@contextmanager
def ids_not_owned() -> Iterator[None]:
    """A post can be settled for several keys."""
    with (
        patch.object(Ledger, "_own", lambda *_, **__: None),
        patch.object(Ledger, "owners", lambda *_: {}),
    ):
        yield


def owners_not_read() -> AbstractContextManager[object]:
    """A search does not ask to whom a post belongs."""
    return patch.object(Ledger, "owners", lambda *_: {})


def an_empty_normal_form_taken_as_evidence() -> AbstractContextManager[object]:
    """Texts that have nothing but links count as equal."""
    same_links = reconciliation._same_links
    return patch.object(
        reconciliation, "_same_links", lambda ours, post: not ours.normal_form or same_links(ours, post)
    )


def listed_links_not_read() -> AbstractContextManager[object]:
    """Where StockTwits says that a post's links lead does not count."""
    return patch.object(stocktwits, "Shown", lambda *fields: Shown(*fields[:3]))


def links_in_any_order() -> AbstractContextManager[object]:
    """Texts with the same links in another order count as the same."""
    addresses = reconciliation._addresses
    return patch.object(reconciliation, "_addresses", lambda links: sorted(addresses(links)))


def read_on_in_a_pause() -> AbstractContextManager[object]:
    """A search goes on to the next page although the gate was closed."""
    return patch.object(reconciliation, "_read_on", lambda reader, _pause: reader.read_on())


def alike_taken_as_not_there() -> AbstractContextManager[object]:
    """A post that StockTwits altered is not recognised."""
    likeness = reconciliation._likeness
    return patch.object(reconciliation, "_likeness", lambda *texts: "equal" if likeness(*texts) == "equal" else "")


def alike_taken_as_equal() -> AbstractContextManager[object]:
    """A post of somebody else that is much like an alert counts as its post."""
    likeness = reconciliation._likeness
    return patch.object(reconciliation, "_likeness", lambda *texts: "equal" if likeness(*texts) else "")


def only_the_first_page_read() -> AbstractContextManager[object]:
    """What the first page of the stream does not show counts as not posted."""
    return patch.object(Reader, "reaches", lambda *_: True)


def an_ignored_max_not_noticed() -> AbstractContextManager[object]:
    """A page that shows nothing new counts as the end of the stream."""
    read_on = Reader.read_on

    def mutated(self: Reader) -> None:
        read_on(self)
        if self.stuck:
            self.ended, self.stuck = True, False

    return patch.object(Reader, "read_on", mutated)


def the_status_inside_ignored() -> AbstractContextManager[object]:
    """A refusal inside an answer of status 200 counts as a success without an id."""
    return patch.object(Answer, "meant", property(lambda self: self.status))


def a_page_rejects() -> AbstractContextManager[object]:
    """A page of HTML with 400 or 404 rejects the message."""
    return patch.object(Answer, "names_errors", property(lambda _self: True))


def ids_as_text_unusable() -> AbstractContextManager[object]:
    """An id that is not a number does not count."""
    return patch.object(stocktwits, "_id", lambda value: value if type(value) is int and value > 0 else None)


def posted_again_without_an_id() -> AbstractContextManager[object]:
    """A success without a usable id counts as "nothing was sent"."""
    return patch.object(stocktwits, "NoId", Retry)


def refusals_never_held_against_a_message() -> AbstractContextManager[object]:
    """A text that StockTwits refuses for ever closes the gate each time."""
    return patch.object(batch._BatchRun, "posted_since", lambda *_: False)


def milliseconds_taken_for_seconds() -> AbstractContextManager[object]:
    """A rate limit whose end is given in milliseconds lasts a day."""

    def mutated(header: str, now: float) -> float | None:
        seconds = float(header) if header.isdecimal() else 0.0
        end = seconds if seconds > now else now + seconds
        return min(end, now + LONGEST_LIMIT_SECONDS) if seconds else None

    return patch.object(stocktwits, "limit_end", mutated)


def invisible_until_the_planned_end() -> AbstractContextManager[object]:
    """A message that waits for the gate comes back when the pause was planned to end, however early it ended."""
    return patch.object(backoff, "GATE_RECHECK_SECONDS", 12 * 3600)


def a_duplicate_posted_again_in_the_end() -> AbstractContextManager[object]:
    """After an unknown attempt and a 422, half an hour later, it is posted again."""
    settlement = delivery._Attempt._settlement

    def mutated(self: Any, status: Status, **fields: Any) -> Settlement:
        return settlement(self, status, **fields | {"http_status": None})

    return patch.object(delivery._Attempt, "_settlement", mutated)


MUTATIONS: dict[Mutation, int] = {
    no_ledger: 0,
    no_lease: 0,
    a_lease_shorter_than_a_run: 4,
    settled_before_posted: 2,
    unknown_ignored: 2,
    every_duplicate_taken_for_posted: 2,
    every_duplicate_rejected: 2,
    no_gate_in_the_drain: 0,
    received_before_the_gate_is_asked: 0,
    released_on_time_out: 2,
    acknowledged_before_in_dead_letters: 26,
    a_failed_dead_letter_forgotten: 29,
    any_old_post_taken_for_this_one: 14,
    the_first_attempt_forgotten: 6,
    everything_acknowledged: 0,
    admissions_not_written_down: 1,
    everything_given_back: 23,
    pauses_kept_from_others: 0,
    no_look_at_the_gate: 36,
    cut_off_deliveries_forgotten: 7,
    cut_off_beside_others: 159,
    ids_not_owned: 0,
    owners_not_read: 13,
    an_empty_normal_form_taken_as_evidence: 54,
    listed_links_not_read: 136,
    links_in_any_order: 86,
    read_on_in_a_pause: 36,
    alike_taken_as_not_there: 6,
    alike_taken_as_equal: 54,
    only_the_first_page_read: 6,
    an_ignored_max_not_noticed: 144,
    the_status_inside_ignored: 32,
    a_page_rejects: 2,
    ids_as_text_unusable: 34,
    posted_again_without_an_id: 2,
    refusals_never_held_against_a_message: 9,
    milliseconds_taken_for_seconds: 200,
    invisible_until_the_planned_end: 1,
    a_duplicate_posted_again_in_the_end: 31,
}
"""Each defect, and the first day to simulate: one on which it is found."""
