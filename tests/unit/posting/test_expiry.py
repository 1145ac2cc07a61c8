"""When a message expires that does not say when, and where what expired ends."""

from datetime import UTC, datetime
from typing import Any

import pytest
from relay.posting.delivery import has_expired
from relay.posting.outcome import Hold, Result, Status

from tests.factories import NOW, Clock, an_alert
from tests.unit.posting.delivery_helpers import LOOK_ON_STOCKTWITS, PERHAPS_POSTED, FakeDelivery

SENT_BEFORE = 5
"""How long before now the message was sent that `FakeDelivery` delivers, in seconds."""


def moment(after: float) -> datetime:
    """So many seconds after now."""
    return datetime.fromtimestamp(NOW + after, UTC)


class FakeSpacing:
    """A rule that keeps every message back for ten minutes; a `View` of itself."""

    must_look = False
    holds = (Hold("symbol", "a post about $AAPL was made", NOW + 600),)

    def look(self, *_: object) -> "FakeSpacing":
        return self

    def take(self, *_: object) -> tuple[Hold, ...]:
        return self.holds


@pytest.mark.parametrize(
    ("seconds", "result"), [(SENT_BEFORE, Result.REJECTED), (SENT_BEFORE + 0.001, Result.POSTED), (0, Result.POSTED)]
)
def test_a_message_expires_so_long_after_it_was_sent(seconds: float, result: Result) -> None:
    fake = FakeDelivery(expiry_seconds=seconds)
    assert fake.deliver().result is result
    assert bool(fake.sent) is (result is Result.POSTED)


@pytest.mark.parametrize(("default", "own", "result"), [(SENT_BEFORE, 1, Result.POSTED), (3600, 0, Result.REJECTED)])
def test_its_own_moment_counts_whatever_the_default(default: float, own: float, result: Result) -> None:
    assert FakeDelivery(expiry_seconds=default).deliver(an_alert(expires_at=moment(own))).result is result


@pytest.mark.parametrize(
    ("not_before", "seconds", "result"),
    [
        (-1, 1, Result.REJECTED),
        (-1, 2, Result.POSTED),
        (-3600, SENT_BEFORE, Result.REJECTED),
        (-3600, SENT_BEFORE + 1, Result.POSTED),
    ],
)
def test_the_default_counts_from_not_before_if_that_is_after_it_was_sent(
    not_before: float, seconds: float, result: Result
) -> None:
    alert = an_alert(not_before=moment(not_before))
    assert FakeDelivery(expiry_seconds=seconds).deliver(alert).result is result


def test_the_reason_names_the_rule_and_the_moments() -> None:
    assert FakeDelivery(expiry_seconds=1).deliver().reason == (
        "it expired at 2027-01-15 07:59:56 UTC, by DefaultExpiryMinutes; "
        "it was 2027-01-15 08:00:00 UTC when its turn came"
    )


def test_what_expires_while_its_chart_is_fetched_is_not_sent() -> None:
    clock = Clock()

    def prepare(_: object) -> None:
        clock.now += 1

    fake = FakeDelivery(expiry_seconds=SENT_BEFORE + 1, now=clock, prepare=prepare, expired_to_log=True)
    assert (fake.deliver().result, fake.sent) == (Result.EXPIRED, [])


# Where it ends


@pytest.mark.parametrize(("to_log", "result"), [(True, Result.EXPIRED), (False, Result.REJECTED)])
@pytest.mark.parametrize("but", [{}, {"expires_at": moment(0)}], ids=["by the default", "by its own moment"])
def test_what_expired_ends_in_dead_letters_or_in_the_log_and_the_ledger_has_it_as_rejected(
    to_log: bool, result: Result, but: dict[str, Any]
) -> None:
    fake = FakeDelivery(expiry_seconds=1, expired_to_log=to_log)
    outcome = fake.deliver(an_alert(**but))
    assert (outcome.result, outcome.done, outcome.sent) == (result, True, False)
    settlement = fake.settlement
    assert (settlement.status, settlement.reason, settlement.perhaps_posted) == (
        Status.REJECTED,
        outcome.reason,
        False,
    )


def test_what_may_be_posted_is_never_only_logged() -> None:
    fake = FakeDelivery(PERHAPS_POSTED, expiry_seconds=1, expired_to_log=True)
    outcome = fake.deliver()
    assert (outcome.result, outcome.reason.endswith(LOOK_ON_STOCKTWITS)) == (Result.REJECTED, True)
    assert fake.settlement.perhaps_posted


@pytest.mark.parametrize(
    ("reason", "expired"),
    [
        ("it expired at 2027-01-15 07:59:56 UTC, by DefaultExpiryMinutes", True),
        (f"it expired at 2027-01-15 07:59:56 UTC - {LOOK_ON_STOCKTWITS}", False),
        ("StockTwits says that it expired at noon", False),
    ],
)
def test_a_reason_says_whether_a_message_expired_unposted(reason: str, expired: bool) -> None:
    assert has_expired(reason) is expired


# A message that a rule keeps back


@pytest.mark.parametrize(("seconds", "until"), [(0, 600), (3600, 600), (SENT_BEFORE + 60, 60)])
def test_a_message_is_kept_back_until_it_expires_at_the_latest(seconds: float, until: float) -> None:
    fake = FakeDelivery(expiry_seconds=seconds, spacing=FakeSpacing())
    outcome = fake.deliver()
    assert (outcome.result, outcome.retry_at, fake.happened) == (Result.DEFERRED, NOW + until, [])


def test_a_message_that_expired_is_not_kept_back_any_longer() -> None:
    fake = FakeDelivery(expiry_seconds=SENT_BEFORE, spacing=FakeSpacing())
    assert fake.deliver().result is Result.REJECTED
