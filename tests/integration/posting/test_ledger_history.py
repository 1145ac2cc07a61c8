"""What the ledger remembers of a message from attempt to attempt, and what entries of version 0.1 mean."""

from collections.abc import Callable
from typing import Any

import pytest
from relay.errors import Reject
from relay.posting.alert import Alert
from relay.posting.ledger import LEASE_SECONDS, Ledger
from relay.posting.outcome import Claim, Published, Settlement, Status

from tests.factories import LATER
from tests.worlds.clock import Clock
from tests.worlds.posting import TABLE, PostingWorld

PUBLISHED = Published(600_000_001, "https://stocktwits.com/relay_demo/message/600000001")
POSTED = Settlement(Status.POSTED, published=PUBLISHED)
REJECTED = Settlement(Status.REJECTED, reason="StockTwits refused it", http_status=422)
RELEASED = Settlement(Status.RELEASED)
UNKNOWN = Settlement(Status.UNKNOWN, reason="no answer")
REFUSED_AS_DUPLICATE = Settlement(Status.UNKNOWN, reason="a duplicate", http_status=422)

CHART = "https://charts.example/7.png"

MakeClaim = Callable[..., Claim]


@pytest.fixture
def claim(ledger: Ledger) -> MakeClaim:
    def make(message_id: str = "message-1", body: str = "$AAPL up", **alert: Any) -> Claim:
        return ledger.claim("a-key", Alert(body=body, **alert), message_id, LATER)

    return make


def attributes(world: PostingWorld, *names: str) -> dict[str, Any]:
    """Those of these attributes that the entry has."""
    return {name: value for name, value in world.entry("a-key").items() if name in names}


def as_version_0_1_wrote_it(world: PostingWorld) -> None:
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": "post#a-key"}},
        UpdateExpression="REMOVE alert_sha256, late, refused_at",
    )


# --- From attempt to attempt


def test_when_an_attempt_of_unknown_outcome_had_ended_is_remembered(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    taken = claim()
    clock.forward(7.25)
    ledger.settle(taken, UNKNOWN)
    ended_at = clock()
    clock.forward(60)
    assert claim().ended_at == ended_at


def test_an_attempt_that_was_cut_off_had_ended_when_its_lease_was_over(claim: MakeClaim, clock: Clock) -> None:
    claim()
    clock.forward(LEASE_SECONDS + 5)
    assert claim().ended_at == clock()


def test_an_entry_without_the_time_of_its_settlement_had_ended_by_now(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    ledger.settle(claim(), UNKNOWN)
    world.dynamodb.update_item(TableName=TABLE, Key={"pk": {"S": "post#a-key"}}, UpdateExpression="REMOVE settled_at")
    clock.forward(60)
    assert claim().ended_at == clock()


@pytest.mark.parametrize("status", [Status.RELEASED, Status.UNKNOWN])
def test_what_was_late_and_when_it_was_refused_is_remembered_for_the_next_attempt(
    ledger: Ledger, claim: MakeClaim, status: Status
) -> None:
    ledger.settle(claim(), Settlement(status, late=1, refused_at=1_795_273_201.5))
    taken = claim()
    assert (taken.late, taken.refused_at) == (1, 1_795_273_201.5)


def test_an_attempt_that_is_cut_off_does_not_make_it_forgotten(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    ledger.settle(claim(), Settlement(Status.UNKNOWN, http_status=422, late=2, refused_at=1_795_273_201.5))
    claim()
    clock.forward(LEASE_SECONDS)
    taken = claim()
    assert (taken.status, taken.late, taken.refused_at) == (422, 2, 1_795_273_201.5)


@pytest.mark.parametrize("settlement", [RELEASED, UNKNOWN, REJECTED, POSTED])
def test_what_a_settlement_does_not_mention_is_removed(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, settlement: Settlement
) -> None:
    ledger.settle(claim(), Settlement(Status.UNKNOWN, reason="x", http_status=500, late=1, refused_at=1.0, cut_off=1))
    ledger.settle(claim(), settlement)
    names = {"reason", "http_status", "late", "refused_at", "unsettled"}
    mentioned = {"reason": settlement.reason, "http_status": settlement.http_status}
    assert attributes(world, *names) == {name: value for name, value in mentioned.items() if value}


@pytest.mark.parametrize(
    ("settlement", "status"),
    [(REFUSED_AS_DUPLICATE, 422), (UNKNOWN, None), (RELEASED, None)],
)
def test_stocktwits_answer_to_an_unknown_attempt_is_remembered(
    ledger: Ledger, claim: MakeClaim, settlement: Settlement, status: int | None
) -> None:
    ledger.settle(claim(), settlement)
    assert claim().status == status


def test_why_a_message_was_rejected_says_nothing_about_another_one_with_its_key(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    ledger.settle(claim(), REJECTED)
    clock.forward(5)
    assert claim("message-2").status is None
    clock.forward(LEASE_SECONDS)
    cut_off = claim("message-2")
    assert (cut_off.perhaps_posted, cut_off.status) == (True, None)


# --- One alert for each key

SETTLEMENTS = [None, RELEASED, UNKNOWN, POSTED, Settlement(Status.DRY_RUN)]


@pytest.mark.parametrize("settlement", SETTLEMENTS)
@pytest.mark.parametrize(
    "other",
    [
        {"sentiment": "bearish"},
        {"sentiment": None},
        {"in_reply_to_message_id": 8},
        {"in_reply_to_message_id": None},
        {"chart": f"{CHART}?2"},
        {"chart": None},
    ],
)
def test_the_same_text_with_another_sentiment_reply_or_chart_is_another_alert(
    ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement | None, other: dict[str, Any]
) -> None:
    alert = {"sentiment": "bullish", "in_reply_to_message_id": 7, "chart": CHART}
    taken = claim(**alert)
    if settlement:
        ledger.settle(taken, settlement)
    clock.forward(10 * LEASE_SECONDS)
    for message_id in ("message-1", "message-2"):
        with pytest.raises(Reject, match="'a-key' was already used for this text with another sentiment, reply or"):
            claim(message_id, **alert | other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"sentiment": "neutral"}, {}),
        ({}, {"sentiment": "neutral"}),
        ({}, {"key": "another"}),
    ],
)
def test_alerts_that_are_posted_alike_are_the_same(
    ledger: Ledger, claim: MakeClaim, one: dict[str, Any], other: dict[str, Any]
) -> None:
    ledger.settle(claim(**one), POSTED)
    assert claim(**other).before is Status.POSTED


def test_a_rejected_message_leaves_its_key_to_the_same_text_with_another_chart(
    ledger: Ledger, claim: MakeClaim
) -> None:
    ledger.settle(claim(chart=CHART), REJECTED)
    assert claim("message-2").before is None
    with pytest.raises(Reject, match="another sentiment, reply or chart"):
        claim(chart=CHART)


# --- Entries of version 0.1


@pytest.mark.parametrize("sentiment", [None, "bullish"])
def test_an_entry_of_version_0_1_stays_posted_whatever_else_its_alert_has(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, sentiment: str | None
) -> None:
    ledger.settle(claim(), POSTED)
    as_version_0_1_wrote_it(world)
    taken = claim("message-2", sentiment=sentiment, chart=CHART)
    assert (taken.before, taken.published) == (Status.POSTED, PUBLISHED)


@pytest.mark.parametrize("settlement", [None, UNKNOWN])
def test_what_version_0_1_left_open_is_claimed_as_perhaps_posted(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement | None
) -> None:
    taken = claim()
    if settlement:
        ledger.settle(taken, settlement)
    as_version_0_1_wrote_it(world)
    clock.forward(LEASE_SECONDS)
    again = claim(sentiment="bullish")
    assert (again.perhaps_posted, again.first_claimed_at) == (True, taken.first_claimed_at)
    assert (again.late, again.refused_at) == (0, 0)


def test_what_version_0_1_left_open_belongs_to_one_alert_from_its_next_claim_on(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim
) -> None:
    ledger.settle(claim(), UNKNOWN)
    as_version_0_1_wrote_it(world)
    ledger.settle(claim(sentiment="bullish"), UNKNOWN)
    with pytest.raises(Reject, match="another sentiment, reply or chart"):
        claim()


@pytest.mark.parametrize("settlement", [None, RELEASED, UNKNOWN, POSTED])
def test_an_entry_of_version_0_1_belongs_to_its_text(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement | None
) -> None:
    taken = claim()
    if settlement:
        ledger.settle(taken, settlement)
    as_version_0_1_wrote_it(world)
    clock.forward(LEASE_SECONDS)
    with pytest.raises(Reject, match="already used for another text"):
        claim(body="$AAPL down")


def test_a_rejection_of_version_0_1_is_repeated_to_its_own_message_and_to_no_other(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim
) -> None:
    ledger.settle(claim(), REJECTED)
    as_version_0_1_wrote_it(world)
    assert claim(sentiment="bullish").before is Status.REJECTED
    assert claim("message-2", sentiment="bullish").before is None
