"""The queues: send, receive, delete, change visibility, dead letters. Each entry's failure is returned."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from relay.aws_errors import AWS_ERRORS, error_code
from relay.queue_message import QueueMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

_T = TypeVar("_T")

MAX_BATCH = 10
"""Messages in one SQS batch call:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""

MAX_VISIBILITY_SECONDS = 12 * 3600
"""How long a message can stay invisible, counted from its receipt (same source)."""

VISIBILITY_LIMIT_SECONDS = MAX_VISIBILITY_SECONDS - 300
"""The longest visibility timeout that we set: the receipt is some time ago by then."""

JITTER = 0.25
"""The largest part by which a wait is extended, so that what failed together does not come back together."""

MAX_REASON_CHARACTERS = 1000
"""Keeps a dead letter's reason readable, and small beside the message."""


def with_jitter(seconds: float) -> int:
    """Extend a wait a little, by a quarter of a minute at most, and round it up to what SQS takes."""
    extended = seconds + random.uniform(0, JITTER) * min(seconds, 60)  # noqa: S311  # nosec B311  # jitter need not be secret
    return min(int(extended) + 1, VISIBILITY_LIMIT_SECONDS)


def from_record(record: Mapping[str, Any]) -> QueueMessage:
    """Read a record of a Lambda event from SQS."""
    attributes = record["attributes"]
    message_attributes = record.get("messageAttributes", {})
    first_received = attributes.get("ApproximateFirstReceiveTimestamp", "")
    return QueueMessage(
        id=record["messageId"],
        body=record["body"],
        receipt_handle=record["receiptHandle"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=int(attributes["SentTimestamp"]) / 1000,
        relay_key=message_attributes.get("RelayKey", {}).get("stringValue"),
        first_received_at=int(first_received) / 1000 if first_received.isdecimal() else None,
        replaces_key=message_attributes.get("ReplacesKey", {}).get("stringValue"),
    )


class Queue:
    """One queue that messages are taken from."""

    def __init__(self, sqs: Callable[[], SQSClient], url: str) -> None:
        """Use the queue at `url`; `sqs` gives the client when it is first needed."""
        self._sqs = sqs
        self._url = url

    def receive(self, most: int) -> list[QueueMessage]:
        """Receive up to `most` messages, at most `MAX_BATCH`; waits a second, so that SQS asks all its servers."""
        answer = self._sqs().receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(most, MAX_BATCH),
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            MessageAttributeNames=["RelayKey", "ReplacesKey"],
        )
        return [
            QueueMessage(
                id=each["MessageId"],
                body=each["Body"],
                receipt_handle=each["ReceiptHandle"],
                receive_count=int(each["Attributes"]["ApproximateReceiveCount"]),
                sent_at=int(each["Attributes"]["SentTimestamp"]) / 1000,
                relay_key=_attribute(each, "RelayKey"),
                replaces_key=_attribute(each, "ReplacesKey"),
            )
            for each in answer.get("Messages", [])
        ]

    def waiting(self) -> bool:
        """Return whether messages are visible in the queue; SQS counts approximately."""
        answer = self._sqs().get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"]) > 0

    def depth(self) -> int:
        """Return how many messages are visible in the queue or in flight; SQS counts approximately."""
        names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs().get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def delete(self, messages: Sequence[QueueMessage]) -> list[str]:
        """Delete messages; return a line for each that SQS kept. It is received again, and the ledger knows it."""
        failures = []
        for batch in _batches(messages):
            try:
                answer = self._sqs().delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(i), "ReceiptHandle": each.receipt_handle} for i, each in enumerate(batch)],
                )
                failed: Sequence[Mapping[str, Any]] = answer.get("Failed", [])
            except AWS_ERRORS as error:
                failed = _all_failed(batch, error)
            failures += _failures("deleted", batch, failed)
        return failures

    def set_visibility(self, messages: Sequence[tuple[QueueMessage, int]]) -> list[str]:
        """Set each message's visibility timeout in seconds; return a line for each that keeps its old one."""
        failures = []
        for batch in _batches(messages):
            try:
                answer = self._sqs().change_message_visibility_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(i), "ReceiptHandle": each.receipt_handle, "VisibilityTimeout": seconds}
                        for i, (each, seconds) in enumerate(batch)
                    ],
                )
                failed: Sequence[Mapping[str, Any]] = answer.get("Failed", [])
            except AWS_ERRORS as error:
                failed = _all_failed(batch, error)
            failures += _failures("rescheduled", [each for each, _ in batch], failed)
        return failures

    def send(self, bodies: Sequence[str], delay: int = 0) -> list[str]:
        """Send messages, to be received after so many seconds; return the bodies of those that SQS did not take.

        A whole call that fails does not stop it: the next one may succeed, and the caller knows what is missing.
        """
        refused: list[str] = []
        for batch in _batches(bodies):
            try:
                answer = self._sqs().send_message_batch(
                    QueueUrl=self._url,
                    Entries=[
                        {"Id": str(i), "MessageBody": body, "DelaySeconds": delay} for i, body in enumerate(batch)
                    ],
                )
                failed: Sequence[Mapping[str, Any]] = answer.get("Failed", [])
            except AWS_ERRORS as error:
                failed = _all_failed(batch, error)
            refused += [batch[int(each["Id"])] for each in failed]
        return refused


class DeadLetters:
    """A queue where messages wait for an operator, unchanged and with their reasons."""

    def __init__(self, sqs: Callable[[], SQSClient], url: str) -> None:
        """Use the queue at `url`; `sqs` gives the client when it is first needed."""
        self._sqs = sqs
        self._url = url

    def send(self, message: QueueMessage, reason: str, *, key: str = "", status: int | None = None) -> bool:
        """Send the original body with the reason; False when the reason could not go with it.

        A body at SQS's size limit leaves no space for attributes; it goes without them, and its reason is in the log.

        Args:
            message: The message as it came off its queue.
            reason: Why it is a dead letter, for an operator.
            key: Its idempotency key, if it has one, so that a retry is still the same post.
            status: The HTTP status that decided it, if one did.

        Raises:
            ClientError, BotoCoreError: It was not sent; the message must stay where it is.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            "RejectReason": _string(_printable(reason)[:MAX_REASON_CHARACTERS]),
            "Attempts": {"DataType": "Number", "StringValue": str(message.receive_count)},
            "FirstSeen": _string(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(message.sent_at))),
        }
        if key:
            attributes["RelayKey"] = _string(key)
        if status:
            attributes["StatusCode"] = {"DataType": "Number", "StringValue": str(status)}
        if message.replaces_key:
            attributes["ReplacesKey"] = _string(message.replaces_key)
        try:
            self._sqs().send_message(QueueUrl=self._url, MessageBody=message.body, MessageAttributes=attributes)
        except ClientError as error:
            if error_code(error).rpartition(".")[2] not in {"InvalidParameterValue", "MessageTooLong"}:
                raise
            self._sqs().send_message(QueueUrl=self._url, MessageBody=message.body)
            return False
        return True


def _attribute(message: MessageTypeDef, name: str) -> str | None:
    attributes = message.get("MessageAttributes") or {}
    return attributes[name].get("StringValue") if name in attributes else None


def _string(value: str) -> MessageAttributeValueTypeDef:
    return {"DataType": "String", "StringValue": value}


def _printable(text: str) -> str:
    """Replace the control characters that SQS refuses in an attribute."""
    return "".join(character if character.isprintable() else " " for character in text)


def _batches(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), MAX_BATCH):
        yield items[start : start + MAX_BATCH]


def _all_failed(batch: Sequence[object], error: ClientError | BotoCoreError) -> list[dict[str, str]]:
    """Give each entry the whole call's error: raising it would hide what earlier calls did."""
    code = error_code(error)
    return [{"Id": str(i), "Code": code} for i in range(len(batch))]


def _failures(verb: str, batch: Sequence[QueueMessage], failed: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"message {batch[int(each['Id'])].id} could not be {verb}: {each['Code']}" for each in failed]
