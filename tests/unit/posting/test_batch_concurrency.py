"""A batch side by side: requests up to the limit, a key delivered once at a time, what was cut off alone."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from relay.errors import Halt, Retry, Wait
from relay.posting.alert import Alert
from relay.posting.gate import State
from relay.posting.outcome import Claim, Result, Settlement, Status

from tests.factories import a_claim, a_pause, messages, published
from tests.unit.posting.batch_helpers import PATIENCE, FakeBatchDelivery, results, wait_for

# --- Side by side


def test_one_at_a_time_is_strictly_in_order() -> None:
    texts = [f"post {i}" for i in range(10)]
    fake = FakeBatchDelivery(concurrency=1)
    fake.deliver(messages(*texts))
    assert (fake.claimed, fake.sent) == (texts, texts)


def test_as_many_requests_as_allowed_are_under_way_at_a_time_and_never_more() -> None:
    fake = FakeBatchDelivery(concurrency=3)
    together, lock = threading.Barrier(3), threading.Lock()
    under_way: list[int] = [0]
    counts: list[int] = []

    def count() -> None:
        with lock:
            under_way[0] += 1
            counts.append(under_way[0])
        together.wait(PATIENCE)  # breaks unless three are under way
        with lock:
            under_way[0] -= 1

    texts = [f"post {i}" for i in range(9)]
    fake.answers = dict.fromkeys(texts, count)
    assert results(fake.deliver(messages(*texts))) == ["posted"] * 9
    assert max(counts) == 3


def test_the_next_messages_are_claimed_while_requests_are_under_way() -> None:
    fake = FakeBatchDelivery(concurrency=2)
    third_claimed = threading.Event()

    def claim_and_set(key: str, alert: Alert, *_: object) -> Claim:
        if alert.body == "c":
            third_claimed.set()
        return a_claim(key)

    fake.claim = claim_and_set
    fake.answers = {"a": lambda: wait_for(third_claimed), "b": lambda: wait_for(third_claimed)}
    assert results(fake.deliver(messages("a", "b", "c"))) == ["posted"] * 3


def test_a_message_that_waits_for_its_request_while_an_answer_imposes_a_pause_makes_none() -> None:
    fake = FakeBatchDelivery(concurrency=2)
    under_way, waiting = threading.Barrier(3), threading.Barrier(4)
    both_under_way, others_settled = threading.Event(), threading.Event()

    def limited() -> None:
        under_way.wait(PATIENCE)
        waiting.wait(PATIENCE)
        raise Wait(a_pause(), status=429)

    def claim_in_turn(key: str, alert: Alert, *_: object) -> Claim:
        if alert.body in {"c", "d"}:
            wait_for(both_under_way)
            waiting.wait(PATIENCE)
        return a_claim(key)

    def settle_slowly(claim: Claim, settlement: Settlement) -> None:
        if claim.key in {"m-1", "m-2"}:
            wait_for(others_settled)
        fake.settled[claim.key] = settlement.status
        if {"m-3", "m-4"} <= fake.settled.keys():
            others_settled.set()

    def watch() -> None:
        under_way.wait(PATIENCE)
        both_under_way.set()

    fake.answers = {"a": limited, "b": limited}
    fake.claim, fake.settle = claim_in_turn, settle_slowly
    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = fake.deliver(messages("a", "b", "c", "d"))
    watcher.join()
    assert sorted(fake.sent) == ["a", "b"]
    assert [each.tried for each in outcomes] == [True, True, False, False]


def test_of_two_messages_with_one_key_the_later_waits_for_the_outcome_of_the_earlier() -> None:
    under_way: list[str] = []
    claimed_twice = threading.Event()

    def claim(key: str, *_: object) -> Claim:
        if under_way:
            claimed_twice.set()
            raise Retry("another worker is delivering this key")
        under_way.append(key)
        return a_claim(key)

    fake = FakeBatchDelivery(
        concurrency=4,
        claim=claim,
        settle=lambda *_: under_way.clear(),
        answers={"a": lambda: published(1 + claimed_twice.wait(0.1))},
    )
    assert results(fake.deliver(messages("a", "a", relay_key="k"))) == ["posted", "posted"]
    assert not claimed_twice.is_set()


# --- A message whose delivery was cut off


class Ended(BaseException):
    """The function is gone."""


def raising(error: type[BaseException]) -> Callable[[], Any]:
    def fail() -> None:
        raise error

    return fail


def test_a_message_that_was_cut_off_is_delivered_when_all_others_are_settled() -> None:
    fake = FakeBatchDelivery(concurrency=4, claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)})
    assert results(fake.deliver(messages("a", "b", "c"))) == ["posted", "posted", "posted"]
    assert fake.sent[-1] == "a"
    assert list(fake.settled.values()) == [Status.POSTED] * 3


def test_the_gate_is_asked_for_each_message_that_was_cut_off() -> None:
    cut_off = {each: a_claim(key, perhaps_posted=True, cut_off=1) for each, key in (("a", "m-1"), ("b", "m-2"))}
    fake = FakeBatchDelivery(claims=cut_off)
    fake.deliver(messages("a", "b", "c"))
    assert fake.gate.asked == [3, 1, 1]
    assert (fake.gate.state.count, sorted(fake.sent)) == (3, ["a", "b", "c"])


def test_a_message_that_ends_the_function_again_costs_the_gate_one_post() -> None:
    fake = FakeBatchDelivery(
        claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=2)}, answers={"a": raising(Ended)}
    )
    with pytest.raises(Ended):
        fake.deliver(messages("a", "b", "c"))
    assert fake.gate.state.count == 3
    assert fake.settled["m-2"] is fake.settled["m-3"] is Status.POSTED


def test_a_message_that_was_cut_off_and_sends_no_request_gives_its_admission_back() -> None:
    fake = FakeBatchDelivery(
        claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)}, answers={"a": Retry("no connection")}
    )
    fake.deliver(messages("a"))
    assert (fake.sent, fake.gate.asked, fake.gate.state.count) == (["a"], [1, 1], 0)


def test_a_message_that_was_cut_off_may_be_the_probe_that_opens_the_gate() -> None:
    fake = FakeBatchDelivery(claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)})
    fake.gate.state = State(pause=a_pause("token_refused", -1, probe=True))
    assert results(fake.deliver(messages("a"))) == ["posted"]
    assert fake.gate.state.pause is None


def test_a_message_that_was_cut_off_waits_while_the_gate_is_closed() -> None:
    fake = FakeBatchDelivery(claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)})
    fake.answers = {"b": Halt(a_pause("blocked", 900, probe=True), status=403)}
    (first, _) = fake.deliver(messages("a", "b"))
    assert (first.result, first.tried, first.pause and first.pause.cause) == (Result.DEFERRED, False, "blocked")
    assert fake.sent == ["b"]


def test_the_outcome_of_a_message_that_was_cut_off_is_passed_on_once() -> None:
    outcomes: list[str] = []
    fake = FakeBatchDelivery(
        claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=1)},
        on_outcome=lambda message, outcome: outcomes.append(f"{message.id} {outcome.result}"),
    )
    fake.deliver(messages("a", "b"))
    assert outcomes == ["m-2 posted", "m-1 posted"]


def test_a_message_that_was_cut_off_three_times_is_moved_to_dead_letters_and_uses_no_admission() -> None:
    fake = FakeBatchDelivery(claims={"a": a_claim("m-1", perhaps_posted=True, cut_off=3)})
    (outcome,) = fake.deliver(messages("a"))
    ((body, reason),) = fake.dead_letters
    assert (outcome.result, body, fake.gate.state.count) == (Result.REJECTED, "a", 0)
    assert reason.startswith("three deliveries in a row were interrupted")
