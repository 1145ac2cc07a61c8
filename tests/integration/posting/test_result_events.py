"""Result events as they are put on the bus; a bus that fails affects no post."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from jsonschema import Draft202012Validator
from relay.posting.result_events import schema

from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

BUS = "results"

Event = dict[str, Any]
NewEvents = Callable[[], list[Event]]


@pytest.fixture
def new_events(world: PostingWorld) -> NewEvents:
    """Creates the bus and sets the parameter; the function returns the events of all calls since it was last called."""
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
    session.client("events").create_event_bus(Name=BUS)
    world.settings(RESULT_EVENT_BUS_NAME=BUS)
    seen: list[dict[str, Any]] = []

    def new() -> list[Event]:
        entries = [entry for call in world.aws.calls_of("PutEvents") for entry in call["Entries"]]
        assert {entry["EventBusName"] for entry in entries} <= {BUS}
        found, seen[:] = entries[len(seen) :], entries
        return [
            {"source": entry["Source"], "detail-type": entry["DetailType"], "detail": json.loads(entry["Detail"])}
            for entry in found
        ]

    return new


def by_type(events: list[Event]) -> list[tuple[str, str]]:
    return sorted((each["detail-type"], each["detail"]["text"]) for each in events)


def test_each_post_and_each_rejection_of_a_batch_is_put_on_the_bus_in_one_call(
    world: PostingWorld, function: Function, new_events: NewEvents
) -> None:
    function.send("$AAPL one", '{"body": 1}', "$AAPL three")
    run = function.run()
    events = new_events()
    assert by_type(events) == [
        ("Post Rejected", ""),
        ("Post Succeeded", "$AAPL one"),
        ("Post Succeeded", "$AAPL three"),
    ]
    assert len(world.aws.calls_of("PutEvents")) == 1
    assert run.failures == []
    validator = Draft202012Validator(schema())
    assert [list(validator.iter_errors(each)) for each in events] == [[], [], []]


def test_an_event_has_the_url_of_the_post_and_the_time_of_its_message(
    world: PostingWorld, outbox: Function, new_events: NewEvents
) -> None:
    (message_id,) = outbox.send('{"body": "$AAPL one https://x.org/?signature=a-secret-query", "key": "k"}')
    world.clock.forward(7)
    outbox.run()
    ((post,), (event,)) = world.stand_in.posts, new_events()
    assert event["detail"] == {
        "key": "k",
        "text": "$AAPL one https://x.org/?…",
        "stocktwits_id": post.id,
        "url": f"{world.stand_in.url}/{world.stand_in.username}/message/{post.id}",
        "reason": "",
        "status_code": None,
        "message_id": message_id,
        "queued_at": "2026-11-21T15:00:00.000Z",
        "attempts": 1,
    }


def test_an_event_says_what_stocktwits_does_not_show_of_the_post(
    world: PostingWorld, function: Function, new_events: NewEvents
) -> None:
    function.send('{"body": "$AAPL one", "sentiment": "bullish"}')
    world.stand_in.fail("sentiment")
    function.run()
    (event,) = new_events()
    assert (event["detail-type"], event["detail"]["reason"]) == (
        "Post Succeeded",
        "StockTwits shows it without its sentiment",
    )


def test_an_event_is_put_only_for_a_final_outcome(
    world: PostingWorld, function: Function, new_events: NewEvents
) -> None:
    function.send("$AAPL one")
    world.stand_in.fail("429")
    function.run()
    assert new_events() == []
    world.clock.forward(400)
    function.run()
    assert by_type(new_events()) == [("Post Succeeded", "$AAPL one")]


def test_a_dry_run_puts_no_event(world: PostingWorld, outbox: Function, new_events: NewEvents) -> None:
    world.settings(DRY_RUN="true")
    outbox.send("$AAPL one")
    assert (outbox.run().outcomes, new_events()) == (["dry_run"], [])


def test_without_a_bus_no_event_is_put(world: PostingWorld, function: Function) -> None:
    function.send("$AAPL one")
    function.run()
    assert world.aws.calls_of("PutEvents") == []


def test_a_batch_is_acknowledged_before_its_events_are_put(
    world: PostingWorld, function: Function, new_events: NewEvents
) -> None:
    function.send("$AAPL one", "$AAPL two")
    world.stand_in.fail("5xx-before", text="two")
    function.run()
    asked = [name for name, _ in world.aws.calls]
    assert asked.index("ChangeMessageVisibilityBatch") < asked.index("PutEvents")
    assert function.name == "post_messages" or asked.index("DeleteMessageBatch") < asked.index("PutEvents")


@pytest.mark.parametrize(
    "answer",
    [
        "AccessDeniedException",
        lambda sent: {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "AccessDeniedException"}]},
    ],
    ids=["the whole call", "one entry"],
)
def test_a_refused_event_is_logged_and_counted_and_affects_no_post(
    world: PostingWorld, function: Function, new_events: NewEvents, answer: Any
) -> None:
    (message_id,) = function.send("$AAPL one")
    world.aws.answer("PutEvents", answer, times=2)
    run = function.run()
    assert (world.posted, run.outcomes, function.depth()) == (["$AAPL one"], ["posted"], 0)
    assert run.failures == [
        f"the result event of message {message_id} could not be put on results: AccessDeniedException"
    ]
    assert (run.metric("ResultEventsLost"), len(world.aws.calls_of("PutEvents"))) == (1, 2)


def test_a_bus_that_does_not_answer_is_tried_twice_and_affects_no_post(
    world: PostingWorld, outbox: Function, new_events: NewEvents
) -> None:
    outbox.send("$AAPL one")
    world.aws.lose_answer("PutEvents")
    world.aws.lose_answer("PutEvents")
    run = outbox.run()
    assert (run.answer, run.metric("ResultEventsLost")) == ({"batchItemFailures": []}, 1)
    assert "ReadTimeoutError" in run.failures[0]
    assert len(world.aws.calls_of("PutEvents")) == 2


def test_an_event_that_is_put_at_the_second_attempt_is_not_logged_as_a_failure(
    world: PostingWorld, outbox: Function, new_events: NewEvents
) -> None:
    outbox.send("$AAPL one")
    world.aws.answer("PutEvents", "InternalException")
    run = outbox.run()
    first, second = new_events()
    assert (run.failures, run.metric("ResultEventsLost"), first) == ([], 0, second)


def test_an_event_that_was_lost_is_put_when_the_message_comes_again(
    world: PostingWorld, outbox: Function, new_events: NewEvents
) -> None:
    outbox.send("$AAPL one")
    world.aws.answer("PutEvents", "InternalException", times=2)
    (message,) = world.receive(outbox.queue, VisibilityTimeout=0)
    outbox.run()
    assert len(new_events()) == 2
    outbox.send(json.dumps({"body": "$AAPL one", "key": message["MessageId"]}))
    assert outbox.run().outcomes == ["already_posted"]
    (event,) = new_events()
    assert (event["detail-type"], event["detail"]["key"]) == ("Post Succeeded", message["MessageId"])
