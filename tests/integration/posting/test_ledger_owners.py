"""Whose a post is: an id of StockTwits belongs to one key, whoever settles it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest
from botocore.exceptions import ClientError
from relay.errors import Halt, Retry
from relay.posting.alert import Alert
from relay.posting.ledger import LEASE_SECONDS, MOST_KEYS, RETENTION_SECONDS, Ledger
from relay.posting.outcome import Claim, IdTaken, Published, Settlement, Status
from relay.posting.reconciliation import Owner

from tests.factories import LATER
from tests.worlds.clock import Clock
from tests.worlds.posting import PostingWorld

LARGEST_ID = 2**63 - 1


def claimed(ledger: Ledger, key: str) -> Claim:
    return ledger.claim(key, Alert(body="$AAPL up"), f"message of {key}", LATER)


def posted_as(post_id: int, *, certain: bool = True) -> Settlement:
    published = Published(post_id, f"https://stocktwits.com/relay_demo/message/{post_id}")
    return Settlement(Status.POSTED, published=published, certain=certain)


@pytest.mark.parametrize("certain", [True, False])
@pytest.mark.parametrize("post_id", [1, 600_000_001, LARGEST_ID])
def test_a_post_belongs_to_the_key_that_was_settled_with_it(ledger: Ledger, post_id: int, *, certain: bool) -> None:
    ledger.settle(claimed(ledger, "k-1"), posted_as(post_id, certain=certain))
    assert ledger.owners([post_id, 2]) == {post_id: Owner("k-1", certain=certain)}


def test_no_other_key_is_settled_with_the_same_post(world: PostingWorld, ledger: Ledger) -> None:
    ledger.settle(claimed(ledger, "k-1"), posted_as(7))
    other = claimed(ledger, "k-2")
    with pytest.raises(IdTaken):
        ledger.settle(other, posted_as(7))
    assert ledger.owners([7]) == {7: Owner("k-1")}
    entry = world.entry("k-2")
    assert entry["status"] == "claimed"
    assert "stocktwits_id" not in entry


def test_a_key_that_could_not_be_settled_with_anothers_post_can_be_settled_otherwise(
    world: PostingWorld, ledger: Ledger
) -> None:
    ledger.settle(claimed(ledger, "k-1"), posted_as(7))
    other = claimed(ledger, "k-2")
    with pytest.raises(IdTaken):
        ledger.settle(other, posted_as(7))
    ledger.settle(other, posted_as(8))
    assert world.entry("k-2")["stocktwits_id"] == 8


def test_a_key_may_be_settled_with_its_post_again(ledger: Ledger, clock: Clock) -> None:
    late = claimed(ledger, "k-1")
    clock.forward(LEASE_SECONDS)
    again = claimed(ledger, "k-1")
    ledger.settle(again, posted_as(7, certain=False))
    ledger.settle(late, posted_as(7))
    assert ledger.owners([7]) == {7: Owner("k-1")}


@pytest.mark.parametrize(("first", "then", "kept"), [(True, False, True), (False, True, True), (False, False, False)])
def test_what_was_certain_of_a_post_stays_certain(ledger: Ledger, first: bool, then: bool, kept: bool) -> None:
    claim = claimed(ledger, "k-1")
    ledger.settle(claim, posted_as(7, certain=first))
    ledger.settle(claim, posted_as(7, certain=then))
    assert ledger.owners([7]) == {7: Owner("k-1", certain=kept)}


def test_a_key_that_was_posted_twice_keeps_both_posts_from_other_keys(ledger: Ledger, clock: Clock) -> None:
    late = claimed(ledger, "k-1")
    clock.forward(LEASE_SECONDS)
    ledger.settle(claimed(ledger, "k-1"), posted_as(7))
    ledger.settle(late, posted_as(8))
    assert ledger.owners([7, 8]) == {7: Owner("k-1"), 8: Owner("k-1")}


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_settling_a_post_is_idempotent_when_an_answer_was_lost(
    world: PostingWorld, ledger: Ledger, operation: str
) -> None:
    claim = claimed(ledger, "k-1")
    world.aws.lose_answer(operation)
    ledger.settle(claim, posted_as(7))
    assert (world.status("k-1"), ledger.owners([7])) == ("posted", {7: Owner("k-1")})


def test_a_post_that_was_only_found_is_not_settled_without_its_owner(world: PostingWorld, ledger: Ledger) -> None:
    claim = claimed(ledger, "k-1")
    world.aws.answer("PutItem", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        ledger.settle(claim, replace(posted_as(7), answered=False))
    assert (world.status("k-1"), ledger.owners([7])) == ("claimed", {})


def test_a_post_that_stocktwits_named_is_settled_even_without_its_owner(world: PostingWorld, ledger: Ledger) -> None:
    claim = claimed(ledger, "k-1")
    world.aws.answer("PutItem", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        ledger.settle(claim, posted_as(7))
    assert (world.status("k-1"), ledger.owners([7])) == ("posted", {})


def test_an_owner_is_written_before_its_key_is_settled(world: PostingWorld, ledger: Ledger) -> None:
    claim = claimed(ledger, "k-1")
    world.aws.answer("UpdateItem", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDenied"):
        ledger.settle(claim, posted_as(7))
    assert (world.status("k-1"), ledger.owners([7])) == ("claimed", {7: Owner("k-1")})


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.RELEASED, Status.REJECTED, Status.DRY_RUN])
def test_what_is_not_posted_owns_nothing(world: PostingWorld, ledger: Ledger, status: Status) -> None:
    claim = claimed(ledger, "k-1")
    world.aws.reset()
    ledger.settle(claim, Settlement(status))
    assert world.aws.calls_of("PutItem") == []


def test_an_owner_is_kept_as_long_as_an_entry(world: PostingWorld, ledger: Ledger, clock: Clock) -> None:
    claim = claimed(ledger, "k-1")
    clock.forward(1.5)
    ledger.settle(claim, posted_as(7))
    assert world.item("id#7") == {
        "pk": "id#7",
        "key": "k-1",
        "certain": True,
        "expires_at": 1_795_273_202 + RETENTION_SECONDS,
    }


def test_of_several_keys_that_are_settled_at_once_with_one_post_one_gets_it(world: PostingWorld) -> None:
    barrier = Barrier(8)
    ledgers = [world.ledger() for _ in range(8)]
    claims = [claimed(each, f"k-{number}") for number, each in enumerate(ledgers)]

    def settle(number: int) -> bool:
        barrier.wait()
        try:
            ledgers[number].settle(claims[number], posted_as(7))
        except IdTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(settle, range(8)))
    assert sum(won) == 1
    assert ledgers[0].owners([7]) == {7: Owner(f"k-{won.index(True)}")}
    assert sum(world.status(f"k-{number}") == "posted" for number in range(8)) == 1


# --- Reading owners, and whether a key is known


def test_owners_are_asked_for_in_as_few_requests_as_dynamodb_allows(world: PostingWorld, ledger: Ledger) -> None:
    for post_id in (1, MOST_KEYS, 2 * MOST_KEYS + 1):
        ledger.settle(claimed(ledger, f"k-{post_id}"), posted_as(post_id))
    world.aws.reset()
    assert list(ledger.owners(range(1, 2 * MOST_KEYS + 2))) == [1, MOST_KEYS, 2 * MOST_KEYS + 1]
    assert len(world.aws.calls_of("BatchGetItem")) == 3


def test_nobody_is_asked_for_the_owners_of_nothing(world: PostingWorld, ledger: Ledger) -> None:
    world.aws.reset()
    assert ledger.owners([]) == {}
    assert world.aws.calls == []


@pytest.mark.parametrize("settle", [True, False])
def test_a_key_is_known_from_its_first_claim_on(ledger: Ledger, *, settle: bool) -> None:
    assert ledger.known("k-1") is False
    claim = claimed(ledger, "k-1")
    if settle:
        ledger.settle(claim, Settlement(Status.RELEASED))
    assert (ledger.known("k-1"), ledger.known("k-2")) == (True, False)


@pytest.mark.parametrize(
    ("settlement", "perhaps"),
    [
        (None, True),
        (Settlement(Status.UNKNOWN), True),
        (Settlement(Status.REJECTED, perhaps_posted=True), True),
        (Settlement(Status.REJECTED), False),
        (Settlement(Status.RELEASED), False),
        (posted_as(7), True),
    ],
    ids=lambda value: value.status if isinstance(value, Settlement) else None,
)
def test_a_key_may_be_posted_unless_every_attempt_is_known_to_have_posted_nothing(
    ledger: Ledger, settlement: Settlement | None, perhaps: bool
) -> None:
    claim = claimed(ledger, "k-1")
    if settlement:
        ledger.settle(claim, settlement)
    assert ledger.perhaps_posted("k-1") == perhaps
    assert not ledger.perhaps_posted("k-2")


def test_neither_a_post_nor_the_gate_is_a_known_key(world: PostingWorld, ledger: Ledger) -> None:
    world.gate().admit(1)
    ledger.settle(claimed(ledger, "k-1"), posted_as(7))
    assert not any(ledger.known(each) for each in ("7", "id#7", "gate", "pause"))


READS: list[Callable[[Ledger], object]] = [lambda ledger: ledger.owners([7]), lambda ledger: ledger.known("k-1")]
reads = pytest.mark.parametrize("read", READS, ids=["owners", "known"])


@reads
def test_reading_is_consistent(world: PostingWorld, ledger: Ledger, read: Callable[[Ledger], object]) -> None:
    world.aws.reset()
    read(ledger)
    ((table,),) = (call["RequestItems"].values() for call in world.aws.calls_of("BatchGetItem"))
    assert table["ConsistentRead"] is True


@reads
def test_reading_in_part_is_tried_again_later(
    world: PostingWorld, ledger: Ledger, read: Callable[[Ledger], object]
) -> None:
    world.aws.answer("BatchGetItem", lambda asked: {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]})
    with pytest.raises(Retry, match="did not answer in full"):
        read(ledger)


@reads
@pytest.mark.parametrize(("code", "error"), [("AccessDeniedException", Halt), ("ThrottlingException", Retry)])
def test_a_table_that_cannot_be_read_is_named(
    world: PostingWorld, ledger: Ledger, read: Callable[[Ledger], object], code: str, error: type[Exception]
) -> None:
    world.aws.answer("BatchGetItem", code, times=9)
    with pytest.raises(error, match=f"stocktwits-relay-ledger.*{code}"):
        read(ledger)
