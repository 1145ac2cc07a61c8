"""The gate as a state machine: several workers ask it, give back, close and open it, while time and midnight pass.

The model is a list of the admissions and of the pauses. What the gate may grant follows from it; its arithmetic is the
definition of the pace, not that of the code.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from relay.errors import Pause
from relay.posting.gate import PROBE_SECONDS, Admission

from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

AFTERNOON = 1_795_273_200.0
NINE_HOURS = 9 * 3600  # from 15:00 to midnight, UTC
HOUR = 3600
MICROSECONDS = 1_000_000
TABLE = "stocktwits-relay-ledger"

now_and_then = st.integers(0, 3).map(lambda dice: dice == 0)


@dataclass
class Grant:
    """What one admission granted.

    Attributes:
        at: When.
        admission: What the gate returned; None if its answer was lost.
        posts: How many posts, without those that were given back.
        paid: How many the pace still counts: more than `posts` if another admission came before they were given back.
        counted: How many the day still counts, for the same reason.
        is_probe: Whether it is a probe that was not given back: until it returns, or is late, there is no other.
    """

    at: float
    admission: Admission | None
    posts: int
    paid: int
    counted: int
    is_probe: bool

    @property
    def day(self) -> date:
        return day_of(self.at)


@dataclass
class ImposedPause:
    """A pause that an answer of StockTwits caused, after so many grants; a later probe may lift it."""

    until: float
    probe: bool
    after: int


def day_of(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()


class OpenGate(RuleBasedStateMachine):
    """Workers ask and give back; there are no pauses."""

    admissions = Bundle("admissions")

    world: PostingWorld  # set by the test: AWS is created once for all examples

    @initialize(
        per_hour=st.sampled_from([3600, 60, 60, 7]),
        burst=st.sampled_from([1, 2, 5, 5]),
        per_day=st.sampled_from([0, 3, 3, 8]),
    )
    def choose_settings(self, per_hour: int, burst: int, per_day: int) -> None:
        self.clock = self.world.clock
        self.clock.now = AFTERNOON
        self.world.aws.forget_client("dynamodb")
        for pk in ("gate", "pause"):
            self.world.dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": pk}})
        self.gates = [self.world.gate(per_hour, burst, per_day) for _ in range(2)]
        self.per_hour, self.burst, self.per_day = per_hour, burst, per_day
        self.grants: list[Grant] = []
        self.pauses: list[ImposedPause] = []
        self.operator: float | None = None  # the end of the operator's pause
        self.posted_at = 0.0
        self.no_ids = 0

    # The rules

    def keeps_pace(self, paid: list[int], more: int) -> bool:
        """Whether this many more posts exceed in no window of time a burst and one post for each interval."""
        interval = -(-HOUR * MICROSECONDS // self.per_hour)
        so_far = 0
        for grant, posts in zip(reversed(self.grants), reversed(paid), strict=True):
            so_far += posts
            elapsed = round((self.clock() - grant.at) * MICROSECONDS)
            if so_far and so_far + more > self.burst + elapsed // interval:
                return False
        return more <= self.burst

    def keeps_cap(self, counted: list[int], more: int) -> bool:
        today = day_of(self.clock())
        of_today = sum(posts for grant, posts in zip(self.grants, counted, strict=True) if grant.day == today)
        return not self.per_day or of_today + more <= self.per_day

    def is_paused(self) -> bool:
        """Whether there is a pause, by the operator or by an answer."""
        return (self.operator is not None and self.clock() < self.operator) or any(
            self.clock() < pause.until for pause in self.pauses
        )

    @property
    def waits_for_a_probe(self) -> bool:
        return any(pause.probe for pause in self.pauses)

    def may_grant(self, wanted: int) -> int:
        """How many posts the gate should grant now."""
        if self.is_paused() or (self.waits_for_a_probe and self.probe_is_out()):
            return 0
        most = min(wanted, 1) if self.waits_for_a_probe else wanted
        paid, counted = [each.paid for each in self.grants], [each.counted for each in self.grants]
        while most and not (self.keeps_pace(paid, most) and self.keeps_cap(counted, most)):
            most -= 1
        return most

    def probe_is_out(self) -> bool:
        """Whether the last probe may still return."""
        return any(each.is_probe and self.clock() < each.at + PROBE_SECONDS for each in self.grants)

    def grant_of(self, admission: Admission) -> tuple[Grant, bool]:
        """The grant of an admission, and whether there was a pause since that was not lifted."""
        (number,) = (number for number, each in enumerate(self.grants) if each.admission is admission)
        return self.grants[number], any(pause.after > number for pause in self.pauses)

    # Workers

    @rule(target=admissions, worker=st.integers(0, 1), wanted=st.integers(1, 6), lost=now_and_then)
    def admit(self, worker: int, wanted: int, lost: bool) -> Any:
        if lost and (counted_twice := self.may_grant(wanted)):
            # botocore repeats the request, and the gate counts it twice: slower than the pace, never faster.
            self.world.aws.lose_answer("PutItem")
            self.grants.append(Grant(self.clock(), None, 0, counted_twice, counted_twice, self.waits_for_a_probe))
        should = self.may_grant(wanted)
        admission = self.gates[worker].admit(wanted)
        self.world.aws.reset()
        granted = admission.granted
        assert granted == 0 or not self.is_paused(), "a post was admitted during a pause"
        assert granted <= (1 if self.waits_for_a_probe else wanted), "more than one probe"
        assert granted == 0 or not (self.waits_for_a_probe and self.probe_is_out()), "a second probe"
        assert self.keeps_pace([each.posts for each in self.grants], granted), "faster than the pace"
        assert self.keeps_cap([each.posts for each in self.grants], granted), "more than the daily cap"
        assert admission.probe == (granted > 0 and self.waits_for_a_probe)
        assert (admission.pause is None) == (granted == wanted), "a refusal without a reason"
        assert granted == should, "not as many as the pace allows"
        assert admission.state.posted_at == self.posted_at, "when a probe was last posted is known to everyone"
        assert admission.state.no_ids == self.no_ids, "how many posts had no id is known to everyone"
        if not granted:
            return multiple()
        self.grants.append(Grant(self.clock(), admission, granted, granted, granted, admission.probe))
        return admission

    @rule(worker=st.integers(0, 1), wanted=st.integers(1, 6))
    def look(self, worker: int, wanted: int) -> None:
        """A look returns what an admission would, and changes nothing."""
        before = self.world.item("gate")
        assert self.gates[worker].look(wanted).granted == self.may_grant(wanted)
        assert self.world.item("gate") == before

    @rule(worker=st.integers(0, 1), admission=admissions, all_of_it=st.booleans(), lost=st.booleans())
    def give_back(self, worker: int, admission: Admission, all_of_it: bool, lost: bool) -> None:
        """A worker gives back what its batch did not use, once, at the end."""
        grant, paused_since = self.grant_of(admission)
        if grant.posts < admission.granted:
            return
        unused = admission.granted if all_of_it else 1
        if lost:
            self.world.aws.lose_answer("PutItem")
        self.gates[worker].give_back(admission, unused)
        self.world.aws.reset()
        grant.posts -= unused
        if not any(each.paid for each in self.grants[self.grants.index(grant) + 1 :]):
            grant.paid -= unused
        if grant.day == day_of(self.clock()):
            grant.counted -= unused
        grant.is_probe &= paused_since

    @rule(worker=st.integers(0, 1), no_ids=st.integers(0, 2), lost=now_and_then)
    def count_no_ids(self, worker: int, no_ids: int, lost: bool) -> None:
        """A batch ends after so many posts in a row without an id."""
        if lost and no_ids != self.no_ids:
            self.world.aws.lose_answer("PutItem")
        self.gates[worker].count_no_ids(no_ids)
        self.world.aws.reset()
        self.no_ids = no_ids

    @rule(seconds=st.sampled_from([0.5, 1, 59.5, 60, PROBE_SECONDS, 300, 515, HOUR, NINE_HOURS]))
    def time_passes(self, seconds: float) -> None:
        self.clock.forward(seconds)


class PausedGate(OpenGate):
    """The same, with pauses by StockTwits' answers and by the operator."""

    admissions = Bundle("admissions")

    @rule(worker=st.integers(0, 1), seconds=st.sampled_from([1, 60, 300]), probe=st.booleans(), lost=now_and_then)
    def close(self, worker: int, seconds: int, probe: bool, lost: bool) -> None:
        """StockTwits limits the rate, or refuses the token."""
        until = self.clock() + seconds
        pause = Pause("token_refused" if probe else "rate_limited", "a reason", until, probe=probe)
        if lost:
            self.world.aws.lose_answer("PutItem")
        self.gates[worker].close(pause)
        self.world.aws.reset()
        self.pauses.append(ImposedPause(until, probe, len(self.grants)))

    def probes(self) -> list[Admission]:
        return [each.admission for each in self.grants if each.admission and each.admission.probe and each.posts]

    @precondition(lambda self: bool(self.probes()))
    @rule(worker=st.integers(0, 1), newest=st.booleans(), posted=st.booleans(), lost=now_and_then)
    def open(self, worker: int, newest: bool, posted: bool, lost: bool) -> None:
        """A probe succeeds: perhaps late, when there is already another one, and perhaps without a post."""
        admission = self.probes()[-newest]
        grant, paused_since = self.grant_of(admission)
        if lost:
            self.world.aws.lose_answer("PutItem")
        posted_at = grant.at + 0.25 if posted else 0.0
        self.gates[worker].open(admission, posted_at)
        self.posted_at = max(self.posted_at, posted_at)
        self.world.aws.reset()
        if not paused_since and not any(each.is_probe for each in self.grants[self.grants.index(grant) + 1 :]):
            self.pauses = []

    @rule(worker=st.integers(0, 1), admission=admissions)
    def pause_since(self, worker: int, admission: Admission) -> None:
        """An admitted batch learns of every pause that came after it."""
        _, paused_since = self.grant_of(admission)
        pause = self.gates[worker].pause_since(admission)
        if self.operator is not None and self.clock() < self.operator:
            assert pause is not None
            assert pause.cause == "operator"
        elif paused_since and self.is_paused():
            assert pause is not None
        elif not self.pauses:
            assert pause is None

    @rule(until=st.sampled_from(["for ever", "for an hour", "lifted", "lifted"]))
    def pause(self, until: str) -> None:
        """The operator writes the pause, or deletes it."""
        match until:
            case "for ever":
                self.world.pause(who={"S": "anna"})
                self.operator = float("inf")
            case "for an hour":
                self.operator = self.clock() + HOUR
                self.world.pause(until={"N": str(self.operator)})
            case "lifted":
                self.world.lift_pause()
                self.operator = None


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("machine", "examples"), [(OpenGate, 15), (PausedGate, 15)])
def test_no_sequence_of_admissions_and_pauses_breaks_the_gates_rules(
    world: PostingWorld, machine: type[OpenGate], examples: int
) -> None:
    run_state_machine_as_test(
        type(machine.__name__, (machine,), {"world": world}),
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking takes minutes; remove this line to shrink an example
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
