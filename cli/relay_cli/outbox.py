"""The Outbox as a publisher sees it: messages in, ten at a time, and again what SQS did not take."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from relay.queues import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from relay_cli.drafts import Draft
    from relay_cli.stack import Stack

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


def publish(
    stack: Stack, drafts: Sequence[Draft], tell: Callable[[int], None] = lambda _number: None
) -> tuple[list[Sent], list[tuple[Draft, str]]]:
    """Put messages into the Outbox.

    A message that is sent again because an answer was lost is the same post by its key.

    Args:
        stack: Whose Outbox.
        drafts: The messages.
        tell: Told how many more SQS has taken.

    Returns:
        The messages that SQS took; and the others, with SQS's code.

    Raises:
        ClientError, BotoCoreError: The first call failed as a whole, so that nothing was taken.
    """
    taken: list[Sent] = []
    refused: list[tuple[Draft, str]] = []
    for batch in _batches(drafts):
        left: dict[str, Draft] = {str(number): each for number, each in enumerate(batch)}
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))
            try:
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
            except (ClientError, BotoCoreError) as error:
                if not taken:
                    raise
                code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
                failed: dict[str, Mapping[str, object]] = {number: {"Code": code} for number in left}
            else:
                successful = [Sent(left[each["Id"]], each["MessageId"]) for each in answer.get("Successful", [])]
                taken += successful
                tell(len(successful))
                failed = {each["Id"]: each for each in answer.get("Failed", [])}
            at_fault = [number for number, each in failed.items() if each.get("SenderFault")]
            refused += [(left[number], str(failed[number]["Code"])) for number in at_fault]
            left = {number: left[number] for number in failed if number not in at_fault}
            if not left:
                break
        refused += [(each, str(failed[number]["Code"])) for number, each in left.items()]
    return taken, refused


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
