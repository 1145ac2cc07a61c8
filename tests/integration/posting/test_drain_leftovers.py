"""The drain of Leftovers: ask the gate, receive what it admits, delete what is done, hide the rest, end in time."""

from collections.abc import Callable
from typing import Any

import pytest
from relay.errors import Pause

from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

pytestmark = pytest.mark.any_aws

FIVE = [f"$AAPL crosses {price}" for price in range(300, 305)]


def rate_limited(world: PostingWorld, seconds: float = 600) -> None:
    world.gate().close(Pause("rate_limited", "StockTwits limits the rate", world.clock() + seconds))


def receive_counts(world: PostingWorld) -> list[str]:
    return [each["Attributes"]["ApproximateReceiveCount"] for each in world.receive(world.leftovers)]


# The gate is read first


@pytest.mark.parametrize("pause", [rate_limited, lambda world: world.pause()], ids=["by a 429", "by an operator"])
def test_while_posting_is_paused_no_message_is_received(
    world: PostingWorld, leftovers: Function, pause: Callable[[PostingWorld], None]
) -> None:
    pause(world)
    leftovers.send(*FIVE)
    run = leftovers.run()
    assert run.answer == {"done": 0, "left": 0}
    assert world.aws.calls_of("ReceiveMessage") == []
    assert receive_counts(world) == ["1"] * 5


def test_a_closed_gate_is_reported_only_while_messages_wait(world: PostingWorld, leftovers: Function) -> None:
    rate_limited(world)
    idle = leftovers.run()
    leftovers.send("$AAPL one")
    waiting = leftovers.run()
    assert (idle.output, waiting.pauses, waiting.metric("GateShut")) == ("", ["rate_limited"], 1)


def test_an_idle_run_costs_one_read_one_receive_and_one_count_and_logs_nothing(
    world: PostingWorld, leftovers: Function
) -> None:
    run = leftovers.run()
    assert (run.answer, run.output) == ({"done": 0, "left": 0}, "")
    assert [name for name, _ in world.aws.calls] == ["BatchGetItem", "ReceiveMessage", "GetQueueAttributes"]


def test_no_more_is_received_than_may_be_posted(world: PostingWorld, leftovers: Function) -> None:
    world.settings(POST_BURST=3, MAX_POSTS_PER_HOUR=12)
    leftovers.send(*FIVE)
    run = leftovers.run()
    assert (world.posted, run.answer, run.pauses) == (FIVE[:3], {"done": 3, "left": 0}, ["pace"])
    assert [call["MaxNumberOfMessages"] for call in world.aws.calls_of("ReceiveMessage")] == [3]
    assert receive_counts(world) == ["1", "1"]


def test_when_the_gate_opens_again_within_the_run_the_run_waits_for_it(
    world: PostingWorld, leftovers: Function
) -> None:
    world.settings(POST_BURST=1, MAX_POSTS_PER_HOUR=720)
    leftovers.send(*FIVE)
    began = world.clock()
    run = leftovers.run()
    assert (world.posted, run.pauses) == (FIVE, [])
    assert [seen.at - began for seen in world.stand_in.requests] == pytest.approx([0, 5, 10, 15, 20], abs=0.001)


def test_a_run_does_not_wait_for_a_gate_that_opens_after_it(world: PostingWorld, leftovers: Function) -> None:
    rate_limited(world, seconds=31)
    leftovers.send("$AAPL one")
    began = world.clock()
    run = leftovers.run(remaining_ms=50_000)
    assert (world.clock(), run.pauses, world.posted) == (began, ["rate_limited"], [])


def test_a_queue_longer_than_a_batch_is_drained_in_one_run(world: PostingWorld, leftovers: Function) -> None:
    texts = [f"$AAPL crosses {price}" for price in range(300, 323)]
    leftovers.send(*texts)
    run = leftovers.run()
    assert (world.posted, run.answer, leftovers.depth()) == (texts, {"done": 23, "left": 0}, 0)


# Acknowledging


def test_completed_messages_are_deleted_and_the_others_are_hidden(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one", '{"bodi": 1}', "$AAPL two", "$AAPL three")
    world.stand_in.fail("5xx-before", text="two")
    run = leftovers.run()
    assert (run.answer, leftovers.depth(), len(world.dead_letters())) == ({"done": 3, "left": 1}, 1, 1)
    assert len(world.aws.calls_of("DeleteMessageBatch")) == 1
    (timeout,) = leftovers.visibility_timeouts()
    assert 60 < timeout <= 76


@pytest.mark.parametrize(
    ("receive_count", "seconds"), [(1, 60), (4, 60), (5, 120), (6, 240), (7, 480), (8, 900), (199, 900)]
)
def test_the_wait_after_a_failure_doubles_up_to_a_quarter_of_an_hour(
    world: PostingWorld, leftovers: Function, receive_count: int, seconds: int
) -> None:
    leftovers.send("$AAPL one")
    world.receive_times(leftovers.queue, receive_count - 1)
    world.stand_in.fail("5xx-before")
    leftovers.run()
    (timeout,) = leftovers.visibility_timeouts()
    assert seconds < timeout <= seconds + 60 / 4 + 1


def test_after_its_last_receive_a_message_is_moved_to_dead_letters_with_the_reason(
    world: PostingWorld, leftovers: Function
) -> None:
    (key,) = leftovers.send("$AAPL one")
    world.receive_times(leftovers.queue, 199)
    world.stand_in.fail("5xx-before", status=504)
    run = leftovers.run()
    ((body, attributes),) = world.dead_letters()
    assert (run.outcomes, leftovers.depth(), body) == (["rejected"], 0, "$AAPL one")
    assert attributes["RejectReason"].startswith("given up after 200 receives")
    assert "StockTwits answered 504" in attributes["RejectReason"]
    assert (attributes["Attempts"], attributes["RelayKey"], world.status(key)) == ("200", key, "unknown")


def test_the_retry_of_a_message_that_was_given_up_reads_the_stream_first(
    world: PostingWorld, leftovers: Function, outbox: Function
) -> None:
    leftovers.send("$AAPL one")
    world.receive_times(leftovers.queue, 199)
    world.stand_in.fail("5xx-after")
    leftovers.run()
    ((body, attributes),) = world.dead_letters()
    outbox.send(body, RelayKey=attributes["RelayKey"])
    assert outbox.run().outcomes == ["posted"]
    assert (len(world.publishes), world.readings) == (1, 1)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (lambda sent: {"Failed": [{"Id": "1", "SenderFault": False, "Code": "InternalError"}]}, "InternalError"),
        ("RequestThrottled", "RequestThrottled"),
    ],
    ids=["one entry", "the whole call"],
)
def test_a_message_that_sqs_did_not_delete_is_named_in_the_log_and_not_posted_again(
    world: PostingWorld, leftovers: Function, answer: Any, code: str
) -> None:
    _, kept = leftovers.send("$AAPL one", "$AAPL two")
    world.aws.answer("DeleteMessageBatch", answer)
    run = leftovers.run()
    assert f"message {kept} could not be deleted: {code}" in run.failures
    if callable(answer):
        assert len(run.failures) == 1
    world.clock.forward(400)
    again = leftovers.run()
    assert set(again.outcomes) <= {"already_posted"}
    assert (len(world.publishes), leftovers.depth()) == (2, 0)


# Time


def test_no_request_is_started_within_the_last_twenty_seconds(world: PostingWorld, leftovers: Function) -> None:
    world.settings(POST_BURST=3)
    texts = [f"$AAPL crosses {price}" for price in range(300, 323)]
    leftovers.send(*texts)
    ends = world.clock() + 50
    world.on_request(lambda _: world.clock.forward(4))
    run = leftovers.run(remaining_ms=50_000)
    started = [seen.at - 4 for seen in world.stand_in.requests]
    assert max(started) <= ends - 20
    assert len(started) >= 7
    assert (run.answer["done"], leftovers.depth()) == (len(started), 23 - len(started))


def test_with_too_little_time_nothing_is_received(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one")
    leftovers.run(remaining_ms=20_000)
    assert (world.aws.calls, receive_counts(world)) == ([], ["1"])


# Costs and logs


def test_ten_messages_cost_three_writes_each_plus_one_and_four_calls_of_sqs(
    world: PostingWorld, leftovers: Function
) -> None:
    leftovers.send(*(f"$AAPL crosses {price}" for price in range(300, 310)))
    leftovers.run()
    asked = [name for name, _ in world.aws.calls]
    assert asked.count("UpdateItem") + asked.count("PutItem") <= 3 * 10 + 1
    assert [name for name in asked if "Message" in name or "Queue" in name] == [
        "ReceiveMessage",
        "DeleteMessageBatch",
        "ReceiveMessage",
        "GetQueueAttributes",
    ]


def test_the_drains_logs_and_metrics_have_their_own_service_name(world: PostingWorld, leftovers: Function) -> None:
    leftovers.send("$AAPL one")
    run = leftovers.run()
    assert [line["service"] for line in run.lines] == ["drain_leftovers"]
    assert [each["service"] for each in run.metrics if "Posted" in each] == ["drain_leftovers"]


def test_a_drain_without_its_table_receives_nothing_and_logs_what_to_fix(
    world: PostingWorld, leftovers: Function
) -> None:
    world.dynamodb.delete_table(TableName="stocktwits-relay-ledger")
    leftovers.send("$AAPL one")
    run = leftovers.run()
    (line,) = [line for line in run.lines if line["message"] == "gate shut"]
    assert "stocktwits-relay-ledger cannot be used" in line["reason"]
    assert (run.pauses, receive_counts(world)) == (["ledger"], ["1"])
