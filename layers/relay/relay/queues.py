"""The queues: send, receive, hold, delete, bury. Failures of single entries are looked at."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from relay.received import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef, MessageTypeDef

    from relay.delivery import Outcome


class Burial(Protocol):
    """Why a message is buried."""

    @property
    def reason(self) -> str:
        """The reason, in words for a person."""

    @property
    def key(self) -> str:
        """Its idempotency key, if it has one, so that a retry is still the same post."""

    @property
    def status(self) -> int | None:
        """The HTTP status that decided it, if one did."""


_T = TypeVar("_T")

MAX_BATCH = 10
"""Messages in one SQS batch call:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""

MAX_VISIBILITY_SECONDS = 12 * 3600
"""How long a message can stay invisible, counted from its receipt (same source)."""

HOLD_LIMIT_SECONDS = MAX_VISIBILITY_SECONDS - 300
"""What we ask for at most: the receipt is some time ago when we ask."""

OUTBOX_RECEIVES = 3
"""After so many receives SQS moves a message on to Leftovers; a test compares it with the template."""

LEFTOVERS_RECEIVES = 200
"""After so many receives a message is given up and buried; a test compares it with the template."""

GIVE_UP_SECONDS = 13 * 24 * 3600
"""What was left over and has waited as long is given up and buried, however seldom it was received: a day later SQS
deletes it, and nobody would know (same source as `MAX_BATCH`). In Dead letters it has another 14 days."""

OPERATORS_PAUSE_RECHECK_SECONDS = 60
"""How long to hold a message while a pause without an end is in force."""

BEHIND_OTHERS_SECONDS = 120
"""How much later than the others a message comes back whose answer shut the gate: two runs of the drain. Another one is
the probe then, and the gate opens unless it is refused as well."""

BEHIND_OTHERS_FACTOR = 12
"""After a page, which may be about the message's text, it is so many times its back-off: 3 hours in the end. Several
such messages would otherwise take turns at shutting the gate."""

JITTER = 0.25
"""The largest part by which a hold is drawn out, so that what failed together does not come back together."""

MAX_REASON_CHARACTERS = 1000
"""Keeps a dead letter's reason readable, and small beside the message."""


def outbox_back_off(receive_count: int) -> float:
    """Return the seconds to wait after a failed attempt from the Outbox: 10, 40, 160."""
    return float(10 * 4 ** min(receive_count - 1, OUTBOX_RECEIVES))


def leftovers_back_off(receive_count: int) -> float:
    """Return the seconds to wait after a failed attempt from Leftovers: 60, 120, ... 900.

    Args:
        receive_count: As SQS counts; it goes on counting when a message is moved from the Outbox.
    """
    doublings = max(0, receive_count - OUTBOX_RECEIVES - 1)
    return float(min(60 * 2 ** min(doublings, 10), 900))


def requests_back_off(receive_count: int) -> float:
    """Return the seconds to wait before a backup is asked for again: 300, 1200, 4800, 14400."""
    return float(min(300 * 4 ** min(receive_count - 1, 4), 14400))


def hold_seconds(outcome: Outcome, back_off: float, now: float) -> int:
    """Return how long a message that stays is to be invisible.

    Never shorter than the gate is known to be shut. A message that was not even tried waits for the gate alone; one
    whose answer shut it comes after the others.
    """
    waits = [back_off if outcome.tried else 1.0]
    if outcome.retry_at is not None:
        waits.append(outcome.retry_at - now)
    if outcome.pause:
        until = outcome.pause.until
        waits.append(OPERATORS_PAUSE_RECHECK_SECONDS if until is None else until - now)
        if until is not None and outcome.shut_the_gate:
            a_page = outcome.pause.cause in {"blocked", "unexpected_answer"}
            behind = BEHIND_OTHERS_FACTOR * back_off if a_page else BEHIND_OTHERS_SECONDS
            waits.append(until - now + behind)
    return with_jitter(max(waits))


def with_jitter(seconds: float) -> int:
    """Draw a hold out a little, by a minute's quarter at most, and round it up to what SQS takes."""
    drawn_out = seconds + random.uniform(0, JITTER) * min(seconds, 60)  # noqa: S311  # nosec B311  # jitter is no secret
    return min(int(drawn_out) + 1, HOLD_LIMIT_SECONDS)


def from_event(record: Mapping[str, Any]) -> Message:
    """Read a record of a Lambda event."""
    attributes = record["attributes"]
    relay_key = record.get("messageAttributes", {}).get("RelayKey", {}).get("stringValue")
    return Message(
        id=record["messageId"],
        body=record["body"],
        receipt_handle=record["receiptHandle"],
        receive_count=int(attributes["ApproximateReceiveCount"]),
        sent_at=int(attributes["SentTimestamp"]) / 1000,
        relay_key=relay_key,
    )


class Queue:
    """One queue that messages are taken from."""

    def __init__(self, sqs: Callable[[], SQSClient], url: str) -> None:
        """Use the queue at `url`; `sqs` gives the client when it is first needed."""
        self._sqs = sqs
        self._url = url

    def receive(self, most: int) -> list[Message]:
        """Receive up to `most` messages, at most `MAX_BATCH`; a second is waited for them, so that all of SQS looks."""
        answer = self._sqs().receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(most, MAX_BATCH),
            WaitTimeSeconds=1,
            MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            MessageAttributeNames=["RelayKey"],
        )
        return [
            Message(
                id=each["MessageId"],
                body=each["Body"],
                receipt_handle=each["ReceiptHandle"],
                receive_count=int(each["Attributes"]["ApproximateReceiveCount"]),
                sent_at=int(each["Attributes"]["SentTimestamp"]) / 1000,
                relay_key=_attribute(each, "RelayKey"),
            )
            for each in answer.get("Messages", [])
        ]

    def waiting(self) -> bool:
        """Say whether messages are visible in the queue, as far as SQS knows at once."""
        answer = self._sqs().get_queue_attributes(QueueUrl=self._url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"]) > 0

    def held(self) -> int:
        """Return how many messages are visible in the queue or with somebody, as far as SQS knows at once."""
        names: list[QueueAttributeNameType] = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self._sqs().get_queue_attributes(QueueUrl=self._url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)

    def delete(self, messages: Sequence[Message]) -> list[str]:
        """Delete messages; return a line for each that SQS kept. It will come again, and the ledger knows it."""
        complaints = []
        for batch in _batches(messages):
            try:
                answer = self._sqs().delete_message_batch(
                    QueueUrl=self._url,
                    Entries=[{"Id": str(i), "ReceiptHandle": each.receipt_handle} for i, each in enumerate(batch)],
                )
                failed: Sequence[Mapping[str, Any]] = answer.get("Failed", [])
            except (ClientError, BotoCoreError) as error:
                failed = _all_failed(batch, error)
            complaints += _complaints("deleted", batch, failed)
        return complaints

    def hold(self, messages: Sequence[tuple[Message, int]]) -> list[str]:
        """Make each message invisible for its seconds; return a line for each that keeps its old visibility."""
        complaints = []
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
            except (ClientError, BotoCoreError) as error:
                failed = _all_failed(batch, error)
            complaints += _complaints("held", [each for each, _ in batch], failed)
        return complaints

    def send(self, bodies: Sequence[str]) -> list[str]:
        """Send messages; return the bodies of those that SQS did not take.

        A whole call that fails is no reason to stop: the next one may not, and the caller knows what is missing.
        """
        refused: list[str] = []
        for batch in _batches(bodies):
            try:
                answer = self._sqs().send_message_batch(
                    QueueUrl=self._url, Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(batch)]
                )
                failed: Sequence[Mapping[str, Any]] = answer.get("Failed", [])
            except (ClientError, BotoCoreError) as error:
                failed = _all_failed(batch, error)
            refused += [batch[int(each["Id"])] for each in failed]
        return refused


class DeadLetters:
    """Where a message waits, untouched and with its reason, for a person."""

    def __init__(self, sqs: Callable[[], SQSClient], url: str) -> None:
        """Use the queue at `url`; `sqs` gives the client when it is first needed."""
        self._sqs = sqs
        self._url = url

    def bury(self, message: Message, outcome: Burial) -> bool:
        """Send the original body with its reason; False when the reason had to stay behind.

        A body at SQS's size limit leaves no room for attributes; it goes without them, its reason is in the log.

        Raises:
            ClientError, BotoCoreError: It is not there; the message must stay where it is.
        """
        attributes: dict[str, MessageAttributeValueTypeDef] = {
            "RejectReason": _string(_printable(outcome.reason)[:MAX_REASON_CHARACTERS]),
            "Attempts": {"DataType": "Number", "StringValue": str(message.receive_count)},
            "FirstSeen": _string(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(message.sent_at))),
        }
        if outcome.key:
            attributes["RelayKey"] = _string(outcome.key)
        if outcome.status:
            attributes["StatusCode"] = {"DataType": "Number", "StringValue": str(outcome.status)}
        try:
            self._sqs().send_message(QueueUrl=self._url, MessageBody=message.body, MessageAttributes=attributes)
        except ClientError as error:
            if error.response["Error"]["Code"].rpartition(".")[2] not in {"InvalidParameterValue", "MessageTooLong"}:
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
    """Say of each entry what SQS said of the whole call: what was done so far must not be undone by raising it."""
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    return [{"Id": str(i), "Code": code} for i in range(len(batch))]


def _complaints(verb: str, batch: Sequence[Message], failed: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"message {batch[int(each['Id'])].id} could not be {verb}: {each['Code']}" for each in failed]
