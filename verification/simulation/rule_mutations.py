"""Deliberate defects in the owner's rules: with each of these, the simulation must find a violation."""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from relay.errors import Expired
from relay.posting import batch, delivery, hours, ledger, spacing
from relay.posting.delivery import Delivery
from relay.posting.outcome import Claim, Hold, Outcome, Result, Status
from relay.posting.spacing import Spacing
from relay.queues import MAX_VISIBILITY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from verification.simulation.mutations import Mutation


def hours_ignored() -> AbstractContextManager[object]:
    """The gate does not know the posting hours."""
    return patch.object(hours.HoursPause, "__call__", lambda _self, _now: None)


def hours_ignored_in_a_batch() -> AbstractContextManager[object]:
    """A batch that was admitted goes on when the posting hours end."""
    pause = batch._BatchRun.pause

    def mutated(self: Any) -> Any:
        with patch.object(self.batches.gate, "_pause_by_hours", lambda _now: None):
            return pause(self)

    return patch.object(batch._BatchRun, "pause", mutated)


def summer_time_in_winter() -> AbstractContextManager[object]:
    """The posting hours are an hour early."""
    is_open = hours.PostingHours.is_open
    return patch.object(hours.PostingHours, "is_open", lambda self, now: is_open(self, now + 3600))


def expiry_ignored() -> AbstractContextManager[object]:
    """The owner's expiry is not looked at."""
    return patch.object(delivery._Attempt, "_check_expiry", lambda _self: None)


def expiry_counted_from_the_receive() -> AbstractContextManager[object]:
    """The owner's expiry begins anew each time a message is received."""
    expires_at = Delivery.expires_at

    def mutated(self: Any, message: Any, alert: Any) -> Any:
        return expires_at(self, replace(message, sent_at=self.now()), alert)

    return patch.object(Delivery, "expires_at", mutated)


def expired_to_the_log_although_perhaps_posted() -> AbstractContextManager[object]:
    """What expired ends in the log, whether or not an earlier attempt may have posted it."""
    failed = delivery._Attempt.failed

    def mutated(self: Any, error: Any) -> Outcome:
        outcome = failed(self, error)
        to_log = isinstance(error, Expired) and self.delivery.expired_to_log
        return replace(outcome, result=Result.EXPIRED) if to_log else outcome

    return patch.object(delivery._Attempt, "failed", mutated)


def expired_to_the_log_unasked() -> AbstractContextManager[object]:
    """What expired ends in the log, whatever `ExpiredTo` says."""
    failed = delivery._Attempt.failed

    def mutated(self: Any, error: Any) -> Outcome:
        outcome = failed(self, error)
        return replace(outcome, result=Result.EXPIRED) if isinstance(error, Expired) else outcome

    return patch.object(delivery._Attempt, "failed", mutated)


def names_not_taken() -> AbstractContextManager[object]:
    """A post is sent without taking its names."""
    return patch.object(Spacing, "take", lambda *_: ())


def names_looked_at_too_early() -> AbstractContextManager[object]:
    """Names are taken as they are, whoever took one since they were looked at."""
    put = Spacing._put

    def mutated(self: Any, *given: Any) -> Any:
        made = put(self, *given)
        always = "attribute_not_exists(pk) OR attribute_exists(pk)"
        values = {":key": made["ExpressionAttributeValues"][":key"]}
        return made | {"ConditionExpression": always, "ExpressionAttributeValues": values}

    return patch.object(Spacing, "_put", mutated)


def a_request_for_each_name() -> AbstractContextManager[object]:
    """A post takes its names one after the other."""
    write = Spacing._write

    def mutated(self: Any, key: str, view: Any) -> bool:
        return all(write(self, key, replace(view, seen={name: item})) for name, item in view.seen.items())

    return patch.object(Spacing, "_write", mutated)


def a_lost_answer_frees_the_name() -> AbstractContextManager[object]:
    """A name is free as long as the outcome of its post is unknown."""
    hold = Spacing._hold

    def mutated(self: Any, name: str, item: Any, entry: Mapping[str, Any] | None) -> Hold | None:
        unknown = entry and entry["status"]["S"] in {Status.UNKNOWN, Status.CLAIMED}
        return None if unknown else hold(self, name, item, entry)

    return patch.object(Spacing, "_hold", mutated)


def what_was_not_sent_keeps_its_names() -> AbstractContextManager[object]:
    """A post that was not sent keeps others waiting."""

    def mutated(self: Any, name: str, item: Any, _entry: object) -> Hold | None:
        ends = self._ends(name, item)
        return Hold("symbol" if name.startswith("$") else "alike", "it was taken", ends)

    return patch.object(Spacing, "_hold", mutated)


def numbers_make_a_difference() -> AbstractContextManager[object]:
    """Two texts that differ in their numbers do not count as alike."""
    return patch.object(spacing, "fingerprint", lambda text: text)


def only_the_first_symbol() -> AbstractContextManager[object]:
    """Only the first cashtag of a text counts."""
    cashtags = spacing.cashtags
    return patch.object(spacing, "cashtags", lambda text: cashtags(text)[:1])


def small_letters_are_other_symbols() -> AbstractContextManager[object]:
    """A cashtag in small letters is another one."""
    return patch.object(spacing, "cashtags", lambda text: [each.lstrip("$") for each in text.split() if "$" in each])


def half_the_time() -> AbstractContextManager[object]:
    """A name is free after half its time."""
    seconds = Spacing._seconds
    return patch.object(Spacing, "_seconds", lambda self, name: seconds(self, name) / 2)


@contextmanager
def duplicates_wait_for_ever() -> Iterator[None]:
    """A second 422 waits as the first one did."""
    claimed = ledger._claim

    def mutated(*given: Any) -> Claim:
        return replace(claimed(*given), duplicates=0)

    with patch.object(ledger, "_claim", mutated):
        yield


def duplicates_do_not_wait() -> AbstractContextManager[object]:
    """`WhenDuplicate` is not looked at."""
    deliver = Delivery.deliver

    def mutated(self: Any, *given: Any, **named: Any) -> Outcome:
        return deliver(replace(self, waits_as_duplicate=False), *given, **named)

    return patch.object(Delivery, "deliver", mutated)


def not_before_ignored() -> AbstractContextManager[object]:
    """A message's own `not_before` is not looked at."""
    return patch.object(batch.BatchDelivery, "_held", lambda *_: None)


def hidden_longer_than_held() -> AbstractContextManager[object]:
    """A message that a rule keeps back stays hidden for an hour more."""
    return _held_differently(lambda outcome: replace(outcome, retry_at=(outcome.retry_at or 0) + 3600))


def hidden_shorter_than_held() -> AbstractContextManager[object]:
    """A message that a rule keeps back comes back at once, and is soon received too often."""
    return _held_differently(lambda outcome: replace(outcome, retry_at=None))


def high_priority_ignored() -> AbstractContextManager[object]:
    """A message of high priority has to wait its turn."""
    return patch.object(batch._BatchRun, "goes_first", lambda *_: False)


def given_up_hours_before_its_time() -> AbstractContextManager[object]:
    """A message for later is given up as soon as the posting hours end before SQS' longest wait."""
    return patch.object(batch, "wait_seconds", lambda *_: MAX_VISIBILITY_SECONDS)


def kept_until_sqs_deletes_it() -> AbstractContextManager[object]:
    """A message waits for the next posting hours, however late they begin."""
    return patch.object(batch._BatchRun, "_opens_too_late", lambda *_: False)


@contextmanager
def _held_differently(change: Callable[[Outcome], Outcome]) -> Iterator[None]:
    deliver = batch._BatchRun.deliver

    def mutated(self: Any, message: Any, reading: Any) -> Outcome:
        outcome = deliver(self, message, reading)
        return change(outcome) if outcome.holds else outcome

    with patch.object(batch._BatchRun, "deliver", mutated):
        yield


RULE_MUTATIONS: dict[Mutation, int] = {
    hours_ignored: 0,
    hours_ignored_in_a_batch: 73,
    summer_time_in_winter: 0,
    expiry_ignored: 1,
    expiry_counted_from_the_receive: 1,
    expired_to_the_log_although_perhaps_posted: 1,
    expired_to_the_log_unasked: 1,
    names_not_taken: 6,
    names_looked_at_too_early: 14,
    a_request_for_each_name: 7,
    a_lost_answer_frees_the_name: 14,
    what_was_not_sent_keeps_its_names: 15,
    numbers_make_a_difference: 13,
    only_the_first_symbol: 14,
    small_letters_are_other_symbols: 14,
    half_the_time: 2,
    duplicates_wait_for_ever: 16,
    duplicates_do_not_wait: 15,
    not_before_ignored: 2,
    hidden_longer_than_held: 2,
    hidden_shorter_than_held: 2,
    high_priority_ignored: 23,
    given_up_hours_before_its_time: 399,
    kept_until_sqs_deletes_it: 25,
}
"""Each defect, and the first day to simulate: one on which it is found."""
