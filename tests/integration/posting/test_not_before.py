"""A message for later waits in the queues without cost or alarm, and is posted when its time has come."""

import json
from typing import Any

import pytest

from tests.integration.posting.test_alarms import OURS, breaches
from tests.integration.posting.test_ledger_cost import write_units
from tests.worlds.functions import Leftovers, Outbox
from tests.worlds.posting import PostingWorld

TEXT = "$AAPL at the close"
DAY = 24 * 3600


def later(not_before: str, **fields: Any) -> str:
    """A message that may not be posted before a moment; each test begins on 21 November 2026 at 15:00 UTC."""
    return json.dumps({"body": TEXT, "not_before": not_before, **fields})


@pytest.mark.any_aws
def test_a_message_comes_back_when_its_time_has_come(world: PostingWorld, leftovers: Leftovers) -> None:
    leftovers.send(later("2026-11-21T15:04:00Z"))
    (line,) = leftovers.run().deliveries
    assert (line["level"], line["outcome"], line["holds"][0]["cause"]) == ("INFO", "deferred", "not_before")
    (timeout,) = leftovers.visibility_timeouts()
    assert 240 < timeout <= 256
    world.clock.forward(239)
    assert leftovers.run().outcomes == []
    world.clock.forward(timeout - 239 + 0.001)
    assert (leftovers.run().outcomes, world.posted) == (["posted"], [TEXT])


def test_a_message_for_much_later_waits_in_leftovers_and_keeps_no_one_from_an_empty_outbox(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    outbox.send(later("2026-11-22T15:00:00Z"))
    for _ in range(3):
        outbox.run()
        world.clock.forward(1.001)
    assert (outbox.poll(), outbox.depth(), leftovers.depth()) == (None, 0, 1)
    run = leftovers.run()
    (line,) = run.deliveries
    assert (line["outcome"], line["receive_count"]) == ("deferred", 4)
    assert world.aws.calls_of("ChangeMessageVisibilityBatch")[-1]["Entries"][0]["VisibilityTimeout"] == 12 * 3600 - 300
    assert [name for name in OURS if breaches(run, name)] == []


@pytest.mark.any_aws
def test_waiting_costs_no_write(world: PostingWorld, outbox: Outbox) -> None:
    outbox.send(later("2026-11-21T16:00:00Z"))
    world.aws.reset()
    outbox.run()
    assert write_units(world) == 0
    assert world.aws.calls_of("BatchGetItem") == []


def test_a_message_of_thirteen_days_is_posted_then_after_few_receives_and_without_an_alarm(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    outbox.send(later("2026-12-04T15:00:00Z", priority="high"))
    until = world.clock() + 13 * DAY
    for _ in range(3):
        outbox.run()
        world.clock.forward(1.001)
    outbox.poll()
    runs = []
    while world.clock() < until:
        runs.append(leftovers.run())
        world.clock.forward(min(12 * 3600 - 299, max(until - world.clock() + 16, 1)))
    runs.append(leftovers.run())
    assert (world.posted, runs[-1].outcomes) == ([TEXT], ["posted"])
    assert runs[-1].deliveries[0]["receive_count"] < 40
    assert [(run, name) for run in runs for name in OURS - {"NothingPostedAlarm"} if breaches(run, name)] == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (later("2026-12-04T15:00:01Z", key="k"), "not_before: must be at most 13 days after the message is sent"),
        (
            later("2026-11-21T16:00:00Z", key="k", expires_at="2026-11-21T17:00:00+01:00"),
            "not_before: must be earlier than expires_at",
        ),
    ],
    ids=["too late", "expires before"],
)
def test_what_cannot_be_posted_at_its_time_is_refused_at_once(
    world: PostingWorld, outbox: Outbox, body: str, reason: str
) -> None:
    outbox.send(body)
    assert outbox.run().outcomes == ["rejected"]
    ((_, attributes),) = world.dead_letters()
    assert attributes["RejectReason"] == reason


def test_its_default_expiry_begins_when_its_time_has_come(world: PostingWorld, outbox: Outbox) -> None:
    world.settings(DEFAULT_EXPIRY_MINUTES=1)
    outbox.send(later("2026-11-21T15:04:00Z"), later("2026-11-21T15:03:00Z"))
    outbox.run()
    world.clock.forward(256.001)
    run = outbox.run()
    assert sorted(run.outcomes) == ["posted", "rejected"]


def test_it_waits_although_the_same_key_is_posted_meanwhile_and_is_no_second_post(
    world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send(later("2026-11-21T15:04:00Z", key="k"))
    assert outbox.run().outcomes == ["deferred"]
    outbox.send(json.dumps({"body": TEXT, "key": "k"}))
    assert outbox.run().outcomes == ["posted"]
    world.clock.forward(256.001)
    assert (outbox.run().outcomes, world.posted) == (["already_posted"], [TEXT])


def test_a_closed_gate_is_not_the_reason_that_a_message_for_later_waits(world: PostingWorld, outbox: Outbox) -> None:
    world.pause()
    outbox.send(later("2026-11-21T15:04:00Z"))
    run = outbox.run()
    assert (run.outcomes, run.pauses) == (["deferred"], [])
