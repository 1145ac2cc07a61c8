"""The ledger as a state machine: workers claim, and settle late, twice or never, while time passes.

The model is a list of attempts for each key, with the settlement of each, and a list of posts with the key of each.
What the ledger may answer follows from it. Some entries are from version 0.1, which knew an alert by its text alone.
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
from relay.posting.alert import Alert, fingerprint
from relay.posting.ledger import LEASE_SECONDS, RETENTION_SECONDS
from relay.posting.outcome import Claim, IdTaken, Published, Settlement, Status
from relay.posting.reconciliation import Owner

from tests.worlds.posting import TABLE, PostingWorld

pytestmark = pytest.mark.any_aws

AFTERNOON, LONG_AGO = 1_795_273_200.0, 1_795_000_000.0
HALF_AN_HOUR = 1800

UP, DOWN = Alert(body="$AAPL up"), Alert(body="$AAPL down")
BULLISH, REPLY = Alert(body="$AAPL up", sentiment="bullish"), Alert(body="$AAPL up", in_reply_to_message_id=7)

ENDS = st.sampled_from(
    [*(each for each in Status if each is not Status.CLAIMED), Status.REJECTED, Status.REJECTED, Status.UNKNOWN]
)
LEASES = st.sampled_from([0, 0, HALF_AN_HOUR])
POST_IDS = st.sampled_from([600_000_001, 600_000_001, 600_000_002, 600_000_004])
now_and_then = st.integers(0, 5).map(lambda dice: dice == 0)


@dataclass(frozen=True)
class Ending:
    """How a worker settles its claim.

    Attributes:
        sure: Whether it is sure of the post, or that earlier attempts did not post; otherwise it records that too.
        lost: Whether only botocore's second attempt is answered.
        post_id: The id of the post; what else it records follows from it.
    """

    status: Status
    lease: int
    sure: bool
    lost: bool
    post_id: int


ENDINGS = st.builds(Ending, ENDS, LEASES, now_and_then, now_and_then, POST_IDS)


@dataclass
class Attempt:
    """One claim, and the last settlement of it that the ledger had to accept."""

    claim: Claim
    message: str
    began: float
    lease_until: float
    settlement: Settlement | None = None
    settled_at: float = 0.0

    @property
    def perhaps_posted(self) -> bool:
        return self.settlement is None or self.settlement.status is Status.UNKNOWN


@dataclass
class Key:
    """Everything that happened to a key since the ledger last had no entry of it."""

    alert: Alert
    of_version_0_1: bool = False
    attempts: list[Attempt] = field(default_factory=list)
    published: Published | None = None

    @property
    def newest(self) -> Attempt:
        return self.attempts[-1]

    @property
    def cut_off(self) -> int:
        """How many of the latest attempts in a row were not settled."""
        return len(list(takewhile(lambda attempt: attempt.settlement is None, reversed(self.attempts))))

    @property
    def last_settled(self) -> Attempt | None:
        """The latest attempt that was settled."""
        return next((attempt for attempt in reversed(self.attempts) if attempt.settlement), None)

    def is_of(self, alert: Alert) -> bool:
        """Whether the key was used for this very alert, as far as its entry knows."""
        if self.of_version_0_1:
            return alert.body == self.alert.body
        return fingerprint(alert) == fingerprint(self.alert)

    def yields_to(self, message: str) -> bool:
        """Whether another alert may have the key: this one was rejected, and certainly never posted."""
        last = self.newest.settlement
        rejected = last is not None and last.status is Status.REJECTED and not last.perhaps_posted
        return rejected and self.published is None and message != self.newest.message

    @property
    def perhaps_rejected(self) -> bool:
        """Whether it was rejected although an attempt may have posted it."""
        last = self.newest.settlement
        return last is not None and last.status is Status.REJECTED and last.perhaps_posted

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
        self.owners: dict[int, Owner] = {}
        self.owned_until: dict[int, float] = {}
        self.touched = ""
        for key in ("k-1", "k-2"):
            self.forget(key)
        for post_id in range(600_000_001, 600_000_005):
            self.delete(f"id#{post_id}")

    def delete(self, pk: str) -> None:
        self.world.dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": pk}})

    def forget(self, key: str) -> None:
        self.delete(f"post#{key}")
        self.known.pop(key, None)

    # Workers

    @rule(
        target=claims,
        key=st.sampled_from(["k-1", "k-1", "k-1", "k-2"]),
        message=st.sampled_from(["m-1", "m-2"]),
        alert=st.sampled_from([UP] * 17 + [BULLISH, REPLY, DOWN]),
        waited=st.booleans(),
        lost=now_and_then,
    )
    def claim(self, key: str, message: str, alert: Alert, waited: bool, lost: bool) -> Any:
        """A worker claims a key for a message; sometimes only botocore's second attempt is answered."""
        self.clock.forward(0.5)  # no two claims are in the same millisecond
        known, self.touched = self.known.get(key), key
        if lost:
            self.world.aws.lose_answer("UpdateItem")
        try:
            claim = self.ledger.claim(key, alert, message, LONG_AGO if waited else self.clock())
        except Reject as error:
            assert known, "an unused key was rejected"
            assert not known.is_of(alert), "a key was rejected for its own alert"
            assert not known.yields_to(message), "a rejected message blocked its key for another alert"
            self.assert_reason(error.reason, known, alert)
            return multiple()
        except Retry:
            assert known, "an unused key was blocked"
            assert known.is_of(alert)
            assert known.published is None, "a posted key must not be blocked"
            assert self.clock() < known.newest.lease_until, "a key was blocked beyond its lease"
            return multiple()
        finally:
            self.world.aws.reset()
        assert not known or known.is_of(alert) or known.yields_to(message), "a key was claimed for two alerts"
        if claim.before:
            assert known, "a new key had a result"
            self.assert_final(known, claim, message, waited=waited)
            return multiple()
        self.assert_new_attempt(known, claim, message, waited=waited)
        known = self.known.setdefault(key, Key(alert))
        known.alert, known.of_version_0_1 = alert, False
        known.attempts.append(Attempt(claim, message, self.clock(), self.clock() + LEASE_SECONDS))
        return claim

    def assert_reason(self, reason: str, known: Key, alert: Alert) -> None:
        assert ("another text" in reason) == (alert.body != known.alert.body), "a wrong reason"

    def assert_final(self, known: Key, claim: Claim, message: str, *, waited: bool) -> None:
        assert claim.published == known.published
        if known.published:
            assert claim.before is Status.POSTED
            return
        last = known.newest.settlement
        assert last is not None
        assert claim.before is last.status
        assert last.status in {Status.REJECTED, Status.DRY_RUN}
        assert message == known.newest.message or (waited and known.perhaps_rejected), (
            "another message of a rejected key had no attempt of its own"
        )
        assert (claim.reason, claim.status) == (last.reason, last.http_status)

    def assert_new_attempt(self, known: Key | None, claim: Claim, message: str, *, waited: bool) -> None:
        if known is None:
            assert (claim.perhaps_posted, claim.first_claimed_at) == (False, self.clock())
            assert (claim.status, claim.late, claim.refused_at) == (None, 0, 0)
            return
        assert known.published is None, "posted is final"
        assert self.clock() >= known.newest.lease_until, "two live claims of one key"
        if known.newest.settlement and known.newest.settlement.status in {Status.REJECTED, Status.DRY_RUN}:
            assert message != known.newest.message, "a message claimed its key after its own rejection"
            assert not (waited and known.perhaps_rejected), "a copy that had waited reopened what may be posted"
        assert claim.cut_off == known.cut_off
        doubtful = known.in_doubt
        assert claim.perhaps_posted == bool(doubtful), "an attempt of unknown outcome must be reported"
        assert claim.first_claimed_at == (doubtful[0].began if doubtful else self.clock())
        self.assert_remembered(known, claim)

    def assert_remembered(self, known: Key, claim: Claim) -> None:
        """What the last settled attempt left behind is known to every later one."""
        last, newest = known.last_settled, known.newest.settlement
        assert claim.ended_at == (
            known.newest.settled_at if newest and newest.status is Status.UNKNOWN else self.clock()
        ), "an unknown attempt had ended when it was settled, one that was cut off by now"
        if last is None or last.settlement is None:
            assert (claim.status, claim.late, claim.refused_at) == (None, 0, 0)
            return
        assert (claim.late, claim.refused_at) == (last.settlement.late, last.settlement.refused_at)
        open_still = newest is None or newest.status is Status.UNKNOWN
        counts = open_still and last.settled_at >= known.in_doubt[0].began
        assert claim.status == (last.settlement.http_status if counts else None), "another attempt's answer"

    @rule(claim=claims, ending=ENDINGS)
    def settle_in_time_or_too_late_or_twice(self, claim: Claim, ending: Ending) -> None:
        self.settle(claim, ending)

    @precondition(lambda self: self.open_claims())
    @rule(which=st.integers(0, 1), ending=ENDINGS)
    def settle_in_time(self, which: int, ending: Ending) -> None:
        self.settle(self.open_claims()[-which], ending)

    def open_claims(self) -> list[Claim]:
        """The newest claims that are not settled."""
        return [
            known.newest.claim for known in self.known.values() if not known.newest.settlement and not known.published
        ]

    def settle(self, claim: Claim, ending: Ending) -> None:
        """A worker settles its claim."""
        self.clock.forward(0.5)
        status, lease, sure, post_id = ending.status, ending.lease, ending.sure, ending.post_id
        known, self.touched = self.known.get(claim.key), claim.key
        is_newest = known is not None and known.newest.claim.id == claim.id
        settlement = Settlement(
            status,
            perhaps_posted=claim.perhaps_posted and not sure,
            published=Published(post_id, f"https://stocktwits.com/{claim.id}") if status is Status.POSTED else None,
            reason=f"reason of {claim.id}" if status in {Status.REJECTED, Status.UNKNOWN} else "",
            http_status=422 if status is Status.REJECTED else post_id % 2 * 200 or None,
            lease_until=self.clock() + lease if status is Status.UNKNOWN and lease else 0.0,
            certain=sure,
            late=post_id % 3,
            refused_at=self.clock() if post_id % 4 == 0 else 0.0,
        )
        if status is not Status.POSTED:
            settlement = self.settlements.setdefault(claim.id, settlement)  # a repeated settlement is the same
        owner = self.owners.get(post_id) if settlement.published else None
        if ending.lost:
            self.world.aws.lose_answer("PutItem" if settlement.published and sure else "UpdateItem")
        try:
            self.ledger.settle(claim, settlement)
        except IdTaken:
            assert owner, "a post that nobody has was taken"
            assert owner.key != claim.key, "a key was refused its own post"
            return
        except ClientError:
            if settlement.published:  # an owner is written before the entry, which DynamoDB had deleted
                self.own(post_id, claim.key, sure)
            assert not known or (not settlement.published and (known.published or not is_newest))
            return
        finally:
            self.world.aws.reset()
        assert known, "a claim without an entry was settled"
        if settlement.published:
            assert not owner or owner.key == claim.key, "two keys were settled with one post"
            self.own(post_id, claim.key, sure)
            known.published = settlement.published
            return
        assert is_newest, "a lost claim was settled"
        assert known.published is None, "a post was overwritten"
        known.newest.settlement = settlement
        known.newest.settled_at = self.clock()
        known.newest.lease_until = settlement.lease_until

    def own(self, post_id: int, key: str, certain: bool) -> None:
        self.owners[post_id] = Owner(key, certain=certain)
        self.owned_until[post_id] = self.clock() + RETENTION_SECONDS

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

    @precondition(lambda self: any(self.clock() > until + 1 for until in self.owned_until.values()))
    @rule()
    def dynamodb_deletes_expired_owners(self) -> None:
        for post_id in [each for each, until in self.owned_until.items() if self.clock() > until + 1]:
            assert self.world.item(f"id#{post_id}")["expires_at"] <= self.clock()
            self.delete(f"id#{post_id}")
            del self.owners[post_id], self.owned_until[post_id]

    @precondition(lambda self: bool(self.known))
    @rule(which=st.integers(0, 1))
    def an_entry_is_of_version_0_1(self, which: int) -> None:
        """It was written before there was a fingerprint of the whole alert."""
        key = list(self.known)[-which]
        self.known[key].of_version_0_1 = True
        self.world.dynamodb.update_item(
            TableName=TABLE, Key={"pk": {"S": f"post#{key}"}}, UpdateExpression="REMOVE alert_sha256"
        )

    # At any time

    @rule()
    def owners_and_keys_are_known(self) -> None:
        assert self.ledger.owners(range(600_000_001, 600_000_005)) == self.owners
        assert [key for key in ("k-1", "k-2") if self.ledger.known(key)] == sorted(self.known)

    @invariant()
    def the_entry_matches_the_model(self) -> None:
        known, key, self.touched = self.known.get(self.touched), self.touched, ""
        if not known:
            return
        entry = self.world.entry(key)
        if known.published:
            assert (entry["status"], entry["url"]) == ("posted", known.published.url)
            assert entry["stocktwits_id"] == known.published.id
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
