"""One message to its outcome, with plain callables in place of AWS and StockTwits."""

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from relay.errors import Duplicate, Halt, Misconfigured, Pause, Reject, RelayError, Retry, Unknown, Wait
from relay.posting.alert import Alert
from relay.posting.delivery import Delivery, idempotency_key
from relay.posting.outcome import Claim, Outcome, Published, Result, Settlement, Status

from tests.factories import NOW, a_claim, a_message, a_pause, an_alert, published

PERHAPS_POSTED = a_claim(perhaps_posted=True, first_claimed_at=NOW - 600)
CUT_OFF_TWICE = a_claim(perhaps_posted=True, first_claimed_at=NOW - 600, cut_off=2)
DUPLICATE = Duplicate("StockTwits refused it as a duplicate", status=422)


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: object) -> None:
        raise error

    return fail


class FakeRequests:
    """A batch's requests, with a slot and a pause of the test's choice."""

    def __init__(self, slot: Any, pause: Callable[[], Pause | None], stop: Callable[[Pause], None]) -> None:
        self.slot = lambda: slot
        self.pause = pause
        self.stop = stop


class FakeDelivery:
    """A delivery of one claim, and a record of what it did in which order."""

    def __init__(self, taken: Claim | None = None, **but: Callable[..., Any] | None) -> None:
        self.happened: list[str] = []
        self.settled: list[Settlement] = []
        self.sent: list[tuple[Alert, bytes | None]] = []
        self.looked_for: list[tuple[str, float]] = []
        self.stops: list[Pause] = []
        self._taken = taken or a_claim()
        usual = {"claim": self._claim, "settle": self._settle, "find": self._find, "prepare": self._prepare}
        self._delivery = Delivery(**{**usual, "send": self._send, "now": lambda: NOW, **but})

    def deliver(
        self,
        alert: Alert | None = None,
        slot: Any = None,
        pause: Callable[[], Pause | None] = lambda: None,
        *,
        alone: bool = False,
    ) -> Outcome:
        requests = FakeRequests(slot or nullcontext(), pause, self._stop)
        return self._delivery.deliver(a_message(), alert or an_alert(), requests, alone=alone)

    def _stop(self, pause: Pause) -> None:
        self.happened.append("stop")
        self.stops.append(pause)

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

    def _prepare(self, alert: Alert) -> bytes | None:
        self.happened.append("prepare")
        return b"pixels" if alert.chart else None

    def _send(self, alert: Alert, chart: bytes | None) -> Published:
        self.happened.append("send")
        self.sent.append((alert, chart))
        return published(7)


@pytest.mark.parametrize(
    ("own", "relay_key", "key"),
    [("own", "relay_key", "own"), (None, "relay_key", "relay_key"), (None, None, "m-1"), (None, "", "m-1")],
)
def test_the_key_is_the_publishers_own_else_relay_key_else_the_message_id(
    own: str | None, relay_key: str | None, key: str
) -> None:
    assert idempotency_key(a_message(id="m-1", relay_key=relay_key), an_alert(key=own)) == key


def test_a_message_that_cannot_be_read_has_a_key_all_the_same() -> None:
    assert idempotency_key(a_message(id="m-1", relay_key="relay_key")) == "relay_key"
    assert idempotency_key(a_message(id="m-1")) == "m-1"


def test_an_alert_is_claimed_sent_once_and_settled_as_posted() -> None:
    fake = FakeDelivery()
    outcome = fake.deliver(an_alert("$AAPL up"))
    assert outcome == Outcome(Result.POSTED, "m-1", published=published(7), sent=True)
    assert (outcome.done, outcome.tried) == (True, True)
    assert fake.sent == [(an_alert("$AAPL up"), None)]
    assert fake.settled == [Settlement(Status.POSTED, published=published(7))]
    assert fake.happened == ["claim", "prepare", "send", "settle"]


def test_the_claim_is_made_by_key_text_and_message_id() -> None:
    asked: list[tuple[str, ...]] = []
    taken = a_claim("own")

    def claim(*what: str) -> Claim:
        asked.append(what)
        return taken

    assert FakeDelivery(taken, claim=claim).deliver(an_alert("$AAPL up", key="own")).key == "own"
    assert asked == [("own", "$AAPL up", "m-1")]


def test_a_chart_is_fetched_before_there_is_a_request_and_goes_with_it() -> None:
    fake = FakeDelivery()
    fake.deliver(an_alert(chart="s3://charts/c.png"))
    assert fake.sent == [(an_alert(chart="s3://charts/c.png"), b"pixels")]


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
def test_a_final_outcome_in_the_ledger_is_repeated_and_nothing_is_done(before: Claim, outcome: Outcome) -> None:
    fake = FakeDelivery(before)
    assert fake.deliver() == outcome
    assert outcome.done
    assert fake.happened == ["claim"]


def test_an_alert_that_may_be_posted_already_is_looked_for_before_it_is_sent() -> None:
    fake = FakeDelivery(PERHAPS_POSTED)
    assert fake.deliver(an_alert("$AAPL up")).result is Result.POSTED
    assert fake.looked_for == [("$AAPL up", NOW - 600)]
    assert fake.happened == ["claim", "find", "prepare", "send", "settle"]


def test_an_alert_that_the_stream_shows_is_settled_as_posted_and_not_sent_again() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: published(3))
    outcome = fake.deliver()
    assert (outcome.result, outcome.published, outcome.sent) == (Result.POSTED, published(3), False)
    assert fake.settled == [Settlement(Status.POSTED, published=published(3))]
    assert fake.sent == []


@pytest.mark.parametrize(
    "error", [Retry("no connection"), Unknown("broken off"), Wait(a_pause()), Halt(a_pause("blocked"))]
)
def test_nothing_is_sent_while_the_stream_cannot_be_read(error: RelayError) -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=raising(error))
    outcome = fake.deliver()
    assert (outcome.result, outcome.pause, outcome.sent) == (Result.DEFERRED, error.pause, False)
    assert fake.settled[0].status is Status.UNKNOWN
    assert fake.sent == []


def test_a_stream_that_does_not_reach_back_leaves_it_to_an_operator() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=raising(Reject("the stream does not reach back")))
    assert fake.deliver().result is Result.REJECTED
    assert fake.sent == []


@pytest.mark.parametrize(("seconds", "result"), [(0, Result.REJECTED), (-1, Result.REJECTED), (1, Result.POSTED)])
def test_an_expired_alert_is_not_sent(seconds: int, result: Result) -> None:
    fake = FakeDelivery()
    expires_at = datetime.fromtimestamp(NOW, timezone(timedelta(hours=-5))) + timedelta(seconds=seconds)
    outcome = fake.deliver(an_alert(expires_at=expires_at))
    assert outcome.result is result
    assert bool(fake.sent) is (result is Result.POSTED)


def test_the_reason_names_when_the_alert_expired_and_when_its_turn_came() -> None:
    outcome = FakeDelivery().deliver(an_alert(expires_at=datetime(2027, 1, 15, 7, tzinfo=UTC)))
    assert (
        outcome.reason == "it expired at 2027-01-15T07:00:00+00:00; it was 2027-01-15 08:00:00 UTC when its turn came"
    )


def test_an_expired_alert_that_the_stream_shows_is_posted() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: published(3))
    assert fake.deliver(an_alert(expires_at=datetime(2027, 1, 15, 7, tzinfo=UTC))).result is Result.POSTED


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
def test_each_failure_is_settled_by_what_it_means_for_the_post(
    error: RelayError, result: Result, status: Status, again: Status, sent: bool
) -> None:
    for claim, settled_as in ((a_claim(), status), (PERHAPS_POSTED, again)):
        fake = FakeDelivery(claim, send=raising(error))
        outcome = fake.deliver()
        assert (outcome.result, outcome.status, outcome.pause) == (result, error.status, error.pause)
        assert outcome.sent is sent
        assert outcome.reason.startswith(error.reason)
        assert [each.status for each in fake.settled] == [settled_as]


def test_a_rejection_after_an_unknown_attempt_mentions_it_and_makes_the_next_claim_look_again() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(Reject("blank", status=422)))
    outcome = fake.deliver()
    assert outcome.reason.startswith("blank - an earlier attempt may have posted it: look on StockTwits")
    assert fake.settled == [Settlement(Status.REJECTED, perhaps_posted=True, reason=outcome.reason, http_status=422)]


def test_a_rejection_is_remembered_with_its_reason_and_status() -> None:
    fake = FakeDelivery(send=raising(Reject("blank", status=422)))
    fake.deliver()
    assert fake.settled == [Settlement(Status.REJECTED, reason="blank", http_status=422)]


def test_a_chart_that_cannot_be_used_rejects_its_message_before_a_request() -> None:
    fake = FakeDelivery(prepare=raising(Reject("chart: no image")))
    outcome = fake.deliver()
    assert (outcome.result, outcome.reason, outcome.sent) == (Result.REJECTED, "chart: no image", False)
    assert fake.sent == []


def test_a_duplicate_at_the_first_attempt_is_rejected() -> None:
    fake = FakeDelivery(send=raising(DUPLICATE))
    outcome = fake.deliver()
    assert (outcome.result, outcome.status) == (Result.REJECTED, 422)
    assert fake.settled[0].status is Status.REJECTED
    assert fake.looked_for == []


def test_a_duplicate_after_an_unknown_attempt_is_looked_for_again() -> None:
    shown = iter([None, published(3)])
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE), find=lambda *_: next(shown))
    outcome = fake.deliver()
    assert (outcome.result, outcome.published, outcome.sent) == (Result.POSTED, published(3), True)
    assert fake.settled == [Settlement(Status.POSTED, published=published(3))]


def test_a_duplicate_that_the_stream_never_shows_waits_until_stocktwits_has_forgotten_it() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE))
    outcome = fake.deliver()
    assert (outcome.result, outcome.retry_at, outcome.status) == (Result.DEFERRED, NOW + 1800, 422)
    assert outcome.pause is None
    (settlement,) = fake.settled
    assert (settlement.status, settlement.lease_until) == (Status.UNKNOWN, NOW + 1800)


def test_a_duplicate_is_not_looked_for_again_while_the_gate_is_closed() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE))
    pauses = iter([None, None, a_pause(seconds=300)])
    outcome = fake.deliver(pause=lambda: next(pauses))
    assert (outcome.result, outcome.retry_at, outcome.pause, outcome.sent) == (Result.DEFERRED, NOW + 300, None, True)
    assert [each.status for each in fake.settled] == [Status.UNKNOWN]
    assert len(fake.looked_for) == 1


@pytest.mark.parametrize("error", [Reject("the stream does not reach back"), Retry("no connection"), Wait(a_pause())])
def test_a_duplicate_whose_second_look_fails_stays_unknown_whatever_the_failure(error: RelayError) -> None:
    looks = iter([lambda: None, raising(error)])
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE), find=lambda *_: next(looks)())
    outcome = fake.deliver()
    assert (outcome.result, outcome.pause) == (Result.DEFERRED, error.pause)
    assert [each.status for each in fake.settled] == [Status.UNKNOWN]


@pytest.mark.parametrize(("claim", "status"), [(a_claim(), Status.RELEASED), (PERHAPS_POSTED, Status.UNKNOWN)])
def test_a_pause_leaves_a_message_untried_and_sends_no_request(claim: Claim, status: Status) -> None:
    fake = FakeDelivery(claim)
    pause = a_pause()
    outcome = fake.deliver(pause=lambda: pause)
    assert outcome == Outcome(Result.DEFERRED, "m-1", pause.reason, pause=pause, tried=False)
    assert [each.status for each in fake.settled] == [status]
    assert "send" not in fake.happened
    assert "find" not in fake.happened


def test_a_pause_between_looking_and_sending_leaves_a_message_untried() -> None:
    answers = iter([None, a_pause()])
    fake = FakeDelivery(PERHAPS_POSTED)
    assert fake.deliver(pause=lambda: next(answers)).tried is False
    assert fake.happened == ["claim", "find", "prepare", "settle"]


def test_a_message_that_was_cut_off_is_left_untried_beside_others() -> None:
    fake = FakeDelivery(CUT_OFF_TWICE)
    outcome = fake.deliver()
    assert (outcome.result, outcome.tried, outcome.alone) == (Result.DEFERRED, False, True)
    assert (fake.happened, fake.settled) == (["claim", "settle"], [Settlement(Status.UNKNOWN, cut_off=2)])


def test_a_message_that_was_cut_off_is_delivered_alone_and_the_count_begins_anew() -> None:
    fake = FakeDelivery(CUT_OFF_TWICE)
    outcome = fake.deliver(alone=True)
    assert (outcome.result, outcome.alone) == (Result.POSTED, False)
    assert (fake.happened, fake.settled[0].cut_off) == (["claim", "find", "prepare", "send", "settle"], 0)


def test_a_pause_does_not_change_how_often_a_message_was_cut_off() -> None:
    fake = FakeDelivery(CUT_OFF_TWICE)
    fake.deliver(pause=a_pause, alone=True)
    assert fake.settled == [Settlement(Status.UNKNOWN, cut_off=2)]


@pytest.mark.parametrize("alone", [False, True])
def test_a_message_that_was_cut_off_three_times_is_rejected_before_anything_is_done(*, alone: bool) -> None:
    fake = FakeDelivery(a_claim(perhaps_posted=True, cut_off=3))
    outcome = fake.deliver(alone=alone)
    assert outcome.result is Result.REJECTED
    assert outcome.reason.startswith("three deliveries in a row were interrupted")
    assert "look on StockTwits" in outcome.reason
    assert fake.happened == ["claim", "settle"]
    assert (fake.settled[0].status, fake.settled[0].cut_off) == (Status.REJECTED, 0)


def test_a_dry_run_does_everything_but_the_request() -> None:
    fake = FakeDelivery(send=None)
    outcome = fake.deliver(an_alert(chart="s3://charts/c.png"))
    assert outcome == Outcome(Result.DRY_RUN, "m-1", "dry run: nothing was sent", sent=True)
    assert fake.settled == [Settlement(Status.DRY_RUN)]
    assert fake.happened == ["claim", "prepare", "settle"]


def test_a_dry_run_leaves_an_unknown_outcome_unknown() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, send=None)
    assert fake.deliver().result is Result.DRY_RUN
    assert [each.status for each in fake.settled] == [Status.UNKNOWN]


def test_a_dry_run_leaves_a_message_untried_during_a_pause() -> None:
    assert FakeDelivery(send=None).deliver(pause=a_pause).result is Result.DEFERRED


@pytest.mark.parametrize(
    ("changes", "result"),
    [
        ({}, Result.POSTED),
        ({"send": raising(Reject("blank"))}, Result.REJECTED),
        ({"send": None}, Result.DRY_RUN),
        ({"send": raising(Unknown("reset"))}, Result.DEFERRED),
    ],
)
def test_a_ledger_that_cannot_be_updated_does_not_change_the_outcome(changes: Any, result: Result) -> None:
    outcome = FakeDelivery(**changes, settle=raising(OSError("secret"))).deliver()
    assert outcome.result is result
    assert "(the ledger could not be updated: OSError)" in outcome.reason
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
    fake = FakeDelivery(claim=raising(error))
    assert fake.deliver() == Outcome(result, "m-1", error.reason, pause=error.pause)
    assert fake.happened == []


@pytest.mark.parametrize("part", ["prepare", "send"])
def test_a_defect_never_counts_as_nothing_sent(part: str) -> None:
    fake = FakeDelivery(**{part: raising(ValueError("secret"))})
    assert fake.deliver().result is Result.DEFERRED
    assert [each.status for each in fake.settled] == [Status.UNKNOWN]


def test_a_defect_is_named_by_type_and_place_and_never_quoted() -> None:
    for part in ("claim", "send"):
        reason = FakeDelivery(**{part: raising(ValueError("secret"))}).deliver().reason
        assert "unexpected ValueError at " in reason
        assert "test_delivery.py:" in reason
        assert "secret" not in reason


def test_a_defect_in_claiming_defers_the_message() -> None:
    outcome = FakeDelivery(claim=raising(KeyError("Item"))).deliver()
    assert (outcome.result, outcome.pause) == (Result.DEFERRED, None)


class RecordingSlot:
    """A slot that records when it was taken and given back."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    def __enter__(self) -> None:
        self._happened.append("(")

    def __exit__(self, *_: object) -> None:
        self._happened.append(")")


def test_a_slot_is_taken_for_requests_and_for_nothing_else() -> None:
    fake = FakeDelivery(PERHAPS_POSTED)
    fake.deliver(slot=RecordingSlot(fake.happened), pause=lambda: fake.happened.append("pause?"))
    assert " ".join(fake.happened) == "claim ( pause? find ) prepare ( pause? send ) settle"


IMPOSES_A_PAUSE = [Wait(a_pause(), status=429), Halt(a_pause("blocked")), Unknown("503", pause=a_pause("unavailable"))]


@pytest.mark.parametrize("error", IMPOSES_A_PAUSE)
def test_an_answer_that_imposes_a_pause_stops_the_batch_before_its_slot_is_free(error: RelayError) -> None:
    fake = FakeDelivery(send=raising(error))
    fake.deliver(slot=RecordingSlot(fake.happened))
    assert fake.stops == [error.pause]
    assert fake.happened == ["claim", "prepare", "(", "stop", ")", "settle"]


@pytest.mark.parametrize("error", IMPOSES_A_PAUSE)
def test_a_stream_that_imposes_a_pause_stops_the_batch_before_its_slot_is_free(error: RelayError) -> None:
    fake = FakeDelivery(PERHAPS_POSTED, find=raising(error))
    fake.deliver(slot=RecordingSlot(fake.happened))
    assert fake.stops == [error.pause]
    assert fake.happened == ["claim", "(", "stop", ")", "settle"]


def test_the_second_look_after_a_duplicate_stops_the_batch_too() -> None:
    looks = iter([lambda: None, raising(Wait(a_pause(), status=429))])
    fake = FakeDelivery(PERHAPS_POSTED, send=raising(DUPLICATE), find=lambda *_: next(looks)())
    fake.deliver()
    assert fake.stops == [a_pause()]


@pytest.mark.parametrize("error", [Reject("blank"), Retry("no connection"), Unknown("reset"), ValueError("a defect")])
def test_an_answer_without_a_pause_does_not_stop_the_batch(error: Exception) -> None:
    fake = FakeDelivery(send=raising(error))
    fake.deliver()
    assert fake.stops == []
