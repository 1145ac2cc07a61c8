"""What goes first: in a batch, and among what waits in Leftovers as far as SQS allows."""

import json

import pytest

from tests.worlds.functions import Leftovers, Outbox
from tests.worlds.posting import PostingWorld

DAY = 24 * 3600
HIGH = json.dumps({"body": "$AAPL halted", "priority": "high"})
FOUR = [f"$AAPL crosses {price}" for price in range(300, 304)]


def asked_for(world: PostingWorld) -> list[int]:
    """How many messages each receive asked for."""
    return [call["MaxNumberOfMessages"] for call in world.aws.calls_of("ReceiveMessage")]


def high_at(world: PostingWorld) -> float | None:
    """When the gate's item says that a high message was left over, in seconds since the epoch."""
    found = (world.item("gate") or {}).get("high")
    return None if found is None else float(found)


def one_each_five_minutes(world: PostingWorld) -> None:
    world.settings(POST_BURST=1, MAX_POSTS_PER_HOUR=12)


def leave_over_a_high_message(world: PostingWorld, outbox: Outbox) -> None:
    """Let the Outbox meet the pace with a message of high priority, which somebody deletes."""
    one_each_five_minutes(world)
    outbox.send(HIGH.replace("halted", "opens"), HIGH.replace("halted", "resumes"))
    assert outbox.run().outcomes == ["posted", "deferred"]
    world.sqs.purge_queue(QueueUrl=world.outbox)
    world.aws.reset()


def test_the_outbox_posts_the_high_ones_of_a_batch_first(world: PostingWorld, outbox: Outbox) -> None:
    outbox.send(*FOUR, HIGH)
    outbox.run()
    assert world.posted == ["$AAPL halted", *FOUR]


@pytest.mark.any_aws
def test_a_high_message_that_is_left_over_is_remembered_and_posted_before_the_others(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    leave_over_a_high_message(world, outbox)
    assert high_at(world) == world.clock()
    leftovers.send(*FOUR, HIGH)
    world.clock.forward(300)
    run = leftovers.run()
    assert (world.posted[1:], run.answer) == (["$AAPL halted"], {"done": 1, "left": 4})
    assert asked_for(world)[0] == 10


def test_with_no_high_message_nothing_is_written_and_no_more_received(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    one_each_five_minutes(world)
    outbox.send(*FOUR)
    outbox.run()
    assert high_at(world) is None
    leftovers.send("$MSFT")
    world.clock.forward(300)
    leftovers.run()
    assert asked_for(world)[-1] == 1


def test_one_write_remembers_it_for_an_hour(world: PostingWorld, outbox: Outbox) -> None:
    leave_over_a_high_message(world, outbox)
    outbox.send(HIGH)
    world.clock.forward(60)
    outbox.run()
    assert world.aws.calls_of("PutItem", "UpdateItem") == []


@pytest.mark.parametrize(("seconds", "asked"), [(DAY - 1, 10), (DAY, 1)])
def test_the_drain_looks_for_high_ones_for_a_day(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers, seconds: int, asked: int
) -> None:
    leave_over_a_high_message(world, outbox)
    world.clock.forward(seconds)
    leftovers.send("$MSFT")
    leftovers.run()
    assert asked_for(world)[0] == asked


def test_while_the_gate_is_closed_nothing_is_received_for_it_either(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    leave_over_a_high_message(world, outbox)
    leftovers.send(HIGH)
    world.clock.forward(200)
    assert leftovers.run().pauses == ["pace"]
    assert asked_for(world) == []


def test_those_that_another_went_before_come_back_untried_within_a_minute(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    leave_over_a_high_message(world, outbox)
    leftovers.send(*FOUR, HIGH)
    world.clock.forward(300)
    leftovers.run()
    timeouts = leftovers.visibility_timeouts()
    assert len(timeouts) == 4
    assert all(45 < each <= 57 for each in timeouts)


def test_ten_that_wait_for_a_tight_pace_are_all_posted_long_before_they_are_given_up(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    leave_over_a_high_message(world, outbox)
    texts = [f"$AAPL crosses {price}" for price in range(300, 310)]
    leftovers.send(*texts)
    receives = []
    for _ in range(12):
        world.clock.forward(300)
        receives += [line["receive_count"] for line in leftovers.run().deliveries if line["outcome"] == "posted"]
    assert (sorted(world.posted[1:]), max(receives)) == (texts, 10)


def test_looking_for_high_ones_does_not_slow_the_pace_down(
    world: PostingWorld, outbox: Outbox, leftovers: Leftovers
) -> None:
    leave_over_a_high_message(world, outbox)
    world.settings(POST_BURST=1, MAX_POSTS_PER_HOUR=720)
    world.clock.forward(300)
    leftovers.send(*FOUR)
    leftovers.run()
    assert world.posted[1:] == FOUR
