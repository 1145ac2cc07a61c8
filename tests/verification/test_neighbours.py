"""One message does not affect the others: days with a few harmful messages among many valid ones."""

from collections.abc import Iterator
from unittest.mock import patch

import pytest
from relay.posting.gate import Pace

from local.stand_ins.stocktwits.contrary import CREATE, Contrary
from local.stand_ins.stocktwits.faults import plan
from verification.simulation.checker import violations
from verification.simulation.network import Weather
from verification.simulation.scenario import HOUR, MINUTE, START, Alert, Scenario
from verification.simulation.sqs import Queue
from verification.simulation.stocktwits import Nature
from verification.simulation.world import World, reason


@pytest.fixture(autouse=True)
def oldest_first() -> Iterator[None]:
    """Let SQS deliver the oldest messages first, as it usually does: the worst order for the others."""
    with patch.object(Queue, "_in_no_order", lambda self: sorted(self.messages, key=lambda each: each.sent_at)):
        yield


def valid(count: int, every: float) -> list[Alert]:
    return [
        Alert(every * number, text, text) for number, text in enumerate(f"$GOOD closes at {i}" for i in range(count))
    ]


def posted(world: World) -> int:
    return sum(post.body.startswith("$GOOD") for post in world.stocktwits.timeline.posts)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_message_that_ends_its_function_costs_the_others_neither_pace_nor_cap(concurrency: int) -> None:
    doom = Alert(0, "$DOOM", "$DOOM", may_be_refused=("three deliveries in a row were interrupted",), deadly=True)
    alerts = [doom, *valid(24, every=20 * MINUTE)]
    day = Scenario(7, alerts, Weather(), Nature(), Pace(6, 2, per_day=24 + 5), concurrency, storm=9 * HOUR)
    world = World(day)
    world.run()
    assert posted(world) == 24
    assert world.stocktwits.ended == {"$DOOM": 3}
    ((letter, why),) = [(each.body, reason(each)) for each in world.dead.messages]
    assert letter == "$DOOM"
    assert why.startswith("three deliveries in a row were interrupted")
    assert list(violations(world)) == []
    assert world.network.kills == 3


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("every", [0, 1 * MINUTE, 10 * MINUTE])
@pytest.mark.parametrize("behaviour", [Contrary.PAGE, Contrary.ERROR])
def test_texts_that_are_refused_for_ever_do_not_keep_the_others_from_being_posted(
    behaviour: Contrary, every: float, concurrency: int
) -> None:
    blocked = [f"$PAGE number {i}" for i in range(5)]
    alerts = [*(Alert(0, each, each) for each in blocked), *valid(48, every)]
    world = World(Scenario(7, alerts, Weather(), Nature(), Pace(60, 10, per_day=0), concurrency, storm=12 * HOUR))
    world.stocktwits.poisoned = dict.fromkeys(blocked, plan(behaviour, None, None, CREATE, {"status": 403}))
    with patch.object(World, "_over", lambda self: self.scheduler.now > START + 12 * HOUR):
        world.run()
    assert posted(world) == 48


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("behaviour", [Contrary.PAGE, Contrary.EMPTY, Contrary.ERROR, Contrary.PROBLEM])
def test_a_text_that_is_refused_for_ever_closes_the_gate_twice_at_most(behaviour: Contrary, concurrency: int) -> None:
    poison = plan(behaviour, None, None, CREATE, {})
    refused = Alert(0, "$POISON", "$POISON", may_be_refused=("took another message in between",), poison=poison)
    day = Scenario(
        7, [refused, *valid(24, every=5 * MINUTE)], Weather(), Nature(), Pace(600, 10, 0), concurrency, storm=3 * HOUR
    )
    world = World(day)
    world.run()
    assert posted(world) == 24
    assert [each.body for each in world.dead.messages] == ["$POISON"]
    assert sum(each.text == "$POISON" for each in world.stocktwits.requests) <= 3
    assert list(violations(world)) == []
