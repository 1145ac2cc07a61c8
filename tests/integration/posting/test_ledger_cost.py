"""What DynamoDB charges for posting: write units, each for a kilobyte or part of it."""

import json
from typing import Any

import pytest

from tests.worlds.functions import Function
from tests.worlds.posting import PostingWorld

MOST_WRITE_UNITS = 31
"""For ten alerts: a claim, a settlement and an owner each, and one admission for all."""

WRITES = ("UpdateItem", "PutItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem")
TEN = [f"$AAPL crosses {price}" for price in range(300, 310)]


def write_units(world: PostingWorld) -> int:
    """The write units of the recorded calls: one for each item, as none is longer than a kilobyte."""
    table = world.dynamodb.scan(TableName="stocktwits-relay-ledger")["Items"]
    assert all(len(json.dumps(item)) < 1024 for item in table)
    assert world.aws.calls_of("DeleteItem", "TransactWriteItems", "BatchWriteItem") == []
    return len(world.aws.calls_of(*WRITES))


@pytest.mark.parametrize("concurrency", [1, 4])
def test_ten_alerts_cost_at_most_31_write_units(world: PostingWorld, outbox: Function, concurrency: int) -> None:
    world.settings(POST_CONCURRENCY=concurrency)
    outbox.send(*TEN)
    world.aws.reset()
    assert outbox.run().outcomes == ["posted"] * 10
    assert write_units(world) <= MOST_WRITE_UNITS


@pytest.mark.parametrize(
    "alert",
    [
        {"sentiment": "bullish"},
        {"key": "k" * 256},
        {"chart": "https://charts.example/7.png"},
        {"body": "$AAPL " + "x" * 990},
    ],
)
def test_what_an_alert_has_beside_its_text_costs_no_more(
    world: PostingWorld, outbox: Function, alert: dict[str, Any]
) -> None:
    for number in range(10):
        key = {"key": f"{number}{alert['key'][1:]}"} if "key" in alert else {}
        body = {"body": f"{number}{alert['body'][1:]}"} if "body" in alert else {}
        outbox.send(json.dumps({"body": TEN[number], **alert, **key, **body}))
    world.aws.reset()
    assert outbox.run().outcomes == ["posted"] * 10
    assert write_units(world) <= MOST_WRITE_UNITS


def test_ten_lost_answers_cost_twice_as_much_and_one_reading_of_the_stream(
    world: PostingWorld, outbox: Function
) -> None:
    outbox.send(*TEN)
    world.stand_in.fail("reset-after", times=10)
    world.aws.reset()
    assert outbox.run().outcomes == ["deferred"] * 10
    world.clock.forward(60)
    assert outbox.run().outcomes == ["posted"] * 10
    assert (world.posted, world.readings) == (TEN, 1)
    assert write_units(world) <= 2 * MOST_WRITE_UNITS


def test_waiting_for_a_closed_gate_costs_no_writes(world: PostingWorld, outbox: Function) -> None:
    outbox.send(*TEN)
    world.pause()
    world.aws.reset()
    outbox.run()
    assert write_units(world) == 0
