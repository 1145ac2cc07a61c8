"""A chart or a parent that is not there yet: tried twice more, 10 and 40 s later, before it is final."""

from dataclasses import replace

import pytest
from relay.errors import NotYet, Reject, Retry
from relay.posting.outcome import Outcome, Result, Settlement, Status

from tests.factories import NOW, a_claim, a_pause, an_alert
from tests.unit.posting.delivery_helpers import LOOK_ON_STOCKTWITS, PERHAPS_POSTED, FakeDelivery, raising

NO_CHART = NotYet("chart: there is no object 'c.png' in bucket charts")
NO_PARENT = NotYet("StockTwits refused it (404: Message not found)", status=404)


@pytest.mark.parametrize(("late", "seconds"), [(0, 10), (1, 40)])
def test_a_chart_that_is_not_there_is_looked_for_again_a_moment_later(late: int, seconds: float) -> None:
    fake = FakeDelivery(a_claim(late=late), prepare=raising(NO_CHART))
    assert fake.deliver(an_alert(chart="s3://charts/c.png")) == Outcome(
        Result.DEFERRED,
        "m-1",
        f"{NO_CHART.reason}; it is tried again in {seconds} s",
        retry_at=NOW + seconds,
    )
    assert fake.settlement == Settlement(Status.RELEASED, late=late + 1)
    assert fake.sent == []


@pytest.mark.parametrize(("late", "seconds"), [(0, 10), (1, 40)])
def test_a_parent_that_is_not_there_is_tried_again_a_moment_later(late: int, seconds: float) -> None:
    fake = FakeDelivery(a_claim(late=late), send=raising(NO_PARENT))
    assert fake.deliver(an_alert(in_reply_to_message_id=7)) == Outcome(
        Result.DEFERRED,
        "m-1",
        f"{NO_PARENT.reason}; it is tried again in {seconds} s",
        status=404,
        retry_at=NOW + seconds,
        sent=True,
    )
    assert fake.settlement == Settlement(Status.RELEASED, late=late + 1)
    assert fake.stops == []


@pytest.mark.parametrize("late", [2, 3])
@pytest.mark.parametrize(("part", "error"), [("prepare", NO_CHART), ("send", NO_PARENT)])
def test_what_is_not_there_the_third_time_is_final(part: str, error: NotYet, late: int) -> None:
    fake = FakeDelivery(a_claim(late=late), **{part: raising(error)})
    outcome = fake.deliver()
    assert (outcome.result, outcome.reason, outcome.status) == (Result.REJECTED, error.reason, error.status)
    assert fake.settlement == Settlement(Status.REJECTED, reason=error.reason, http_status=error.status)


@pytest.mark.parametrize(("late", "result"), [(0, Result.DEFERRED), (2, Result.REJECTED)])
def test_a_message_that_may_be_posted_already_stays_in_doubt_while_its_chart_is_late(late: int, result: Result) -> None:
    fake = FakeDelivery(replace(PERHAPS_POSTED, late=late), prepare=raising(NO_CHART))
    outcome = fake.deliver()
    assert outcome.result is result
    assert outcome.reason.endswith(LOOK_ON_STOCKTWITS) is (result is Result.REJECTED)
    settlement = fake.settlement
    assert settlement.status is Status.UNKNOWN or settlement.perhaps_posted


@pytest.mark.parametrize(
    ("part", "error"), [("send", Retry("no connection")), ("prepare", Retry("chart: S3 did not answer"))]
)
def test_another_failure_does_not_change_how_often_something_was_late(part: str, error: Retry) -> None:
    fake = FakeDelivery(a_claim(late=1), **{part: raising(error)})
    fake.deliver()
    assert fake.settlement == Settlement(Status.RELEASED, late=1)


def test_a_pause_does_not_count_as_late() -> None:
    fake = FakeDelivery(a_claim(late=1))
    fake.deliver(pause=a_pause)
    assert fake.settlement == Settlement(Status.RELEASED, late=1, untried=1)


def test_a_chart_that_was_late_goes_with_its_post() -> None:
    fake = FakeDelivery(a_claim(late=2))
    assert fake.deliver(an_alert(chart="s3://charts/c.png")).result is Result.POSTED
    assert fake.sent == [(an_alert(chart="s3://charts/c.png"), b"pixels")]


def test_a_chart_that_can_never_be_used_is_final_at_once() -> None:
    fake = FakeDelivery(prepare=raising(Reject("chart: the file is not a JPG, PNG or GIF")))
    assert fake.deliver().result is Result.REJECTED


def test_a_ledger_that_cannot_be_updated_does_not_make_a_late_chart_final() -> None:
    outcome = FakeDelivery(prepare=raising(NO_CHART), settle=raising(OSError("secret"))).deliver()
    assert (outcome.result, outcome.retry_at) == (Result.DEFERRED, NOW + 10)
    assert outcome.reason.endswith("(the ledger could not be updated: OSError)")
