"""A message of high priority goes first in its batch, and the gate remembers that one was left over."""

import json
from typing import Any

import pytest
from relay.errors import Halt, Pause, Reject, Retry
from relay.posting.alert import read
from relay.posting.batch import REMEMBER_HIGH_SECONDS
from relay.posting.gate import Admission, Pace, State, _item, _state

from tests.factories import NOW, a_message, a_pause, messages
from tests.unit.posting.batch_helpers import FakeBatchDelivery, MemoryGate, results

HIGH = '{"body": "high", "priority": "high"}'
NORMAL = '{"body": "normal", "priority": "normal"}'


def one_admission() -> FakeBatchDelivery:
    fake = FakeBatchDelivery()
    fake.gate = MemoryGate(fake.clock, Pace(60, 1, 0))
    return fake


def closed(high_at: float = 0.0) -> FakeBatchDelivery:
    """A relay whose gate an operator closed; a message of high priority was last left over at `high_at`."""
    fake = FakeBatchDelivery()
    fake.gate.operator_pause = a_pause("operator", None)
    fake.gate.state = State(high_at=high_at)
    return fake


# In a batch


def test_of_a_batch_the_high_ones_are_posted_first_and_the_others_in_their_order() -> None:
    fake = FakeBatchDelivery()
    outcomes = fake.deliver(messages("a", NORMAL, HIGH, "b", HIGH.replace("high", "HIGH", 1)))
    assert fake.sent == ["high", "HIGH", "a", "normal", "b"]
    assert results(outcomes) == ["posted"] * 5


def test_the_outcomes_are_in_the_order_of_the_batch() -> None:
    outcomes = one_admission().deliver(messages("a", "{", HIGH))
    assert results(outcomes) == ["deferred", "rejected", "posted"]


@pytest.mark.parametrize(("receives", "hours_ago", "first"), [(100, 23, "a"), (101, 23, "often"), (101, 24, "a")])
def test_a_message_that_ones_of_high_priority_often_went_before_is_first_too(
    receives: int, hours_ago: float, first: str
) -> None:
    fake = one_admission()
    fake.gate.state = State(high_at=NOW - hours_ago * 3600)
    fake.deliver([a_message("a"), a_message("often", id="m-2", receive_count=receives)])
    assert fake.sent == [first]


@pytest.mark.parametrize("priority", ["urgent", "High", "", 1])
def test_there_are_no_other_priorities(priority: Any) -> None:
    with pytest.raises(Reject, match="priority: "):
        read(json.dumps({"body": "a", "priority": priority}))


# What the gate remembers


@pytest.mark.parametrize(
    ("body", "remembered"),
    [
        (HIGH, 1),
        (NORMAL, 0),
        ("a", 0),
        ('{"body": "a", "priority": "high", "not_before": "2027-01-15T09:00:00Z"}', 0),
    ],
    ids=["high", "normal", "none", "high, for later"],
)
def test_a_high_message_that_was_left_over_is_remembered(body: str, remembered: int) -> None:
    fake = closed()
    fake.deliver(messages(body, "b", "c"))
    assert fake.gate.high_remembered == remembered


def test_a_high_message_whose_time_has_begun_is_remembered_like_any_other() -> None:
    fake = closed()
    fake.deliver(messages('{"body": "a", "priority": "high", "not_before": "2027-01-15T08:00:00Z"}'))
    assert fake.gate.high_remembered == 1


def test_a_high_message_that_failed_is_remembered() -> None:
    fake = FakeBatchDelivery(answers={"high": Retry("no connection")})
    fake.deliver(messages(HIGH))
    assert fake.gate.high_remembered == 1


@pytest.mark.parametrize("answer", [None, Reject("no")], ids=["posted", "rejected"])
def test_a_high_message_that_is_done_is_not_remembered(answer: Reject | None) -> None:
    fake = FakeBatchDelivery(answers={"high": answer} if answer else {})
    fake.deliver(messages(HIGH))
    assert fake.gate.high_remembered == 0


@pytest.mark.parametrize(
    ("seconds", "remembered"), [(0, 0), (REMEMBER_HIGH_SECONDS, 0), (REMEMBER_HIGH_SECONDS + 1, 1)]
)
def test_it_is_remembered_at_most_once_an_hour(seconds: float, remembered: int) -> None:
    fake = closed(NOW - seconds)
    fake.deliver(messages(HIGH))
    assert fake.gate.high_remembered == remembered


def test_that_it_cannot_be_remembered_costs_the_others_neither_their_posts_nor_their_admissions() -> None:
    class Forgetful(MemoryGate):
        def remember_high(self) -> None:
            raise Halt(Pause("ledger", "the table is gone", NOW + 300))

    fake = FakeBatchDelivery(answers={"high": Retry("no connection")})
    fake.gate = Forgetful(fake.clock)
    assert results(fake.deliver(messages(HIGH, "a"))) == ["deferred", "posted"]
    assert fake.gate.state.count == 1


def test_a_probe_opens_the_gate_although_a_high_message_is_left_over() -> None:
    fake = FakeBatchDelivery()
    fake.gate.state = State(pause=Pause("token_refused", "refused", NOW - 1, probe=True))
    fake.deliver(messages(HIGH.replace("high", "first", 1), HIGH))
    assert (fake.sent, fake.gate.high_remembered, fake.gate.state.pause) == (["first"], 1, None)


# The gate's state


def test_the_gates_item_keeps_it_only_once_there_is_something_to_keep() -> None:
    assert "high" not in _item(State())
    assert _state(_item(State(high_at=NOW + 0.25))).high_at == NOW + 0.25


@pytest.mark.parametrize("wanted", [0, 1])
def test_an_admission_tells_when_a_high_message_was_left_over(wanted: int) -> None:
    admission = State(high_at=NOW).admit(wanted, NOW, Pace(60, 1, 0))
    assert (admission.granted, admission.state.high_at) == (wanted, NOW)


def test_a_closed_gate_tells_so_too() -> None:
    shut = State(high_at=NOW).close(a_pause()).admit(10, NOW, Pace(60, 1, 0))
    assert isinstance(shut, Admission)
    assert (shut.granted, shut.state.high_at) == (0, NOW)
