"""A batch to its outcomes: each message keeps its own, and what is rejected is moved to Dead letters."""

from collections.abc import Callable
from typing import Any

import pytest
from relay.errors import Reject, Retry, Unknown
from relay.posting.alert import Alert, Reading
from relay.posting.delivery import NOT_POSTED, PERHAPS_POSTED
from relay.posting.gate import Pace
from relay.posting.outcome import Claim, Outcome, Result, Settlement, Status
from relay.queue_message import QueueMessage

from tests.factories import NOW, a_message, a_pause, messages
from tests.unit.posting.batch_helpers import UNREADABLE, FakeBatchDelivery, MemoryGate, results

HOUR = 3600


def test_a_batch_is_posted_and_each_message_keeps_its_outcome() -> None:
    fake = FakeBatchDelivery(concurrency=4)
    outcomes = fake.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "posted", "posted"]
    assert [each.key for each in outcomes] == ["m-1", "m-2", "m-3"]
    assert sorted(fake.sent) == ["a", "b", "c"]


def test_an_outcome_shows_the_text_of_its_alert_whatever_became_of_it() -> None:
    fake = FakeBatchDelivery(answers={"b": Reject("no"), "c": Retry("later")})
    outcomes = fake.deliver(messages("a", "b", "c", '{"body": "d"}', UNREADABLE))
    assert results(outcomes) == ["posted", "rejected", "deferred", "posted", "rejected"]
    assert [outcome.text for outcome in outcomes] == ["a", "b", "c", "d", ""]


def test_an_outcome_shows_the_sentiment_of_its_alert_whatever_became_of_it() -> None:
    fake = FakeBatchDelivery(answers={"b": Reject("no")})
    bodies = ('{"body": "a", "sentiment": "bullish"}', '{"body": "b", "sentiment": "bearish"}', "c", UNREADABLE)
    assert [outcome.sentiment for outcome in fake.deliver(messages(*bodies))] == ["bullish", "bearish", None, None]


def test_a_link_in_a_text_is_shown_up_to_its_question_mark() -> None:
    (outcome,) = FakeBatchDelivery().deliver(messages("$AAPL https://x.org/a.png?signature=secret up"))
    assert outcome.text == "$AAPL https://x.org/a.png?… up"


def test_each_outcome_is_passed_on_as_its_message_ends() -> None:
    outcomes: list[str] = []

    def on_outcome(message: QueueMessage, outcome: Outcome) -> None:
        outcomes.append(f"{message.id} {outcome.result}")

    FakeBatchDelivery(dead_letter=lambda *_: outcomes.append("dead letter") or True, on_outcome=on_outcome).deliver(
        messages("a", UNREADABLE)
    )
    assert outcomes == ["m-1 posted", "dead letter", "m-2 rejected"]


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("where", ["claim", "send", "settle", "dead letter"])
def test_an_exception_in_one_message_leaves_its_neighbours_unharmed(where: str, threads: int) -> None:
    fake = FakeBatchDelivery(concurrency=threads)

    def defect(*_: object) -> Any:
        raise ZeroDivisionError

    def settle(claim: Claim, settlement: Settlement) -> None:
        if claim.key == "m-2":
            defect()
        fake.settled[claim.key] = settlement.status

    if where == "claim":
        fake.claims = {"b": ZeroDivisionError()}
    elif where == "send":
        fake.answers = {"b": ZeroDivisionError()}
    elif where == "settle":
        fake.settle = settle
    else:
        fake.answers, fake.dead_letter = {"b": Reject("blank")}, defect
    outcomes = fake.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "posted" if where == "settle" else "deferred", "posted"]
    assert "ZeroDivisionError" in outcomes[1].reason
    assert fake.settled["m-1"] == fake.settled["m-3"] == Status.POSTED


# --- Dead letters


def test_a_rejected_message_is_moved_to_dead_letters_with_its_reason() -> None:
    fake = FakeBatchDelivery(answers={"a": Reject("blank", status=422)})
    (outcome,) = fake.deliver(messages("a"))
    assert (outcome.result, outcome.done, outcome.status) == (Result.REJECTED, True, 422)
    assert fake.dead_letters == [("a", "blank")]


def test_a_message_that_is_posted_or_deferred_is_not_moved_to_dead_letters() -> None:
    fake = FakeBatchDelivery(answers={"b": Unknown("reset")})
    fake.deliver(messages("a", "b"))
    assert fake.dead_letters == []


@pytest.mark.parametrize("key", ["k" * 257, "k\x00"])
def test_a_message_whose_key_the_ledger_cannot_store_is_moved_to_dead_letters(key: str) -> None:
    fake = FakeBatchDelivery()
    (outcome,) = fake.deliver([a_message("a", relay_key=key)])
    assert (outcome.result, outcome.key) == (Result.REJECTED, key[:256])
    assert outcome.reason.startswith("RelayKey: has ")
    assert (fake.claimed, len(fake.dead_letters)) == ([], 1)


def test_a_defect_in_reading_one_message_moves_only_that_one_to_dead_letters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def read(body: str) -> Reading:
        if body == "b":
            raise ZeroDivisionError
        return Reading(Alert(body=body))

    monkeypatch.setattr("relay.posting.alert.read_message", read)
    fake = FakeBatchDelivery()
    assert results(fake.deliver(messages("a", "b", "c"))) == ["posted", "rejected", "posted"]
    ((_, reason),) = fake.dead_letters
    assert "unexpected ZeroDivisionError" in reason


def test_a_message_that_cannot_be_read_is_moved_to_dead_letters_while_the_gate_is_closed() -> None:
    fake = FakeBatchDelivery()
    fake.gate.operator_pause = a_pause("operator", None)
    assert results(fake.deliver(messages("a", UNREADABLE))) == ["deferred", "rejected"]
    ((body, reason),) = fake.dead_letters
    assert (body, "cannot be read" in reason) == (UNREADABLE, True)


def test_a_message_that_cannot_be_read_is_moved_to_dead_letters_however_little_time_is_left() -> None:
    fake = FakeBatchDelivery(seconds_left=lambda: 1.0)
    assert results(fake.deliver(messages("a", UNREADABLE))) == ["deferred", "rejected"]
    assert [body for body, _ in fake.dead_letters] == [UNREADABLE]


@pytest.mark.parametrize("body", ["a", UNREADABLE])
def test_a_rejected_message_that_dead_letters_did_not_take_stays_in_its_queue(body: str) -> None:
    def full(*_: object) -> bool:
        raise OSError("secret")

    fake = FakeBatchDelivery(answers={"a": Reject("blank")}, dead_letter=full)
    outcomes = fake.deliver(messages(body, "b"))
    assert results(outcomes) == ["deferred", "posted"]
    assert outcomes[0].reason.endswith("(Dead letters did not take it: OSError)")
    assert "secret" not in outcomes[0].reason


def test_the_outcome_mentions_that_dead_letters_has_the_message_without_its_reason() -> None:
    fake = FakeBatchDelivery(answers={"a": Reject("blank")}, dead_letter=lambda *_: False)
    (outcome,) = fake.deliver(messages("a"))
    assert (outcome.done, outcome.reason) == (True, "blank (the message was too large to carry this reason)")


# --- Giving up


def cannot_know(_: str) -> bool:
    raise Retry("the ledger did not answer")


@pytest.mark.parametrize(
    ("perhaps_posted", "remark"),
    [(lambda _: True, PERHAPS_POSTED), (lambda _: False, NOT_POSTED), (cannot_know, PERHAPS_POSTED)],
)
def test_after_two_hundred_receives_a_message_is_given_up_with_its_last_reason_and_whether_it_may_be_posted(
    perhaps_posted: Callable[[str], bool], remark: str
) -> None:
    fake = FakeBatchDelivery(answers={"a": Retry("no connection")}, perhaps_posted=perhaps_posted)
    (outcome,) = fake.deliver([a_message("a", receive_count=200)])
    assert outcome.result is Result.REJECTED
    assert fake.dead_letters == [("a", f"given up after 200 receives, the last one: no connection - {remark}")]


def test_a_message_is_looked_up_under_the_key_that_earlier_versions_gave_it_too() -> None:
    asked: list[str] = []
    fake = FakeBatchDelivery(answers={"a": Retry("no connection")}, perhaps_posted=lambda key: bool(asked.append(key)))
    fake.deliver([a_message("a", receive_count=200, relay_key="k-1")])
    assert set(asked) == {"k-1", a_message("a").id}


def test_before_two_hundred_receives_a_message_is_not_given_up() -> None:
    fake = FakeBatchDelivery(answers={"a": Unknown("reset by peer")})
    assert results(fake.deliver([a_message("a", receive_count=199)])) == ["deferred"]
    assert fake.dead_letters == []


@pytest.mark.parametrize(
    ("receives", "opens_after_days", "result"),
    [(4, 13.49, "deferred"), (4, 13.51, "rejected"), (3, 13.51, "deferred")],
)
def test_a_left_over_message_is_given_up_before_posting_hours_end_that_begin_again_too_late_for_it(
    receives: int, opens_after_days: float, result: str
) -> None:
    fake = FakeBatchDelivery(answers={"a": Retry("reset by peer")})
    sent_at = NOW - 11 * 24 * 3600
    fake.gate.shut_until = sent_at + opens_after_days * 24 * 3600
    (outcome,) = fake.deliver(messages("a", receive_count=receives, sent_at=sent_at))
    assert str(outcome.result) == result
    words = "given up after 4 receives, since SQS might delete it before the posting hours begin again, the last one"
    assert [words in reason for _, reason in fake.dead_letters] == [True] * (result == "rejected")


@pytest.mark.parametrize(("cap", "result"), [(1, "rejected"), (2, "deferred")])
def test_a_left_over_message_is_given_up_if_the_gate_is_closed_until_its_last_posting_hours_are_over(
    cap: int, result: str
) -> None:
    fake = FakeBatchDelivery(answers={"b": Retry("no connection")})
    fake.gate = MemoryGate(fake.clock, Pace(3600, 100, cap))
    over_at, begin_again_at = NOW + 15 * HOUR, NOW + 6 * 24 * HOUR  # the day of the cap is over in 16 hours
    fake.gate.opens_at = lambda moment: moment if moment < over_at else begin_again_at
    sent_at = NOW - (13 * 24 - 1) * HOUR
    assert results(fake.deliver(messages("a", "b", receive_count=4, sent_at=sent_at))) == ["posted", result]


def test_a_message_that_is_posted_at_last_is_not_given_up() -> None:
    fake = FakeBatchDelivery()
    assert results(fake.deliver([a_message("a", receive_count=200)])) == ["posted"]
    assert fake.dead_letters == []


@pytest.mark.parametrize(
    ("receives", "days", "result"), [(4, 12.99, "deferred"), (4, 13, "rejected"), (3, 13, "deferred")]
)
def test_a_left_over_message_is_moved_to_dead_letters_the_day_before_sqs_deletes_it(
    receives: int, days: float, result: str
) -> None:
    fake = FakeBatchDelivery(answers={"a": Retry("reset by peer")})
    (outcome,) = fake.deliver(messages("a", receive_count=receives, sent_at=NOW - days * 24 * 3600))
    assert str(outcome.result) == result
    reason = f"given up after 13 days and 4 receives, the last one: reset by peer - {NOT_POSTED}"
    assert fake.dead_letters == ([("a", reason)] if result == "rejected" else [])
