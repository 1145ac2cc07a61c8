"""The gate's rules, on a DynamoDB table that several workers share."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest
from relay.errors import Halt, Pause
from relay.posting.gate import CHANGE_ATTEMPTS, PROBE_SECONDS, Admission, Gate

from tests.worlds.clock import Clock
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

NINE_HOURS = 9 * 3600  # from 15:00 to midnight, UTC


def rate_limited(until: float) -> Pause:
    return Pause("rate_limited", "StockTwits limits the rate", until)


def token_refused(until: float) -> Pause:
    return Pause("token_refused", "store a good token", until, probe=True)


def pause_of(admission: Admission) -> Pause:
    assert admission.pause
    return admission.pause


def all_at_once(calls: list[Callable[[], Admission]]) -> list[Admission]:
    """The results of calls that are started at the same time."""
    barrier = Barrier(len(calls))

    def one(call: Callable[[], Admission]) -> Admission:
        barrier.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def admitted_at_once(gates: list[Gate], wanted: int) -> int:
    return sum(admission.granted for admission in all_at_once([partial(gate.admit, wanted) for gate in gates]))


# Pace and cap


def test_the_pace_applies_to_concurrent_workers_together(world: PostingWorld, clock: Clock) -> None:
    gates = [world.gate(per_hour=60, burst=10) for _ in range(8)]
    assert admitted_at_once(gates, 3) == 10
    clock.forward(59.9)
    assert admitted_at_once(gates, 3) == 0
    clock.forward(0.1)
    assert admitted_at_once(gates, 3) == 1


def test_the_daily_cap_applies_to_concurrent_workers_together(world: PostingWorld) -> None:
    assert admitted_at_once([world.gate(per_day=7) for _ in range(8)], 3) == 7


def test_the_day_ends_at_midnight_utc(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate(per_day=7)
    gate.admit(7)
    clock.forward(NINE_HOURS - 1)
    refused = gate.admit(1)
    assert (refused.granted, pause_of(refused).cause, pause_of(refused).until) == (0, "daily_cap", clock() + 1)
    clock.forward(1)
    assert gate.admit(9).granted == 7


def test_a_refusal_by_the_pace_has_its_end(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate(per_hour=12, burst=1)
    first = gate.admit(5)
    assert (first.granted, pause_of(first).cause, pause_of(first).until) == (1, "pace", clock() + 300)
    seconds = first.opens_in(clock())
    assert seconds
    clock.forward(seconds)
    assert gate.admit(1).granted == 1


@pytest.mark.parametrize(("other", "most"), [((12, 3), 63), ((6, 10), 70)])
def test_while_only_one_function_has_a_new_pace_the_two_together_are_not_faster_than_one(
    world: PostingWorld, clock: Clock, other: tuple[int, int], most: int
) -> None:
    gates = [world.gate(per_hour=60, burst=3), world.gate(per_hour=other[0], burst=other[1])]
    granted = 0
    for _ in range(60):
        granted += sum(gate.admit(10).granted for gate in gates)
        clock.forward(60)
    assert granted <= most


def test_looking_changes_nothing(world: PostingWorld) -> None:
    gate = world.gate(burst=1)
    assert [gate.look(5).granted for _ in range(3)] == [1, 1, 1]
    assert world.item("gate") is None


def test_a_change_that_conflicts_with_another_workers_is_repeated(world: PostingWorld, clock: Clock) -> None:
    other = world.gate(burst=5)
    overtaken: list[Admission] = []

    def overtaking_clock() -> float:
        if not overtaken:
            overtaken.append(other.admit(2))
        return clock()

    gate = world.gate(burst=5, clock=overtaking_clock)
    assert (gate.admit(5).granted, overtaken[0].granted) == (3, 2)


def test_a_gate_with_too_many_conflicts_admits_nothing(world: PostingWorld) -> None:
    world.aws.answer("PutItem", "ConditionalCheckFailedException", times=CHANGE_ATTEMPTS)
    refused = world.gate().admit(1)
    assert (refused.granted, pause_of(refused).cause) == (0, "ledger")
    assert len(world.aws.calls_of("PutItem")) == CHANGE_ATTEMPTS


def test_a_lost_answer_makes_the_pace_slower_never_faster(world: PostingWorld) -> None:
    world.aws.lose_answer("PutItem")
    gate = world.gate(burst=5)
    assert gate.admit(2).granted == 2
    assert gate.admit(5).granted == 1


def test_unused_posts_are_given_back(world: PostingWorld) -> None:
    gate = world.gate(burst=5, per_day=5)
    gate.give_back(gate.admit(5), 3)
    assert gate.admit(5).granted == 3


def test_the_pace_is_not_given_back_after_a_later_admission(world: PostingWorld) -> None:
    gate = world.gate(burst=5, per_day=6)
    first = gate.admit(3)
    gate.admit(1)
    gate.give_back(first, 3)
    after = gate.admit(5)
    assert (after.granted, world.item("gate")["count"]) == (1, 2)


def test_yesterdays_unused_posts_are_not_given_back_to_today(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate(per_day=5)
    yesterdays = gate.admit(5)
    clock.forward(NINE_HOURS)
    gate.admit(2)
    gate.give_back(yesterdays, 5)
    assert gate.admit(5).granted == 3


# The operator's pause


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "paused by unknown: unknown"),
        ({"who": {"S": "anna"}, "why": {"S": "earnings day"}}, "paused by anna: earnings day"),
        ({"who": {"N": "7"}, "why": {"NULL": True}, "until": {"NULL": True}}, "paused by 7: True"),
        ({"who": {"S": ""}, "why": {"L": []}, "until": {"S": "tomorrow"}}, "paused by unknown: unknown"),
        ({"who": {"M": {}}, "why": {"BOOL": False}, "until": {"BOOL": True}}, "paused by unknown: unknown"),
        ({"who": {"SS": ["a"]}, "why": {"B": b"x"}, "until": {"L": []}}, "paused by ['a']: b'x'"),
    ],
    ids=["bare", "who and why", "numbers and null", "empty", "map and boolean", "set and bytes"],
)
def test_while_the_operators_item_exists_nothing_is_admitted_whatever_its_attributes(
    world: PostingWorld, attributes: dict[str, Any], reason: str
) -> None:
    gate = world.gate()
    before = gate.admit(1)
    world.pause(**attributes)
    for pause in (pause_of(gate.admit(1)), pause_of(gate.look(1)), gate.pause_since(before)):
        assert pause
        assert (pause.cause, pause.reason, pause.until) == ("operator", reason, None)
    assert (gate.admit(1).granted, gate.look(1).granted) == (0, 0)
    world.lift_pause()
    assert gate.admit(1).granted == 1


def test_an_operators_pause_may_have_an_end(world: PostingWorld, clock: Clock) -> None:
    world.pause(until={"N": str(clock() + 60)})
    gate = world.gate()
    assert (gate.admit(1).granted, gate.admit(1).opens_in(clock())) == (0, 60)
    clock.forward(60)
    assert gate.admit(1).granted == 1


# Pauses that StockTwits' answers cause


def test_a_closed_gate_opens_when_its_pause_ends(world: PostingWorld, clock: Clock) -> None:
    gate, other = world.gate(), world.gate()
    gate.close(rate_limited(clock() + 60))
    refused = other.admit(5)
    assert (refused.granted, refused.pause) == (0, rate_limited(clock() + 60))
    clock.forward(60)
    assert other.admit(5).granted == 5


def test_of_two_pauses_the_longer_one_applies(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate()
    for seconds in (60, 300, 30):
        gate.close(rate_limited(clock() + seconds))
    clock.forward(299)
    assert gate.admit(1).granted == 0
    clock.forward(1)
    assert gate.admit(1).granted == 1


def test_a_longer_pause_does_not_skip_the_probe(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate()
    gate.close(token_refused(clock() + 60))
    gate.close(rate_limited(clock() + 120))
    clock.forward(120)
    assert (gate.admit(5).granted, gate.admit(5).granted) == (1, 0)


def test_after_a_refusal_a_single_probe_goes_first(world: PostingWorld, clock: Clock) -> None:
    gates = [world.gate() for _ in range(8)]
    gates[0].close(token_refused(clock() + 300))
    clock.forward(300)
    admissions = all_at_once([partial(gate.admit, 5) for gate in gates])
    assert sorted(each.granted for each in admissions) == [0] * 7 + [1]
    assert [each.probe for each in admissions if each.granted] == [True]
    assert {pause_of(each).cause for each in admissions} == {"token_refused"}


def test_a_successful_probe_opens_the_gate(world: PostingWorld, clock: Clock) -> None:
    gate, other = world.gate(), world.gate()
    gate.close(token_refused(clock() + 300.123456))
    clock.forward(300.2)
    gate.open(gate.admit(5), clock())
    assert other.admit(5).granted == 5


def test_when_a_probe_was_posted_is_known_to_every_worker_and_never_goes_back(
    world: PostingWorld, clock: Clock
) -> None:
    gate, other = world.gate(), world.gate()
    assert gate.admit(1).state.posted_at == 0
    gate.close(token_refused(clock()))
    probe = gate.admit(1)
    gate.open(probe, clock() + 0.123456)
    gate.open(probe, clock())
    gate.open(probe, 0.0)
    assert other.admit(1).state.posted_at == clock() + 0.123456


def test_how_many_posts_in_a_row_had_no_id_is_known_to_every_worker(world: PostingWorld) -> None:
    gate, other = world.gate(), world.gate()
    gate.count_no_ids(2)
    assert (other.admit(1).state.no_ids, other.look(1).state.no_ids) == (2, 2)
    gate.count_no_ids(0)
    assert other.admit(1).state.no_ids == 0


def test_counting_what_is_counted_already_writes_nothing(world: PostingWorld) -> None:
    gate = world.gate()
    gate.count_no_ids(0)
    assert world.item("gate") is None


def test_a_gate_of_version_0_1_stays_as_it_was(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate(burst=5)
    gate.close(token_refused(clock() + 60))
    world.dynamodb.update_item(
        TableName="stocktwits-relay-ledger", Key={"pk": {"S": "gate"}}, UpdateExpression="REMOVE posted, no_ids"
    )
    assert pause_of(gate.admit(1)) == token_refused(clock() + 60)
    clock.forward(60)
    gate.open(gate.admit(1), clock())
    assert gate.admit(9).granted == 4


def test_a_probe_without_a_result_is_followed_by_another(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate()
    gate.close(token_refused(clock()))
    assert gate.admit(5).granted == 1
    clock.forward(PROBE_SECONDS - 0.001)
    assert gate.admit(5).granted == 0
    clock.forward(0.001)
    assert (gate.admit(5).granted, gate.admit(5).granted) == (1, 0)


def test_a_probe_does_not_lift_a_pause_that_came_after_it(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate()
    gate.close(token_refused(clock()))
    probe = gate.admit(1)
    gate.close(rate_limited(clock() + 600))
    gate.open(probe, clock())
    assert pause_of(gate.admit(1)).cause == "rate_limited"


def test_an_unused_probe_is_given_back(world: PostingWorld) -> None:
    gate = world.gate()
    gate.close(token_refused(world.clock()))
    gate.give_back(gate.admit(5), 1)
    assert gate.admit(5).probe


def test_a_batch_learns_of_a_pause_that_came_after_its_admission(world: PostingWorld, clock: Clock) -> None:
    gate, other = world.gate(burst=1), world.gate()
    admission = gate.admit(1)
    assert gate.pause_since(admission) is None
    other.close(rate_limited(clock() + 60))
    assert gate.pause_since(admission) == rate_limited(clock() + 60)
    clock.forward(60)
    assert gate.pause_since(admission) is None


def test_a_probe_is_not_stopped_by_the_pause_it_is_to_lift(world: PostingWorld, clock: Clock) -> None:
    gate = world.gate()
    gate.close(token_refused(clock()))
    assert gate.pause_since(gate.admit(1)) is None


# Without its table


def test_a_gate_without_its_table_is_closed(world: PostingWorld) -> None:
    gate = world.gate()
    before = gate.admit(1)
    world.dynamodb.delete_table(TableName="stocktwits-relay-ledger")
    assert (gate.look(1).granted, gate.admit(1).granted) == (0, 0)
    for pause in (pause_of(gate.look(1)), pause_of(gate.admit(1)), gate.pause_since(before)):
        assert pause
        assert (pause.cause, pause.until) == ("ledger", world.clock() + 300)
        assert "stocktwits-relay-ledger" in pause.reason


def test_a_gate_with_an_unreadable_item_is_closed_and_explains_what_to_do(world: PostingWorld) -> None:
    world.dynamodb.put_item(TableName="stocktwits-relay-ledger", Item={"pk": {"S": "gate"}, "due": {"S": "soon"}})
    pause = pause_of(world.gate().admit(1))
    assert (pause.cause, pause.until) == ("ledger", world.clock() + 300)
    assert "delete it" in pause.reason


def test_a_gate_whose_table_is_throttled_is_closed_for_a_moment(world: PostingWorld) -> None:
    world.aws.answer("BatchGetItem", "ThrottlingException")
    pause = pause_of(world.gate().admit(1))
    assert pause.cause == "ledger"
    assert pause.until is not None
    assert pause.until > world.clock()


def test_a_gate_that_is_read_only_in_part_is_closed(world: PostingWorld) -> None:
    world.aws.answer("BatchGetItem", lambda asked: {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]})
    assert pause_of(world.gate().admit(1)).cause == "ledger"


def test_giving_back_is_idempotent_when_its_answer_was_lost(world: PostingWorld) -> None:
    gate = world.gate(per_day=7)
    admission = gate.admit(3)
    world.aws.lose_answer("PutItem")
    gate.give_back(admission, 1)
    assert gate.look(9).granted == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda gate, admission: gate.close(rate_limited(1)),
        lambda gate, admission: gate.open(admission, 1.0),
        lambda gate, admission: gate.count_no_ids(1),
        lambda gate, admission: gate.give_back(admission, 1),
    ],
    ids=["close", "open", "count without an id", "give back"],
)
def test_a_gate_without_its_table_reports_that_it_could_not_be_changed(
    world: PostingWorld, change: Callable[[Gate, Admission], None]
) -> None:
    gate = world.gate()
    admission = gate.admit(1)
    world.dynamodb.delete_table(TableName="stocktwits-relay-ledger")
    with pytest.raises(Halt, match="stocktwits-relay-ledger"):
        change(gate, admission)
