"""moto as AWS, corrected where it differs from AWS in a way that matters here.

SQS, DynamoDB, SSM and S3 are reached through boto3, as in production. The differences, by AWS's own documentation:

- A DynamoDB request is atomic; moto changes an item in several steps, so requests are processed one at a time.
- SQS counts a message's attributes towards the size limit, and refuses characters that XML does not allow.
- Long polling takes time on the test's clock, not on the machine's.
- S3 compares checksums and sizes: see `StrictS3`.
"""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.session import Session
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.sqs import models as moto_sqs

from tests.worlds.clock import Clock

REGION, ACCOUNT = "us-east-1", "123456789012"
SQS_LIMIT = 1_048_576

Call = dict[str, Any]
Answer = str | Callable[[Call], Call] | None
"""An error's code, a function from a call's parameters to its answer, or None to let the call through."""

_default_tls_context = cache(ssl.create_default_context)


class Aws:
    """Records the relay's calls to AWS, and answers some of them instead of AWS.

    Attributes:
        calls: The operation and the parameters of each call, oldest first.
        sqs, dynamodb, ssm, s3: The tests' own clients, whose calls are not recorded.
    """

    def __init__(self) -> None:
        self.session = new_session()
        self.calls: list[tuple[str, Call]] = []
        of_the_tests = new_session()
        self.sqs = of_the_tests.client("sqs")
        self.dynamodb = of_the_tests.client("dynamodb")
        self.ssm = of_the_tests.client("ssm")
        self.s3 = of_the_tests.client("s3")
        self._clients: dict[str, Any] = {}
        self._answers: dict[str, list[Answer]] = {}
        self._lose: list[str] = []
        events = self.session.events
        events.register("before-call.sqs.SendMessage", _sqs_refusal)
        events.register("before-parameter-build.*.*", self._record)
        events.register("before-call.*.*", self._answer_call)
        events.register_last("before-send", self._lose_answer)  # after moto, which listens to the same event

    def reset(self) -> None:
        """Forget the recorded calls and the planned answers."""
        self.calls = []
        self._answers = {}
        self._lose = []

    def forget_client(self, service: str) -> None:
        """Make a new client when one is needed next: a client's quota of retries is limited."""
        self._clients.pop(service, None)

    def reusing_clients(self, create_client: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap botocore's `create_client` to return the same clients to every container, which saves most of the time
        of a test."""

        def client(session: Session, service: Any, *arguments: Any, **options: Any) -> Any:
            if arguments or options.keys() != {"config"}:  # a session of the tests
                return create_client(session, service, *arguments, **options)
            if service not in self._clients:
                self._clients[service] = self.session.client(service, **options)
            return self._clients[service]

        return client

    def calls_of(self, *operations: str) -> list[Call]:
        """The parameters of the calls of these operations, oldest first."""
        return [params for name, params in self.calls if name in operations]

    def answer(self, operation: str, answer: Answer, times: int = 1) -> None:
        """Answer the next calls of an operation."""
        self._answers.setdefault(operation, []).extend([answer] * times)

    def lose_answer(self, operation: str) -> None:
        """Execute the next call of an operation, but break the connection before its answer."""
        self._lose.append(operation)

    def _record(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        self.calls.append((model.name, dict(params)))

    def _answer_call(self, model: Any, params: Any, **_: Any) -> Any:
        planned = self._answers.get(model.name)
        answer = planned.pop(0) if planned else None
        if answer is None:
            return None
        called = next(sent for name, sent in reversed(self.calls) if name == model.name)
        return stubbed_answer(answer, called)

    def _lose_answer(self, request: Any, event_name: str, **_: Any) -> None:
        operation = event_name.rpartition(".")[2]
        if operation in self._lose:
            self._lose.remove(operation)
            raise ReadTimeoutError(endpoint_url=request.url)


def new_session() -> boto3.session.Session:
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)


@contextmanager
def mocked(aws: Aws, clock: Clock, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace AWS by an empty moto that runs on the test's clock."""
    aws.reset()
    one_at_a_time = threading.RLock()
    process_request = BotocoreStubber.process_request

    def atomic(stubber: BotocoreStubber, request: Any) -> Any:
        if "dynamodb" not in urlsplit(request.url).netloc:
            return process_request(stubber, request)
        with one_at_a_time:
            return process_request(stubber, request)

    patch.setattr(BotocoreStubber, "process_request", atomic)
    patch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    patch.setattr(moto_sqs, "unix_time", clock)
    patch.setattr(moto_sqs, "unix_time_millis", lambda: clock() * 1000)
    patch.setattr(moto_sqs.Queue, "wait_for_messages", lambda _queue, timeout: clock.forward(timeout))
    patch.setattr("ssl.create_default_context", _default_tls_context)  # creating one takes longer than a test
    patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with mock_aws():
        patch.setattr("botocore.session.Session.create_client", aws.reusing_clients(Session.create_client))
        yield


def stubbed_answer(answer: str | Callable[[Any], Call], sent: Any) -> tuple[SimpleNamespace, Call]:
    """Make what botocore accepts as AWS's answer: an error with this code, or what a function returns for a request."""
    if isinstance(answer, str):
        return _error(answer, "planned")
    return SimpleNamespace(status_code=200), {"ResponseMetadata": {"HTTPStatusCode": 200}} | answer(sent)


def _error(code: str, message: str) -> tuple[SimpleNamespace, Call]:
    error = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    return SimpleNamespace(status_code=400), error


def string_attributes(values: Mapping[str, str]) -> dict[str, Any]:
    """Message attributes as SQS expects them."""
    return {name: {"DataType": "String", "StringValue": value} for name, value in values.items()}


def attribute_values(attributes: Mapping[str, Any]) -> dict[str, str]:
    return {name: value["StringValue"] for name, value in attributes.items()}


def sqs_record(received: Mapping[str, Any], queue: str) -> dict[str, Any]:
    """A received message as Lambda passes it to a function."""
    return {
        "messageId": received["MessageId"],
        "receiptHandle": received["ReceiptHandle"],
        "body": received["Body"],
        "attributes": received["Attributes"],
        "messageAttributes": {
            name: {"stringValue": value.get("StringValue"), "dataType": value["DataType"]}
            for name, value in received.get("MessageAttributes", {}).items()
        },
        "md5OfBody": received["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue}",
        "awsRegion": REGION,
    }


def _sqs_refusal(params: Mapping[str, Any], model: Any, **_: Any) -> Any:
    """Apply the size limit and the character set that SQS documents; moto checks the length of the body alone."""
    sent = json.loads(params["body"])
    attributes = sent.get("MessageAttributes", {})
    texts = [sent["MessageBody"], *(a.get("StringValue", "") for a in attributes.values())]
    size = sum(len(text.encode()) for text in texts)
    size += sum(len(name) + len(attribute["DataType"]) for name, attribute in attributes.items())
    if size > SQS_LIMIT:
        return _error("InvalidParameterValue", f"Message must be shorter than {SQS_LIMIT} bytes.")
    if any(not _is_xml(character) for text in texts for character in set(text)):
        return _error("InvalidMessageContents", "Invalid characters found.")
    if any(not attribute.get("StringValue", "x") for attribute in attributes.values()):
        return _error("InvalidParameterValue", "Message attribute values must not be empty.")
    return None


def _is_xml(character: str) -> bool:
    return (
        character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
    )
