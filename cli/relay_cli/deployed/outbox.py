"""Publish messages to the Outbox in batches, and retry those that SQS did not accept."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from relay.queues import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay_cli.deployed.stack import Stack
    from relay_cli.drafts import Chart, Draft

MAX_BATCH_BYTES = 262_144
"""The size limit of one batch, where it was not raised to a megabyte:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""

MAX_ATTEMPTS = 5
"""How often a message is sent if SQS fails to accept it through no fault of the message."""

FIRST_WAIT_SECONDS = 0.5
"""The wait before the second attempt; each further wait is twice as long."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that SQS accepted."""

    draft: Draft
    message_id: str


def upload(stack: Stack, chart: Chart) -> None:
    """Upload an image to the chart bucket; the same image has the same key."""
    stack.client("s3").put_object(Bucket=chart.bucket, Key=chart.key, Body=chart.content, ContentType=chart.media_type)


def publish(stack: Stack, drafts: Sequence[Draft], on_sent: Callable[[list[Sent]], None]) -> list[tuple[Draft, str]]:
    """Send messages to the Outbox.

    A message that is sent again because a response was lost remains the same post, by its key. If a call fails as a
    whole after boto3's retries, publishing stops: further calls would fail too, and the operator is waiting.

    Args:
        stack: The stack with the Outbox.
        drafts: The messages.
        on_sent: Called after each request with the messages that SQS accepted.

    Returns:
        Each message that SQS refused, with the error code.

    Raises:
        ClientError, BotoCoreError: A call failed as a whole; see `nothing_accepted`. No further call was made.
    """
    refused: list[tuple[Draft, str]] = []
    for batch in _batches(drafts):
        left: dict[str, Draft] = {str(number): each for number, each in enumerate(batch)}
        failed: dict[str, str] = {}
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            answer = stack.client("sqs").send_message_batch(
                QueueUrl=stack.output("OutboxQueueUrl"),
                Entries=[
                    {
                        "Id": number,
                        "MessageBody": each.body,
                        "MessageAttributes": {"RelayKey": {"DataType": "String", "StringValue": each.relay_key}},
                    }
                    for number, each in left.items()
                ],
            )
            on_sent([Sent(left[each["Id"]], each["MessageId"]) for each in answer.get("Successful", [])])
            failures = answer.get("Failed", [])
            failed = {each["Id"]: str(each["Code"]) for each in failures}
            at_fault = [each["Id"] for each in failures if each.get("SenderFault")]
            refused += [(left[number], failed.pop(number)) for number in at_fault]
            left = {number: left[number] for number in failed}
            if not left:
                break
        refused += [(each, failed[number]) for number, each in left.items()]
    return refused


def nothing_accepted(error: ClientError | BotoCoreError) -> bool:
    """Return whether a failed call certainly sent nothing; otherwise, only its response may have been lost."""
    if not isinstance(error, ClientError):
        return False
    metadata = error.response.get("ResponseMetadata", {})
    return metadata.get("HTTPStatusCode", 0) in range(400, 500) and not metadata.get("RetryAttempts")


def _batches(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    batch: list[Draft] = []
    size = 0
    for each in drafts:
        own = len(each.body.encode()) + 200  # including its key
        if batch and (len(batch) == MAX_BATCH or size + own > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += own
    if batch:
        yield batch
