"""Publish messages to the Outbox in batches, and retry those that SQS did not accept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay import client

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay_cli.deployed.stack import Stack
    from relay_cli.drafts import Chart, Draft


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
        ClientError, BotoCoreError: A call failed as a whole, and no further one was made; see
            `relay.client.may_be_queued`.
    """
    refused: list[tuple[Draft, str]] = []
    sqs, url = stack.client("sqs"), stack.output("OutboxQueueUrl")
    for batch in client.batches(drafts):
        for results in client.send_batch(sqs, url, drafts, batch):
            on_sent([Sent(drafts[n], each.id) for n, each in results.items() if isinstance(each, client.Sent)])
            refused += [(drafts[n], each.reason) for n, each in results.items() if isinstance(each, client.NotSent)]
    return refused
