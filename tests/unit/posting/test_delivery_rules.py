"""What the owner's rules ask of a delivery: look before the claim, take right before the post, wait as a duplicate."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest
from relay.errors import Duplicate, Retry
from relay.posting.alert import Alert
from relay.posting.delivery import (
    DUPLICATE_MARGIN_SECONDS,
    DUPLICATE_TWICE,
    DUPLICATE_WINDOW_SECONDS,
    FOR_HALF_AN_HOUR,
)
from relay.posting.outcome import Hold, Outcome, Result, Settlement, Status

from tests.factories import NOW, a_claim, a_pause, an_alert, published
from tests.unit.posting.delivery_helpers import (
    DUPLICATE,
    PERHAPS_POSTED,
    FakeDelivery,
    RecordingSlot,
    one_after_the_other,
    raising,
)

SYMBOL = Hold("symbol", "a post about $AAPL is being made", NOW + 90)
ALIKE = Hold("alike", "a post like it was made", NOW + 600)
FREE_AT = NOW + DUPLICATE_WINDOW_SECONDS + DUPLICATE_MARGIN_SECONDS
AS_DUPLICATE = Hold("duplicate", FOR_HALF_AN_HOUR, FREE_AT)


class View(NamedTuple):
    holds: tuple[Hold, ...] = ()
    must_look: bool = False


FREE = View()


class FakeSpacing:
    """The rules by which posts wait for one another, as the test decides."""

    def __init__(self, seen: Any, taken: Any) -> None:
        self.seen = seen
        self.taken = taken
        self.happened: list[str] = []

    def look(self, key: str, alert: Alert) -> Any:
        assert (key, alert.body) == ("m-1", "$AAPL up")
        self.happened.append("look")
        if isinstance(self.seen, Exception):
            raise self.seen
        return self.seen

    def take(self, key: str, _alert: Alert, view: View) -> Any:
        assert (key, view) == ("m-1", self.seen)
        self.happened.append("take")
        if isinstance(self.taken, Exception):
            raise self.taken
        return self.taken or view.holds


def spaced(*claims: Any, seen: Any = FREE, taken: Any = (), **but: Any) -> FakeDelivery:
    """A delivery with such rules; both write down what happens in one list."""
    spacing = FakeSpacing(seen, taken)
    fake = FakeDelivery(*claims, spacing=spacing, **but)
    spacing.happened = fake.happened
    return fake


def expiring(seconds: float) -> Alert:
    return an_alert(expires_at=datetime.fromtimestamp(NOW + seconds, UTC))


# Waiting for other posts


def test_names_are_looked_at_before_the_claim_and_taken_before_a_slot() -> None:
    fake = spaced()
    assert fake.deliver(slot=RecordingSlot(fake.happened)).result is Result.POSTED
    assert fake.happened == ["look", "claim", "prepare", "take", "(", "send", ")", "settle"]


def test_a_message_is_kept_back_without_a_claim_until_the_last_of_its_waits_ends() -> None:
    fake = spaced(seen=View((ALIKE, SYMBOL)))
    assert fake.deliver() == Outcome(
        Result.DEFERRED,
        "m-1",
        "it waits until 2027-01-15 08:10:00 UTC: a post about $AAPL is being made, and a post like it was made",
        retry_at=ALIKE.until,
        tried=False,
        holds=(ALIKE, SYMBOL),
    )
    assert fake.happened == ["look"]


def test_a_message_that_is_kept_back_is_looked_at_when_it_expires() -> None:
    outcome = spaced(seen=View((ALIKE,))).deliver(expiring(60))
    assert (outcome.retry_at, outcome.holds) == (NOW + 60, (ALIKE,))


def test_an_expired_message_is_not_kept_back() -> None:
    fake = spaced(seen=View((ALIKE,)))
    assert fake.deliver(expiring(0)).result is Result.REJECTED
    assert fake.happened == ["look", "claim", "settle"]


def test_a_message_that_may_be_posted_is_looked_for_before_it_is_kept_back() -> None:
    fake = spaced(PERHAPS_POSTED, seen=View((ALIKE,), must_look=True))
    outcome = fake.deliver()
    assert (outcome.result, outcome.holds, outcome.tried) == (Result.DEFERRED, (ALIKE,), False)
    assert fake.happened == ["look", "claim", "find", "prepare", "take", "settle"]
    assert fake.settlement == Settlement(Status.UNKNOWN, untried=1)


def test_a_message_whose_name_another_one_took_meanwhile_is_not_sent() -> None:
    fake = spaced(taken=(SYMBOL,))
    assert fake.deliver().holds == (SYMBOL,)
    assert fake.settlement == Settlement(Status.RELEASED, untried=1)
    assert fake.sent == []


def test_waiting_for_another_post_proves_nothing_about_deliveries_that_were_cut_off() -> None:
    fake = spaced(a_claim(cut_off=1), taken=(SYMBOL,))
    fake.deliver(alone=True)
    assert fake.settlement == Settlement(Status.RELEASED, cut_off=1, untried=1)


def test_attempts_that_a_pause_ended_before_a_request_are_counted_until_one_is_made() -> None:
    fake = spaced(a_claim(untried=2))
    fake.deliver(pause=a_pause)
    assert fake.settlement.untried == 3
    fake = spaced(a_claim(untried=2), send=raising(Retry("no connection")))
    fake.deliver()
    assert fake.settlement.untried == 2


@pytest.mark.parametrize(
    ("but", "by_rule"),
    [
        ({"seen": Retry("no table")}, True),
        ({"claim": raising(Retry("no table"))}, True),
        ({"taken": Retry("no table")}, True),
        ({"seen": RuntimeError("a defect")}, False),
        ({"seen": Retry("no table"), "rules_delay": False}, False),
    ],
    ids=["look", "claim", "take", "defect", "no rule"],
)
def test_a_first_attempt_that_fails_may_be_late_by_a_rule_wherever_it_fails(
    but: dict[str, Any], *, by_rule: bool
) -> None:
    fake = spaced(a_claim(first=True), **{"rules_delay": True, **but})
    assert fake.deliver().late_by_rule is by_rule


def test_a_claim_that_cannot_be_given_back_is_told_to_an_operator() -> None:
    fake = spaced(taken=(SYMBOL,), settle=raising(RuntimeError("no table")))
    assert fake.deliver().reason.endswith("is being made (the ledger could not be updated: RuntimeError)")


def test_nothing_is_taken_while_there_is_a_pause() -> None:
    fake = spaced()
    assert fake.deliver(pause=a_pause).pause == a_pause()
    assert fake.happened == ["look", "claim", "prepare", "settle"]


@pytest.mark.parametrize("rules", [{"seen": Retry("no table")}, {"taken": Retry("no table")}], ids=["look", "take"])
def test_a_message_whose_names_cannot_be_looked_at_or_taken_is_not_sent(rules: dict[str, Any]) -> None:
    fake = spaced(**rules)
    outcome = fake.deliver()
    assert (outcome.result, outcome.reason, outcome.holds, outcome.sent) == (Result.DEFERRED, "no table", (), False)
    assert fake.sent == []
    assert fake.settled in ([], [Settlement(Status.RELEASED)])


def test_a_dry_run_takes_what_a_post_would() -> None:
    fake = spaced(send=None)
    assert fake.deliver().result is Result.DRY_RUN
    assert fake.happened == ["look", "claim", "prepare", "take", "settle"]


# Waiting as a duplicate


def waiting(*claims: Any, **but: Any) -> FakeDelivery:
    """A delivery by ``WhenDuplicate=wait``, of what StockTwits refuses as a duplicate."""
    return FakeDelivery(*claims, **{"send": raising(DUPLICATE), "waits_as_duplicate": True, **but})


def test_a_first_duplicate_is_tried_once_more_when_stocktwits_has_forgotten_the_earlier_text() -> None:
    fake = waiting()
    assert fake.deliver() == Outcome(
        Result.DEFERRED,
        "m-1",
        f"{DUPLICATE.reason}; by WhenDuplicate it is tried once more when half an hour is over",
        status=422,
        retry_at=FREE_AT,
        sent=True,
        holds=(AS_DUPLICATE,),
    )
    assert fake.settlement == Settlement(Status.RELEASED, duplicates=1, lease_until=FREE_AT)


def test_a_second_duplicate_is_rejected() -> None:
    fake = waiting(a_claim(duplicates=1))
    outcome = fake.deliver()
    reason = f"{DUPLICATE_TWICE}: {DUPLICATE.reason}"
    assert (outcome.result, outcome.reason, outcome.status) == (Result.REJECTED, reason, 422)
    assert fake.settlement == Settlement(Status.REJECTED, reason=reason, http_status=422)


@pytest.mark.parametrize(("expires_in", "comes_in"), [(60, 60), (3600, FREE_AT - NOW)])
def test_a_duplicate_comes_back_when_it_expires_if_that_is_earlier(expires_in: float, comes_in: float) -> None:
    fake = waiting()
    outcome = fake.deliver(expiring(expires_in))
    assert (outcome.retry_at, fake.settlement.lease_until) == (NOW + comes_in, NOW + comes_in)
    assert outcome.holds == (AS_DUPLICATE,)


def test_without_the_rule_a_first_duplicate_is_rejected() -> None:
    fake = waiting(waits_as_duplicate=False)
    assert fake.deliver().result is Result.REJECTED
    assert fake.settlement == Settlement(Status.REJECTED, reason=DUPLICATE.reason, http_status=422)


@pytest.mark.parametrize("duplicates", [0, 1])
def test_with_an_earlier_attempt_whose_outcome_is_unknown_the_rule_changes_nothing(duplicates: int) -> None:
    claim = replace(PERHAPS_POSTED, duplicates=duplicates)
    with_rule, without = waiting(claim), waiting(claim, waits_as_duplicate=False)
    assert with_rule.deliver() == without.deliver()
    assert (with_rule.settled, with_rule.happened) == (without.settled, without.happened)
    assert with_rule.settlement.status is Status.UNKNOWN


def test_a_duplicate_that_stocktwits_did_not_answer_to_the_post_is_rejected() -> None:
    fake = waiting(send=None, prepare=raising(Duplicate("a chart", status=422)))
    assert fake.deliver().result is Result.REJECTED


@pytest.mark.parametrize(
    ("send", "status"),
    [(raising(Retry("no connection")), Status.RELEASED), (raising(RuntimeError("a defect")), Status.UNKNOWN)],
)
def test_a_failure_in_between_does_not_make_a_second_duplicate_the_first(send: Any, status: Status) -> None:
    fake = waiting(a_claim(duplicates=1), send=send)
    fake.deliver()
    assert (fake.settlement.status, fake.settlement.duplicates) == (status, 1)


def test_a_duplicate_whose_wait_cannot_be_written_down_says_so() -> None:
    fake = waiting(settle=raising(RuntimeError("no table")))
    outcome = fake.deliver()
    assert outcome.reason.endswith("(the ledger could not be updated: RuntimeError)")
    assert (outcome.result, outcome.retry_at) == (Result.DEFERRED, FREE_AT)


@pytest.mark.parametrize(("expires_in", "comes_in"), [(60, 60), (3600, 900)])
def test_a_duplicate_that_is_delivered_too_early_goes_on_waiting(expires_in: float, comes_in: float) -> None:
    fake = waiting(replace(a_claim(), duplicate_until=NOW + 900))
    outcome = fake.deliver(expiring(expires_in))
    assert (outcome.result, outcome.retry_at, outcome.tried) == (Result.DEFERRED, NOW + comes_in, False)
    assert outcome.holds == (Hold("duplicate", FOR_HALF_AN_HOUR, NOW + 900),)
    assert fake.happened == ["claim"]


def test_a_duplicate_that_is_posted_in_the_end_is_posted_once() -> None:
    fake = waiting(a_claim(duplicates=1), send=one_after_the_other(published(7)))
    assert fake.deliver().result is Result.POSTED
