"""The relay's clients of AWS, which an emulator answers: moto, or LocalEmu with pytest's option `--aws localemu`.

SQS, DynamoDB, SSM and S3 are reached through boto3, as in production.
"""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any, Protocol

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.session import Session

from tests.strict_s3 import WatchedS3
from tests.worlds.clock import Clock

REGION, ACCOUNT = "us-east-1", "123456789012"
SMALLEST_PART = 1_000
"""In S3 a part has at least 5 MiB, in the tests so many bytes."""

Call = dict[str, Any]
Answer = str | Callable[[Call], Call] | None
"""An error's code, a function from a call's parameters to its answer, or None to let the call through."""

_default_tls_context = cache(ssl.create_default_context)


class Emulator(Protocol):
    """What answers in place of AWS, and what the tests ask of it beside AWS's own operations."""

    def serving(self, clock: Clock, patch: pytest.MonkeyPatch) -> AbstractContextManager[None]:
        """Be an empty AWS on the test's clock."""

    def watch_s3(self, patch: pytest.MonkeyPatch) -> WatchedS3:
        """Watch the requests to S3, and let planned ones fail."""

    def refuse_message(self, message: Mapping[str, Any]) -> tuple[str, str] | None:
        """Return the error's code and text if AWS refuses a message and the emulator would not."""

    def delayed(self, queue: str) -> list[str]:
        """Return the bodies of the messages that a queue, named by its URL, delays."""

    def age(self, bucket: str, key: str, seconds: float) -> None:
        """Let an object have been stored so many seconds earlier."""


class Aws:
    """Records the relay's calls to AWS, and answers some of them instead of AWS.

    Attributes:
        emulator: What answers the others.
        calls: The operation and the parameters of each call, oldest first.
        sqs, dynamodb, ssm, s3: The tests' own clients, whose calls are not recorded.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.session = new_session()
        self.calls: list[tuple[str, Call]] = []
        of_the_tests = new_session()
        self.sqs = of_the_tests.client("sqs")
        self.dynamodb = of_the_tests.client("dynamodb")
        self.ssm = of_the_tests.client("ssm")
        self.s3 = of_the_tests.client("s3")
        self._clients: dict[tuple[str, Any], Any] = {}
        self._answers: dict[str, list[Answer]] = {}
        self._lose: list[str] = []
        events = self.session.events
        events.register("before-call.sqs.SendMessage", self._refuse_message)
        events.register("before-parameter-build.*.*", self._record)
        events.register("before-call.*.*", self._answer_call)
        events.register_last("before-send", self._lose_answer)  # after the emulator, which listens to the same event

    def reset(self) -> None:
        """Forget the recorded calls and the planned answers."""
        self.calls = []
        self._answers = {}
        self._lose = []

    def forget_client(self, service: str) -> None:
        """Make a new client when one is needed next: a client's quota of retries is limited."""
        for key in [each for each in self._clients if each[0] == service]:
            del self._clients[key]

    def reusing_clients(self, create_client: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap botocore's `create_client` to return the same clients to every container, which saves most of the time
        of a test."""

        def client(session: Session, service: Any, *arguments: Any, **options: Any) -> Any:
            if arguments or options.keys() != {"config"}:  # a session of the tests
                return create_client(session, service, *arguments, **options)
            key = service, options["config"]  # functions differ in their time-outs and attempts
            if key not in self._clients:
                self._clients[key] = self.session.client(service, **options)
            return self._clients[key]

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

    def _refuse_message(self, params: Mapping[str, Any], **_: Any) -> Any:
        refused = self.emulator.refuse_message(json.loads(params["body"]))
        return refused and _error(*refused)

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
def replaced(aws: Aws, clock: Clock, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace AWS by its emulator, empty and on the test's clock."""
    aws.reset()
    patch.setattr("ssl.create_default_context", _default_tls_context)  # creating one takes longer than a test
    patch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with aws.emulator.serving(clock, patch):
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
