"""The metrics that the alarms evaluate are those that the functions write, in exactly the intended situations."""

from datetime import date

import pytest

from tests.template import TEMPLATE
from tests.worlds.backups import BackupsWorld
from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld
from tests.worlds.runs import Run

ALARMS = {
    name: each["Properties"] for name, each in TEMPLATE["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"
}
OURS = {name for name, alarm in ALARMS.items() if alarm["Namespace"] == "StockTwitsRelay"}
STACK = "stocktwits-relay"


def values_of(run: Run, name: str) -> list[float]:
    """The values of an alarm's metric that a run wrote, with exactly the alarm's dimensions."""
    alarm = ALARMS[name]
    (dimension,) = alarm["Dimensions"]
    assert dimension == {"Name": "stack", "Value": {"Ref": "AWS::StackName"}}
    values: list[float] = []
    for each in run.metrics:
        (described,) = each["_aws"]["CloudWatchMetrics"]
        named = [metric["Name"] for metric in described["Metrics"]]
        if (described["Namespace"], described["Dimensions"]) == (alarm["Namespace"], [["stack"]]):
            assert each["stack"] == STACK
            values += each[alarm["MetricName"]] if alarm["MetricName"] in named else []
    return values


def breaches(run: Run, name: str) -> bool:
    """Whether a value that this run wrote breaches the alarm's threshold."""
    alarm = ALARMS[name]
    compare = {"GreaterThanOrEqualToThreshold": float.__ge__, "GreaterThanThreshold": float.__gt__}
    return any(compare[alarm["ComparisonOperator"]](float(v), float(alarm["Threshold"])) for v in values_of(run, name))


def test_every_alarm_on_our_own_metrics_is_tested_here_or_with_the_webhook() -> None:
    assert set(OURS) == {
        "AlertsRefusedAlarm",  # test_receive_alerts.py
        "OutboxWaitsAlarm",
        "LeftoversWaitAlarm",
        "NeedsAPersonAlarm",
        "NothingPostedAlarm",
        "BackupsLateAlarm",
    }


# Messages in the Outbox while the gate is open


def test_the_drain_counts_what_is_in_the_outbox_while_the_gate_is_open(
    world: PostingWorld, outbox: Function, leftovers: Function
) -> None:
    outbox.send("$AAPL one", "$AAPL two")
    assert values_of(leftovers.run(), "OutboxWaitsAlarm") == [2]


def test_a_hidden_message_of_the_outbox_counts_too(world: PostingWorld, outbox: Function, leftovers: Function) -> None:
    outbox.send("$AAPL one")
    world.receive(outbox.queue)
    assert breaches(leftovers.run(), "OutboxWaitsAlarm")


def test_an_empty_outbox_has_no_metric(world: PostingWorld, leftovers: Function) -> None:
    assert leftovers.run().metrics == []


@pytest.mark.parametrize("by", ["pause", "pace"])
def test_the_outbox_has_no_metric_while_the_gate_is_closed(
    world: PostingWorld, outbox: Function, leftovers: Function, by: str
) -> None:
    outbox.send("$AAPL one")
    if by == "pause":
        world.pause()
    else:
        world.settings(POST_BURST=1, MAX_POSTS_PER_HOUR=1)
        world.gate(per_hour=1, burst=1).admit(1)
    assert values_of(leftovers.run(), "OutboxWaitsAlarm") == []


# A message that fails again while the gate is open


@pytest.mark.parametrize(("waited", "breaching"), [(899, False), (900, True)])
def test_a_message_that_fails_after_fifteen_minutes_triggers_the_alarm(
    world: PostingWorld, leftovers: Function, waited: int, breaching: bool
) -> None:
    leftovers.send("$AAPL one")
    world.clock.forward(waited)
    world.stand_in.fail("5xx-before", status=504)
    run = leftovers.run()
    assert breaches(run, "LeftoversWaitAlarm") is breaching
    assert values_of(run, "LeftoversWaitAlarm") == pytest.approx([waited], abs=0.01)


def test_the_oldest_of_several_messages_counts(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one")
    world.clock.forward(100)
    leftovers.send("$AAPL two")
    world.stand_in.fail("5xx-before", status=504, times=2)
    assert values_of(leftovers.run(), "LeftoversWaitAlarm") == pytest.approx([100], abs=0.01)


def test_a_message_that_a_run_had_no_time_for_counts(world: PostingWorld, outbox: Function) -> None:
    outbox.send("$AAPL one", "$AAPL two")
    world.clock.forward(901)
    world.on_request(lambda _: world.clock.forward(45))
    run = outbox.run()
    assert sorted(run.outcomes) == ["deferred", "posted"]
    assert breaches(run, "LeftoversWaitAlarm")


@pytest.mark.parametrize("fault", ["429", "401", "403-html"])
def test_a_message_that_waits_for_the_gate_does_not_trigger_the_alarm(
    world: PostingWorld, leftovers: Function, fault: str
) -> None:
    leftovers.send("$AAPL one", "$AAPL two")
    world.clock.forward(9000)
    world.stand_in.fail(fault, times=2)
    run = leftovers.run()
    assert set(run.outcomes) == {"deferred"}
    assert values_of(run, "LeftoversWaitAlarm") == []


def test_an_old_message_that_is_posted_does_not_trigger_the_alarm(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one")
    world.clock.forward(9000)
    assert values_of(leftovers.run(), "LeftoversWaitAlarm") == []


# An operator is needed


@pytest.mark.parametrize(("fault", "needed"), [("401", True), ("403-html", True), ("429", False)])
def test_a_refused_token_and_a_bot_block_need_an_operator_and_a_rate_limit_does_not(
    world: PostingWorld, function: Function, fault: str, needed: bool
) -> None:
    function.send("$AAPL one")
    world.stand_in.fail(fault, times=2)
    assert breaches(function.run(), "NeedsAPersonAlarm") is needed


def test_an_unreadable_token_needs_an_operator(world: PostingWorld, outbox: Function) -> None:
    world.store_parameter("not JSON")
    outbox.send("$AAPL one")
    run = outbox.run()
    assert (run.pauses, values_of(run, "NeedsAPersonAlarm")) == (["token_unreadable"], [1])


def test_a_missing_ledger_needs_an_operator(world: PostingWorld, leftovers: Function) -> None:
    world.dynamodb.delete_table(TableName="stocktwits-relay-ledger")
    leftovers.send("$AAPL one")
    assert values_of(leftovers.run(), "NeedsAPersonAlarm") == [1]


def test_every_drain_reports_that_an_operator_is_needed_while_messages_wait(
    world: PostingWorld, leftovers: Function
) -> None:
    leftovers.send("$AAPL one", "$AAPL two")
    world.stand_in.fail("403-html")
    leftovers.run()
    leftovers.send("$AAPL three")
    assert values_of(leftovers.run(), "NeedsAPersonAlarm") == [1]


def test_an_operators_pause_does_not_trigger_the_alarm(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one")
    world.pause()
    run = leftovers.run()
    assert (run.pauses, values_of(run, "NeedsAPersonAlarm")) == (["operator"], [])


def test_a_refused_login_of_firestream_needs_an_operator(backups: BackupsWorld) -> None:
    backups.store_login("an old one")
    assert values_of(backups.nightly(), "NeedsAPersonAlarm") == [1]


@pytest.mark.parametrize(("days", "needed"), [(11.9, False), (12.1, True)])
def test_a_message_that_sqs_would_soon_delete_needs_an_operator(
    world: PostingWorld, leftovers: Function, days: float, needed: bool
) -> None:
    leftovers.send("$AAPL one")
    world.clock.forward(days * 86400)
    run = leftovers.run()
    assert (run.outcomes, breaches(run, "NeedsAPersonAlarm")) == (["posted"], needed)


# Nothing posted


def test_new_posts_of_both_functions_are_counted_together(world: PostingWorld, function: Function) -> None:
    function.send('{"body": "$AAPL one", "key": "k"}', "$AAPL two", '{"body": 1}')
    assert values_of(function.run(), "NothingPostedAlarm") == [2]
    function.send('{"body": "$AAPL one", "key": "k"}')
    again = function.run()
    assert (again.outcomes, values_of(again, "NothingPostedAlarm")) == (["already_posted"], [])


# Backups


@pytest.mark.parametrize(("age", "late"), [(1, False), (2, False), (3, False), (4, True)])
def test_backups_are_late_when_one_is_missing_that_is_older_than_the_lag(
    backups: BackupsWorld, age: int, late: bool
) -> None:
    backups.firestream.configure(lag_days=age)
    run = backups.nightly()
    assert run.counted("NewestBackupAgeDays") == {"activity": age, "message": age}
    assert values_of(run, "BackupsLateAlarm") == [max(0, age - 3)]
    assert breaches(run, "BackupsLateAlarm") is late


def test_the_oldest_missing_day_of_any_file_type_counts(backups: BackupsWorld) -> None:
    backups.nightly()
    backups.firestream.fail("404", file_type="activity", times=99)
    backups.clock.forward(3 * 86_400)
    run = backups.nightly()
    assert run.counted("NewestBackupAgeDays") == {"activity": 4, "message": 1}
    assert values_of(run, "BackupsLateAlarm") == [1]


def test_a_hole_between_stored_days_is_late_too(backups: BackupsWorld) -> None:
    backups.firestream.configure(missing=[("message", date(2026, 11, 16))])
    assert breaches(backups.nightly(), "BackupsLateAlarm")


@pytest.mark.parametrize("lookback", [3, 7])
def test_no_backup_at_all_is_late_whatever_the_look_back(backups: BackupsWorld, lookback: int) -> None:
    backups.settings(BACKUP_LOOKBACK_DAYS=lookback)
    backups.store_login("an old one")
    assert breaches(backups.nightly(), "BackupsLateAlarm")


def test_a_backfill_does_not_measure_the_newest_backup(backups: BackupsWorld) -> None:
    run = backups.invoke({"first_day": "2016-12-01", "last_day": "2016-12-02"})
    assert values_of(run, "BackupsLateAlarm") == []
