"""`relay posts`: a row for each message, made of the lines that the functions logged."""

import json

import pytest

from tests.worlds.cli import DONE, USAGE, Desk, iso, session

TEXT = "Up 3% on twice the usual volume $AAPL"


@pytest.fixture
def desk(world, monkeypatch):
    return Desk(world, monkeypatch)


def rows(desk, *words):
    return desk("posts", "--json", *words).json


def test_a_posted_message_shows_text_link_and_how_long_it_took(desk, world, outbox):
    outbox.send(TEXT)
    world.clock.forward(2.5)
    desk.log(outbox.run())
    (post,) = world.stand_in.posts
    said = desk("posts")
    assert said.code == DONE
    assert said.out.splitlines() == [
        f"{iso(world.clock())}  posted, 2.5 s after it was queued",
        f"    {TEXT}",
        f"    https://stocktwits.com/relay_demo/message/{post.id}",
    ]


def test_a_posts_sentiment_is_shown(desk, outbox):
    outbox.send('{"body": "Up 3% $AAPL", "sentiment": "bullish", "key": "k1"}', '{"body": "$MSFT", "key": "k2"}')
    desk.log(outbox.run())
    assert {row["key"]: row["sentiment"] for row in rows(desk)} == {"k1": "bullish", "k2": None}
    assert "posted, 0.0 s after it was queued, bullish\n" in desk("posts", "--key", "k1").out


def test_the_lines_of_one_message_are_one_row_with_its_final_outcome(desk, world, outbox):
    world.stand_in.fail("5xx-before", times=2)
    outbox.send(TEXT)
    for _ in range(3):
        desk.log(outbox.run())
        world.clock.forward(600)
    (row,) = rows(desk)
    assert (row["outcome"], row["attempts"]) == ("posted", 3)


def test_a_message_that_sqs_hands_over_again_stays_posted(desk, world, outbox):
    (message,) = outbox.send(TEXT)
    run = desk.log(outbox.run())
    world.clock.forward(1)
    (line,) = run.deliveries
    run.lines = [line | {"outcome": "already_posted", "receive_count": 2}]
    desk.log(run)
    (row,) = rows(desk)
    assert (row["message_id"], row["outcome"], row["attempts"]) == (message, "posted", 1)


def test_the_newest_come_first_and_no_more_than_were_asked_for(desk, world, outbox):
    for number in range(25):
        outbox.send(f"{number} $A")
        desk.log(outbox.run())
        world.clock.forward(60)
    assert [row["text"] for row in rows(desk, "--last", "2")] == ["24 $A", "23 $A"]
    assert len(rows(desk)) == 20


def test_messages_of_the_last_weeks_are_found_when_there_is_nothing_newer(desk, world, outbox):
    outbox.send(TEXT)
    desk.log(outbox.run())
    world.clock.forward(10 * 86400)
    assert [row["text"] for row in rows(desk)] == [TEXT]


@pytest.mark.parametrize("since", ["2h", "2026-11-21T15:30:00Z", "2026-11-21T15:30"])
def test_since_leaves_out_what_is_older(desk, world, outbox, since):
    for text in ("old $A", "new $A"):
        outbox.send(text)
        desk.log(outbox.run())
        world.clock.forward(6000)
    assert [row["text"] for row in rows(desk, "--since", since)] == ["new $A"]


def test_an_outcome_is_the_final_one_of_a_message(desk, world, outbox):
    world.stand_in.fail("5xx-before", text="posted later")
    world.post_elsewhere("rejected $A")
    outbox.send("posted later $A", "rejected $A")
    desk.log(outbox.run())
    world.clock.forward(600)
    desk.log(outbox.run())
    assert [row["text"] for row in rows(desk, "--outcome", "rejected")] == ["rejected $A"]
    assert [row["text"] for row in rows(desk, "--outcome", "posted")] == ["posted later $A"]
    assert rows(desk, "--outcome", "deferred") == []


def test_a_key_names_a_message(desk, outbox):
    outbox.send("one $A", '{"body": "two $B", "key": "quo\\"ted"}')
    desk.log(outbox.run())
    assert [row["text"] for row in rows(desk, "--key", 'quo"ted')] == ["two $B"]
    assert rows(desk, "--key", "another") == []


def test_both_functions_are_read(desk, world, outbox, leftovers):
    outbox.send("from the Outbox $A")
    leftovers.send("from Leftovers $A")
    desk.log(outbox.run())
    desk.log(leftovers.run())
    assert {row["text"] for row in rows(desk)} == {"from the Outbox $A", "from Leftovers $A"}


def test_the_pattern_leaves_the_choice_of_lines_to_cloudwatch(desk):
    desk("posts", "--key", 'quo"ted')
    (asked, *_) = [call for name, call in desk.calls if name == "FilterLogEvents"]
    assert asked["filterPattern"] == '{ $.message = "delivery" && $.key = "quo\\"ted" }'


def test_every_page_of_the_log_is_read(desk, world):
    def page(key, token=None):
        line = {"message": "delivery", "key": key, "message_id": key, "outcome": "posted", "receive_count": 1}
        event = {"timestamp": round(world.clock() * 1000), "message": json.dumps(line)}
        return lambda _: {"events": [event], **({"nextToken": token} if token else {})}

    desk.plan("FilterLogEvents", page("one", "next"), page("two"))
    assert {row["key"] for row in rows(desk, "--since", "1h")} == {"one", "two"}


def test_a_line_of_an_older_version_shows_the_key_in_place_of_the_text(desk, outbox):
    outbox.send('{"body": "Up 3% $AAPL", "key": "k1"}')
    run = outbox.run()
    for line in run.lines:
        line.pop("text")
        line.pop("queued_at")
    desk.log(run)
    (row,) = rows(desk)
    assert (row["text"], row["delay_seconds"]) == (None, None)
    assert "    key k1\n" in desk("posts").out


def test_what_is_no_log_line_of_ours_is_passed_over(desk, world):
    for text in ("START RequestId", '{"message": "delivery of another kind"}', "[]", "{"):
        session().client("logs").put_log_events(
            logGroupName="PostMessagesLogs",
            logStreamName="stream",
            logEvents=[{"timestamp": round(world.clock() * 1000), "message": text}],
        )
    assert desk("posts").out == "The log shows no such message.\n"


def test_a_function_that_is_switched_off_has_no_log(desk, outbox):
    outbox.send(TEXT)
    desk.log(outbox.run())
    desk.log_groups.remove("DrainLeftoversLogs")
    assert [row["text"] for row in rows(desk)] == [TEXT]


@pytest.mark.parametrize("words", [["--since", "soon"], ["--last", "0"], ["--outcome", "lost"]])
def test_what_cannot_be_meant_is_refused(desk, words):
    assert desk("posts", *words).code == USAGE
