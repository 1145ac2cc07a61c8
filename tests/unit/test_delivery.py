"""One message to its outcome, with plain callables in place of AWS and StockTwits."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from relay.delivery import Claim, Delivery, Outcome, Published, Result, Settlement, Status
from relay.errors import Duplicate, Halt, Misconfigured, Pause, Reject, RelayError, Retry, Unknown, Wait
from relay.message import Post

from tests.unit.factories import NOW, a_claim, a_message, a_pause, a_post, published

PERHAPS_POSTED = a_claim(perhaps_posted=True, first_claimed_at=NOW - 600)
CUT_OFF_TWICE = a_claim(perhaps_posted=True, first_claimed_at=NOW - 600, cut_off=2)
DUPLICATE = Duplicate("StockTwits says it is a duplicate", status=422)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


class Desk:
    """A delivery of one claim, and a record of what it did in which order."""

    def __init__(self, taken: Claim | None = None, **but: Callable[..., Any] | None) -> None:
        self.happened: list[str] = []
        self.settled: list[Settlement] = []
        self.sent: list[tuple[Post, bytes | None]] = []
        self.looked_for: list[tuple[str, float]] = []
        self._taken = taken or a_claim()
        usual = {"claim": self._claim, "settle": self._settle, "find": self._find, "prepare": self._prepare}
        self._delivery = Delivery(**{**usual, "send": self._send, "now": lambda: NOW, **but})

    def deliver(
        self,
        post: Post | None = None,
        slot: Any = None,
        stopped: Callable[[], Pause | None] = lambda: None,
        *,
        alone: bool = False,
    ) -> Outcome:
        return self._delivery.deliver(a_message(), post or a_post(), slot or nullcontext(), stopped, alone=alone)

    def _claim(self, *_: str) -> Claim:
        self.happened.append("claim")
        return self._taken

    def _settle(self, claim: Claim, settlement: Settlement) -> None:
        assert claim is self._taken
        self.happened.append("settle")
        self.settled.append(settlement)

    def _find(self, text: str, since: float) -> Published | None:
        self.happened.append("find")
        self.looked_for.append((text, since))
        return None

    def _prepare(self, post: Post) -> bytes | None:
        self.happened.append("prepare")
        return b"pixels" if post.chart else None

    def _send(self, post: Post, chart: bytes | None) -> Published:
        self.happened.append("send")
        self.sent.append((post, chart))
        return published(7)


def test_a_post_is_claimed_sent_once_and_settled_as_posted() -> None:
    desk = Desk()
    outcome = desk.deliver(a_post("$AAPL up"))
    assert outcome == Outcome(Result.POSTED, "m-1", published=published(7), sent=True)
    assert (outcome.done, outcome.tried) == (True, True)
    assert desk.sent == [(a_post("$AAPL up"), None)]
    assert desk.settled == [Settlement(Status.POSTED, published=published(7))]
    assert desk.happened == ["claim", "prepare", "send", "settle"]


def test_the_claim_is_made_by_key_text_and_message_id() -> None:
    asked: list[tuple[str, ...]] = []
    taken = a_claim("own")

    def claim(*what: str) -> Claim:
        asked.append(what)
        return taken

    assert Desk(taken, claim=claim).deliver(a_post("$AAPL up", key="own")).key == "own"
    assert asked == [("own", "$AAPL up", "m-1")]


def test_a_chart_is_fetched_before_there_is_a_request_and_goes_with_it() -> None:
    desk = Desk()
    desk.deliver(a_post(chart="s3://charts/c.png"))
    assert desk.sent == [(a_post(chart="s3://charts/c.png"), b"pixels")]


@pytest.mark.parametrize(
    ("before", "outcome"),
    [
        (
            a_claim(before=Status.POSTED, published=published(3)),
            Outcome(Result.ALREADY_POSTED, "m-1", "the ledger has it as posted", published(3)),
        ),
        (
            a_claim(before=Status.REJECTED, reason="too long", status=422),
            Outcome(Result.REJECTED, "m-1", "too long", status=422),
        ),
        (a_claim(before=Status.DRY_RUN), Outcome(Result.DRY_RUN, "m-1", "dry run: nothing was sent")),
    ],
)
def test_what_the_ledger_has_as_final_is_repeated_and_nothing_is_done(before: Claim, outcome: Outcome) -> None:
    desk = Desk(before)
    assert desk.deliver() == outcome
    assert outcome.done
    assert desk.happened == ["claim"]


def test_what_may_be_posted_already_is_looked_for_before_it_is_sent() -> None:
    desk = Desk(PERHAPS_POSTED)
    assert desk.deliver(a_post("$AAPL up")).result is Result.POSTED
    assert desk.looked_for == [("$AAPL up", NOW - 600)]
    assert desk.happened == ["claim", "find", "prepare", "send", "settle"]


def test_what_the_stream_shows_is_settled_as_posted_and_not_sent_again() -> None:
    desk = Desk(PERHAPS_POSTED, find=lambda *_: published(3))
    outcome = desk.deliver()
    assert (outcome.result, outcome.published, outcome.sent) == (Result.POSTED, published(3), False)
    assert desk.settled == [Settlement(Status.POSTED, published=published(3))]
    assert desk.sent == []


@pytest.mark.parametrize(
    "error", [Retry("no connection"), Unknown("broken off"), Wait(a_pause()), Halt(a_pause("blocked"))]
)
def test_nothing_is_sent_while_the_stream_cannot_be_read(error: RelayError) -> None:
    desk = Desk(PERHAPS_POSTED, find=raising(error))
    outcome = desk.deliver()
    assert (outcome.result, outcome.pause, outcome.sent) == (Result.DEFERRED, error.pause, False)
    assert desk.settled[0].status is Status.UNKNOWN
    assert desk.sent == []


def test_a_stream_that_does_not_reach_back_leaves_it_to_a_person() -> None:
    desk = Desk(PERHAPS_POSTED, find=raising(Reject("the stream does not reach back")))
    assert desk.deliver().result is Result.REJECTED
    assert desk.sent == []


@pytest.mark.parametrize(("seconds", "result"), [(0, Result.REJECTED), (-1, Result.REJECTED), (1, Result.POSTED)])
def test_a_post_whose_moment_has_passed_is_not_sent(seconds: int, result: Result) -> None:
    desk = Desk()
    expires_at = datetime.fromtimestamp(NOW, timezone(timedelta(hours=-5))) + timedelta(seconds=seconds)
    outcome = desk.deliver(a_post(expires_at=expires_at))
    assert outcome.result is result
    assert bool(desk.sent) is (result is Result.POSTED)


def test_an_expired_post_says_when_it_expired_and_when_its_turn_came() -> None:
    outcome = Desk().deliver(a_post(expires_at=datetime(2027, 1, 15, 7, tzinfo=UTC)))
    assert (
        outcome.reason == "it expired at 2027-01-15T07:00:00+00:00; it was 2027-01-15 08:00:00 UTC when its turn came"
    )


def test_an_expired_post_that_the_stream_shows_is_posted() -> None:
    desk = Desk(PERHAPS_POSTED, find=lambda *_: published(3))
    assert desk.deliver(a_post(expires_at=datetime(2027, 1, 15, 7, tzinfo=UTC))).result is Result.POSTED


@pytest.mark.parametrize(
    ("error", "result", "status", "again", "sent"),
    [
        (Reject("blank", status=422), Result.REJECTED, Status.REJECTED, Status.REJECTED, True),
        (Retry("no connection"), Result.DEFERRED, Status.RELEASED, Status.UNKNOWN, False),
        (Wait(a_pause(), status=429), Result.DEFERRED, Status.RELEASED, Status.UNKNOWN, True),
        (Halt(a_pause("blocked"), status=403), Result.DEFERRED, Status.RELEASED, Status.UNKNOWN, True),
        (Unknown("reset"), Result.DEFERRED, Status.UNKNOWN, Status.UNKNOWN, True),
        (Unknown("503", status=503, pause=a_pause()), Result.DEFERRED, Status.UNKNOWN, Status.UNKNOWN, True),
    ],
)
def test_each_failure_is_settled_by_what_it_says_of_the_post(
    error: RelayError, result: Result, status: Status, again: Status, sent: bool
) -> None:
    for claim, settled_as in ((a_claim(), status), (PERHAPS_POSTED, again)):
        desk = Desk(claim, send=raising(error))
        outcome = desk.deliver()
        assert (outcome.result, outcome.status, outcome.pause) == (result, error.status, error.pause)
        assert outcome.sent is sent
        assert outcome.reason.startswith(error.reason)
        assert [each.status for each in desk.settled] == [settled_as]


def test_a_rejection_after_an_unknown_attempt_says_so_and_lets_the_next_claim_look_again() -> None:
    desk = Desk(PERHAPS_POSTED, send=raising(Reject("blank", status=422)))
    outcome = desk.deliver()
    assert outcome.reason.startswith("blank - an earlier attempt may have posted it: look on StockTwits")
    assert desk.settled == [Settlement(Status.REJECTED, perhaps_posted=True, reason=outcome.reason, http_status=422)]


def test_a_rejection_is_remembered_with_its_reason_and_status() -> None:
    desk = Desk(send=raising(Reject("blank", status=422)))
    desk.deliver()
    assert desk.settled == [Settlement(Status.REJECTED, reason="blank", http_status=422)]


def test_a_chart_that_cannot_be_used_rejects_its_message_before_a_request() -> None:
    desk = Desk(prepare=raising(Reject("chart: no image")))
    outcome = desk.deliver()
    assert (outcome.result, outcome.reason, outcome.sent) == (Result.REJECTED, "chart: no image", False)
    assert desk.sent == []


def test_a_duplicate_at_the_first_attempt_is_another_post_than_this_one() -> None:
    desk = Desk(send=raising(DUPLICATE))
    outcome = desk.deliver()
    assert (outcome.result, outcome.status) == (Result.REJECTED, 422)
    assert desk.settled[0].status is Status.REJECTED
    assert desk.looked_for == []


def test_a_duplicate_after_an_unknown_attempt_is_looked_for_again() -> None:
    shown = iter([None, published(3)])
    desk = Desk(PERHAPS_POSTED, send=raising(DUPLICATE), find=lambda *_: next(shown))
    outcome = desk.deliver()
    assert (outcome.result, outcome.published, outcome.sent) == (Result.POSTED, published(3), True)
    assert desk.settled == [Settlement(Status.POSTED, published=published(3))]


def test_a_duplicate_that_the_stream_never_shows_waits_until_stocktwits_has_forgotten_it() -> None:
    desk = Desk(PERHAPS_POSTED, send=raising(DUPLICATE))
    outcome = desk.deliver()
    assert (outcome.result, outcome.retry_at, outcome.status) == (Result.DEFERRED, NOW + 1800, 422)
    assert outcome.pause is None
    (settlement,) = desk.settled
    assert (settlement.status, settlement.hold_until) == (Status.UNKNOWN, NOW + 1800)


def test_a_duplicate_is_not_looked_for_again_while_the_gate_is_shut() -> None:
    desk = Desk(PERHAPS_POSTED, send=raising(DUPLICATE))
    pauses = iter([None, None, a_pause(seconds=300)])
    outcome = desk.deliver(stopped=lambda: next(pauses))
    assert (outcome.result, outcome.retry_at, outcome.pause, outcome.sent) == (Result.DEFERRED, NOW + 300, None, True)
    assert [each.status for each in desk.settled] == [Status.UNKNOWN]
    assert len(desk.looked_for) == 1


@pytest.mark.parametrize("error", [Reject("the stream does not reach back"), Retry("no connection"), Wait(a_pause())])
def test_a_duplicate_whose_second_look_fails_stays_unknown_whatever_the_failure(error: RelayError) -> None:
    looks = iter([lambda: None, raising(error)])
    desk = Desk(PERHAPS_POSTED, send=raising(DUPLICATE), find=lambda *_: next(looks)())
    outcome = desk.deliver()
    assert (outcome.result, outcome.pause) == (Result.DEFERRED, error.pause)
    assert [each.status for each in desk.settled] == [Status.UNKNOWN]


@pytest.mark.parametrize(("claim", "status"), [(a_claim(), Status.RELEASED), (PERHAPS_POSTED, Status.UNKNOWN)])
def test_a_stop_leaves_a_message_untried_and_asks_stocktwits_nothing(claim: Claim, status: Status) -> None:
    desk = Desk(claim)
    pause = a_pause()
    outcome = desk.deliver(stopped=lambda: pause)
    assert outcome == Outcome(Result.DEFERRED, "m-1", pause.reason, pause=pause, tried=False)
    assert [each.status for each in desk.settled] == [status]
    assert "send" not in desk.happened
    assert "find" not in desk.happened


def test_a_stop_between_looking_and_sending_still_stops() -> None:
    answers = iter([None, a_pause()])
    desk = Desk(PERHAPS_POSTED)
    assert desk.deliver(stopped=lambda: next(answers)).tried is False
    assert desk.happened == ["claim", "find", "prepare", "settle"]


def test_a_message_whose_delivery_was_cut_off_is_not_touched_beside_others() -> None:
    desk = Desk(CUT_OFF_TWICE)
    outcome = desk.deliver()
    assert (outcome.result, outcome.tried, outcome.alone) == (Result.DEFERRED, False, True)
    assert (desk.happened, desk.settled) == (["claim", "settle"], [Settlement(Status.UNKNOWN, cut_off=2)])


def test_alone_it_is_delivered_and_what_was_cut_off_is_forgotten() -> None:
    desk = Desk(CUT_OFF_TWICE)
    outcome = desk.deliver(alone=True)
    assert (outcome.result, outcome.alone) == (Result.POSTED, False)
    assert (desk.happened, desk.settled[0].cut_off) == (["claim", "find", "prepare", "send", "settle"], 0)


def test_a_message_that_was_cut_off_and_is_stopped_now_counts_as_often_cut_off_as_before() -> None:
    desk = Desk(CUT_OFF_TWICE)
    desk.deliver(stopped=a_pause, alone=True)
    assert desk.settled == [Settlement(Status.UNKNOWN, cut_off=2)]


@pytest.mark.parametrize("alone", [False, True])
def test_a_message_that_was_cut_off_three_times_is_rejected_before_anything_is_done(*, alone: bool) -> None:
    desk = Desk(a_claim(perhaps_posted=True, cut_off=3))
    outcome = desk.deliver(alone=alone)
    assert outcome.result is Result.REJECTED
    assert outcome.reason.startswith("its delivery was cut off three times")
    assert "look on StockTwits" in outcome.reason
    assert desk.happened == ["claim", "settle"]
    assert (desk.settled[0].status, desk.settled[0].cut_off) == (Status.REJECTED, 0)


def test_a_dry_run_does_everything_but_the_request() -> None:
    desk = Desk(send=None)
    outcome = desk.deliver(a_post(chart="s3://charts/c.png"))
    assert outcome == Outcome(Result.DRY_RUN, "m-1", "dry run: nothing was sent", sent=True)
    assert desk.settled == [Settlement(Status.DRY_RUN)]
    assert desk.happened == ["claim", "prepare", "settle"]


def test_a_dry_run_does_not_settle_an_old_doubt() -> None:
    desk = Desk(PERHAPS_POSTED, send=None)
    assert desk.deliver().result is Result.DRY_RUN
    assert [each.status for each in desk.settled] == [Status.UNKNOWN]


def test_a_dry_run_stops_when_told_to() -> None:
    assert Desk(send=None).deliver(stopped=a_pause).result is Result.DEFERRED


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, Result.POSTED),
        ({"send": raising(Reject("blank"))}, Result.REJECTED),
        ({"send": None}, Result.DRY_RUN),
        ({"send": raising(Unknown("reset"))}, Result.DEFERRED),
    ],
)
def test_a_ledger_that_cannot_be_told_changes_nothing_of_what_happened(changes: Any, result: Result) -> None:
    outcome = Desk(**changes, settle=raising(OSError("secret"))).deliver()
    assert outcome.result is result
    assert "(the ledger could not be told: OSError)" in outcome.reason
    assert "secret" not in outcome.reason


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (Reject("used for another text"), Result.REJECTED),
        (Retry("another worker has it"), Result.DEFERRED),
        (Halt(a_pause("ledger")), Result.DEFERRED),
        (Misconfigured("no table"), Result.DEFERRED),
    ],
)
def test_without_a_claim_nothing_is_done(error: RelayError, result: Result) -> None:
    desk = Desk(claim=raising(error))
    assert desk.deliver() == Outcome(result, "m-1", error.reason, pause=error.pause)
    assert desk.happened == []


@pytest.mark.parametrize("part", ["prepare", "send"])
def test_a_defect_never_counts_as_nothing_sent(part: str) -> None:
    desk = Desk(**{part: raising(ValueError("secret"))})
    assert desk.deliver().result is Result.DEFERRED
    assert [each.status for each in desk.settled] == [Status.UNKNOWN]


def test_a_defect_is_named_by_type_and_place_and_never_quoted() -> None:
    for part in ("claim", "send"):
        reason = Desk(**{part: raising(ValueError("secret"))}).deliver().reason
        assert "unexpected ValueError at " in reason
        assert "test_delivery.py:" in reason
        assert "secret" not in reason


def test_a_claim_with_a_defect_defers_the_message() -> None:
    outcome = Desk(claim=raising(KeyError("Item"))).deliver()
    assert (outcome.result, outcome.pause) == (Result.DEFERRED, None)


def test_the_slot_is_held_for_requests_and_for_nothing_else() -> None:
    desk = Desk(PERHAPS_POSTED)

    class Slot:
        def __enter__(self) -> None:
            desk.happened.append("(")

        def __exit__(self, *_: object) -> None:
            desk.happened.append(")")

    desk.deliver(slot=Slot(), stopped=lambda: desk.happened.append("ask"))
    assert " ".join(desk.happened) == "claim ( ask find ) prepare ( ask send ) settle"
