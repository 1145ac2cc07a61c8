"""The network between the relay and its services: calls take time, may fail, and workers may be killed in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError, ReadTimeoutError

from verification.simulation.dynamodb import (
    ConditionalCheckFailedException,
    Exceptions,
    Table,
    TransactionCanceledException,
)

if TYPE_CHECKING:
    from verification.simulation.scheduler import Process, Scheduler
    from verification.simulation.sqs import Queue

_T = TypeVar("_T")
OnCall = Callable[[str, dict[str, Any]], None]

AWS_ATTEMPTS = 3
"""As in `relay.aws.AWS_CONFIG`."""

SLOW_SECONDS = 1.0
"""The longest time that one way to AWS takes."""


@dataclass
class Weather:
    """The probability of each fault in a call."""

    killed: float = 0.0
    throttled: float = 0.0
    answer_lost: float = 0.0
    entry_failed: float = 0.0
    stocktwits: float = 0.0

    @property
    def aws_fails(self) -> bool:
        """Whether calls of AWS may fail, or workers be killed in them."""
        return bool(self.throttled or self.answer_lost or self.killed)

    def clear_up(self) -> None:
        """End all faults."""
        vars(self).update(dict.fromkeys(vars(self), 0.0))


class Network:
    """The network to AWS and StockTwits, with counts and a trace of what happened."""

    def __init__(self, scheduler: Scheduler, weather: Weather, *, trace: bool = True) -> None:
        self._tracing = trace
        self.scheduler = scheduler
        self.weather = weather
        self.calls: Counter[str] = Counter()
        self.kills = 0
        self.trace: list[tuple[float, str, str]] = []

    def log(self, text: str, who: str | None = None) -> None:
        """Add a line to the trace."""
        if self._tracing:
            self.trace.append((self.scheduler.now, who or self.scheduler.process.name, text))

    def chance(self, likely: float) -> bool:
        return likely > 0 and self.scheduler.random.random() < likely

    def travel(self, seconds: float) -> None:
        """Take time; a worker may be killed meanwhile."""
        self.scheduler.sleep(seconds)
        process = self.scheduler.process
        if process.mortal and self.chance(self.weather.killed):
            self.kill(process)

    def kill(self, process: Process) -> None:
        """Kill a process, and count it."""
        self.kills += 1
        self.log("KILLED", process.name)
        self.scheduler.kill(process)

    def aws(self, operation: str, action: Callable[[], _T]) -> _T:
        """Make a call as botocore does: up to three attempts, each of which may have had its effect.

        Raises:
            ClientError: It was refused; after the first attempt if a condition failed.
            ReadTimeoutError: No answer came.
        """
        error: Exception = AssertionError("no attempt was made")
        for attempt in range(AWS_ATTEMPTS):
            self.calls[operation] += 1
            self.travel(self._under_way())
            if self.chance(self.weather.throttled):
                error = ClientError({"Error": {"Code": "ThrottlingException", "Message": ""}}, operation)
            elif self.chance(self.weather.answer_lost):
                with_effect(action)
                error = ReadTimeoutError(endpoint_url=operation)
                self.log(f"{operation}: done, but its answer is lost")
                self.travel(5)
            else:
                answer: _T = with_effect(action)
                self.travel(self._under_way())
                if isinstance(answer, (ConditionalCheckFailedException, TransactionCanceledException)):
                    answer.response["ResponseMetadata"] = {"RetryAttempts": attempt}  # type: ignore[typeddict-item]
                    raise answer
                return answer
            self.travel(self.scheduler.random.uniform(0, 1))
        self.log(f"{operation}: {type(error).__name__}")
        raise error

    def _under_way(self) -> float:
        random = self.scheduler.random
        return random.uniform(0.1, SLOW_SECONDS) if random.random() < 0.03 else random.uniform(0.001, 0.02)


def with_effect(action: Callable[[], Any]) -> Any:
    """Do the call, and return a failed condition as the answer that it is."""
    try:
        return action()
    except (ConditionalCheckFailedException, TransactionCanceledException) as refused:
        return refused


class DynamoDB:
    """The DynamoDB client of the ledger and the gate."""

    exceptions = Exceptions

    def __init__(self, network: Network, table: Table, on_call: OnCall | None = None) -> None:
        self._network = network
        self._table = table
        self._on_call = on_call

    def put_item(self, **asked: Any) -> Any:
        return self._call("PutItem", "put_item", asked)

    def update_item(self, **asked: Any) -> Any:
        return self._call("UpdateItem", "update_item", asked)

    def batch_get_item(self, **asked: Any) -> Any:
        return self._call("BatchGetItem", "batch_get_item", asked)

    def transact_write_items(self, **asked: Any) -> Any:
        return self._call("TransactWriteItems", "transact_write_items", asked)

    def _call(self, name: str, method: str, asked: dict[str, Any]) -> Any:
        def act() -> Any:
            if self._on_call:
                self._on_call(method, asked)
            return getattr(self._table, method)(**asked)

        return self._network.aws(f"dynamodb.{name}", act)


class Sqs:
    """The SQS client of the queues; a queue's URL is its name."""

    def __init__(self, network: Network, *queues: Queue) -> None:
        self._network = network
        self._queues = {queue.name: queue for queue in queues}

    def send_message(self, QueueUrl: str, MessageBody: str, MessageAttributes: dict[str, Any] | None = None) -> Any:
        def act() -> dict[str, Any]:
            self._network.log(f"into {QueueUrl}: {MessageBody}")
            now = self._network.scheduler.now
            return {"MessageId": self._queues[QueueUrl].send(MessageBody, MessageAttributes or {}, now)}

        return self._network.aws("sqs.SendMessage", act)

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> Any:
        def act() -> dict[str, Any]:
            received = self._queues[QueueUrl].receive(MaxNumberOfMessages, self._network.scheduler.now)
            if received:
                self._network.log(f"from {QueueUrl}: {', '.join(f'{each.body} ({each.receipt})' for each in received)}")
            return {"Messages": [described(each) for each in received]} if received else {}

        return self._network.aws("sqs.ReceiveMessage", act)

    def delete_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:
        def act(entry: dict[str, Any]) -> bool:
            self._network.log(f"deleted from {QueueUrl}: {entry['ReceiptHandle']}")
            self._queues[QueueUrl].delete(entry["ReceiptHandle"], self._network.scheduler.now)
            return True

        return self._batch("sqs.DeleteMessageBatch", Entries, act)

    def change_message_visibility_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> Any:
        def act(entry: dict[str, Any]) -> bool:
            now, seconds = self._network.scheduler.now, entry["VisibilityTimeout"]
            self._network.log(f"hidden in {QueueUrl} for {seconds} s: {entry['ReceiptHandle']}")
            return self._queues[QueueUrl].set_visibility(entry["ReceiptHandle"], seconds, now)

        return self._batch("sqs.ChangeMessageVisibilityBatch", Entries, act)

    def get_queue_attributes(self, QueueUrl: str, **_: Any) -> Any:
        def act() -> dict[str, Any]:
            visible, hidden = self._queues[QueueUrl].counts(self._network.scheduler.now)
            return {
                "Attributes": {
                    "ApproximateNumberOfMessages": str(visible),
                    "ApproximateNumberOfMessagesNotVisible": str(hidden),
                }
            }

        return self._network.aws("sqs.GetQueueAttributes", act)

    def _batch(self, operation: str, entries: list[dict[str, Any]], action: Callable[[dict[str, Any]], bool]) -> Any:
        def all_entries() -> dict[str, Any]:
            failed = [
                each for each in entries if self._network.chance(self._network.weather.entry_failed) or not action(each)
            ]
            return {"Failed": [{"Id": each["Id"], "Code": "InternalError"} for each in failed]}

        return self._network.aws(operation, all_entries)


def described(message: Any) -> dict[str, Any]:
    """Describe a message as ReceiveMessage does."""
    return {
        "MessageId": message.id,
        "Body": message.body,
        "ReceiptHandle": message.receipt,
        "Attributes": {
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(int(message.sent_at * 1000)),
        },
        "MessageAttributes": message.attributes,
    }
