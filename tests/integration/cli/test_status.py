"""`relay status`: the gate, the pace, the queues, the last post and the archive, as they are; and a stack that is not
there."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from relay.backups.backup import Backup
from relay.errors import Pause
from relay.posting.gate import Gate
from relay.posting.telemetry import LONG_SECONDS
from relay_cli.commands import status
from relay_cli.deployed import gate, logs

from tests.worlds.backups import ARCHIVE
from tests.worlds.cli import DONE, NO_AWS, NO_STACK, STACK, USAGE, CliHarness, iso, session
from tests.worlds.functions import Outbox
from tests.worlds.posting import PostingWorld
from tests.worlds.runs import Run

FIVE_MINUTES = 300


@pytest.fixture
def with_backups(cli: CliHarness) -> CliHarness:
    return cli.with_backups("activity,message")


def posting(cli: CliHarness) -> dict[str, Any]:
    return cli("status", "--json").json["posting"]


def gate_of(cli: CliHarness) -> Gate:
    """The gate as the stack's functions have it."""
    return cli.world.gate(*(int(cli.parameters[name]) for name in ("MaxPostsPerHour", "PostBurst", "MaxPostsPerDay")))


def test_a_quiet_relay_is_open_with_all_of_its_pace(cli: CliHarness) -> None:
    assert posting(cli)["gate"] == {
        "open": True,
        "shut": [],
        "probe": None,
        "pace": {
            "now": 3,
            "next_hour": 15,
            "posted_today": 0,
            "left_today": 48,
            "per_hour": 12,
            "burst": 3,
            "per_day": 48,
        },
        "dry_run": False,
    }


def test_posts_use_the_pace_up_and_time_gives_it_back(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).admit(2)
    pace = posting(cli)["gate"]["pace"]
    assert (pace["now"], pace["next_hour"], pace["posted_today"], pace["left_today"]) == (1, 13, 2, 46)
    world.clock.forward(FIVE_MINUTES)
    pace = posting(cli)["gate"]["pace"]
    assert (pace["now"], pace["next_hour"], pace["left_today"]) == (2, 14, 46)


def test_the_pace_that_is_left_is_what_the_gate_lets_through(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).admit(3)
    world.clock.forward(400)
    shown = posting(cli)["gate"]["pace"]
    admitted = gate_of(cli).admit(10).granted
    for _ in range(36):
        world.clock.forward(100)
        admitted += gate_of(cli).admit(10).granted
    assert (shown["now"], shown["next_hour"]) == (1, admitted)


def test_a_pace_that_is_used_up_closes_the_gate_until_its_next_post(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).admit(3)
    gate = posting(cli)["gate"]
    assert (gate["open"], [each["cause"] for each in gate["shut"]]) == (False, ["pace"])
    assert datetime.fromisoformat(gate["shut"][0]["until"]).timestamp() == world.clock() + FIVE_MINUTES


def test_a_cap_that_is_reached_closes_the_gate_until_midnight(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters |= {"MaxPostsPerDay": "2", "PostBurst": "10"}
    gate_of(cli).admit(2)
    assert posting(cli)["gate"]["shut"][0]["until"] == "2026-11-22T00:00:00+00:00"
    assert posting(cli)["gate"]["pace"]["left_today"] == 0


def test_without_a_cap_nothing_is_left_to_count(cli: CliHarness) -> None:
    cli.parameters["MaxPostsPerDay"] = "0"
    assert posting(cli)["gate"]["pace"]["left_today"] is None
    assert "no daily cap" in cli("status").out


@pytest.mark.any_aws
def test_an_operators_pause_comes_before_what_stocktwits_imposed(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).close(Pause("rate_limited", "StockTwits limits the rate", world.clock() + 600))
    world.pause(who={"S": "Ann"}, why={"S": "earnings"})
    gate = posting(cli)["gate"]
    assert [(each["cause"], each["who"]) for each in gate["shut"]] == [("operator", "Ann"), ("rate_limited", "relay")]
    assert gate["pace"]["now"] == 3
    assert (
        f"closed until `relay resume`: paused by Ann: earnings; and until {iso(world.clock() + 600)}: StockTwits limits"
    ) in cli("status").out


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"fault": "page", "status": 404}, "check StockTwitsApiUrl; nothing is lost"),
        ({"fault": "empty", "status": 422}, "whether there is a newer version of the relay"),
        ({"fault": "403-html"}, "do not try by hand, since every request prolongs the block"),
        ({"fault": "problem"}, "write to StockTwits if it is not over in some hours"),
        ({"fault": "429", "reset_in_seconds": 7200}, "this is longer than an hour, although StockTwits' limits"),
        ({"fault": "429-form", "seconds": 7200}, "lower MaxPostsPerHour, and write to StockTwits"),
        ({"fault": "401"}, "store a valid one"),
    ],
)
def test_a_pause_that_needs_an_operator_says_what_to_do(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, fault: dict[str, Any], words: str
) -> None:
    world.stand_in.fail(**fault)
    outbox.send("Up 3% $AAPL")
    outbox.run()
    (pause,) = posting(cli)["gate"]["shut"]
    assert words in f"{pause['reason']}; {pause['advice']}"
    assert words in " ".join(cli("status").out.split())
    assert words in cli("resume").out


@pytest.mark.parametrize("cause", ["rate_limited", "unavailable", "pace"])
def test_a_pause_that_ends_by_itself_asks_for_nothing(cli: CliHarness, world: PostingWorld, cause: str) -> None:
    gate_of(cli).close(Pause(cause, "StockTwits limits the rate", world.clock() + gate.LONG_RATE_LIMIT_SECONDS))
    assert posting(cli)["gate"]["shut"][0]["advice"] == ""


def test_a_rate_limit_is_long_where_the_relays_alarm_begins() -> None:
    assert gate.LONG_RATE_LIMIT_SECONDS == LONG_SECONDS


def test_three_successes_without_an_id_are_shown_with_what_to_do(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("no-id", times=None, accepted=False)
    outbox.send("$AAPL one", "$MSFT two", "$TSLA three")
    outbox.run()
    shown = " ".join(cli("status").out.split())
    assert "StockTwits' answers no longer name the posts that it takes: check StockTwitsApiUrl" in shown
    assert "whether there is a newer version of the relay" in shown


def test_outside_the_posting_hours_the_gate_is_closed_until_they_begin(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters |= {"PostingHours": "MON-FRI 09:30-16:00 America/New_York", "PostingHolidays": "NYSE"}
    world.clock.now = datetime(2026, 11, 25, 21, tzinfo=UTC).timestamp()
    (pause,) = posting(cli)["gate"]["shut"]
    assert (pause["cause"], pause["until"], pause["advice"]) == ("hours", "2026-11-27T14:30:00+00:00", "")
    shown = " ".join(cli("status").out.split())
    assert "closed until 2026-11-27 14:30" in shown
    assert "it opens on Friday 2026-11-27 09:30 EST" in shown
    world.clock.now = datetime(2026, 11, 27, 14, 30, tzinfo=UTC).timestamp()
    assert posting(cli)["gate"]["open"] is True


def test_what_stocktwits_imposed_is_shown_beside_the_posting_hours(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters["PostingHours"] = "MON-FRI 09:30-16:00 America/New_York"
    gate_of(cli).close(Pause("rate_limited", "StockTwits limits the rate", world.clock() + 600))
    assert [each["cause"] for each in posting(cli)["gate"]["shut"]] == ["hours", "rate_limited"]


def test_posting_hours_that_cannot_be_read_are_shown_as_what_is_wrong(cli: CliHarness) -> None:
    cli.parameters["PostingHours"] = "MON-FRI 09:30-16:00 New_York"
    assert "'New_York' is not a time zone of the IANA database" in cli("status").err


def test_a_pause_of_stocktwits_that_is_over_is_none(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).close(Pause("rate_limited", "StockTwits limits the rate", world.clock() + 600))
    world.clock.forward(600)
    assert (posting(cli)["gate"]["open"], posting(cli)["gate"]["probe"]) == (True, None)


def test_a_probe_that_is_due_is_shown(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).close(Pause("token_refused", "store a good token", world.clock() + 300, probe=True))
    assert posting(cli)["gate"]["probe"] is None
    world.clock.forward(300)
    assert posting(cli)["gate"]["probe"] == "store a good token"
    assert "the next post is a trial, after: store a good token" in cli("status").out


@pytest.mark.any_aws
def test_looking_changes_nothing(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).admit(1)
    before = world.item("gate")
    cli("status")
    assert world.item("gate") == before


def test_a_dry_run_is_shown(cli: CliHarness) -> None:
    cli.parameters["DryRun"] = "true"
    assert "dry run: nothing is sent" in cli("status").out


@pytest.mark.any_aws
def test_queues_show_what_waits_and_what_is_under_way(cli: CliHarness, world: PostingWorld) -> None:
    for text in ("one $A", "two $B", "three $C"):
        world.send(world.leftovers, text)
    world.sqs.receive_message(QueueUrl=world.leftovers, MaxNumberOfMessages=1)
    counts = {each["name"]: (each["waiting"], each["in_flight"]) for each in posting(cli)["queues"]}
    assert counts == {"Outbox": (0, 0), "Leftovers": (2, 1), "Dead letters": (0, 0)}
    shown = cli("status").out
    assert "3 messages, 1 of them in flight or waiting for another attempt  " in shown


def measured(queue: str, age: float, minutes_ago: float) -> None:
    """Let CloudWatch have the age that SQS measured of a queue's oldest message, in seconds."""
    metric = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": queue}],
        "Timestamp": datetime.now(UTC) - timedelta(minutes=minutes_ago),
        "Value": age,
    }
    session().client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[metric])


def test_the_age_of_the_oldest_message_is_cloudwatchs_newest(cli: CliHarness, world: PostingWorld) -> None:
    world.send(world.outbox, "one $A")
    for minutes_ago, age in ((4, 60), (2, 180)):
        measured(cli.outputs["OutboxQueueName"], age, minutes_ago)
    assert posting(cli)["queues"][0]["oldest_seconds"] == 180
    assert "age of the oldest: 3 min" in cli("status").out


@pytest.mark.parametrize("queue", ["Leftovers", "DeadLetter"])
def test_no_age_is_shown_of_a_queue_whose_messages_sqs_leaves_out(
    cli: CliHarness, world: PostingWorld, queue: str
) -> None:
    world.send(cli.queues[queue], "one $A")
    measured(cli.outputs[f"{queue}QueueName"], 180, 2)
    assert [each["oldest_seconds"] for each in posting(cli)["queues"]] == [None] * 3
    assert "age of the oldest" not in cli("status").out


def test_an_age_that_cloudwatch_does_not_return_is_unknown(cli: CliHarness, world: PostingWorld) -> None:
    world.send(world.outbox, "one $A")
    cli.plan("GetMetricStatistics", "AccessDenied")
    assert posting(cli)["queues"][0]["oldest_seconds"] is None


@pytest.mark.any_aws
def test_the_last_post_is_the_newest_that_was_posted(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    outbox.send("Up 3% $AAPL")
    world.clock.forward(2.5)
    cli.log(outbox.run())
    world.clock.forward(60)
    outbox.send(" ")
    cli.log(outbox.run())
    last = posting(cli)["last_post"]
    assert (last["text"], last["delay_seconds"]) == ("Up 3% $AAPL", 2.5)
    assert f"{iso(world.clock() - 60)}  Up 3% $AAPL  {world.stand_in.url}/relay_demo/message/" in cli("status").out


def test_messages_that_a_rule_keeps_back_are_counted_without_another_request(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    cli.log_groups.remove("FetchBackupsLogs")
    world.settings(SYMBOL_COOLDOWN_MINUTES=10)
    outbox.send("one $AAPL")
    cli.log(outbox.run())
    world.clock.forward(1)
    outbox.send('{"body": "two $AAPL", "key": "k2"}')
    cli.log(outbox.run())
    cli.calls.clear()
    assert [row["key"] for row in posting(cli)["held"]] == ["k2"]
    assert [name for name, _ in cli.calls].count("FilterLogEvents") == 2
    assert "1 message of the last hour, by a rule (symbol): `relay status --why KEY`, such as k2" in cli("status").out
    world.clock.forward(700)
    assert "Held back" not in cli("status").out


def test_what_waits_is_shown_with_when_it_will_be_posted(cli: CliHarness, world: PostingWorld) -> None:
    gate_of(cli).admit(3)
    for queue in (world.outbox, world.leftovers, world.leftovers, world.dead):
        world.send(queue, "one $A")
    found = posting(cli)["outlook"]
    assert (found["waiting"], found["seconds"], found["too_late"]) == (3, 3 * FIVE_MINUTES, 0)
    assert datetime.fromisoformat(found["last_at"]).timestamp() == world.clock() + 3 * FIVE_MINUTES
    assert "3 messages: about 15 min at 12 an hour and 48 a day, until" in cli("status").out


def test_what_waits_is_shown_with_what_would_expire(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters["DefaultExpiryMinutes"] = "5"
    gate_of(cli).admit(3)
    for _ in range(2):
        world.send(world.outbox, "one $A")
    assert "; the newest 2 would expire" in cli("status").out


def test_what_waits_for_an_operators_pause_is_shown_with_how_long_it_takes_after_it(
    cli: CliHarness, world: PostingWorld
) -> None:
    world.send(world.outbox, "one $A")
    cli("pause", "earnings")
    assert "1 message: within two minutes after `relay resume`" in cli("status").out
    cli("pause", "earnings", "--for", "2h")
    assert "1 message: about 2 h at 12 an hour" in cli("status").out


def test_what_waits_for_the_posting_hours_is_shown_with_when_they_begin(cli: CliHarness, world: PostingWorld) -> None:
    cli.parameters["PostingHours"] = "MON-FRI 09:30-16:00 America/New_York"
    world.clock.now = datetime(2026, 11, 25, 21, tzinfo=UTC).timestamp()
    world.send(world.outbox, "one $A")
    assert "until 2026-11-26 14:30:00 UTC" in cli("status").out.partition("Waiting")[2].partition("\n")[0]


def test_when_nothing_waits_no_outlook_is_shown(cli: CliHarness, world: PostingWorld) -> None:
    world.send(world.dead, "one $A")
    assert "Waiting" not in cli("status").out


# The archive


@pytest.mark.any_aws
def test_the_newest_backup_of_each_type_is_shown(with_backups: CliHarness, world: PostingWorld) -> None:
    for day in ("2026-11-18", "2026-11-19"):
        key = Backup(datetime.fromisoformat(day).date(), "message").key
        world.s3.put_object(Bucket=ARCHIVE, Key=key, Body=b"")
    found = with_backups("status", "--json").json["backups"]
    assert found["newest"] == {"activity": None, "message": "2026-11-19"}
    shown = with_backups("status").out
    assert ("Newest message   2026-11-19" in shown, "Newest activity  none yet" in shown) == (True, True)


def test_the_last_nightly_run_is_shown_and_no_backfill(with_backups: CliHarness, world: PostingWorld) -> None:
    counts = {"stored": 2, "already_there": 12, "not_yet": 0, "failed": 0}
    for seconds, fields in (
        (0, {"run": "nightly", "stored": 9}),
        (60, {"run": "nightly", **counts, "stopped": "Firestream refused the login"}),
        (60, {"run": "backfill", "queued": 7}),
    ):
        world.clock.forward(seconds)
        log_line(world, {"message": "backups", "service": "fetch_backups", **fields})
    run = with_backups("status", "--json").json["backups"]["last_nightly"]
    assert (run["counts"], run["stopped"]) == ({"stored": 2, "already_there": 12}, "Firestream refused the login")
    assert "2 stored, 12 already there; it stopped early: Firestream refused the login" in with_backups("status").out


def log_line(world: PostingWorld, fields: dict[str, object]) -> None:
    session().client("logs").put_log_events(
        logGroupName="FetchBackupsLogs",
        logStreamName="stream",
        logEvents=[{"timestamp": round(world.clock() * 1000), "message": json.dumps(fields)}],
    )


def test_the_lack_of_a_recent_nightly_run_is_reported(with_backups: CliHarness, world: PostingWorld) -> None:
    log_line(world, {"message": "backups", "run": "nightly", "stored": 9})
    world.clock.forward(4 * 86400)
    assert "none in the last three days" in with_backups("status").out


def test_a_half_that_is_switched_off_is_shown_as_such(cli: CliHarness) -> None:
    assert re.search(r"^Backups +switched off", cli("status").out, re.MULTILINE)
    assert cli("status", "--json").json["backups"] is None
    del cli.outputs["PostMessagesFunctionName"]
    assert re.search(r"^Posting +switched off", cli("status").out, re.MULTILINE)


# Watching


def test_watch_looks_again_and_ends_when_interrupted(cli: CliHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    look = status.read
    monkeypatch.setattr(status, "read", lambda *found: looks.append(found) or look(*found))

    def interrupt() -> None:
        raise KeyboardInterrupt

    cli.meanwhile = [lambda: None, interrupt]
    assert cli("status", "--watch").code == 130
    assert len(looks) == 2


def test_watching_goes_on_after_a_look_that_aws_does_not_answer(
    cli: CliHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    cli.meanwhile = [lambda: cli.plan("GetQueueAttributes", "ThrottlingException"), lambda: None, interrupt]
    assert cli("status", "--watch").code == 130


@pytest.mark.any_aws
def test_watching_shows_each_new_post_without_reading_the_log_again(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(text: str) -> Run:
        outbox.send(text)
        return outbox.run()

    def interrupt() -> None:
        raise KeyboardInterrupt

    found: list[str | None] = []
    ages: list[list[float]] = []
    look = status.read

    def read(*arguments: Any) -> status.Status:
        seen = look(*arguments)
        found.append(seen.posting.last_post.text)
        asked = [call for name, call in cli.calls if name == "FilterLogEvents"]
        ages.append([world.clock() - each["startTime"] / 1000 for each in asked])
        cli.calls.clear()
        return seen

    monkeypatch.setattr(status, "read", read)
    runs = [post(text) for text in ("one $A", "two $B", "three $C")]
    cli.log(runs.pop(0))
    world.clock.forward(4 * 86400)
    cli.meanwhile = [lambda: cli.log(runs.pop(0)), lambda: cli.log(runs.pop(0)), interrupt]
    cli("status", "--watch")
    assert found == ["one $A", "two $B", "three $C"]
    both_groups = [logs.LATE.total_seconds() + status.EVERY_SECONDS] * 2
    assert ages[1:] == [both_groups, both_groups]


def test_watching_is_for_people_alone(cli: CliHarness) -> None:
    assert cli("status", "--watch", "--json").code == USAGE


# A stack that is not there, or not to be looked at


@pytest.mark.parametrize(
    ("operation", "error", "code", "message"),
    [
        ("DescribeStacks", "ValidationError", NO_STACK, f"There is no stack {STACK} in us-east-1"),
        ("DescribeStacks", "ExpiredToken", NO_AWS, "Your AWS session has expired"),
        ("DescribeStacks", "InvalidClientTokenId", NO_AWS, "AWS does not recognize your credentials"),
        (
            "GetQueueAttributes",
            "AWS.SimpleQueueService.NonExistentQueue",
            NO_STACK,
            "The resource for GetQueueAttributes",
        ),
        ("GetQueueAttributes", "AccessDenied", NO_AWS, "AWS does not allow you to call GetQueueAttributes"),
        ("BatchGetItem", "AccessDeniedException", NO_AWS, "The gate cannot be read: AWS does not allow you"),
        ("BatchGetItem", "ExpiredTokenException", NO_AWS, "The gate cannot be read: Your AWS session has expired"),
        ("FilterLogEvents", "AccessDeniedException", NO_AWS, "AWS does not allow you to call FilterLogEvents"),
    ],
)
def test_an_error_that_keeps_status_from_reading_is_one_line(
    cli: CliHarness, operation: str, error: str, code: int, message: str
) -> None:
    cli.plan(operation, error)
    result = cli("status")
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith(f"relay: {message}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("state", ["ROLLBACK_COMPLETE", "CREATE_IN_PROGRESS", "CREATE_FAILED", "DELETE_IN_PROGRESS"])
def test_a_half_deployed_stack_is_reported(cli: CliHarness, state: str) -> None:
    cli.stack_status = state
    assert (cli("status").code, state in cli("status").err) == (NO_STACK, True)


@pytest.mark.parametrize("state", ["UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED"])
def test_whatever_an_update_does_the_relay_can_be_paused(cli: CliHarness, state: str) -> None:
    cli.stack_status = state
    assert cli("pause", "a bad deployment").code == DONE


def test_a_stack_that_is_not_a_relay_is_reported(cli: CliHarness) -> None:
    del cli.outputs["OutboxQueueUrl"]
    result = cli("status")
    assert (result.code, f"The stack {STACK} is not a StockTwits Relay" in result.err) == (NO_STACK, True)


@pytest.mark.parametrize("kind", ["outputs", "parameters"])
def test_a_stack_older_than_the_command_is_reported(cli: CliHarness, kind: str) -> None:
    getattr(cli, kind).pop({"outputs": "LedgerTableName", "parameters": "PostBurst"}[kind])
    result = cli("status")
    assert (result.code, "deploy it again" in result.err) == (NO_STACK, True)


# The webhook


@pytest.fixture
def with_webhook(cli: CliHarness) -> CliHarness:
    cli.outputs["WebhookUrl"] = "https://a1b2c3.execute-api.us-east-1.amazonaws.com"
    return cli


def test_a_webhook_is_shown_with_its_address_and_how_many_may_use_it(with_webhook: CliHarness) -> None:
    for name in ("scanner", "tradingview"):
        with_webhook("webhook", "add", name)
    url = with_webhook.outputs["WebhookUrl"]
    assert with_webhook("status", "--json").json["webhook"] == {"url": url, "sources": 2}
    assert f"{url}, 2 sources" in with_webhook("status").out


@pytest.mark.parametrize("answer", ["AccessDeniedException", lambda _: {"Parameter": {"Type": "String"}}])
def test_sources_that_cannot_be_read_keep_nothing_else_from_being_shown(with_webhook: CliHarness, answer: Any) -> None:
    with_webhook.plan("GetParameter", answer)
    shown = with_webhook("status")
    assert (shown.code, "its sources could not be read" in shown.out, "Gate" in shown.out) == (DONE, True, True)


def test_without_a_webhook_nothing_of_it_is_read_or_shown(cli: CliHarness) -> None:
    assert cli("status", "--json").json["webhook"] is None
    assert "Webhook" not in cli("status").out
    assert "GetParameter" not in {name for name, _ in cli.calls}


def test_on_a_terminal_the_last_post_is_shown_as_how_long_ago_it_was(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send("Up 3% $AAPL")
    cli.log(outbox.run())
    world.clock.forward(450)
    cli.patch.setattr("relay_cli.context.goes_to_a_terminal", lambda: True)
    assert re.search(r"Last post +7 min ago +Up 3% \$AAPL", cli("status").out)
    assert re.search(r"Last post +2026-11-21 15:00:00 UTC", cli("status", "--utc").out)
