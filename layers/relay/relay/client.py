"""Send alerts to the Outbox, from a program that has AWS credentials.

::

    from relay.client import Outbox

    Outbox().send("Up 3% on twice the usual volume $AAPL", key="volume-AAPL-2026-11-20")

A message is checked by the code that will post it, before anything is sent. The command `relay` finds its stack and
sends its messages by this module too. boto3 is imported when it is first needed.
"""

from __future__ import annotations

import json
import os
import secrets
import time
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
)

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Reject, RelayError
from relay.posting.alert import check_not_before, check_not_expired, given_fields, read_message
from relay.posting.delivery import idempotency_key
from relay.queue_message import QueueMessage
from relay.queues import MAX_BATCH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from boto3 import Session
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

    from relay.posting.alert import Alert, Reading

__all__ = ["AwsError", "NotSent", "Outbox", "Reject", "Sent", "StackError"]

DEFAULT_STACK = "stocktwits-relay"
STACK_VARIABLE = "RELAY_STACK"
"""The environment variable with the stack's name."""

SETTINGS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "retries": {"mode": "standard", "total_max_attempts": 3},
}
"""The clients' `botocore.config.Config`; time-outs in seconds, short because somebody is waiting."""

MAX_MESSAGE_BYTES = 262_144 - 1024
"""The Outbox's MaximumMessageSize, less what the key takes; a test compares it with the template."""

MAX_BATCH_BYTES = 262_144
"""The size limit of one batch, where it was not raised to a megabyte:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html."""

MAX_ATTEMPTS = 5
"""How often a message is sent if SQS fails to accept it through no fault of the message."""

FIRST_WAIT_SECONDS = 0.5
"""The wait before the second attempt; each further wait is twice as long."""

OUTBOX_OUTPUT = "OutboxQueueUrl"
"""The template's output with the Outbox; every relay has it, whatever is switched off."""

_ATTRIBUTE_BYTES = len("RelayKey") + len("String")


class StackError(RelayError):
    """The stack cannot be used."""


class SamConfigError(StackError):
    """``samconfig.toml`` cannot be read; falling back to the default name could mean another relay."""


class NoStack(StackError):
    """There is no such stack."""


class NotDeployed(StackError):
    """The stack is not completely deployed.

    Attributes:
        name: The stack's name.
        stack_status: CloudFormation's status of it, such as ``ROLLBACK_COMPLETE``.
    """

    def __init__(self, name: str, stack_status: str) -> None:
        """Create the error."""
        super().__init__(f"The stack {name} is not completely deployed ({stack_status})")
        self.name = name
        self.stack_status = stack_status


class NotRelay(StackError):
    """The stack is not a StockTwits Relay."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that SQS accepted.

    Attributes:
        id: Its SQS message id.
        key: Its idempotency key; sent again with this key, it is still one post.
    """

    id: str
    key: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """A message that SQS did not accept, as far as is known.

    Attributes:
        message: Its fields, with its key; `Outbox.send_many` takes them, and it is still one post.
        key: Its idempotency key.
        reason: SQS's error code, or why AWS could not be used.
        may_be_queued: Whether SQS may have accepted it nevertheless; only its answer was lost.
    """

    message: dict[str, Any]
    key: str
    reason: str
    may_be_queued: bool


class AwsError(RelayError):
    """AWS could not be used, or did not accept every message.

    Attributes:
        sent: The messages that SQS accepted, in the order in which they were given.
        not_sent: The others, in the same order.
    """

    def __init__(self, reason: str, sent: Sequence[Sent] = (), not_sent: Sequence[NotSent] = ()) -> None:
        """Keep what became of the messages; without any, nothing was sent."""
        super().__init__(reason)
        self.sent = list(sent)
        self.not_sent = list(not_sent)

    @property
    def may_be_queued(self) -> bool:
        """Whether SQS may have accepted one of `not_sent` nevertheless."""
        return any(each.may_be_queued for each in self.not_sent)


class Outbox:
    """The Outbox of a deployed relay; safe to use from several threads."""

    def __init__(
        self,
        stack_name: str | None = None,
        *,
        region: str | None = None,
        profile: str | None = None,
        session: Session | None = None,
        queue_url: str | None = None,
    ) -> None:
        """Find the Outbox in CloudFormation, or use the one at `queue_url`, for which nothing is asked.

        Args:
            stack_name: The stack; None for the one in the environment variable ``RELAY_STACK``, else the one in
                ``samconfig.toml`` in the current folder, else ``stocktwits-relay``.
            region: The AWS region; None for the default of the environment or the profile.
            profile: The AWS profile; None for the default.
            session: A boto3 session, in place of region and profile.
            queue_url: The URL of the queue, the output ``OutboxQueueUrl``. With it, the program needs no permission but
                the one of ``PublishPolicyArn``; without it, ``cloudformation:DescribeStacks`` too.

        Raises:
            StackError: There is no such stack, or it is not a relay that is completely deployed.
            AwsError: AWS could not be used.
        """
        try:
            session = session or open_session(region, profile)
            self._url = (
                queue_url or find_stack(open_client(session, "cloudformation"), stack_name).outputs[OUTBOX_OUTPUT]
            )
            self._sqs: SQSClient = open_client(session, "sqs")
        except AWS_ERRORS as error:
            raise AwsError(_reason(error)) from None

    def send(  # noqa: PLR0913  each is a field of the message
        self,
        text: str,
        *,
        sentiment: Literal["bullish", "bearish", "neutral"] | None = None,
        in_reply_to_message_id: int | None = None,
        chart: str | None = None,
        key: str | None = None,
        expires_at: datetime | str | None = None,
        not_before: datetime | str | None = None,
        priority: Literal["high", "normal"] | None = None,
    ) -> Sent:
        """Send one alert. What the fields mean is in ``docs/publish.md``.

        Args:
            text: The text to post.
            sentiment: The sentiment shown with the post.
            in_reply_to_message_id: The StockTwits id of the message to reply to.
            chart: An image: an ``https://`` link, or ``s3://bucket/key`` in the stack's chart bucket.
            key: The idempotency key: a key is posted at most once, however often it is sent. Without it, each call is
                an alert of its own, and gets a key before it is first sent.
            expires_at: Do not post it after this moment: a datetime with a zone, or ISO 8601.
            not_before: Do not post it before this moment, at most 13 days from now.
            priority: ``high`` goes before others among what waits.

        Returns:
            Its SQS message id and its key.

        Raises:
            Reject: It cannot be posted; nothing was sent.
            AwsError: SQS did not accept it, as far as is known.
        """
        fields = {
            "body": text,
            "sentiment": sentiment,
            "in_reply_to_message_id": in_reply_to_message_id,
            "chart": chart,
            "key": key,
            "expires_at": expires_at,
            "not_before": not_before,
            "priority": priority,
        }
        (sent,) = self._send([draft(to_body(fields))])
        return sent

    def send_many(self, messages: Iterable[str | Mapping[str, Any]]) -> list[Sent]:
        """Send alerts in batches; all are checked before the first one is sent.

        Args:
            messages: Each a text to post, or the fields of a message: ``body``, and what `send` takes besides.

        Returns:
            Each message's SQS message id and key, in the same order.

        Raises:
            Reject: One cannot be posted; the reason begins with its number, from 1. Nothing was sent.
            AwsError: SQS did not accept all of them, as far as is known; it has those that were sent, and the others.
        """
        if isinstance(messages, str | Mapping):  # each letter, or the name of each field, would be a message
            raise TypeError("send_many takes a list of messages: use send for a single one")
        drafts = []
        for number, message in enumerate(messages, 1):
            try:
                drafts.append(draft(to_body({"body": message} if isinstance(message, str) else message)))
            except Reject as error:
                raise Reject(f"message {number}: {error.reason}") from None
        return self._send(drafts)

    def _send(self, drafts: Sequence[Draft]) -> list[Sent]:
        results: dict[int, Sent | NotSent] = {}
        batch: list[int] = []
        try:
            for batch in batches(drafts):
                for answered in send_batch(self._sqs, self._url, drafts, batch):
                    results |= answered
        except AWS_ERRORS as error:
            reason, lost = _reason(error), may_be_queued(error)
            for number, each in enumerate(drafts):
                results.setdefault(number, NotSent(each.fields, each.key, reason, lost and number in batch))
        in_order = [results[number] for number in range(len(drafts))]
        sent = [each for each in in_order if isinstance(each, Sent)]
        not_sent = [each for each in in_order if isinstance(each, NotSent)]
        if not_sent:
            reasons = "; ".join(dict.fromkeys(each.reason for each in not_sent))
            doubt = ", as far as is known" if any(each.may_be_queued for each in not_sent) else ""
            raise AwsError(f"{len(not_sent)} of {len(drafts)} messages not sent{doubt}: {reasons}", sent, not_sent)
        return sent


# What the command shares


@dataclass(frozen=True, slots=True)
class Draft:
    """A valid message that is still to be sent.

    Attributes:
        body: The message's body.
        reading: What the relay reads in it.
        relay_key: Its ``RelayKey``; if the message is sent twice because a response was lost, it is posted once.
    """

    body: str
    reading: Reading
    relay_key: str

    @property
    def alert(self) -> Alert:
        """What is to be posted."""
        return self.reading.alert

    @property
    def key(self) -> str:
        """Its key in the ledger."""
        message = QueueMessage("", self.body, "", receive_count=0, sent_at=0, relay_key=self.relay_key)
        return idempotency_key(message, self.reading)

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of the message, its key included, so that sending them again is the same post."""
        return given_fields(self.alert) | {"key": self.key}


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A relay as CloudFormation describes it.

    Attributes:
        name: The stack's name.
        outputs: The template's outputs, such as ``OutboxQueueUrl``.
        parameters: The values it was deployed with, such as ``MaxPostsPerHour``.
        status: CloudFormation's status of it, such as ``UPDATE_COMPLETE``.
    """

    name: str
    outputs: dict[str, str]
    parameters: dict[str, str]
    status: str


def draft(body: str) -> Draft:
    """Check a message's body with the relay's own code.

    Without a key of the publisher's, the id of its envelope is its key, as it is when it reaches the Outbox by itself;
    without an envelope, a new one.

    Raises:
        Reject: It cannot be posted; the reason says why.
    """
    size = len(body.encode(errors="surrogatepass"))
    if size > MAX_MESSAGE_BYTES:
        raise Reject(f"it has {size:,} bytes, more than the Outbox's limit of {MAX_MESSAGE_BYTES:,}")
    reading = read_message(body)
    check_not_before(reading.alert, time.time())
    check_not_expired(reading.alert, time.time())
    return Draft(body, reading, reading.envelope_id or secrets.token_hex(16))


def to_body(fields: Mapping[str, Any]) -> str:
    """Write the fields of a message as its body; fields that are None are left out.

    Raises:
        Reject: One is neither a datetime nor what JSON has.
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        return json.dumps(given, ensure_ascii=False, default=_to_json)
    except (TypeError, ValueError) as error:
        raise Reject(f"the message cannot be written as JSON: {error}") from None


def batches(drafts: Sequence[Draft]) -> Iterator[list[int]]:
    """Divide messages, by their positions, into what SQS takes at once."""
    batch: list[int] = []
    size = 0
    for number, each in enumerate(drafts):
        own = len(each.body.encode()) + len(each.relay_key.encode()) + _ATTRIBUTE_BYTES
        if batch and (len(batch) == MAX_BATCH or size + own > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += own
    if batch:
        yield batch


def send_batch(
    sqs: SQSClient, queue_url: str, drafts: Sequence[Draft], batch: Sequence[int]
) -> Iterator[dict[int, Sent | NotSent]]:
    """Send a batch, and those of its messages again that SQS did not accept.

    Args:
        sqs: The client.
        queue_url: The queue.
        drafts: All messages.
        batch: The positions of those to send, as `batches` makes them.

    Yields:
        After each request, the results that are final, by position.

    Raises:
        ClientError, BotoCoreError: A request failed as a whole, after boto3's retries; see `may_be_queued`. It is not
            repeated, and neither should further batches be sent: they would fail too, and somebody is waiting.
    """
    left = list(batch)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=[_entry(number, drafts[number]) for number in left])
        results: dict[int, Sent | NotSent] = {
            int(each["Id"]): Sent(each["MessageId"], drafts[int(each["Id"])].key)
            for each in answer.get("Successful", [])
        }
        for failed in answer.get("Failed", []):
            if failed["SenderFault"] or attempt == MAX_ATTEMPTS:
                each = drafts[int(failed["Id"])]
                results[int(failed["Id"])] = NotSent(each.fields, each.key, failed["Code"], not failed["SenderFault"])
        yield results
        left = [number for number in left if number not in results]
        if not left:
            return
        time.sleep(FIRST_WAIT_SECONDS * 2 ** (attempt - 1))


def may_be_queued(error: ClientError | BotoCoreError) -> bool:
    """Return whether SQS may have accepted the messages of a failed call, and only its response was lost."""
    if isinstance(error, ClientError):
        metadata = error.response.get("ResponseMetadata", {})
        return metadata.get("HTTPStatusCode", 0) not in range(400, 500) or bool(metadata.get("RetryAttempts"))
    return not isinstance(error, NoCredentialsError | PartialCredentialsError)


def open_session(region: str | None = None, profile: str | None = None) -> Session:
    """Open a way to AWS; nothing is sent yet.

    Args:
        region: The AWS region; None for the default of the environment or the profile.
        profile: The AWS profile; None for the default.

    Raises:
        BotoCoreError: There is no such profile, or AWS's configuration cannot be read.
    """
    import boto3  # noqa: PLC0415  slow to import

    # boto3 itself reads AWS_DEFAULT_REGION alone, unlike the AWS CLI and the other SDKs.
    return boto3.Session(region_name=region or os.environ.get("AWS_REGION"), profile_name=profile)


def open_client(session: Session, service: str, **settings: Any) -> Any:  # noqa: ANN401  its type depends on the name
    """Create a client of a service with `SETTINGS`, some of which may be overridden.

    Raises:
        AwsError: ``AWS_ENDPOINT_URL``, or the same setting of the profile, is not a URL.
        BotoCoreError: There is no region.
    """
    from botocore.config import Config  # noqa: PLC0415  as above

    try:
        return session.client(service, config=Config(**SETTINGS | settings))  # type: ignore[call-overload]
    except BotoCoreError:
        raise
    except ValueError as error:
        raise AwsError(f"AWS cannot be reached: {error}") from None


def find_stack(cloudformation: CloudFormationClient, name: str | None = None) -> DeployedStack:
    """Find a relay in CloudFormation.

    Args:
        cloudformation: The client.
        name: The stack's name; None for the one in ``RELAY_STACK``, else the one in ``samconfig.toml`` in the current
            folder, else `DEFAULT_STACK`.

    Raises:
        StackError: There is no such stack, or it is not a relay that is completely deployed.
        ClientError, BotoCoreError: AWS could not be used.
    """
    name = name or os.environ.get(STACK_VARIABLE) or configured("stack_name") or DEFAULT_STACK
    try:
        (found,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error_code(error) != "ValidationError":
            raise
        raise NoStack(f"There is no stack {name} in {cloudformation.meta.region_name}") from None
    status = found["StackStatus"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    # During an update, or after a failed one, the stack's resources exist, and an operator may need to pause posting.
    # After an import was rolled back, what the stack had before is there.
    if status not in {"CREATE_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"} and not status.startswith(
        "UPDATE_"
    ):
        raise NotDeployed(name, status)
    if OUTBOX_OUTPUT not in outputs:
        raise NotRelay(f"The stack {name} is not a StockTwits Relay")
    parameters = {each["ParameterKey"]: each.get("ParameterValue", "") for each in found.get("Parameters", [])}
    return DeployedStack(name, outputs, parameters, status)


def configured(option: str) -> str | None:
    """Return an option as ``sam deploy`` reads it from ``samconfig.toml`` in the current folder, if it is there.

    Raises:
        SamConfigError: The file cannot be read.
    """
    file = Path("samconfig.toml")
    if file.exists() and not file.is_file():  # reading a FIFO would block
        raise SamConfigError(f"{file} is not a file")
    try:
        settings = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise SamConfigError(f"{file} cannot be read ({why})") from None
    for command in ("deploy", "global"):
        with suppress(KeyError, TypeError):
            return str(settings["default"][command]["parameters"][option])
    return None


def _entry(number: int, draft: Draft) -> SendMessageBatchRequestEntryTypeDef:
    return {
        "Id": str(number),
        "MessageBody": draft.body,
        "MessageAttributes": {"RelayKey": {"DataType": "String", "StringValue": draft.relay_key}},
    }


def _to_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"JSON has no {type(value).__name__}")


def _reason(error: ClientError | BotoCoreError) -> str:
    """Return why AWS could not be used, without what another program wrote that gets credentials: it may be secret."""
    if isinstance(error, CredentialRetrievalError):
        return "the profile's credential provider failed"
    return str(error)
