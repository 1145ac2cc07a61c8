"""The ledger's rules, on a DynamoDB table: who may claim a key, what a claim returns, what a settlement records."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import Any

import pytest
from botocore.exceptions import ClientError
from relay.errors import Halt, Reject, Retry
from relay.posting.alert import Alert
from relay.posting.ledger import LEASE_SECONDS, Ledger
from relay.posting.outcome import Claim, Published, Settlement, Status

from tests.factories import LATER
from tests.worlds.clock import Clock
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

PUBLISHED = Published(600_000_001, "https://stocktwits.com/relay_demo/message/600000001")
POSTED = Settlement(Status.POSTED, published=PUBLISHED)
REJECTED = Settlement(Status.REJECTED, reason="StockTwits refused it", http_status=422)
REJECTED_IN_DOUBT = Settlement(Status.REJECTED, perhaps_posted=True, reason="StockTwits refused it", http_status=422)
RELEASED = Settlement(Status.RELEASED)
UNKNOWN = Settlement(Status.UNKNOWN, reason="no answer")
DRY_RUN = Settlement(Status.DRY_RUN)

MakeClaim = Callable[..., Claim]


@pytest.fixture
def claim(ledger: Ledger) -> MakeClaim:
    def make(
        key: str = "a-key", message_id: str = "message-1", sent_at: float = LATER, body: str = "$AAPL up", **alert: Any
    ) -> Claim:
        return ledger.claim(key, Alert(body=body, **alert), message_id, sent_at)

    return make


def test_a_new_key_is_claimed_without_a_history(claim: MakeClaim, clock: Clock) -> None:
    taken = claim()
    assert (taken.before, taken.perhaps_posted, taken.first_claimed_at) == (None, False, clock())


def test_a_lease_blocks_other_claims_until_it_ends(claim: MakeClaim, clock: Clock) -> None:
    claim()
    clock.forward(LEASE_SECONDS - 0.001)
    for message_id in ("message-1", "message-2"):
        with pytest.raises(Retry):
            claim(message_id=message_id)
    clock.forward(0.001)
    assert claim().before is None


def test_a_claim_whose_lease_ran_out_was_perhaps_posted(claim: MakeClaim, clock: Clock) -> None:
    began = claim().first_claimed_at
    clock.forward(LEASE_SECONDS)
    taken = claim()
    assert (taken.perhaps_posted, taken.first_claimed_at) == (True, began)


def test_a_released_key_can_be_claimed_as_if_it_were_new(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    ledger.settle(claim(), RELEASED)
    clock.forward(1)
    taken = claim()
    assert (taken.before, taken.perhaps_posted, taken.first_claimed_at) == (None, False, clock())


def test_a_key_of_unknown_outcome_can_be_claimed_at_once_and_was_perhaps_posted(
    ledger: Ledger, claim: MakeClaim
) -> None:
    ledger.settle(claim(), UNKNOWN)
    assert claim().perhaps_posted


def test_a_key_of_unknown_outcome_with_a_lease_cannot_be_claimed_before_its_end(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    ledger.settle(claim(), Settlement(Status.UNKNOWN, lease_until=clock() + 1800))
    clock.forward(1799)
    with pytest.raises(Retry):
        claim()
    clock.forward(1)
    assert claim().perhaps_posted


def test_the_first_uncertain_attempt_is_remembered_over_all_later_ones(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    began = claim().first_claimed_at
    clock.forward(LEASE_SECONDS)
    for settlement in (UNKNOWN, UNKNOWN, UNKNOWN):
        taken = claim()
        assert (taken.perhaps_posted, taken.first_claimed_at) == (True, began)
        ledger.settle(taken, settlement)
        clock.forward(60)


def test_a_release_ends_earlier_uncertainty(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    ledger.settle(claim(), UNKNOWN)
    ledger.settle(claim(), RELEASED)
    clock.forward(5)
    taken = claim()
    assert (taken.perhaps_posted, taken.first_claimed_at) == (False, clock())


def test_a_key_that_was_rejected_after_an_unknown_attempt_was_perhaps_posted(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    began = claim().first_claimed_at
    clock.forward(LEASE_SECONDS)
    ledger.settle(claim(), Settlement(Status.REJECTED, perhaps_posted=True, reason="out of sight"))
    clock.forward(3600)
    taken = claim(message_id="message-2")
    assert (taken.perhaps_posted, taken.first_claimed_at) == (True, began)


@pytest.mark.parametrize("message_id", ["message-1", "message-2"])
@pytest.mark.parametrize("later", [0, LEASE_SECONDS, 40 * 24 * 3600])
def test_a_posted_key_stays_posted_for_every_message(
    ledger: Ledger, claim: MakeClaim, clock: Clock, message_id: str, later: int
) -> None:
    ledger.settle(claim(), POSTED)
    clock.forward(later)
    taken = claim(message_id=message_id)
    assert (taken.before, taken.published) == (Status.POSTED, PUBLISHED)


def test_a_rejection_is_repeated_to_its_own_message(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    ledger.settle(claim(), REJECTED)
    clock.forward(LEASE_SECONDS)
    taken = claim()
    assert (taken.before, taken.reason, taken.status) == (Status.REJECTED, "StockTwits refused it", 422)


@pytest.mark.parametrize(("later", "before"), [(0, Status.REJECTED), (0.001, None)])
def test_a_rejection_that_may_be_posted_stands_for_a_copy_that_was_sent_before_it(
    ledger: Ledger, claim: MakeClaim, clock: Clock, later: float, before: Status | None
) -> None:
    ledger.settle(claim(), Settlement(Status.REJECTED, perhaps_posted=True, reason="look there", http_status=422))
    rejected_at = clock()
    clock.forward(3600)
    taken = claim(message_id="message-2", sent_at=rejected_at + later)
    assert (taken.before, taken.reason, taken.status) == (before, "look there" if before else "", before and 422)


def test_a_rejection_that_posted_nothing_leaves_a_copy_its_own_attempt(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    ledger.settle(claim(), REJECTED)
    assert not claim(message_id="message-2", sent_at=clock() - 60).before


def test_another_message_may_try_a_rejected_key_again(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    ledger.settle(claim(), REJECTED)
    clock.forward(5)
    taken = claim(message_id="message-2")
    assert (taken.before, taken.perhaps_posted, taken.first_claimed_at) == (None, False, clock())


def test_a_dry_run_is_final_for_its_own_message_only(ledger: Ledger, claim: MakeClaim) -> None:
    ledger.settle(claim(), DRY_RUN)
    assert claim().before is Status.DRY_RUN
    assert claim(message_id="message-2").before is None


@pytest.mark.parametrize("settlement", [None, RELEASED, UNKNOWN, POSTED, DRY_RUN, REJECTED_IN_DOUBT])
def test_a_key_belongs_to_one_text_unless_it_was_certainly_rejected(
    ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement | None
) -> None:
    taken = claim()
    if settlement:
        ledger.settle(taken, settlement)
    clock.forward(10 * LEASE_SECONDS)
    with pytest.raises(Reject, match="'a-key' was already used for another text"):
        claim(body="$AAPL down", message_id="message-2")


def test_a_rejected_message_leaves_its_key_to_another_text(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    ledger.settle(claim(), REJECTED)
    clock.forward(5)
    taken = claim(body="$AAPL down", message_id="message-2")
    assert (taken.before, taken.perhaps_posted, taken.first_claimed_at) == (None, False, clock())
    with pytest.raises(Reject, match="'a-key' was already used for another text"):
        claim()
    ledger.settle(taken, POSTED)
    clock.forward(10 * LEASE_SECONDS)
    with pytest.raises(Reject, match="'a-key' was already used for another text"):
        claim(message_id="message-3")
    assert claim(body="$AAPL down").before is Status.POSTED


def test_a_rejected_message_cannot_claim_its_key_for_another_text(ledger: Ledger, claim: MakeClaim) -> None:
    ledger.settle(claim(), REJECTED)
    with pytest.raises(Reject, match="another text"):
        claim(body="$AAPL down")


def test_keys_are_independent_of_each_other(claim: MakeClaim) -> None:
    claim()
    assert claim(key="another-key").before is None


@pytest.mark.parametrize("settlement", [RELEASED, UNKNOWN, REJECTED, DRY_RUN])
def test_a_lost_claim_cannot_be_settled(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement
) -> None:
    late = claim()
    clock.forward(LEASE_SECONDS)
    claim()
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        ledger.settle(late, settlement)
    assert world.status("a-key") == "claimed"
    with pytest.raises(Retry):
        claim()


def test_a_post_is_recorded_even_if_its_claim_was_lost(ledger: Ledger, claim: MakeClaim, clock: Clock) -> None:
    late = claim()
    clock.forward(LEASE_SECONDS)
    claim()
    ledger.settle(late, POSTED)
    assert claim().before is Status.POSTED


@pytest.mark.parametrize("settlement", [RELEASED, UNKNOWN, REJECTED, DRY_RUN])
def test_a_later_settlement_does_not_overwrite_a_post(
    ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement
) -> None:
    late = claim()
    clock.forward(LEASE_SECONDS)
    holder = claim()
    ledger.settle(late, POSTED)
    with pytest.raises(ClientError, match="ConditionalCheckFailed"):
        ledger.settle(holder, settlement)
    assert claim().published == PUBLISHED


@pytest.mark.parametrize("settlement", [RELEASED, UNKNOWN, POSTED, REJECTED, DRY_RUN])
def test_a_settlement_is_idempotent_when_its_answer_was_lost(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, settlement: Settlement
) -> None:
    taken = claim()
    world.aws.lose_answer("UpdateItem")
    ledger.settle(taken, settlement)
    assert world.status("a-key") == settlement.status


def test_a_claim_counts_the_attempts_before_it_that_were_cut_off(claim: MakeClaim, clock: Clock) -> None:
    for times in range(4):
        assert claim().cut_off == times
        clock.forward(LEASE_SECONDS)


@pytest.mark.parametrize("settlement", [RELEASED, UNKNOWN])
def test_a_completed_attempt_resets_the_count_of_cut_off_attempts(
    ledger: Ledger, claim: MakeClaim, clock: Clock, settlement: Settlement
) -> None:
    claim()
    clock.forward(LEASE_SECONDS)
    ledger.settle(claim(), settlement)
    assert claim().cut_off == 0


def test_an_attempt_that_was_not_made_keeps_the_count_of_cut_off_attempts(
    ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    claim()
    clock.forward(LEASE_SECONDS)
    taken = claim()
    ledger.settle(taken, replace(UNKNOWN, cut_off=taken.cut_off))
    assert claim().cut_off == 1


def test_a_claim_whose_answer_was_lost_is_counted_once(world: PostingWorld, claim: MakeClaim, clock: Clock) -> None:
    claim()
    clock.forward(LEASE_SECONDS)
    world.aws.lose_answer("UpdateItem")
    assert claim().cut_off == 1


def test_an_entry_of_an_older_version_has_no_cut_off_attempts(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    claim()
    world.dynamodb.update_item(
        TableName="stocktwits-relay-ledger",
        Key={"pk": {"S": "post#a-key"}},
        UpdateExpression="REMOVE unsettled",
    )
    clock.forward(LEASE_SECONDS)
    assert claim().cut_off == 0


def test_a_claim_whose_answer_was_lost_is_still_ours(world: PostingWorld, ledger: Ledger, claim: MakeClaim) -> None:
    world.aws.lose_answer("UpdateItem")
    taken = claim()
    assert (taken.before, taken.perhaps_posted, world.entry("a-key")["attempts"]) == (None, False, 1)
    ledger.settle(taken, RELEASED)
    assert world.status("a-key") == "released"


def test_a_lost_answer_does_not_hide_an_earlier_uncertain_attempt(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    began = claim().first_claimed_at
    clock.forward(LEASE_SECONDS)
    world.aws.lose_answer("UpdateItem")
    taken = claim()
    assert (taken.perhaps_posted, taken.first_claimed_at) == (True, began)


def test_an_entry_expires_45_days_after_its_last_claim(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    ledger.settle(claim(), RELEASED)
    clock.forward(3600.5)
    claim()
    assert world.entry("a-key")["expires_at"] == 1_795_273_200 + 3601 + 45 * 24 * 3600


def test_an_entry_records_what_was_posted_and_when(
    world: PostingWorld, ledger: Ledger, claim: MakeClaim, clock: Clock
) -> None:
    ledger.settle(claim(), UNKNOWN)
    taken = claim()
    clock.forward(2)
    ledger.settle(taken, POSTED)
    entry = world.entry("a-key")
    assert (entry["stocktwits_id"], entry["url"]) == (600_000_001, PUBLISHED.url)
    assert (entry["settled_at"], entry["attempts"], entry["message_id"]) == (clock(), 2, "message-1")
    assert "reason" not in entry


def test_without_its_table_everything_halts_and_the_reason_names_it(world: PostingWorld, claim: MakeClaim) -> None:
    world.dynamodb.delete_table(TableName="stocktwits-relay-ledger")
    with pytest.raises(Halt, match="stocktwits-relay-ledger cannot be used") as halt:
        claim()
    assert halt.value.pause
    assert (halt.value.pause.cause, halt.value.pause.until) == ("ledger", world.clock() + 300)


@pytest.mark.parametrize("code", ["AccessDeniedException", "UnrecognizedClientException"])
def test_an_error_that_an_operator_must_fix_halts(world: PostingWorld, claim: MakeClaim, code: str) -> None:
    world.aws.answer("UpdateItem", code)
    with pytest.raises(Halt, match=code):
        claim()


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "InternalServerError", "ProvisionedThroughputExceededException"]
)
def test_a_claim_is_retried_later_while_dynamodb_throttles_or_fails(
    world: PostingWorld, claim: MakeClaim, code: str
) -> None:
    world.aws.answer("UpdateItem", code)
    with pytest.raises(Retry, match=code):
        claim()


def test_one_of_several_concurrent_claims_wins(world: PostingWorld) -> None:
    barrier = Barrier(8)
    ledgers = [world.ledger() for _ in range(8)]

    def take(number: int) -> Claim | None:
        barrier.wait()
        try:
            return ledgers[number].claim("a-key", Alert(body="$AAPL up"), f"message-{number}", LATER)
        except Retry:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [each for each in pool.map(take, range(8)) if each]
    assert len(won) == 1
    assert world.entry("a-key")["claim_id"] == won[0].id
