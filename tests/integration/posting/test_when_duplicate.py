"""By ``WhenDuplicate`` what StockTwits refuses as a duplicate is rejected, or tried once more half an hour later."""

import json
from typing import Any

import pytest
from relay.errors import Pause
from relay.posting.delivery import DUPLICATE_MARGIN_SECONDS, DUPLICATE_TWICE, DUPLICATE_WINDOW_SECONDS

from tests.integration.posting.test_alarms import OURS, breaches
from tests.integration.posting.test_outcomes import is_wait
from tests.integration.posting.test_spacing import holds, writes
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

WAIT = DUPLICATE_WINDOW_SECONDS + DUPLICATE_MARGIN_SECONDS
TEXT = "$AAPL crosses 300"


def alert(**fields: Any) -> str:
    return json.dumps({"body": TEXT, "key": "k", **fields})


@pytest.fixture
def waits(world: PostingWorld) -> PostingWorld:
    """A relay that tries duplicates once more; its text was posted by hand a moment before."""
    world.settings(WHEN_DUPLICATE="wait")
    world.post_elsewhere(TEXT)
    return world


@pytest.mark.any_aws
def test_a_duplicate_waits_half_an_hour_and_is_posted(waits: PostingWorld, leftovers: Function) -> None:
    now = waits.clock()
    leftovers.send(alert())
    run = leftovers.run()
    assert (run.outcomes, holds(run)) == (["deferred"], [("duplicate", now + WAIT)])
    (seconds,) = leftovers.visibility_timeouts()
    assert is_wait(seconds, WAIT)
    entry = waits.entry("k")
    assert (entry["status"], entry["duplicates"], entry["lease_until"]) == ("released", 1, now + WAIT)
    assert (waits.dead_letters(), waits.current_pause()) == ([], None)
    waits.clock.forward(seconds)
    assert leftovers.run().outcomes == ["posted"]
    assert (waits.posted, len(waits.publishes), "duplicates" in waits.entry("k")) == ([TEXT, TEXT], 3, False)


def test_a_second_duplicate_is_moved_to_dead_letters(waits: PostingWorld, leftovers: Function) -> None:
    leftovers.send(alert())
    leftovers.run()
    waits.clock.forward(WAIT + 20)
    waits.post_elsewhere(TEXT)
    assert leftovers.run().outcomes == ["rejected"]
    ((_, attributes),) = waits.dead_letters()
    assert attributes["RejectReason"].startswith(DUPLICATE_TWICE)
    assert (attributes["StatusCode"], waits.status("k")) == ("422", "rejected")


@pytest.mark.any_aws
def test_a_rejected_duplicate_that_an_operator_sends_again_may_wait_again(
    waits: PostingWorld, leftovers: Function
) -> None:
    leftovers.send(alert())
    leftovers.run()
    waits.clock.forward(WAIT + 20)
    waits.post_elsewhere(TEXT)
    leftovers.run()
    leftovers.send(alert())
    run = leftovers.run()
    assert (run.outcomes, waits.entry("k")["duplicates"]) == (["deferred"], 1)


def test_a_failure_in_between_leaves_it_the_second_duplicate(waits: PostingWorld, leftovers: Function) -> None:
    leftovers.send(alert())
    leftovers.run()
    waits.clock.forward(WAIT + 20)
    with waits.unreachable():
        assert leftovers.run().outcomes == ["deferred"]
    waits.post_elsewhere(TEXT)
    waits.clock.forward(90)
    assert leftovers.run().outcomes == ["rejected"]


def test_a_duplicate_that_expires_first_is_settled_then(waits: PostingWorld, leftovers: Function) -> None:
    leftovers.send(alert(expires_at="2026-11-21T15:04:00Z"))
    leftovers.run()
    (seconds,) = leftovers.visibility_timeouts()
    assert is_wait(seconds, 240)
    waits.clock.forward(seconds + 1)
    assert leftovers.run().outcomes == ["rejected"]
    ((_, attributes),) = waits.dead_letters()
    assert attributes["RejectReason"].startswith("it expired at 2026-11-21T15:04:00+00:00")
    assert len(waits.publishes) == 2


@pytest.mark.any_aws
def test_a_duplicate_that_is_delivered_too_early_goes_on_waiting(waits: PostingWorld, outbox: Function) -> None:
    now, event = waits.clock(), waits.event(alert())
    outbox.invoke(event)
    waits.clock.forward(600)
    run = outbox.invoke(event)
    assert (run.outcomes, holds(run), len(waits.publishes)) == (["deferred"], [("duplicate", now + WAIT)], 2)


@pytest.mark.parametrize("after", [0, 1000])
def test_a_duplicate_that_waits_sets_off_no_alarm(waits: PostingWorld, leftovers: Function, after: float) -> None:
    event = waits.event(alert())
    outbox = waits.functions["outbox"]
    first = outbox.invoke(event)
    waits.clock.forward(after)
    leftovers.send(alert())
    second = leftovers.run()
    assert [name for run in (first, second) for name in OURS if breaches(run, name)] == []
    assert [line["level"] for run in (first, second) for line in run.deliveries] == ["INFO", "INFO"]


def test_a_duplicate_does_not_wait_in_the_outbox_which_has_an_alarm(
    waits: PostingWorld, outbox: Function, leftovers: Function
) -> None:
    outbox.send(alert())
    for _ in range(3):
        assert outbox.run().outcomes == ["deferred"]
        waits.clock.forward(2)
    assert outbox.poll() is None  # SQS moves it on
    assert not breaches(leftovers.run(), "OutboxWaitsAlarm")
    assert (outbox.depth(), leftovers.depth(), len(waits.publishes)) == (0, 1, 2)
    waits.clock.forward(WAIT + 15)  # and the longest jitter
    assert leftovers.run().outcomes == ["posted"]


def test_a_duplicate_keeps_nobody_waiting_and_waits_for_others_afterwards(
    waits: PostingWorld, leftovers: Function
) -> None:
    waits.settings(SYMBOL_COOLDOWN_MINUTES=60)
    leftovers.send(alert())
    leftovers.run()
    waits.clock.forward(60)
    leftovers.send('{"body": "$AAPL is up", "key": "other"}')
    assert leftovers.run().outcomes == ["posted"]
    waits.clock.forward(WAIT + 20)
    run = leftovers.run()
    assert (run.outcomes, holds(run)) == (["deferred"], [("symbol", waits.entry("other")["settled_at"] + 3600)])
    assert waits.entry("k")["duplicates"] == 1


def test_after_a_lost_answer_a_duplicate_is_looked_for_as_without_the_rule(
    waits: PostingWorld, leftovers: Function
) -> None:
    waits.clock.forward(DUPLICATE_WINDOW_SECONDS)
    waits.stand_in.fail("reset-after")
    leftovers.send(alert())
    leftovers.run()
    waits.clock.forward(90)
    assert leftovers.run().outcomes == ["posted"]
    assert (waits.posted, len(waits.publishes)) == ([TEXT, TEXT], 2)


def test_a_duplicate_that_waits_costs_no_more_writes_than_one_that_is_rejected(
    waits: PostingWorld, leftovers: Function
) -> None:
    costs = []
    for rule in ("wait", "reject"):
        waits.settings(WHEN_DUPLICATE=rule)
        leftovers.send(TEXT)
        waits.aws.calls.clear()
        leftovers.run()
        costs.append(writes(waits))
    assert costs == [["UpdateItem", "UpdateItem"]] * 2


def test_a_probe_that_is_refused_as_a_duplicate_opens_the_gate(waits: PostingWorld, leftovers: Function) -> None:
    waits.gate().close(Pause("unavailable", "StockTwits is down", waits.clock() - 1, probe=True))
    leftovers.send(alert())
    leftovers.run()
    leftovers.send("$MSFT crosses 400")
    assert (leftovers.run().outcomes, waits.current_pause()) == (["posted"], None)
