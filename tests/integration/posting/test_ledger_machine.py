"""The ledger as a state machine: workers claim, and settle too late, twice or never, while time passes.

The model is a list of attempts for each key, and what is known of how each of them ended. What the ledger may say
follows from it.
"""

from dataclasses import dataclass, field
from itertools import takewhile

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
from relay.posting.delivery import Claim, Published, Settlement, Status
from relay.posting.ledger import LEASE_SECONDS, RETENTION_SECONDS

AFTERNOON = 1_795_273_200.0
HALF_AN_HOUR = 1800

ENDS = st.sampled_from(
    [*(each for each in Status if each is not Status.CLAIMED), Status.REJECTED, Status.REJECTED, Status.UNKNOWN]
)
HOLDS = st.sampled_from([0, 0, HALF_AN_HOUR])
now_and_then = st.integers(0, 5).map(lambda dice: dice == 0)


@dataclass
class Attempt:
    """One claim, and what its holder said of its end, as far as the ledger had to believe it."""

    claim: Claim
    message: str
    began: float
    held_until: float
    said: Settlement | None = None

    @property
    def perhaps_posted(self):
        return self.said is None or self.said.status is Status.UNKNOWN


@dataclass
class Key:
    """Everything that happened to a key since the ledger last knew nothing of it."""

    text: str
    attempts: list[Attempt] = field(default_factory=list)
    published: Published | None = None

    @property
    def newest(self):
        return self.attempts[-1]

    @property
    def cut_off(self):
        """How many attempts in a row, up to now, nobody said anything of."""
        return len(list(takewhile(lambda attempt: attempt.said is None, reversed(self.attempts))))

    def yields_to(self, message):
        """Whether another text may have the key: this one was refused, and certainly never posted."""
        said = self.newest.said
        refused = said is not None and said.status is Status.REJECTED and not said.perhaps_posted
        return refused and self.published is None and message != self.newest.message

    @property
    def in_doubt(self):
        """The attempts, oldest first, that may have posted: those since one whose holder was sure of all before it."""
        doubtful = []
        for attempt in reversed(self.attempts):
            if attempt.perhaps_posted:
                doubtful.insert(0, attempt)
            elif not attempt.said.perhaps_posted:
                break
        return doubtful


class LedgerMachine(RuleBasedStateMachine):
    claims = Bundle("claims")

    world = None  # set by the test: AWS is made once for all examples

    def __init__(self):
        super().__init__()
        self.clock = self.world.clock
        self.clock.now = AFTERNOON
        self.world.aws.forget_client("dynamodb")  # a client sends only so many requests again in its life
        self.ledger = self.world.ledger()
        self.known = {}
        self.said = {}
        self.touched = None
        for key in ("k-1", "k-2"):
            self.forget(key)

    def forget(self, key):
        self.world.dynamodb.delete_item(TableName="stocktwits-relay-ledger", Key={"pk": {"S": f"post#{key}"}})
        self.known.pop(key, None)

    # What workers do

    @rule(
        target=claims,
        key=st.sampled_from(["k-1", "k-1", "k-1", "k-1", "k-2"]),
        message=st.sampled_from(["m-1", "m-2"]),
        text=st.sampled_from(["$AAPL up"] * 19 + ["$AAPL down"]),
        lost=now_and_then,
    )
    def claim(self, key, message, text, lost):
        """Some worker takes a key for a message; now and then only botocore's second attempt is answered."""
        self.clock.forward(0.5)  # no two claims begin in the same millisecond
        known, self.touched = self.known.get(key), key
        if lost:
            self.world.aws.lose_answer("UpdateItem")
        try:
            claim = self.ledger.claim(key, text, message)
        except Reject:
            assert known, "a key that nobody used was refused"
            assert text != known.text, "a key was refused to its own text"
            assert not known.yields_to(message), "a refused message kept its key from another text"
            return multiple()
        except Retry:
            assert known, "a key that nobody used was held"
            assert text == known.text
            assert known.published is None, "a posted key keeps nobody waiting"
            assert self.clock() < known.newest.held_until, "a key was held beyond its lease, or its hold"
            return multiple()
        finally:
            self.world.aws.reset()
        assert not known or text == known.text or known.yields_to(message), "a key was given to two texts"
        if claim.before:
            self.nothing_is_left_to_do(known, claim, message)
            return multiple()
        self.is_a_new_attempt(known, claim, message)
        known = self.known.setdefault(key, Key(text))
        known.text = text
        known.attempts.append(Attempt(claim, message, self.clock(), self.clock() + LEASE_SECONDS))
        return claim

    def nothing_is_left_to_do(self, known, claim, message):
        assert claim.published == known.published
        if known.published:
            assert claim.before is Status.POSTED
            return
        said = known.newest.said
        assert claim.before is said.status
        assert said.status in {Status.REJECTED, Status.DRY_RUN}
        assert message == known.newest.message, "another message of a rejected key was not given its own attempt"
        assert (claim.reason, claim.status) == (said.reason, said.http_status)

    def is_a_new_attempt(self, known, claim, message):
        if known is None:
            assert (claim.perhaps_posted, claim.first_claimed_at) == (False, self.clock())
            return
        assert known.published is None, "posted is final"
        assert self.clock() >= known.newest.held_until, "two live claims of one key"
        if known.newest.said and known.newest.said.status in {Status.REJECTED, Status.DRY_RUN}:
            assert message != known.newest.message, "a message reopened its own rejection"
        assert claim.cut_off == known.cut_off
        doubtful = known.in_doubt
        assert claim.perhaps_posted == bool(doubtful), "an attempt without a known end must be told"
        assert claim.first_claimed_at == (doubtful[0].began if doubtful else self.clock())

    @rule(claim=claims, status=ENDS, hold=HOLDS, sure=now_and_then, lost=now_and_then)
    def settle_in_time_or_too_late_or_twice(self, claim, status, hold, sure, lost):
        self.settle(claim, status, hold, sure, lost)

    @precondition(lambda self: self.held())
    @rule(which=st.integers(0, 1), status=ENDS, hold=HOLDS, sure=now_and_then, lost=now_and_then)
    def settle_in_time(self, which, status, hold, sure, lost):
        self.settle(self.held()[-which], status, hold, sure, lost)

    def held(self):
        """The claims that nobody settled, and nobody else took."""
        return [known.newest.claim for known in self.known.values() if not known.newest.said and not known.published]

    def settle(self, claim, status, hold, sure, lost):
        """A worker says how its attempt ended; when it is not `sure` of the attempts before it, it says that too."""
        known, self.touched = self.known.get(claim.key), claim.key
        is_newest = bool(known) and known.newest.claim.id == claim.id
        settlement = Settlement(
            status,
            perhaps_posted=claim.perhaps_posted and not sure,
            published=Published(600_000_001 + len(claim.id), f"https://stocktwits.com/{claim.id}")
            if status is Status.POSTED
            else None,
            reason=f"said of {claim.id}" if status in {Status.REJECTED, Status.UNKNOWN} else "",
            http_status=422 if status is Status.REJECTED else None,
            lease_until=self.clock() + hold if status is Status.UNKNOWN and hold else 0.0,
        )
        if status is not Status.POSTED:
            settlement = self.said.setdefault(claim.id, settlement)  # who says it twice says the same
        if lost:
            self.world.aws.lose_answer("UpdateItem")
        try:
            self.ledger.settle(claim, settlement)
        except ClientError:
            assert not known or (not settlement.published and (known.published or not is_newest))
            return
        finally:
            self.world.aws.reset()
        assert known, "what the ledger forgot was settled"
        if settlement.published:
            known.published = settlement.published
            return
        assert is_newest, "a lost claim was settled"
        assert known.published is None, "a post was taken back"
        known.newest.said = settlement
        known.newest.held_until = settlement.lease_until

    # What happens meanwhile

    @rule(seconds=st.sampled_from([0.5, LEASE_SECONDS - 0.5, LEASE_SECONDS, HALF_AN_HOUR, 40 * 24 * 3600]))
    def time_passes(self, seconds):
        self.clock.forward(seconds)

    def expired(self):
        return [key for key, known in self.known.items() if self.clock() > known.newest.began + RETENTION_SECONDS + 1]

    @precondition(expired)
    @rule()
    def dynamodb_sweeps(self):
        """DynamoDB deletes what has expired, some time afterwards."""
        for key in self.expired():
            assert self.world.entry(key)["expires_at"] <= self.clock()
            self.forget(key)

    # What holds at any time

    @invariant()
    def the_entry_says_what_happened(self):
        known, key, self.touched = self.known.get(self.touched), self.touched, None
        if not known:
            return
        entry = self.world.entry(key)
        if known.published:
            assert (entry["status"], entry["url"]) == ("posted", known.published.url)
        else:
            assert entry["status"] == (known.newest.said.status if known.newest.said else "claimed")
            assert entry["claim_id"] == known.newest.claim.id
        assert entry["attempts"] == len(known.attempts)
        assert entry["expires_at"] >= known.newest.began + RETENTION_SECONDS


@pytest.mark.timeout(120)
def test_no_sequence_of_claims_and_settlements_breaks_the_ledgers_rules(world):
    machine = type("Ledger", (LedgerMachine,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking a story takes minutes; remove this line to have it shrunk
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
