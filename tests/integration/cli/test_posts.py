"""`relay posts`: a row for each message, made of the lines that the functions logged."""

import json
from typing import Any

import pytest
from relay.errors import Pause
from relay.posting.outcome import Result
from relay_cli.commands import posts
from relay_cli.commands.posts import STYLES
from relay_cli.dashboard.server import MARKS
from relay_cli.deployed import deliveries

from local.stack.stack import a_chart
from tests.worlds.aws import sqs_record
from tests.worlds.cli import DONE, USAGE, Answer, CliHarness, iso, session
from tests.worlds.functions import Leftovers, Outbox
from tests.worlds.posting import CHARTS, TABLE, PostingWorld

pytestmark = pytest.mark.any_aws

TEXT = "Up 3% on twice the usual volume $AAPL"


def rows(cli: CliHarness, *words: str) -> list[dict[str, Any]]:
    return cli("posts", "--json", *words).json


def test_a_posted_message_shows_text_link_and_how_long_it_took(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send(TEXT)
    world.clock.forward(2.5)
    cli.log(outbox.run())
    (post,) = world.stand_in.posts
    result = cli("posts")
    assert result.code == DONE
    assert result.out.splitlines() == [
        f"{iso(world.clock())}  posted, 2.5 s after it was queued",
        f"    {TEXT}",
        f"    {world.stand_in.url}/relay_demo/message/{post.id}",
    ]


def test_a_posts_sentiment_is_shown(cli: CliHarness, outbox: Outbox) -> None:
    outbox.send('{"body": "Up 3% $AAPL", "sentiment": "bullish", "key": "k1"}', '{"body": "$MSFT", "key": "k2"}')
    cli.log(outbox.run())
    assert {row["key"]: row["sentiment"] for row in rows(cli)} == {"k1": "bullish", "k2": None}
    assert "posted, 0.0 s after it was queued, bullish\n" in cli("posts", "--key", "k1").out


REMARKS = [
    ({"chart": f"s3://{CHARTS}/c.png"}, {"fault": "chart-missing"}, "StockTwits shows it without its chart"),
    ({"sentiment": "bullish"}, {"fault": "sentiment"}, "StockTwits shows it without its sentiment"),
    ({"sentiment": "bearish"}, {"fault": "sentiment", "form": "other"}, "StockTwits shows it without its sentiment"),
    ({}, {"fault": "rendered", "rendering": "truncated"}, "StockTwits shows another text than was sent"),
]
"""Fields of an alert, what StockTwits does with it, and the remark on it."""


@pytest.mark.parametrize(("fields", "behaviour", "remark"), REMARKS)
def test_a_post_that_is_shown_otherwise_than_it_was_sent_has_a_remark(
    cli: CliHarness, outbox: Outbox, fields: dict[str, str], behaviour: dict[str, Any], remark: str
) -> None:
    cli.world.s3.put_object(Bucket=CHARTS, Key="c.png", Body=a_chart())
    outbox.send(json.dumps({"body": TEXT, **fields}))
    cli.world.stand_in.fail(**behaviour)
    cli.log(outbox.run())
    (row,) = rows(cli)
    assert (row["outcome"], row["reason"]) == ("posted", remark)
    assert cli("posts").lines[-2:] == [f"    {row['url']}", f"    {remark}"]


def test_a_remark_stays_when_sqs_hands_the_message_over_again(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send('{"body": "Up 3% $AAPL", "sentiment": "bullish"}')
    world.stand_in.fail("sentiment")
    event = {"Records": [sqs_record(each, "outbox") for each in world.receive(outbox.queue)]}
    for _ in range(2):
        cli.log(outbox.invoke(event))
        world.clock.forward(1)
    (row,) = rows(cli)
    assert (row["outcome"], row["reason"]) == ("posted", "StockTwits shows it without its sentiment")


def test_the_lines_of_one_message_are_one_row_with_its_final_outcome(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("5xx-before", times=2)
    outbox.send(TEXT)
    for _ in range(3):
        cli.log(outbox.run())
        world.clock.forward(600)
    (row,) = rows(cli)
    assert (row["outcome"], row["attempts"]) == ("posted", 3)


def test_a_message_that_sqs_hands_over_again_stays_posted(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    (message,) = outbox.send(TEXT)
    run = cli.log(outbox.run())
    world.clock.forward(1)
    (line,) = run.deliveries
    run.lines = [line | {"outcome": "already_posted", "receive_count": 2}]
    cli.log(run)
    (row,) = rows(cli)
    assert (row["message_id"], row["outcome"], row["attempts"]) == (message, "posted", 1)


def test_the_newest_come_first_and_no_more_than_were_asked_for(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    for number in range(25):
        outbox.send(f"{number} $A")
        cli.log(outbox.run())
        world.clock.forward(60)
    assert [row["text"] for row in rows(cli, "--limit", "2")] == ["24 $A", "23 $A"]
    assert rows(cli, "--last", "2") == rows(cli, "--limit", "2")
    assert len(rows(cli)) == 20


def test_messages_of_the_last_weeks_are_found_when_there_is_nothing_newer(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    outbox.send(TEXT)
    cli.log(outbox.run())
    world.clock.forward(10 * 86400)
    assert [row["text"] for row in rows(cli)] == [TEXT]


@pytest.mark.parametrize(
    "since",
    ["2h", "2026-11-21T15:30:00Z", "2026-11-21T15:30", "2026-11-21 16:30+01", "20261121T1530Z", "2026-W47-6T15:30Z"],
)
def test_since_leaves_out_what_is_older(cli: CliHarness, world: PostingWorld, outbox: Outbox, since: str) -> None:
    for text in ("old $A", "new $A"):
        outbox.send(text)
        cli.log(outbox.run())
        world.clock.forward(6000)
    assert [row["text"] for row in rows(cli, "--since", since)] == ["new $A"]


def test_an_outcome_is_the_final_one_of_a_message(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    world.stand_in.fail("5xx-before", text="posted later")
    world.post_elsewhere("rejected $A")
    outbox.send("posted later $A", "rejected $A")
    cli.log(outbox.run())
    world.clock.forward(600)
    cli.log(outbox.run())
    assert [row["text"] for row in rows(cli, "--outcome", "rejected")] == ["rejected $A"]
    assert [row["text"] for row in rows(cli, "--outcome", "posted")] == ["posted later $A"]
    assert rows(cli, "--outcome", "deferred") == []


def test_a_key_names_a_message(cli: CliHarness, outbox: Outbox) -> None:
    outbox.send("one $A", '{"body": "two $B", "key": "quo\\"ted"}')
    cli.log(outbox.run())
    assert [row["text"] for row in rows(cli, "--key", 'quo"ted')] == ["two $B"]
    assert rows(cli, "--key", "another") == []


def test_both_functions_are_read(cli: CliHarness, world: PostingWorld, outbox: Outbox, leftovers: Leftovers) -> None:
    outbox.send("from the Outbox $A")
    leftovers.send("from Leftovers $A")
    cli.log(outbox.run())
    cli.log(leftovers.run())
    assert {row["text"] for row in rows(cli)} == {"from the Outbox $A", "from Leftovers $A"}


@pytest.mark.parametrize(
    ("key", "quoted"),
    [('quo"ted', 'quo\\"ted'), ("größer", "größer"), ("cut \ud83d", "cut ?")],
    ids=["quote", "umlaut", "half"],
)
def test_the_pattern_has_the_key_as_the_log_has_it(key: str, quoted: str, cli: CliHarness) -> None:
    cli("posts", "--key", key)
    (asked, *_) = [call for name, call in cli.calls if name == "FilterLogEvents"]
    assert asked["filterPattern"] == f'{{ $.message = "delivery" && $.key = "{quoted}" }}'


def test_every_page_of_the_log_is_read(cli: CliHarness, world: PostingWorld) -> None:
    def page(key: str, token: str | None = None) -> Answer:
        line = {"message": "delivery", "key": key, "message_id": key, "outcome": "posted", "receive_count": 1}
        event = {"timestamp": round(world.clock() * 1000), "message": json.dumps(line)}
        return lambda _: {"events": [event], **({"nextToken": token} if token else {})}

    cli.plan("FilterLogEvents", page("one", "next"), page("two"))
    assert {row["key"] for row in rows(cli, "--since", "1h")} == {"one", "two"}


def test_cloudwatch_is_asked_four_times_a_second_at_most(cli: CliHarness) -> None:
    assert cli("posts").out == "There is no such message in the log.\n"
    asked = [call for name, call in cli.calls if name == "FilterLogEvents"]
    assert len(asked) == len(cli.paces) > len(deliveries.LOOK_BACK_SECONDS)
    assert set(cli.paces) == {0.0, 0.25}
    assert cli.paces.count(0.0) == 1


def test_no_part_of_the_log_is_read_twice(cli: CliHarness) -> None:
    cli("posts")
    asked = [call for name, call in cli.calls if name == "FilterLogEvents"]
    for group in ("PostMessagesLogs", "DrainLeftoversLogs"):
        of_it = [call for call in asked if call["logGroupName"] == group]
        assert [each.get("endTime") for each in of_it] == [None, *(each["startTime"] for each in of_it[:-1])]


def test_a_line_of_an_older_version_shows_the_key_in_place_of_the_text(cli: CliHarness, outbox: Outbox) -> None:
    outbox.send('{"body": "Up 3% $AAPL", "key": "k1"}')
    run = outbox.run()
    for line in run.lines:
        line.pop("text")
        line.pop("queued_at")
    cli.log(run)
    (row,) = rows(cli)
    assert (row["text"], row["delay_seconds"]) == (None, None)
    assert "    key k1\n" in cli("posts").out


def test_log_lines_that_are_not_deliveries_are_skipped(cli: CliHarness, world: PostingWorld) -> None:
    for text in ("START RequestId", '{"message": "delivery of another kind"}', "[]", "{"):
        session().client("logs").put_log_events(
            logGroupName="PostMessagesLogs",
            logStreamName="stream",
            logEvents=[{"timestamp": round(world.clock() * 1000), "message": text}],
        )
    assert cli("posts").out == "There is no such message in the log.\n"


def test_a_function_that_is_switched_off_has_no_log(cli: CliHarness, outbox: Outbox) -> None:
    outbox.send(TEXT)
    cli.log(outbox.run())
    cli.log_groups.remove("DrainLeftoversLogs")
    assert [row["text"] for row in rows(cli)] == [TEXT]


@pytest.mark.parametrize("words", [["--since", "soon"], ["--last", "0"], ["--outcome", "lost"]])
def test_what_cannot_be_meant_is_refused(cli: CliHarness, words: list[str]) -> None:
    assert cli("posts", *words).code == USAGE


def test_what_expired_to_the_log_is_shown_and_can_be_asked_for(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.settings(EXPIRED_TO="log")
    outbox.send(json.dumps({"body": TEXT, "expires_at": "2026-11-21T15:00:00Z", "key": "k1"}), "$MSFT")
    cli.log(outbox.run())
    assert [(row["key"], row["text"]) for row in rows(cli, "--outcome", "expired")] == [("k1", TEXT)]
    assert cli("posts", "--outcome", "expired").lines[0] == f"{iso(world.clock())}  expired"


def test_every_outcome_has_a_style_and_a_sign() -> None:
    assert set(STYLES) == set(MARKS) == set(Result)


# What waits, what is the latest, and bursts


def settled(world: PostingWorld, key: str) -> None:
    """Let a message be posted without the log knowing it."""
    world.dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"post#{key}"}},
        UpdateExpression="SET #status = :posted",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":posted": {"S": "posted"}},
    )


def test_deferred_is_what_waits_now_with_what_it_waits_for(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("5xx-before", times=2)
    outbox.send('{"body": "gone $A", "key": "gone"}', '{"body": "waits $B", "key": "waits"}')
    cli.log(outbox.run())
    settled(world, "gone")
    assert [row["key"] for row in rows(cli, "--outcome", "deferred")] == ["waits"]
    assert cli("posts", "--outcome", "deferred").lines[-1].startswith("    until 2026-11-21 15:")


def test_of_a_burst_that_waits_the_waits_of_the_newest_are_shown_as_they_are_now(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.stand_in.fail("5xx-before", times=3)
    outbox.send(*(f"{number} $A" for number in range(3)))
    cli.log(outbox.run())
    until = world.clock() + 3600
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", until))
    first, *lines = cli("posts", "--outcome", "deferred").lines
    assert "deferred: 3 messages within " in first
    assert f"    the newest waits until {iso(until)}: StockTwits limits the rate" in lines
    assert ["waits" in each for each in lines] == [True] * (len(lines) - 3) + [False] * 3  # then three texts


@pytest.mark.parametrize("words", [["--limit", "1"], ["--since", "1h", "--limit", "2"], ["--since", "1h"]])
def test_what_no_longer_waits_does_not_count_towards_the_limit(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, words: list[str]
) -> None:
    world.stand_in.fail("5xx-before", times=20)
    keys = [f"k{number}" for number in range(14)]
    outbox.send('{"body": "waits $B", "key": "waits"}')
    cli.log(outbox.run())
    world.clock.forward(60)
    outbox.send(*(json.dumps({"body": f"{key} $A", "key": key}) for key in keys))
    cli.log(outbox.run())
    for key in keys:
        settled(world, key)
    assert [row["key"] for row in rows(cli, "--outcome", "deferred", *words)] == ["waits"]


def test_how_far_it_looks_for_what_waits_is_told(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posts, "EXAMINED", 1)
    world.stand_in.fail("5xx-before", times=2)
    outbox.send("one $A", "two $B")
    cli.log(outbox.run())
    result = cli("posts", "--outcome", "deferred")
    assert (result.out.count("$"), "only the newest 1 were looked at" in result.err) == (1, True)


def test_a_dead_letter_that_was_posted_after_a_retry_is_one_row(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    world.post_elsewhere(TEXT)
    outbox.send(json.dumps({"body": TEXT, "key": "k1"}))
    cli.log(outbox.run())
    assert [row["outcome"] for row in rows(cli)] == ["rejected"]
    world.clock.forward(3600)
    outbox.send(json.dumps({"body": TEXT, "key": "k1"}))
    cli.log(outbox.run())
    assert [row["outcome"] for row in rows(cli)] == ["posted"]
    assert rows(cli, "--outcome", "rejected") == []


def test_a_copy_of_a_posted_message_and_another_text_with_its_key_are_rows_of_their_own(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    for text in (TEXT, TEXT, "another $A"):
        outbox.send(json.dumps({"body": text, "key": "k1"}))
        world.clock.forward(1)
        cli.log(outbox.run())
    assert [row["outcome"] for row in rows(cli)] == ["rejected", "already_posted", "posted"]


def burst(cli: CliHarness, world: PostingWorld, outbox: Outbox, number: int, seconds: float = 0) -> None:
    for each in range(number):
        outbox.send(f"{each} $A")
        cli.log(outbox.run())
        world.clock.forward(seconds)


def test_a_burst_of_posts_is_one_entry_with_every_link(cli: CliHarness, world: PostingWorld, outbox: Outbox) -> None:
    burst(cli, world, outbox, 3, seconds=30)
    first, *others = cli("posts").lines
    assert first == f"{iso(world.clock() - 30)}  posted: 3 messages within 60 s"
    urls = [f"{world.stand_in.url}/relay_demo/message/{each.id}" for each in world.stand_in.posts]
    assert others == [f"    {number} $A  {urls[number]}" for number in (2, 1, 0)]


@pytest.mark.parametrize(("number", "seconds"), [(2, 0), (3, 31)])
def test_few_messages_or_slow_ones_are_no_burst(
    cli: CliHarness, world: PostingWorld, outbox: Outbox, number: int, seconds: float
) -> None:
    burst(cli, world, outbox, number, seconds)
    assert len(cli("posts").lines) == 3 * number


def test_a_burst_without_links_has_its_reason_once_and_its_newest_texts(
    cli: CliHarness, world: PostingWorld, outbox: Outbox
) -> None:
    for number in range(5):
        world.post_elsewhere(f"{number} $A")
    burst(cli, world, outbox, 5)
    _first, reason, *texts, more = cli("posts").lines
    assert "rejected: 5 messages within " in _first
    assert reason.startswith("    StockTwits refused it")
    assert (len(texts), more) == (3, "    and 2 more, which --json lists")


# Points in time


@pytest.mark.parametrize(
    ("words", "terminal", "begins"),
    [
        ([], True, "7 min ago"),
        (["--utc"], True, "2026-11-21 15:00:00 UTC"),
        ([], False, "2026-11-21 15:00:00 UTC"),
    ],
)
def test_on_a_terminal_a_point_in_time_is_how_long_ago_it_was(
    cli: CliHarness, outbox: Outbox, words: list[str], terminal: bool, begins: str
) -> None:
    outbox.send(TEXT)
    cli.log(outbox.run())
    cli.world.clock.forward(450)
    cli.patch.setattr("relay_cli.context.goes_to_a_terminal", lambda: terminal)
    assert cli("posts", *words).lines[0].startswith(f"{begins}  posted")
