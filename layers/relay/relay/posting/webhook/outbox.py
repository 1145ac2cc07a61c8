"""The Outbox, as the webhook uses it: one alert at a time, while its sender waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.aws_errors import AWS_ERRORS, error_code
from relay.errors import Reject, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_sqs import SQSClient

_CONTENT_REFUSED = frozenset({"InvalidMessageContents", "InvalidParameterValue"})
"""SQS's errors about the message itself:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html."""


class Outbox:
    """The queue that alerts are sent to."""

    def __init__(self, sqs: Callable[[], SQSClient], url: str) -> None:
        """Use the queue at `url`; `sqs` gives the client when it is first needed."""
        self._sqs = sqs
        self._url = url

    def send(self, body: str, relay_key: str) -> str:
        """Send an alert with its idempotency key, and return its SQS message id.

        Raises:
            Reject: SQS refuses what is in it.
            Retry: SQS did not take it, or did not answer. It may have taken it all the same: sent again under the same
                key, it is still one post.
        """
        try:
            sent = self._sqs().send_message(
                QueueUrl=self._url,
                MessageBody=body,
                MessageAttributes={"RelayKey": {"DataType": "String", "StringValue": relay_key}},
            )
        except AWS_ERRORS as error:
            code = error_code(error)
            if code.rpartition(".")[2] in _CONTENT_REFUSED:
                raise Reject(f"the message has characters that SQS does not accept ({code})") from None
            raise Retry(f"SQS did not take the alert ({code})") from None
        return sent["MessageId"]
