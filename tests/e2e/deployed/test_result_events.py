"""The outcome of a post reaches the owner's consumer, through the bus, a rule and a queue."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from relay.posting.result_events import schema

from local.stack.stack import Stack

pytestmark = pytest.mark.e2e

PATIENCE = 60.0


@pytest.fixture
def consumer(stack: Stack) -> Iterator[str]:
    """A queue that receives the relay's events through a rule on the bus."""
    sqs, events = stack.client("sqs"), stack.client("events")
    queue = sqs.create_queue(QueueName="consumer")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name="results", EventPattern=json.dumps({"source": ["stocktwits-relay"]}))
    events.put_targets(Rule="results", Targets=[{"Id": "consumer", "Arn": arn}])
    yield queue
    events.remove_targets(Rule="results", Ids=["consumer"])
    events.delete_rule(Name="results")
    sqs.delete_queue(QueueUrl=queue)


def received(stack: Stack, queue: str, number: int) -> list[dict[str, Any]]:
    """Wait for a number of events, and return them, oldest first."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + PATIENCE
    while len(found) < number and time.monotonic() < deadline:
        answer = stack.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        found += [json.loads(each["Body"]) for each in answer.get("Messages", [])]
    return found


def test_a_consumer_receives_a_post_and_a_rejection(stack: Stack, consumer: str) -> None:
    for body in ("Heard of on the bus $AAPL", json.dumps({"body": 1})):
        stack.client("sqs").send_message(QueueUrl=stack.outputs["OutboxQueueUrl"], MessageBody=body)
    events = {each["detail-type"]: each for each in received(stack, consumer, 2)}
    (post,) = stack.stocktwits.posts
    assert events.keys() == {"Post Succeeded", "Post Rejected"}
    assert events["Post Succeeded"]["detail"]["stocktwits_id"] == post.id
    assert events["Post Rejected"]["detail"]["reason"].startswith("the message is not valid")
    for event in events.values():
        assert Draft202012Validator(schema()).is_valid(event)
