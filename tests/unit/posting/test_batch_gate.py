"""A batch and the gate: it is asked once, pauses stop the batch, and unused admissions are given back."""

from typing import Any

import pytest
from relay.errors import Duplicate, Halt, NoId, Pause, Reject, Retry, Unknown, Wait
from relay.posting.gate import Pace, State
from relay.posting.outcome import Claim, Status
from relay.posting.reconciliation import NOT_THERE, Verdict

from tests.factories import NOW, a_claim, a_pause, messages, published
from tests.unit.posting.batch_helpers import UNREADABLE, FakeBatchDelivery, MemoryGate, results

# --- Admissions


def test_an_empty_batch_does_not_ask_the_gate() -> None:
    fake = FakeBatchDelivery()
    assert fake.deliver([]) == []
    assert fake.gate.asked == []


def test_a_batch_that_cannot_be_read_does_not_ask_the_gate() -> None:
    fake = FakeBatchDelivery()
    assert results(fake.deliver(messages(UNREADABLE, "null"))) == ["rejected", "rejected"]
    assert fake.gate.asked == []


def test_the_gate_is_asked_once_for_all_that_can_be_read() -> None:
    fake = FakeBatchDelivery()
    fake.deliver(messages("a", UNREADABLE, "b"))
    assert fake.gate.asked == [2]


def test_a_closed_gate_leaves_every_message_untried_and_unclaimed() -> None:
    fake = FakeBatchDelivery(concurrency=4)
    fake.gate.operator_pause = a_pause("operator", None)
    for outcome in fake.deliver(messages("a", "b")):
        assert (outcome.done, outcome.tried, outcome.pause) == (False, False, fake.gate.operator_pause)
    assert fake.claimed == []


def test_no_more_is_posted_than_the_gate_grants() -> None:
    fake = FakeBatchDelivery()
    fake.gate = MemoryGate(fake.clock, Pace(60, 2, 0))
    outcomes = fake.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "posted", "deferred"]
    assert outcomes[2].pause
    assert (outcomes[2].pause.cause, outcomes[2].tried) == ("pace", False)
    assert fake.sent == ["a", "b"]


@pytest.mark.parametrize("threads", [1, 4])
def test_admissions_that_no_request_used_are_given_back(threads: int) -> None:
    fake = FakeBatchDelivery(concurrency=threads, answers={"offline": Retry("no connection")})
    fake.claims = {
        "posted before": a_claim(before=Status.POSTED, published=published(3)),
        "taken": Retry("another worker has it"),
    }
    fake.deliver(messages("posted before", "taken", "offline", "new"))
    assert (fake.gate.state.count, fake.sent.count("new")) == (1, 1)


def test_a_halt_before_any_request_uses_no_admission() -> None:
    fake = FakeBatchDelivery(answers={"a": Halt(a_pause("token_unreadable"))})
    fake.deliver(messages("a"))
    assert fake.gate.state.count == 0


@pytest.mark.parametrize(
    "error",
    [
        Reject("blank", status=422),
        Duplicate("again", status=422),
        Unknown("reset"),
        Wait(a_pause()),
        Halt(a_pause(), status=401),
    ],
)
def test_a_request_that_reached_stocktwits_has_used_its_admission(error: Exception) -> None:
    fake = FakeBatchDelivery(answers={"a": error})
    fake.deliver(messages("a"))
    assert fake.gate.state.count == 1


def test_an_admission_given_back_by_one_message_serves_the_next() -> None:
    fake = FakeBatchDelivery(claims={"posted before": a_claim(before=Status.POSTED, published=published(3))})
    fake.gate = MemoryGate(fake.clock, Pace(60, 1, 0))
    assert results(fake.deliver(messages("posted before", "new", "late"))) == ["already_posted", "posted", "deferred"]


def test_a_dry_run_keeps_the_pace() -> None:
    fake = FakeBatchDelivery(dry_run=True)
    assert results(fake.deliver(messages("a", "b"))) == ["dry_run", "dry_run"]
    assert (fake.sent, fake.gate.state.count) == ([], 2)


# --- Pauses


@pytest.mark.parametrize(
    "error",
    [
        Wait(a_pause("rate_limited"), status=429),
        Halt(a_pause("token_refused"), status=401),
        Unknown("503", status=503, pause=a_pause("unavailable")),
    ],
)
def test_an_answer_that_imposes_a_pause_closes_the_gate_and_leaves_the_rest_of_the_batch_untried(error: Any) -> None:
    fake = FakeBatchDelivery(answers={"b": error})
    outcomes = fake.deliver(messages("a", "b", "c", "d"))
    assert results(outcomes) == ["posted", "deferred", "deferred", "deferred"]
    assert [each.tried for each in outcomes] == [True, True, False, False]
    assert [each.pause for each in outcomes[1:]] == [error.pause] * 3
    assert (fake.sent, fake.claimed) == (["a", "b"], ["a", "b"])
    assert fake.gate.closed_by == [error.pause]
    assert fake.gate.state.count == 2


def test_a_ledger_that_imposes_a_pause_closes_the_gate_and_leaves_the_rest_of_the_batch_untried() -> None:
    pause = a_pause("ledger")
    fake = FakeBatchDelivery(claims={"a": Halt(pause)})
    outcomes = fake.deliver(messages("a", "b"))
    assert [(each.tried, each.pause) for each in outcomes] == [(True, pause), (False, pause)]
    assert (fake.claimed, fake.sent, fake.gate.closed_by, fake.gate.state.count) == (["a"], [], [pause], 0)


@pytest.mark.parametrize("error", [Reject("blank"), Retry("no connection"), Unknown("reset")])
def test_a_failure_without_a_pause_does_not_stop_the_batch(error: Exception) -> None:
    fake = FakeBatchDelivery(answers={"a": error})
    assert results(fake.deliver(messages("a", "b")))[1] == "posted"
    assert fake.gate.closed_by == []


@pytest.mark.parametrize("look_is_due", [True, False])
def test_a_pause_that_another_worker_met_stops_the_batch_at_the_next_look(look_is_due: bool) -> None:
    fake = FakeBatchDelivery()

    def pause_meanwhile() -> None:
        fake.clock.now += 1.001 if look_is_due else 1.0
        fake.gate.state = fake.gate.state.close(a_pause("rate_limited", 60))

    fake.answers = {"a": pause_meanwhile}
    outcomes = fake.deliver(messages("a", "b", "c"))
    assert results(outcomes)[1:] == ["deferred" if look_is_due else "posted"] * 2
    assert fake.gate.looks == (1 if look_is_due else 0)
    assert fake.gate.closed_by == []


def test_a_look_that_found_nothing_is_good_for_a_second() -> None:
    fake = FakeBatchDelivery()
    fake.answers = {"a": lambda: setattr(fake.clock, "now", NOW + 1.5)}
    fake.deliver(messages("a", "b", "c"))
    assert (fake.gate.looks, fake.sent) == (1, ["a", "b", "c"])


def test_an_operators_pause_stops_the_batch_at_the_next_look() -> None:
    fake = FakeBatchDelivery()

    def pause_meanwhile() -> None:
        fake.clock.now += 2
        fake.gate.operator_pause = a_pause("operator", None)

    fake.answers = {"a": pause_meanwhile}
    outcomes = fake.deliver(messages("a", "b"))
    assert (results(outcomes), outcomes[1].tried) == (["posted", "deferred"], False)
    assert outcomes[1].pause == a_pause("operator", None)


def test_the_look_right_before_a_request_takes_the_claim_back() -> None:
    fake = FakeBatchDelivery()

    def claim_slowly(key: str, *_: object) -> Claim:
        fake.clock.now += 2
        fake.gate.operator_pause = a_pause("operator", None)
        return a_claim(key)

    fake.claim = claim_slowly
    (outcome,) = fake.deliver(messages("a"))
    assert (outcome.done, outcome.tried, fake.sent) == (False, False, [])
    assert fake.settled == {"m-1": Status.RELEASED}
    assert fake.gate.state.count == 0


def test_a_gate_that_cannot_be_changed_does_not_undo_what_was_posted() -> None:
    def unreachable(*_: object) -> None:
        raise Retry("the ledger table did not answer")

    fake = FakeBatchDelivery(answers={"b": Wait(a_pause(), status=429)})
    fake.gate.close = fake.gate.give_back = fake.gate.open = unreachable
    assert results(fake.deliver(messages("a", "b", "c"))) == ["posted", "deferred", "deferred"]
    assert fake.sent == ["a", "b"]


def test_with_little_time_left_the_rest_is_left_untried_and_the_gate_stays_open() -> None:
    left = iter([60.0, 60.0, 20.0, 19.9])
    fake = FakeBatchDelivery(seconds_left=lambda: next(left))
    outcomes = fake.deliver(messages("a", "b", "c"))
    assert results(outcomes) == ["posted", "deferred", "deferred"]
    assert (fake.claimed, [each.tried for each in outcomes]) == (["a", "b"], [True, False, False])
    assert outcomes[2].pause == Pause("time", "this invocation is almost out of time", NOW)
    assert (fake.gate.closed_by, fake.gate.state.count) == ([], 1)


# --- Probes


def after_a_refused_token() -> FakeBatchDelivery:
    fake = FakeBatchDelivery()
    fake.gate.state = State(pause=a_pause("token_refused", -1, probe=True))
    return fake


def open_to_all(fake: FakeBatchDelivery) -> bool:
    return fake.gate.state.pause is None


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_probe_that_is_posted_opens_the_gate_for_the_next_batch(dry_run: bool) -> None:
    fake = after_a_refused_token()
    fake.dry_run = dry_run
    outcomes = fake.deliver(messages("a", "b"))
    assert [each.done for each in outcomes] == [True, False]
    assert outcomes[1].tried is False
    assert open_to_all(fake)


def test_a_probe_whose_text_is_refused_shows_that_the_token_is_good() -> None:
    fake = after_a_refused_token()
    fake.answers = {"a": Reject("blank", status=422)}
    fake.deliver(messages("a"))
    assert open_to_all(fake)


@pytest.mark.parametrize("error", [Unknown("reset"), Halt(a_pause("token_refused", 300, probe=True), status=401)])
def test_a_probe_that_did_not_succeed_leaves_the_gate_closed_and_is_used_up(error: Exception) -> None:
    fake = after_a_refused_token()
    fake.answers = {"a": error}
    fake.deliver(messages("a", "b"))
    assert not open_to_all(fake)
    assert fake.gate.state.admit(5, NOW + 1, Pace(60, 10, 0)).granted == 0


@pytest.mark.parametrize(
    "claim",
    [a_claim(before=Status.POSTED, published=published(3)), Retry("another worker has it"), Reject("another text")],
)
def test_a_probe_that_was_never_sent_is_given_back_and_leaves_the_gate_closed(claim: Any) -> None:
    fake = after_a_refused_token()
    fake.claims = {"a": claim}
    fake.deliver(messages("a"))
    assert not open_to_all(fake)
    assert fake.gate.state.admit(5, NOW + 1, Pace(60, 10, 0)).probe


def test_a_batch_without_a_probe_leaves_the_pause_as_it_is() -> None:
    fake = FakeBatchDelivery()
    pause = a_pause("rate_limited", -1)
    fake.gate.state = State(pause=pause)
    fake.deliver(messages("a"))
    assert fake.gate.state.pause == pause


def test_when_a_probe_is_posted_the_gate_remembers_it() -> None:
    fake = after_a_refused_token()
    fake.deliver(messages("a"))
    assert fake.gate.state.posted_at == NOW


@pytest.mark.parametrize(
    ("answer", "dry_run"), [(Reject("blank", status=422), False), (None, True)], ids=["rejected", "dry run"]
)
def test_a_probe_that_opens_the_gate_without_a_post_is_not_remembered_as_posted(answer: Any, dry_run: bool) -> None:
    fake = after_a_refused_token()
    fake.answers, fake.dry_run = {"a": answer}, dry_run
    fake.deliver(messages("a"))
    assert (open_to_all(fake), fake.gate.state.posted_at) == (True, 0)


# --- One message or all

REFUSED = Halt(a_pause("token_refused", 300, probe=True), status=403, answer="403: no")
REFUSED_BEFORE = {"poisoned": a_claim("m-2", refused_at=NOW - 600)}


def test_a_message_that_is_refused_again_after_another_one_of_the_batch_was_posted_stops_nobody() -> None:
    fake = FakeBatchDelivery(claims=REFUSED_BEFORE, answers={"poisoned": REFUSED})
    assert results(fake.deliver(messages("a", "poisoned", "b"))) == ["posted", "rejected", "posted"]
    assert fake.dead_letters == [
        ("poisoned", "StockTwits refused it twice, and took another message in between (403: no)")
    ]
    assert fake.gate.closed_by == []


@pytest.mark.parametrize(("posted_at", "result"), [(NOW - 599, "rejected"), (NOW - 600, "deferred"), (0, "deferred")])
def test_a_message_that_is_refused_again_after_a_probe_was_posted_is_to_blame(posted_at: float, result: str) -> None:
    fake = FakeBatchDelivery(claims=REFUSED_BEFORE, answers={"poisoned": REFUSED})
    fake.gate.state = State(posted_at=posted_at)
    assert results(fake.deliver(messages("poisoned"))) == [result]
    assert bool(fake.gate.closed_by) is (result == "deferred")


@pytest.mark.parametrize(
    "other",
    [Reject("blank", status=422), Retry("no connection"), Unknown("reset")],
    ids=["rejected", "retry", "unknown"],
)
def test_what_was_not_posted_in_between_does_not_make_a_refused_message_to_blame(other: Exception) -> None:
    fake = FakeBatchDelivery(claims=REFUSED_BEFORE, answers={"a": other, "poisoned": REFUSED})
    assert results(fake.deliver(messages("a", "poisoned")))[1] == "deferred"


def test_what_is_found_on_the_stream_was_not_posted_in_between() -> None:
    claims = REFUSED_BEFORE | {"a": a_claim("m-1", perhaps_posted=True)}
    fake = FakeBatchDelivery(claims=claims, answers={"poisoned": REFUSED}, find=lambda *_: Verdict(3))
    assert results(fake.deliver(messages("a", "poisoned"))) == ["posted", "deferred"]


# --- Answers that no longer name the post

NO_ID = NoId("StockTwits answered without a message id", status=200)


def taking_without_ids(*texts: str) -> FakeBatchDelivery:
    return FakeBatchDelivery(answers=dict.fromkeys(texts, NO_ID))


def test_three_posts_in_a_row_without_an_id_close_the_gate_until_a_probe() -> None:
    fake = taking_without_ids("a", "b", "c")
    outcomes = fake.deliver(messages("a", "b", "c", "d"))
    assert results(outcomes) == ["deferred"] * 4
    assert [each.tried for each in outcomes] == [True, True, True, False]
    (pause,) = fake.gate.closed_by
    assert (pause.cause, pause.until, pause.probe) == ("unexpected_answer", NOW + 300, True)
    assert "no longer name the posts" in pause.reason


@pytest.mark.parametrize("texts", [["a", "b"], ["a", "b", "fine", "c"], ["a", "fine", "b", "fine", "c"]])
def test_fewer_posts_in_a_row_without_an_id_leave_the_gate_open(texts: list[str]) -> None:
    fake = taking_without_ids("a", "b", "c")
    fake.deliver(messages(*texts))
    assert fake.gate.closed_by == []


def test_posts_without_an_id_are_counted_from_batch_to_batch() -> None:
    fake = taking_without_ids("a", "b", "c")
    for number, text in enumerate("abc", 1):
        assert fake.gate.closed_by == []
        fake.deliver(messages(text))
        assert fake.gate.state.no_ids == number % 3
    assert len(fake.gate.closed_by) == 1


def test_a_post_with_an_id_ends_the_row_for_later_batches_too() -> None:
    fake = taking_without_ids("a", "b", "c")
    fake.deliver(messages("a", "b"))
    fake.deliver(messages("fine"))
    fake.deliver(messages("c"))
    assert (fake.gate.closed_by, fake.gate.counted_no_ids) == ([], [2, 0, 1])


def test_a_row_without_ids_is_written_down_only_when_it_changes() -> None:
    fake = FakeBatchDelivery()
    fake.deliver(messages("a", "b"))
    assert fake.gate.counted_no_ids == []


@pytest.mark.parametrize("error", [Unknown("reset"), Retry("no connection"), Reject("blank", status=422)])
def test_another_failure_neither_lengthens_nor_ends_the_row(error: Exception) -> None:
    fake = taking_without_ids("a", "b", "c")
    fake.answers["failing"] = error
    fake.deliver(messages("a", "b", "failing"))
    assert fake.gate.closed_by == []
    fake.deliver(messages("c"))
    assert len(fake.gate.closed_by) == 1


def test_a_post_without_an_id_that_the_stream_shows_ends_the_row() -> None:
    fake = taking_without_ids("a", "b", "c")
    fake.find = lambda lost, *_: Verdict(3) if lost.text == "b" else NOT_THERE
    fake.deliver(messages("a", "b", "c"))
    assert (fake.gate.closed_by, fake.gate.state.no_ids) == ([], 1)


def test_a_gate_that_cannot_count_does_not_undo_what_was_posted() -> None:
    def unreachable(*_: object) -> None:
        raise Retry("the ledger table did not answer")

    fake = taking_without_ids("b")
    fake.gate.count_no_ids = unreachable
    assert results(fake.deliver(messages("a", "b", "c"))) == ["posted", "deferred", "posted"]
