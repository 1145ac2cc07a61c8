"""The ledger as a state machine: workers claim, and settle late, twice or never, while time passes.

The model is a list of attempts for each key, with the settlement of each. What the ledger may answer follows from it.
"""

from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from relay.errors import Reject, Retry
from relay.posting.ledger import LEASE_SECONDS, RETENTION_SECONDS
from relay.posting.outcome import Claim, Published, Settlement, Status

from tests.worlds.posting import PostingWorld

AFTERNOON = 1_795_273_200.0
HALF_AN_HOUR = 1800

ENDS = st.sampled_from(
    [*(each for each in Status if each is not Status.CLAIMED), Status.REJECTED, Status.REJECTED, Status.UNKNOWN]
)
LEASES = st.sampled_from([0, 0, HALF_AN_HOUR])
now_and_then = st.integers(0, 5).map(lambda dice: dice == 0)


@dataclass
class Attempt:
    """One claim, and the last settlement of it that the ledger had to accept."""

    claim: Claim
    message: str
    began: float
    lease_until: float
    settlement: Settlement | None = None

    @property
    def perhaps_posted(self) -> bool:
        return self.settlement is None or self.settlement.status is Status.UNKNOWN


@dataclass
class Key:
    """Everything that happened to a key since the ledger last had no entry of it."""

    text: str
    attempts: list[Attempt] = field(default_factory=list)
    published: Published | None = None

    @property
    def newest(self) -> Attempt:
        return self.attempts[-1]

    @property
    def cut_off(self) -> int:
        """How many of the latest attempts in a row were not settled."""
        return len(list(takewhile(lambda attempt: attempt.settlement is None, reversed(self.attempts))))

    def yields_to(self, message: str) -> bool:
        """Whether another text may have the key: this one was rejected, and certainly never posted."""
        last = self.newest.settlement
        rejected = last is not None and last.status is Status.REJECTED and not last.perhaps_posted
        return rejected and self.published is None and message != self.newest.message

    @property
    def in_doubt(self) -> list[Attempt]:
        """The attempts that may have posted, oldest first: those since one that ruled this out for all before it."""
        doubtful: list[Attempt] = []
        for attempt in reversed(self.attempts):
            if attempt.perhaps_posted:
                doubtful.insert(0, attempt)
            elif attempt.settlement and not attempt.settlement.perhaps_posted:
                break
        return doubtful


class LedgerMachine(RuleBasedStateMachine):
    claims = Bundle("claims")

    world: PostingWorld  # set by the test: AWS is created once for all examples

    def __init__(self) -> None:
        super().__init__()
        self.clock = self.world.clock
        self.clock.now = AFTERNOON
        self.world.aws.forget_client("dynamodb")
        self.ledger = self.world.ledger()
        self.known: dict[str, Key] = {}
        self.settlements: dict[str, Settlement] = {}
        self.touched = ""
        for key in ("k-1", "k-2"):
            self.forget(key)

    def forget(self, key: str) -> None:
        self.world.dynamodb.delete_item(TableName="stocktwits-relay-ledger", Key={"pk": {"S": f"post#{key}"}})
        self.known.pop(key, None)

    # Workers

    @rule(
        target=claims,
        key=st.sampled_from(["k-1", "k-1", "k-1", "k-1", "k-2"]),
        message=st.sampled_from(["m-1", "m-2"]),
        text=st.sampled_from(["$AAPL up"] * 19 + ["$AAPL down"]),
        lost=now_and_then,
    )
    def claim(self, key: str, message: str, text: str, lost: bool) -> Any:
        """A worker claims a key for a message; sometimes only botocore's second attempt is answered."""
        self.clock.forward(0.5)  # no two claims are in the same millisecond
        known, self.touched = self.known.get(key), key
        if lost:
            self.world.aws.lose_answer("UpdateItem")
        try:
            claim = self.ledger.claim(key, text, message)
        except Reject:
            assert known, "an unused key was rejected"
            assert text != known.text, "a key was rejected for its own text"
            assert not known.yields_to(message), "a rejected message blocked its key for another text"
            return multiple()
        except Retry:
            assert known, "an unused key was blocked"
            assert text == known.text
            assert known.published is None, "a posted key must not be blocked"
            assert self.clock() < known.newest.lease_until, "a key was blocked beyond its lease"
            return multiple()
        finally:
            self.world.aws.reset()
        assert not known or text == known.text or known.yields_to(message), "a key was claimed for two texts"
        if claim.before:
            assert known, "a new key had a result"
            self.assert_final(known, claim, message)
            return multiple()
        self.assert_new_attempt(known, claim, message)
        known = self.known.setdefault(key, Key(text))
        known.text = text
        known.attempts.append(Attempt(claim, message, self.clock(), self.clock() + LEASE_SECONDS))
        return claim

    def assert_final(self, known: Key, claim: Claim, message: str) -> None:
        assert claim.published == known.published
        if known.published:
            assert claim.before is Status.POSTED
            return
        last = known.newest.settlement
        assert last is not None
        assert claim.before is last.status
        assert last.status in {Status.REJECTED, Status.DRY_RUN}
        assert message == known.newest.message, "another message of a rejected key had no attempt of its own"
        assert (claim.reason, claim.status) == (last.reason, last.http_status)

    def assert_new_attempt(self, known: Key | None, claim: Claim, message: str) -> None:
        if known is None:
            assert (claim.perhaps_posted, claim.first_claimed_at) == (False, self.clock())
            return
        assert known.published is None, "posted is final"
        assert self.clock() >= known.newest.lease_until, "two live claims of one key"
        if known.newest.settlement and known.newest.settlement.status in {Status.REJECTED, Status.DRY_RUN}:
            assert message != known.newest.message, "a message claimed its key after its own rejection"
        assert claim.cut_off == known.cut_off
        doubtful = known.in_doubt
        assert claim.perhaps_posted == bool(doubtful), "an attempt of unknown outcome must be reported"
        assert claim.first_claimed_at == (doubtful[0].began if doubtful else self.clock())

    @rule(claim=claims, status=ENDS, lease=LEASES, sure=now_and_then, lost=now_and_then)
    def settle_in_time_or_too_late_or_twice(
        self, claim: Claim, status: Status, lease: int, sure: bool, lost: bool
    ) -> None:
        self.settle(claim, status, lease, sure, lost)

    @precondition(lambda self: self.open_claims())
    @rule(which=st.integers(0, 1), status=ENDS, lease=LEASES, sure=now_and_then, lost=now_and_then)
    def settle_in_time(self, which: int, status: Status, lease: int, sure: bool, lost: bool) -> None:
        self.settle(self.open_claims()[-which], status, lease, sure, lost)

    def open_claims(self) -> list[Claim]:
        """The newest claims that are not settled."""
        return [
            known.newest.claim for known in self.known.values() if not known.newest.settlement and not known.published
        ]

    def settle(self, claim: Claim, status: Status, lease: int, sure: bool, lost: bool) -> None:
        """A worker settles its claim; if it is not `sure` that earlier attempts did not post, it records that too."""
        known, self.touched = self.known.get(claim.key), claim.key
        is_newest = known is not None and known.newest.claim.id == claim.id
        settlement = Settlement(
            status,
            perhaps_posted=claim.perhaps_posted and not sure,
            published=Published(600_000_001 + len(claim.id), f"https://stocktwits.com/{claim.id}")
            if status is Status.POSTED
            else None,
            reason=f"reason of {claim.id}" if status in {Status.REJECTED, Status.UNKNOWN} else "",
            http_status=422 if status is Status.REJECTED else None,
            lease_until=self.clock() + lease if status is Status.UNKNOWN and lease else 0.0,
        )
        if status is not Status.POSTED:
            settlement = self.settlements.setdefault(claim.id, settlement)  # a repeated settlement is the same
        if lost:
            self.world.aws.lose_answer("UpdateItem")
        try:
            self.ledger.settle(claim, settlement)
        except ClientError:
            assert not known or (not settlement.published and (known.published or not is_newest))
            return
        finally:
            self.world.aws.reset()
        assert known, "a claim without an entry was settled"
        if settlement.published:
            known.published = settlement.published
            return
        assert is_newest, "a lost claim was settled"
        assert known.published is None, "a post was overwritten"
        known.newest.settlement = settlement
        known.newest.lease_until = settlement.lease_until

    # Meanwhile

    @rule(seconds=st.sampled_from([0.5, LEASE_SECONDS - 0.5, LEASE_SECONDS, HALF_AN_HOUR, 40 * 24 * 3600]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)

    def expired(self) -> list[str]:
        return [key for key, known in self.known.items() if self.clock() > known.newest.began + RETENTION_SECONDS + 1]

    @precondition(lambda self: bool(self.expired()))
    @rule()
    def dynamodb_deletes_expired_entries(self) -> None:
        """DynamoDB deletes expired entries some time after they expired."""
        for key in self.expired():
            assert self.world.entry(key)["expires_at"] <= self.clock()
            self.forget(key)

    # At any time

    @invariant()
    def the_entry_matches_the_model(self) -> None:
        known, key, self.touched = self.known.get(self.touched), self.touched, ""
        if not known:
            return
        entry = self.world.entry(key)
        if known.published:
            assert (entry["status"], entry["url"]) == ("posted", known.published.url)
        else:
            assert entry["status"] == (known.newest.settlement.status if known.newest.settlement else "claimed")
            assert entry["claim_id"] == known.newest.claim.id
        assert entry["attempts"] == len(known.attempts)
        assert entry["expires_at"] >= known.newest.began + RETENTION_SECONDS


@pytest.mark.timeout(120)
def test_no_sequence_of_claims_and_settlements_breaks_the_ledgers_rules(world: PostingWorld) -> None:
    machine = type("Ledger", (LedgerMachine,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking takes minutes; remove this line to shrink an example
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
