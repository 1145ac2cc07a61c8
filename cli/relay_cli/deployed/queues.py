"""How full the queues are, and how long their oldest message has waited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay_cli.deployed.stack import Stack

POSTING = ("Outbox", "Leftovers", "DeadLetter")
"""The queues of the posting half, as the template's outputs begin; a message moves right only."""

BACKUPS = ("BackupRequests", "BackupFailures")
"""The queues of the other half."""

AGE_WINDOW = timedelta(minutes=10)
"""How far back to look for an age: SQS reports a minute's value some minutes later, and none of an idle queue."""

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
    """A queue, as far as SQS knows at once.

    Attributes:
        name: As the documents call it.
        waiting: Messages that anybody may receive.
        in_flight: Messages that somebody received, or that wait for their next attempt.
        delayed: Messages that are not to be received yet.
        oldest_seconds: How long the oldest has waited, some minutes ago; None when CloudWatch does not say.
    """

    name: str
    waiting: int
    in_flight: int
    delayed: int
    oldest_seconds: float | None

    @property
    def messages(self) -> int:
        """All of them."""
        return self.waiting + self.in_flight + self.delayed


def read(stack: Stack, queues: Sequence[str]) -> list[QueueState]:
    """Read queues of the stack: `POSTING`, `BACKUPS`, or some of them."""
    found = []
    for queue in queues:
        answer = stack.client("sqs").get_queue_attributes(
            QueueUrl=stack.output(f"{queue}QueueUrl"), AttributeNames=list(_COUNTS.values())
        )
        counts = {name: int(answer["Attributes"][attribute]) for name, attribute in _COUNTS.items()}
        age = _oldest(stack, stack.output(f"{queue}QueueName")) if sum(counts.values()) else None
        found.append(QueueState(_NAMES[queue], **counts, oldest_seconds=age))
    return found


def _oldest(stack: Stack, queue: str) -> float | None:
    """Ask CloudWatch; without an answer the age is unknown, which is no reason to show nothing."""
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
