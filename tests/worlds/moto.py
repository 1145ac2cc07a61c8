"""moto as AWS, corrected where it differs from AWS in a way that matters here.

The differences, by AWS's own documentation (`docs/local-development.md` has them with their sources):

- A DynamoDB request is atomic; moto changes an item in several steps, so requests are processed one at a time.
- SQS counts a message's attributes towards the size limit, and refuses an empty body and characters that XML does not
  allow.
- Long polling takes time on the test's clock, not on the machine's.
- S3 compares checksums and sizes: see `StrictS3`.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.s3.models import s3_backends
from moto.sqs import models as moto_sqs

from tests.strict_s3 import StrictS3, WatchedS3
from tests.worlds.aws import ACCOUNT, REGION, SMALLEST_PART
from tests.worlds.clock import Clock

SQS_LIMIT = 1_048_576


class Moto:
    """moto in this process: see `Emulator`."""

    @contextmanager
    def serving(self, clock: Clock, patch: pytest.MonkeyPatch) -> Iterator[None]:
        one_at_a_time = threading.RLock()
        process_request = BotocoreStubber.process_request

        def atomic(stubber: BotocoreStubber, request: Any) -> Any:
            if "dynamodb" not in urlsplit(request.url).netloc:
                return process_request(stubber, request)
            with one_at_a_time:
                return process_request(stubber, request)

        patch.setattr(BotocoreStubber, "process_request", atomic)
        patch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
        patch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", SMALLEST_PART)
        patch.setattr(moto_sqs, "unix_time", clock)
        patch.setattr(moto_sqs, "unix_time_millis", lambda: clock() * 1000)
        patch.setattr(moto_sqs.Queue, "wait_for_messages", lambda _queue, timeout: clock.forward(timeout))
        patch.setattr("moto.logs.models.utcnow", lambda: datetime.fromtimestamp(clock(), UTC).replace(tzinfo=None))
        with mock_aws():
            yield

    def watch_s3(self, patch: pytest.MonkeyPatch) -> WatchedS3:
        return StrictS3(patch)

    def refuse_message(self, message: Mapping[str, Any]) -> tuple[str, str] | None:
        """Apply the size limit and the character set that SQS documents; moto checks the length of the body alone."""
        attributes = message.get("MessageAttributes", {})
        texts = [message["MessageBody"], *(a.get("StringValue", "") for a in attributes.values())]
        size = sum(len(text.encode()) for text in texts)
        size += sum(len(name) + len(attribute["DataType"]) for name, attribute in attributes.items())
        if size > SQS_LIMIT:
            return "InvalidParameterValue", f"Message must be shorter than {SQS_LIMIT} bytes."
        if any(not _is_xml(character) for text in texts for character in set(text)):
            return "InvalidMessageContents", "Invalid characters found."
        if not message["MessageBody"]:
            return "MissingParameter", "The request must contain the parameter MessageBody."
        if any(not attribute.get("StringValue", "x") for attribute in attributes.values()):
            return "InvalidParameterValue", "Message attribute values must not be empty."
        return None

    def delayed(self, queue: str) -> list[str]:
        found = moto_sqs.sqs_backends[ACCOUNT][REGION].queues[queue.rpartition("/")[2]]
        return [each.body for each in found._messages if each.delayed]

    def age(self, bucket: str, key: str, seconds: float) -> None:
        s3_backends[ACCOUNT]["aws"].head_object(bucket, key).last_modified -= timedelta(seconds=seconds)


def _is_xml(character: str) -> bool:
    return (
        character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
    )
