"""The Outbox as a publisher sees it: messages in, ten at a time, and again what SQS did not take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from relay.queues import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from relay_cli.deployed.stack import Stack
    from relay_cli.drafts import Draft

MAX_BATCH_BYTES = 262_144
"""What the messages of one call may have together, wherever the limit was not raised to a megabyte:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""

MAX_ATTEMPTS = 5
"""How often a message is sent that SQS does not take through no fault of its own."""

FIRST_WAIT_SECONDS = 0.5
"""The wait before the second of these; each next one is twice as long."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that SQS took."""

    draft: Draft
    message_id: str


def publish(stack: Stack, drafts: Sequence[Draft], tell: Callable[[list[Sent]], None]) -> list[tuple[Draft, str]]:
    """Put messages into the Outbox.

    A message that is sent again because an answer was lost is the same post by its key. A call that fails as a whole,
    after boto3's own retries, ends it: the next ones would not do better, and a person waits.

    Args:
        stack: Whose Outbox.
        drafts: The messages.
        tell: Told what SQS has taken, call by call.

    Returns:
        The messages that SQS refused, one by one, with its code.

    Raises:
        ClientError, BotoCoreError: A call failed as a whole; see `nothing_taken`. Those after it were not made.
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
            tell([Sent(left[each["Id"]], each["MessageId"]) for each in answer.get("Successful", [])])
            failures = answer.get("Failed", [])
            failed = {each["Id"]: str(each["Code"]) for each in failures}
            at_fault = [each["Id"] for each in failures if each.get("SenderFault")]
            refused += [(left[number], failed.pop(number)) for number in at_fault]
            left = {number: left[number] for number in failed}
            if not left:
                break
        refused += [(each, failed[number]) for number, each in left.items()]
    return refused


def nothing_taken(error: ClientError | BotoCoreError) -> bool:
    """Say whether a call that failed as a whole took nothing for certain; otherwise an answer may have been lost."""
    if not isinstance(error, ClientError):
        return False
    about = error.response.get("ResponseMetadata", {})
    return about.get("HTTPStatusCode", 0) in range(400, 500) and not about.get("RetryAttempts")


def _batches(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    batch: list[Draft] = []
    size = 0
    for each in drafts:
        own = len(each.body.encode()) + 200  # with its key
        if batch and (len(batch) == MAX_BATCH or size + own > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(each)
        size += own
    if batch:
        yield batch
