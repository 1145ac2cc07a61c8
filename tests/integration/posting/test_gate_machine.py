"""The gate as a state machine: several workers ask it, give back, shut and open it, while time and midnight pass.

The model is a list of what was let through and of what was said to shut the gate. What the gate may grant follows from
it; the arithmetic is the definition of the pace, not that of the code.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

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

AFTERNOON = 1_795_273_200.0
NINE_HOURS = 9 * 3600  # from 15:00 to midnight, UTC
HOUR = 3600
MICROSECONDS = 1_000_000
TABLE = "stocktwits-relay-ledger"

now_and_then = st.integers(0, 3).map(lambda dice: dice == 0)


@dataclass
class Grant:
    """What was let through at once.

    Attributes:
        at: When.
        admission: How; None when its answer was lost, and nobody knows of it.
        posts: How many, without those that were given back.
        paid: How many of them the pace still counts; more than `posts` once somebody came before they were given back.
        counted: How many of them the day still counts; likewise.
        guards: Whether it is a probe that nobody gave back: until it is back, or late, there is no other.
    """

    at: float
    admission: Admission | None
    posts: int
    paid: int
    counted: int
    guards: bool

    @property
    def day(self):
        return day_of(self.at)


@dataclass
class Shut:
    """A pause that an answer of StockTwits imposed; `after` so many grants. A probe that came after it may lift it."""

    until: float
    probe: bool
    after: int


def day_of(moment):
    return datetime.fromtimestamp(moment, UTC).date()


class OpenGate(RuleBasedStateMachine):
    """Workers ask and give back; nobody shuts the gate."""

    admissions = Bundle("admissions")

    world = None  # set by the test: AWS is made once for all examples

    @initialize(
        per_hour=st.sampled_from([3600, 60, 60, 7]),
        burst=st.sampled_from([1, 2, 5, 5]),
        per_day=st.sampled_from([0, 3, 3, 8]),
    )
    def begin(self, per_hour, burst, per_day):
        self.clock = self.world.clock
        self.clock.now = AFTERNOON
        self.world.aws.forget_client("dynamodb")  # a client sends only so many requests again in its life
        for pk in ("gate", "pause"):
            self.world.dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": pk}})
        self.gates = [self.world.gate(per_hour, burst, per_day) for _ in range(2)]
        self.per_hour, self.burst, self.per_day = per_hour, burst, per_day
        self.grants = []
        self.shuts = []
        self.operator = None  # the end of the operator's pause

    # The promises

    def keeps_its_pace(self, paid, more):
        """Whether so many more would keep, in every window of time, to a burst and one post for each interval."""
        interval = -(-HOUR * MICROSECONDS // self.per_hour)
        sofar = 0
        for grant, posts in zip(reversed(self.grants), reversed(paid), strict=True):
            sofar += posts
            elapsed = round((self.clock() - grant.at) * MICROSECONDS)
            if sofar and sofar + more > self.burst + elapsed // interval:
                return False
        return more <= self.burst

    def keeps_its_cap(self, counted, more):
        today = day_of(self.clock())
        of_today = sum(posts for grant, posts in zip(self.grants, counted, strict=True) if grant.day == today)
        return not self.per_day or of_today + more <= self.per_day

    def in_force(self):
        """Whether a pause is in force, whoever ordered it."""
        return (self.operator is not None and self.clock() < self.operator) or any(
            self.clock() < shut.until for shut in self.shuts
        )

    @property
    def waits_for_a_probe(self):
        return any(shut.probe for shut in self.shuts)

    def may_grant(self, wanted):
        """How many the gate should let through now."""
        if self.in_force() or (self.waits_for_a_probe and self.probe_is_out()):
            return 0
        most = min(wanted, 1) if self.waits_for_a_probe else wanted
        paid, counted = [each.paid for each in self.grants], [each.counted for each in self.grants]
        while most and not (self.keeps_its_pace(paid, most) and self.keeps_its_cap(counted, most)):
            most -= 1
        return most

    def probe_is_out(self):
        """Whether the last probe may still come back."""
        return any(each.guards and self.clock() < each.at + PROBE_SECONDS for each in self.grants)

    def grant_of(self, admission):
        """The grant of an admission, and whether the gate was shut since, and not opened again."""
        (number,) = (number for number, each in enumerate(self.grants) if each.admission is admission)
        return self.grants[number], any(shut.after > number for shut in self.shuts)

    # What workers do

    @rule(target=admissions, worker=st.integers(0, 1), wanted=st.integers(1, 6), lost=now_and_then)
    def admit(self, worker, wanted, lost):
        if lost and (booked := self.may_grant(wanted)):
            # botocore asks again, and the gate books again: slower than the owner's pace, never faster.
            self.world.aws.lose_answer("PutItem")
            self.grants.append(Grant(self.clock(), None, 0, booked, booked, self.waits_for_a_probe))
        should = self.may_grant(wanted)
        admission = self.gates[worker].admit(wanted)
        self.world.aws.reset()
        granted = admission.granted
        assert granted == 0 or not self.in_force(), "a post went through a shut gate"
        assert granted <= (1 if self.waits_for_a_probe else wanted), "more than one probe"
        assert granted == 0 or not (self.waits_for_a_probe and self.probe_is_out()), "a second probe"
        assert self.keeps_its_pace([each.posts for each in self.grants], granted), "faster than the owner's pace"
        assert self.keeps_its_cap([each.posts for each in self.grants], granted), "more than the owner's cap"
        assert admission.probe == (granted > 0 and self.waits_for_a_probe)
        assert (admission.pause is None) == (granted == wanted), "what is held back has a reason"
        assert granted == should, "slower than the owner's pace, for no reason"
        if not granted:
            return multiple()
        self.grants.append(Grant(self.clock(), admission, granted, granted, granted, admission.probe))
        return admission

    @rule(worker=st.integers(0, 1), wanted=st.integers(1, 6))
    def look(self, worker, wanted):
        """Looking tells what asking would give, and changes nothing."""
        before = self.world.item("gate")
        assert self.gates[worker].look(wanted).granted == self.may_grant(wanted)
        assert self.world.item("gate") == before

    @rule(worker=st.integers(0, 1), admission=admissions, all_of_it=st.booleans(), lost=st.booleans())
    def give_back(self, worker, admission, all_of_it, lost):
        """A worker gives back what its batch did not use, once, at its end."""
        grant, shut_since = self.grant_of(admission)
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
        grant.guards &= shut_since

    @rule(seconds=st.sampled_from([0.5, 1, 59.5, 60, PROBE_SECONDS, 300, 515, HOUR, NINE_HOURS]))
    def time_passes(self, seconds):
        self.clock.forward(seconds)


class ShutGate(OpenGate):
    """The same, and StockTwits' answers and the operator shut it."""

    admissions = Bundle("admissions")

    @rule(worker=st.integers(0, 1), seconds=st.sampled_from([1, 60, 300]), probe=st.booleans(), lost=now_and_then)
    def close(self, worker, seconds, probe, lost):
        """StockTwits limits the rate, or refuses the token."""
        pause = Pause("token_refused" if probe else "rate_limited", "in words", self.clock() + seconds, probe=probe)
        if lost:
            self.world.aws.lose_answer("PutItem")
        self.gates[worker].close(pause)
        self.world.aws.reset()
        self.shuts.append(Shut(pause.until, probe, len(self.grants)))

    def probes(self):
        return [each for each in self.grants if each.admission and each.admission.probe and each.posts]

    @precondition(probes)
    @rule(worker=st.integers(0, 1), newest=st.booleans(), lost=now_and_then)
    def open(self, worker, newest, lost):
        """A probe comes back well: perhaps late, when another one is out."""
        grant = self.probes()[-newest]
        admission, (_, shut_since) = grant.admission, self.grant_of(grant.admission)
        if lost:
            self.world.aws.lose_answer("PutItem")
        self.gates[worker].open(admission)
        self.world.aws.reset()
        if not shut_since and not any(each.guards for each in self.grants[self.grants.index(grant) + 1 :]):
            self.shuts = []

    @rule(worker=st.integers(0, 1), admission=admissions)
    def closed(self, worker, admission):
        """A batch that was let through hears of every pause that came after it."""
        _, shut_since = self.grant_of(admission)
        heard = self.gates[worker].pause_since(admission)
        if self.operator is not None and self.clock() < self.operator:
            assert heard.cause == "operator"
        elif shut_since and self.in_force():
            assert heard is not None
        elif not self.shuts:
            assert heard is None

    @rule(until=st.sampled_from(["for ever", "for an hour", "lifted", "lifted"]))
    def pause(self, until):
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
@pytest.mark.parametrize(("machine", "stories"), [(OpenGate, 15), (ShutGate, 15)])
def test_no_sequence_of_admissions_and_pauses_breaks_the_gates_rules(world, machine, stories):
    run_state_machine_as_test(
        type(machine.__name__, (machine,), {"world": world}),
        settings=settings(
            max_examples=stories,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking a story takes minutes; remove this line to have it shrunk
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
