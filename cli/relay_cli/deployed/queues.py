"""How many messages the queues hold, and the age of the Outbox's oldest one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.deployed.stack import Stack

POSTING = ("Outbox", "Leftovers", "DeadLetter")
"""The queues of the posting half, as the template's outputs name them; a message only moves to the right."""

BACKUPS = ("BackupRequests", "BackupFailures")
"""The queues of the backups half."""

AGED = "Outbox"
"""The queue whose age is shown. SQS's metric leaves out a message from its third receive on, which in the Outbox is on
its way to Leftovers; so it would say nothing of Leftovers and of requests, and of a queue of failures only how long ago
a message moved there, until somebody looked at it three times.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html"""

AGE_WINDOW = timedelta(minutes=10)
"""How far back to look for an age: SQS reports a minute's value some minutes later, and no value for an idle queue."""

_NAMES = {
    "Outbox": "Outbox",
    "Leftovers": "Leftovers",
    "DeadLetter": "Dead letters",
    "BackupRequests": "Backup requests",
    "BackupFailures": "Backup failures",
}
_COUNTS = {
    "waiting": "ApproximateNumberOfMessages",
    "in_flight": "ApproximateNumberOfMessagesNotVisible",
    "delayed": "ApproximateNumberOfMessagesDelayed",
}


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue; the counts are approximate.

    Attributes:
        name: Its name in the documentation.
        waiting: Messages that are visible.
        in_flight: Messages that were received, or that wait for their next attempt.
        delayed: Messages that are not visible yet.
        oldest_seconds: The age of the oldest message some minutes ago, for the queue `AGED`; None if CloudWatch has no
            value, and for the other queues.
    """

    name: str
    waiting: int
    in_flight: int
    delayed: int
    oldest_seconds: float | None

    @property
    def messages(self) -> int:
        """The number of messages in the queue."""
        return self.waiting + self.in_flight + self.delayed


def read(stack: Stack, queues: Sequence[str]) -> list[QueueState]:
    """Read queues of the stack: `POSTING`, `BACKUPS`, or some of them."""
    found = []
    for queue in queues:
        counts = count(stack, queue)
        aged = queue == AGED and sum(counts.values()) > 0
        age = _oldest(stack, stack.output(f"{queue}QueueName")) if aged else None
        found.append(QueueState(_NAMES[queue], **counts, oldest_seconds=age))
    return found


def depth(stack: Stack, queue: str) -> int:
    """Return the approximate number of messages in a queue, visible or not."""
    return sum(count(stack, queue).values())


def count(stack: Stack, queue: str) -> dict[str, int]:
    """Return the approximate numbers of messages in a queue: ``waiting``, ``in_flight``, ``delayed``."""
    answer = stack.client("sqs").get_queue_attributes(
        QueueUrl=stack.output(f"{queue}QueueUrl"), AttributeNames=list(_COUNTS.values())
    )
    return {name: int(answer["Attributes"].get(attribute, 0)) for name, attribute in _COUNTS.items()}


def _oldest(stack: Stack, queue: str) -> float | None:
    """Ask CloudWatch for the age of the oldest message; if it fails, the age is unknown and the counts are shown."""
    now = datetime.now(UTC)
    try:
        points = stack.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateAgeOfOldestMessage",
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=now - AGE_WINDOW,
            EndTime=now,
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
    except (ClientError, BotoCoreError):
        return None
    return float(max(points, key=lambda each: each["Timestamp"])["Maximum"]) if points else None
