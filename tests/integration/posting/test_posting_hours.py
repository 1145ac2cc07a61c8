"""Outside the posting hours nothing is posted, nothing is received from Leftovers, and nothing is lost."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from relay.errors import Pause

from tests.integration.posting.test_alarms import OURS, breaches
from tests.worlds.functions import Function, Outbox
from tests.worlds.posting import PostingWorld

FIVE = [f"$AAPL crosses {price}" for price in range(300, 305)]
NEW_YORK = "MON-FRI 09:30-16:00 America/New_York"
ALARMS = OURS - {"NothingPostedAlarm", "BackupsLateAlarm"}  # the first counts hours without posts, and is optional


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def at(world: PostingWorld, text: str) -> None:
    """Let the clock show a moment in UTC."""
    world.clock.now = utc(text)


@pytest.fixture
def friday_evening(world: PostingWorld) -> PostingWorld:
    """A relay with New York's hours, at the moment at which they end for a weekend of 65.5 hours."""
    world.settings(POSTING_HOURS=NEW_YORK)
    at(world, "2026-12-04T21:00")
    return world


def test_outside_the_hours_the_drain_receives_nothing_and_says_when_they_begin(
    friday_evening: PostingWorld, leftovers: Function
) -> None:
    leftovers.send(*FIVE)
    run = leftovers.run()
    assert (run.answer, run.pauses, run.metric("GateShut")) == ({"done": 0, "left": 0}, ["hours"], 1)
    (line,) = run.lines
    assert line["until"] == utc("2026-12-07T14:30")
    assert line["reason"].endswith(f"{NEW_YORK}: it opens on Monday 2026-12-07 09:30 EST")
    assert friday_evening.aws.calls_of("ReceiveMessage") == []


def test_messages_of_a_weekend_are_all_posted_after_it_and_set_off_no_alarm(
    friday_evening: PostingWorld, outbox: Outbox, leftovers: Function
) -> None:
    world = friday_evening
    outbox.send(*FIVE[:3])
    runs = []
    for _ in range(3):  # the fourth time, SQS moves them on
        runs.append(outbox.run())
        world.clock.forward(61)
    assert outbox.poll() is None
    opening = utc("2026-12-07T14:30")
    while world.clock() < opening:
        runs.append(leftovers.run())
        world.clock.forward(min(6 * 3600, max(60, opening - world.clock())))
    assert (world.publishes, outbox.depth(), leftovers.depth()) == ([], 0, 3)
    runs.append(leftovers.run())
    assert sorted(world.posted) == FIVE[:3]
    assert [each["receive_count"] for each in runs[-1].deliveries] == [4, 4, 4]
    assert (leftovers.depth(), world.count(world.dead)) == (0, 0)
    assert [(run, name) for run in runs for name in ALARMS if breaches(run, name)] == []


def test_what_fails_after_a_weekend_sets_off_an_alarm_only_when_it_fails_again(
    friday_evening: PostingWorld, leftovers: Function
) -> None:
    leftovers.send(FIVE[0])
    at(friday_evening, "2026-12-07T14:30")
    friday_evening.stand_in.fail("5xx-before", status=504, times=2)
    assert not breaches(leftovers.run(), "LeftoversWaitAlarm")
    friday_evening.clock.forward(361)
    assert breaches(leftovers.run(), "LeftoversWaitAlarm")


@pytest.mark.parametrize(("seconds", "posted"), [(1.5, 2), (0.7, 3), (0.5, 4)])
def test_a_batch_that_is_under_way_when_the_hours_end_stops_at_once(
    world: PostingWorld, outbox: Outbox, seconds: float, posted: int
) -> None:
    world.settings(POSTING_HOURS=NEW_YORK)
    at(world, "2026-12-04T20:59:58")
    world.on_request(lambda _: world.clock.forward(seconds))
    outbox.send(*FIVE)
    run = outbox.run()
    assert run.outcomes == ["posted"] * posted + ["deferred"] * (5 - posted)
    assert (world.publishes, run.pauses) == (FIVE[:posted], ["hours"])
    assert len(run.answer["batchItemFailures"]) == 5 - posted


@pytest.mark.parametrize(("time", "posted"), [("16:00", True), ("19:59", True), ("20:01", False), ("20:59", False)])
def test_a_message_for_the_last_day_that_it_can_be_kept_is_posted_then_or_given_up_before_the_hours_end(
    world: PostingWorld, outbox: Outbox, leftovers: Function, time: str, *, posted: bool
) -> None:
    world.settings(POSTING_HOURS=NEW_YORK)
    at(world, "2026-12-07T15:00")
    outbox.send(json.dumps({"body": FIVE[0], "not_before": f"2026-12-18T{time}:00Z"}))
    for _ in range(4):
        outbox.poll()
        world.clock.forward(2)
    moment = utc(f"2026-12-18T{time}")
    while world.clock() < utc("2026-12-18T21:00"):
        leftovers.run()
        world.clock.forward(max(20.0, min(3600.0, moment + 20 - world.clock())))
    assert (world.posted, leftovers.depth()) == ([FIVE[0]] * posted, 0)
    reasons = [attributes["RejectReason"] for _, attributes in world.dead_letters()]
    assert ["SQS might delete it before the posting hours begin again" in each for each in reasons] == [True] * (
        not posted
    )


def test_the_drain_stops_when_the_hours_end(world: PostingWorld, leftovers: Function) -> None:
    world.settings(POSTING_HOURS=NEW_YORK)
    at(world, "2026-12-04T20:59:58")
    world.on_request(lambda _: world.clock.forward(1.5))
    leftovers.send(*FIVE)
    assert (leftovers.run().answer, world.publishes) == ({"done": 2, "left": 3}, FIVE[:2])
    world.clock.forward(3600)
    before = len(world.aws.calls_of("ReceiveMessage"))
    assert leftovers.run().pauses == ["hours"]
    assert len(world.aws.calls_of("ReceiveMessage")) == before


@pytest.mark.parametrize("seconds", [20, 60])
def test_a_run_waits_for_hours_that_begin_within_it_and_for_no_others(
    friday_evening: PostingWorld, leftovers: Function, seconds: int
) -> None:
    leftovers.send("$AAPL one")
    friday_evening.clock.now = utc("2026-12-07T14:30") - seconds
    leftovers.run(remaining_ms=50_000)
    assert friday_evening.posted == (["$AAPL one"] if seconds == 20 else [])


def test_an_operators_pause_is_named_before_the_hours(friday_evening: PostingWorld, leftovers: Function) -> None:
    friday_evening.pause(who={"S": "Ann"}, why={"S": "earnings"})
    leftovers.send("$AAPL one")
    assert leftovers.run().pauses == ["operator"]


def test_a_pause_of_stocktwits_is_still_in_force_when_the_hours_begin(
    friday_evening: PostingWorld, leftovers: Function
) -> None:
    world = friday_evening
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", utc("2026-12-07T14:45")))
    leftovers.send("$AAPL one")
    assert leftovers.run().pauses == ["hours"]
    at(world, "2026-12-07T14:30")
    assert leftovers.run().pauses == ["rate_limited"]


def test_on_a_half_day_of_the_exchange_nothing_is_posted_after_its_early_close(
    world: PostingWorld, outbox: Outbox
) -> None:
    world.settings(POSTING_HOURS=NEW_YORK, POSTING_HOLIDAYS="NYSE")
    at(world, "2026-11-27T17:59:59")
    outbox.send("$AAPL one")
    assert outbox.run().outcomes == ["posted"]
    world.clock.forward(1)
    outbox.send("$AAPL two")
    run = outbox.run()
    assert (run.outcomes, run.pauses, world.posted) == (["deferred"], ["hours"], ["$AAPL one"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"POSTING_HOURS": "MON-FRI 09:30-16:00 New_York"}, "'New_York' is not a time zone of the IANA database"),
        ({"POSTING_HOURS": NEW_YORK, "POSTING_HOLIDAYS": "NYSX"}, "POSTING_HOLIDAYS, 'NYSX', must be none or one of"),
        ({"POSTING_HOLIDAYS": "NYSE"}, "POSTING_HOLIDAYS needs POSTING_HOURS"),
    ],
)
def test_hours_that_cannot_be_read_stop_both_functions_and_the_messages_stay(
    world: PostingWorld, outbox: Outbox, leftovers: Function, settings: dict[str, str], words: str
) -> None:
    world.settings(**settings)
    outbox.send("$AAPL one")
    leftovers.send("$AAPL two")
    for function in (outbox, leftovers):
        with pytest.raises(Exception, match=words):
            function.run()
    assert (outbox.depth(), leftovers.depth(), world.publishes) == (1, 1, [])


def test_a_closure_for_longer_than_sqs_keeps_messages_is_told_to_an_operator(
    world: PostingWorld, leftovers: Function
) -> None:
    """Christmas and New Year are Mondays: three weeks without an hour."""
    world.settings(POSTING_HOURS="MON 09:30-16:00 America/New_York", POSTING_HOLIDAYS="NYSE")
    at(world, "2028-12-18T21:00")
    opening = utc("2029-01-08T14:30")
    leftovers.send("$AAPL one")
    run = leftovers.run()
    assert run.lines[0]["until"] == opening
    assert breaches(run, "NeedsAPersonAlarm")
    world.clock.now = opening - timedelta(days=12).total_seconds()
    assert not breaches(leftovers.run(), "NeedsAPersonAlarm")


def test_hours_change_nothing_that_is_asked_of_aws_while_they_are_open(
    world: PostingWorld, leftovers: Function
) -> None:
    world.settings(POSTING_HOURS=NEW_YORK)
    at(world, "2026-12-04T20:00")
    assert leftovers.run().output == ""
    assert [name for name, _ in world.aws.calls] == ["BatchGetItem", "ReceiveMessage", "GetQueueAttributes"]
