"""A message is kept back until its own ``not_before``, and that costs it nothing."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from relay.errors import Reject, Retry
from relay.posting.alert import fingerprint, read
from relay.posting.backoff import outbox_visibility_seconds
from relay.posting.outcome import Hold, Outcome, Result
from relay.queue_message import QueueMessage

from tests.factories import NOW, a_message, an_alert
from tests.unit.posting.batch_helpers import FakeBatchDelivery, results

DAY = 24 * 3600
THIRTEEN_DAYS = 13 * DAY
SENT_BEFORE = 5
"""How long before now `a_message` was sent, in seconds."""


def moment(after: float) -> str:
    return datetime.fromtimestamp(NOW + after, UTC).isoformat()


def due(after: float, /, **but: Any) -> QueueMessage:
    """A message that may be posted so many seconds after now."""
    own = but.pop("fields", {})
    return a_message(json.dumps({"body": "a", "not_before": moment(after), **own}), **but)


def hold(seconds: float, **but: Any) -> Outcome:
    """A message that a rule keeps back for so many seconds."""
    holds = (Hold("symbol", "a post about $AAPL was made", NOW + seconds),)
    return Outcome(Result.DEFERRED, "k", retry_at=NOW + seconds, **{"tried": False, "holds": holds, **but})


@pytest.mark.parametrize(("after", "result"), [(-1, "posted"), (0, "posted"), (0.001, "deferred")])
def test_a_message_is_posted_from_its_moment_on(after: float, result: str) -> None:
    assert results(FakeBatchDelivery().deliver([due(after)])) == [result]


def test_until_then_it_uses_neither_an_admission_nor_a_claim_nor_a_write() -> None:
    fake = FakeBatchDelivery()
    (outcome,) = fake.deliver([due(3600)])
    assert (fake.gate.asked, fake.claimed, fake.settled, fake.sent) == ([], [], {}, [])
    assert (outcome.tried, outcome.pause, outcome.retry_at) == (False, None, NOW + 3600)
    assert outcome.holds == (Hold("not_before", "it says that it may not be posted before", NOW + 3600),)
    assert outcome.reason == "it waits until 2027-01-15 09:00:00 UTC: it says that it may not be posted before"


def test_its_neighbours_are_posted_and_the_gate_is_asked_for_them_alone() -> None:
    fake = FakeBatchDelivery()
    outcomes = fake.deliver([due(3600), a_message("b", id="m-2")])
    assert (results(outcomes), fake.gate.asked) == (["deferred", "posted"], [1])


@pytest.mark.parametrize(("later", "result"), [(0, "deferred"), (0.001, "rejected")])
def test_it_may_be_thirteen_days_after_the_message_was_sent(later: float, result: str) -> None:
    assert results(FakeBatchDelivery().deliver([due(THIRTEEN_DAYS - SENT_BEFORE + later)])) == [result]


def test_what_is_refused_for_it_is_a_dead_letter_under_its_own_key() -> None:
    fake = FakeBatchDelivery()
    (outcome,) = fake.deliver([due(THIRTEEN_DAYS, fields={"key": "k"})])
    assert fake.dead_letters[0][1] == "not_before: must be at most 13 days after the message is sent"
    assert (outcome.key, outcome.text) == ("k", "a")


@pytest.mark.parametrize(("expires", "refused"), [(1, False), (0, True), (-1, True)])
def test_it_must_be_before_its_own_expiry(expires: float, refused: bool) -> None:
    body = json.dumps({"body": "a", "not_before": moment(60), "expires_at": moment(60 + expires)})
    if not refused:
        assert read(body).not_before == datetime.fromtimestamp(NOW + 60, UTC)
        return
    with pytest.raises(Reject, match="not_before: must be earlier than expires_at"):
        read(body)


@pytest.mark.parametrize(
    ("not_before", "words"),
    [
        ("2027-01-15T09:00:00", "not_before: must be ISO 8601 with a zone, as in 2026-11-21T16:00:00Z: it has no zone"),
        ("tomorrow", "not_before: must be ISO 8601 with a zone"),
        (1_800_000_000, "not_before: Expected `datetime | null`, got `int`"),
    ],
)
def test_it_is_read_as_expires_at_is(not_before: object, words: str) -> None:
    assert read('{"body": "a", "not_before": "20270115T100000+01"}').not_before == datetime(2027, 1, 15, 9, tzinfo=UTC)
    with pytest.raises(Reject) as refused:
        read(json.dumps({"body": "a", "not_before": not_before}))
    assert words in refused.value.reason


def test_a_post_is_the_same_whenever_it_may_be_made_and_however_urgent_it_is() -> None:
    later = an_alert(not_before=datetime(2027, 1, 15, 9, tzinfo=UTC), priority="high")
    assert fingerprint(later) == fingerprint(an_alert())


# A message that is given up


@pytest.mark.parametrize(
    ("days", "not_before_days", "result"),
    [
        (13, None, "rejected"),
        (13, 1, "rejected"),
        (13, 13, "deferred"),
        (13.49, 13, "deferred"),
        (13.5, 13, "rejected"),
    ],
)
def test_a_message_has_half_a_day_after_its_moment_however_late_that_is(
    days: float, not_before_days: float | None, result: str
) -> None:
    sent_at = NOW - days * DAY
    fields = {} if not_before_days is None else {"not_before": moment((not_before_days - days) * DAY)}
    message = a_message(json.dumps({"body": "a", **fields}), receive_count=4, sent_at=sent_at)
    assert results(FakeBatchDelivery(answers={"a": Retry("no connection")}).deliver([message])) == [result]


def test_a_message_that_came_too_often_is_given_up_although_it_is_kept_back() -> None:
    fake = FakeBatchDelivery()
    assert results(fake.deliver([due(3600, receive_count=199), due(3600, receive_count=200)])) == [
        "deferred",
        "rejected",
    ]
    assert "it waits until 2027-01-15 09:00:00 UTC" in fake.dead_letters[0][1]


# The Outbox, which has an alarm


@pytest.mark.parametrize(
    ("outcome", "least", "most"),
    [
        (hold(2), 1, 1),
        (hold(40 * 3600), 1, 1),
        (hold(1860, tried=True), 1, 1),
        (hold(1860, holds=()), 1860, 1876),
    ],
    ids=["soon", "later", "tried", "no rule"],
)
def test_what_is_kept_back_does_not_wait_in_the_outbox(outcome: Outcome, least: int, most: int) -> None:
    assert least <= outbox_visibility_seconds(outcome, 1, NOW) <= most
