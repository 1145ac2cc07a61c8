"""One message to its outcome, with plain callables in place of AWS and StockTwits."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from relay.errors import Halt, Misconfigured, Pause, Reject, RelayError, Retry, Unknown, Wait
from relay.posting.alert import Alert, Reading
from relay.posting.delivery import idempotency_key
from relay.posting.outcome import Claim, Outcome, Result, Settlement, Status

from tests.factories import NOW, a_claim, a_message, a_pause, an_alert, published
from tests.unit.posting.delivery_helpers import (
    FOUND,
    LOOK_ON_STOCKTWITS,
    PERHAPS_POSTED,
    FakeDelivery,
    RecordingSlot,
    raising,
)

CUT_OFF_TWICE = a_claim(perhaps_posted=True, first_claimed_at=NOW - 600, cut_off=2)


@pytest.mark.parametrize(
    ("own", "around", "relay_key", "envelope", "key"),
    [
        ("own", "around", "relay_key", "envelope", "own"),
        (None, "around", "relay_key", "envelope", "around"),
        (None, None, "relay_key", "envelope", "relay_key"),
        (None, None, None, "envelope", "envelope"),
        (None, None, None, None, "m-1"),
        ("", "", "", "", "m-1"),
    ],
)
def test_the_key_is_the_publishers_own_else_relay_key_from_within_else_the_envelopes_id_else_the_messages(
    own: str | None, around: str | None, relay_key: str | None, envelope: str | None, key: str
) -> None:
    reading = Reading(an_alert(key=own), around, envelope)
    assert idempotency_key(a_message(id="m-1", relay_key=relay_key), reading) == key


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


class FakeLedger:
    """A ledger that knows some keys, and what was claimed of it."""

    def __init__(self, *known: str) -> None:
        self.asked: list[str] = []
        self.claimed: list[tuple[object, ...]] = []
        self._known = known

    def known(self, key: str) -> bool:
        self.asked.append(key)
        return key in self._known

    def claim(self, key: str, alert: Alert, message_id: str, sent_at: float) -> Claim:
        self.claimed.append((key, alert, message_id, sent_at))
        return a_claim(key, before=Status.DRY_RUN)


def test_the_claim_is_made_by_key_alert_and_message_id_and_when_it_was_sent() -> None:
    ledger = FakeLedger()
    alert = an_alert("$AAPL up", key="own")
    assert FakeDelivery(claim=ledger.claim, known=ledger.known).deliver(alert, envelope_id="e-1").key == "own"
    assert ledger.claimed == [("own", alert, "m-1", NOW - 5)]
    assert ledger.asked == []


@pytest.mark.parametrize(("known", "key"), [([], "e-1"), (["m-1"], "m-1"), (["e-1"], "e-1"), (["e-1", "m-1"], "m-1")])
def test_what_an_earlier_version_knew_by_the_sqs_id_goes_on_under_it_instead_of_the_envelopes(
    known: list[str], key: str
) -> None:
    ledger = FakeLedger(*known)
    outcome = FakeDelivery(claim=ledger.claim, known=ledger.known).deliver(envelope_id="e-1")
    assert (outcome.key, [each[0] for each in ledger.claimed], ledger.asked) == (key, [key], ["m-1"])


@pytest.mark.parametrize("around", [{}, {"relay_key": "r-1"}, {"relay_key": "r-1", "envelope_id": "e-1"}])
def test_only_an_envelopes_id_makes_the_ledger_look_for_the_sqs_id(around: dict[str, str]) -> None:
    ledger = FakeLedger("m-1")
    FakeDelivery(claim=ledger.claim, known=ledger.known).deliver(**around)
    assert ledger.asked == []


@pytest.mark.parametrize(
    ("error", "pause"),
    [(Retry("no answer"), None), (Halt(a_pause("ledger")), a_pause("ledger")), (KeyError("Item"), None)],
)
def test_without_an_answer_of_whether_the_sqs_id_is_known_nothing_is_claimed(
    error: Exception, pause: Pause | None
) -> None:
    fake = FakeDelivery(known=raising(error))
    outcome = fake.deliver(envelope_id="e-1")
    assert (outcome.result, outcome.key, outcome.pause) == (Result.DEFERRED, "e-1", pause)
    assert fake.happened == []


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


EXPIRED = "it expired at 2027-01-15T07:00:00+00:00; it was 2027-01-15 08:00:00 UTC when its turn came"


@pytest.mark.parametrize(
    ("reason", "to_log", "result"),
    [
        (EXPIRED, True, Result.EXPIRED),
        (EXPIRED, False, Result.REJECTED),
        (f"{EXPIRED} - {LOOK_ON_STOCKTWITS}", True, Result.REJECTED),
        ("too long", True, Result.REJECTED),
    ],
)
def test_an_expired_message_that_comes_once_more_ends_where_it_ended_before(
    reason: str, to_log: bool, result: Result
) -> None:
    fake = FakeDelivery(a_claim(before=Status.REJECTED, reason=reason), expired_to_log=to_log)
    assert fake.deliver() == Outcome(result, "m-1", reason)


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
    fake = FakeDelivery(PERHAPS_POSTED, find=lambda *_: FOUND)
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
    assert (fake.happened, fake.settled) == (["claim", "settle"], [Settlement(Status.UNKNOWN, cut_off=2, untried=1)])


def test_a_message_that_was_cut_off_is_delivered_alone_and_the_count_begins_anew() -> None:
    fake = FakeDelivery(CUT_OFF_TWICE)
    outcome = fake.deliver(alone=True)
    assert (outcome.result, outcome.alone) == (Result.POSTED, False)
    assert (fake.happened, fake.settled[0].cut_off) == (["claim", "find", "prepare", "send", "settle"], 0)


def test_a_pause_does_not_change_how_often_a_message_was_cut_off() -> None:
    fake = FakeDelivery(CUT_OFF_TWICE)
    fake.deliver(pause=a_pause, alone=True)
    assert fake.settled == [Settlement(Status.UNKNOWN, cut_off=2, untried=1)]


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
        assert "delivery_helpers.py:" in reason
        assert "secret" not in reason


def test_a_defect_in_claiming_defers_the_message() -> None:
    outcome = FakeDelivery(claim=raising(KeyError("Item"))).deliver()
    assert (outcome.result, outcome.pause) == (Result.DEFERRED, None)


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


@pytest.mark.parametrize("error", [Reject("blank"), Retry("no connection"), Unknown("reset"), ValueError("a defect")])
def test_an_answer_without_a_pause_does_not_stop_the_batch(error: Exception) -> None:
    fake = FakeDelivery(send=raising(error))
    fake.deliver()
    assert fake.stops == []
