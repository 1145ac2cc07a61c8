"""What the measurements of functions need: builds, an emulator of AWS, stand-ins for the vendor, and events."""

import itertools
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self, TypeVar

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, ROOT, build, compile_all
from local.stack.emulator import Emulator
from local.stack.lambda_runtime import Rie
from local.stack.webhook import new_secret, one_source
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from verification.benchmarks.chat import Chat

_T = TypeVar("_T")

ALL_DONE: dict[str, list[Any]] = {"batchItemFailures": []}
"""The answer of a function that has handled all messages."""

_DIRECTORY = ROOT / ".local" / "bench-builds"
_TOKEN_PARAMETER, _LOGIN_PARAMETER, _SOURCES_PARAMETER = "/bench/token", "/bench/firestream", "/bench/sources"
_NOTIFY_PARAMETER = "/bench/notify-url"
_SOURCE, _SECRET = "bench", new_secret()
_RELAY_TABLE, _USUAL_TABLE = "bench-relay", "bench-usual"
_RELAY_BUCKET, _USUAL_BUCKET = "bench-relay", "bench-usual"
_POWERTOOLS = {
    "POWERTOOLS_SERVICE_NAME": "usual",
    "POWERTOOLS_METRICS_NAMESPACE": "Usual",
    "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
    "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
}
_BACKUPS_TIMEOUT = 900  # as in template.yaml: with little time left the relay starts nothing
_COUNTER = itertools.count(1)
_EMPTY = """\
def handler(event, context):
    return {"batchItemFailures": []}
"""


class BenchmarkError(Exception):
    """A function did not do its task, so its time means nothing."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a function, its layer, its environment, its bucket and its timeout."""

    name: str
    function: Path
    layer: Path | None
    environment: Mapping[str, str]
    bucket: str = ""
    timeout: int = 60

    def container(self) -> Rie:
        """Return an execution environment that is not started yet."""
        return Rie(self.function, self.layer, self.environment, timeout=self.timeout)


@dataclass(frozen=True)
class Builds:
    """The artifacts, each in its own directory."""

    relay: Path
    usual: Path
    usual_compiled: Path
    empty: Path

    @classmethod
    def make(cls) -> Self:
        """Build the relay as `make build` does, and the usual recipe by plain ``sam build``."""
        relay = build(HOST_RUNTIME, HOST_ARCHITECTURE, _DIRECTORY / "relay" / "build")
        compile_all(HOST_RUNTIME, relay)
        usual = build(
            HOST_RUNTIME,
            HOST_ARCHITECTURE,
            _DIRECTORY / "usual" / "build",
            template=ROOT / "verification" / "benchmarks" / "usual_recipe" / "template.yaml",
            requirements=ROOT / "verification" / "benchmarks" / "usual_recipe" / "layer" / "requirements.txt",
        )
        compiled = _DIRECTORY / "usual_compiled"
        shutil.rmtree(compiled, ignore_errors=True)
        shutil.copytree(usual, compiled)
        compile_all(HOST_RUNTIME, compiled)
        empty = _DIRECTORY / "empty"
        empty.mkdir(exist_ok=True)
        (empty / "app.py").write_text(_EMPTY)
        return cls(relay, usual, compiled, empty)


class Fixtures:
    """The services on loopback, and the functions that use them."""

    def __init__(
        self, builds: Builds, emulator: Emulator, stocktwits: StandIn, firestream: FirestreamStandIn, chat: Chat
    ) -> None:
        """Create what the functions need in a running emulator."""
        self.builds = builds
        self.emulator = emulator
        self.stocktwits = stocktwits
        self.firestream = firestream
        self.chat = chat
        dynamodb, sqs = emulator.client("dynamodb"), emulator.client("sqs")
        for table in (_RELAY_TABLE, _USUAL_TABLE):
            dynamodb.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
            )
        self._outbox, self._dead_letters = (
            sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("bench-outbox", "bench-dead-letters")
        )
        token = {
            "access_token": stocktwits.access_token,
            "username": stocktwits.username,
            "user_id": str(stocktwits.user_id),
        }
        login = {"username": firestream.username, "password": firestream.password}
        for name, secret in ((_TOKEN_PARAMETER, token), (_LOGIN_PARAMETER, login)):
            emulator.client("ssm").put_parameter(Name=name, Type="SecureString", Value=json.dumps(secret))
        sources = one_source(_SOURCE, _SECRET)
        for name, value in ((_SOURCES_PARAMETER, sources), (_NOTIFY_PARAMETER, chat.url)):
            emulator.client("ssm").put_parameter(Name=name, Type="SecureString", Value=value)
        for bucket in (_RELAY_BUCKET, _USUAL_BUCKET):
            emulator.client("s3").create_bucket(Bucket=bucket)

    def relay(self, **environment: str) -> Side:
        """Return the relay's function, with a pace that never limits it."""
        return Side(
            "the relay",
            self.builds.relay / "PostMessagesFunction",
            self.builds.relay / "RelayLayer",
            {
                **json.loads((ROOT / "events" / "env.json").read_text())["PostMessagesFunction"],
                **self.emulator.environment,
                "SOURCE_QUEUE_URL": self._outbox,
                "OUTBOX_QUEUE_URL": self._outbox,
                "DEAD_LETTER_QUEUE_URL": self._dead_letters,
                "LEDGER_TABLE_NAME": _RELAY_TABLE,
                "STOCKTWITS_API_URL": self.stocktwits.api_url,
                "STOCKTWITS_TOKEN_PARAMETER": _TOKEN_PARAMETER,
                "MAX_POSTS_PER_HOUR": "3600000",
                "POST_BURST": "1000000",
                "MAX_POSTS_PER_DAY": "0",
                "DRY_RUN": "false",
                "CHART_BUCKET_NAME": "",
                **environment,
            },
        )

    def usual_recipe(self, *, compiled: bool) -> Side:
        """Return the usual recipe with its tracer on; nothing listens on the port of X-Ray's daemon."""
        directory = self.builds.usual_compiled if compiled else self.builds.usual
        return Side(
            "the usual recipe, compiled" if compiled else "the usual recipe",
            directory / "UsualPostingFunction",
            directory / "UsualLayer",
            {
                **self.emulator.environment,
                "TABLE_NAME": _USUAL_TABLE,
                "DEAD_LETTER_QUEUE_URL": self._dead_letters,
                "STOCKTWITS_API_URL": self.stocktwits.api_url,
                "TOKEN_PARAMETER": _TOKEN_PARAMETER,
                **_POWERTOOLS,
            },
        )

    def relay_backups(self) -> Side:
        """Return the relay's function that fetches backups."""
        return Side(
            "the relay",
            self.builds.relay / "FetchBackupsFunction",
            self.builds.relay / "RelayLayer",
            {
                **self.emulator.environment,
                "BACKUP_REQUESTS_QUEUE_URL": self._outbox,
                "BACKUP_FAILURES_QUEUE_URL": self._dead_letters,
                "BACKUP_BUCKET_NAME": _RELAY_BUCKET,
                "FIRESTREAM_URL": self.firestream.url,
                "FIRESTREAM_CREDENTIALS_PARAMETER": _LOGIN_PARAMETER,
                "BACKUP_FILE_TYPES": "message,activity",
                "BACKUP_LAG_DAYS": "2",
                "BACKUP_LOOKBACK_DAYS": "7",
            },
            _RELAY_BUCKET,
            _BACKUPS_TIMEOUT,
        )

    def usual_backups(self, *, compiled: bool) -> Side:
        """Return the usual recipe for backups; see `usual_recipe`."""
        directory = self.builds.usual_compiled if compiled else self.builds.usual
        return Side(
            "the usual recipe, compiled" if compiled else "the usual recipe",
            directory / "UsualBackupsFunction",
            directory / "UsualLayer",
            {
                **self.emulator.environment,
                "BUCKET_NAME": _USUAL_BUCKET,
                "FIRESTREAM_URL": self.firestream.url,
                "CREDENTIALS_PARAMETER": _LOGIN_PARAMETER,
                "REQUESTS_QUEUE_URL": self._outbox,
                **_POWERTOOLS,
            },
            _USUAL_BUCKET,
            _BACKUPS_TIMEOUT,
        )

    def relay_webhook(self) -> Side:
        """Return the relay's function that receives alerts."""
        return Side(
            "the relay",
            self.builds.relay / "ReceiveAlertsFunction",
            self.builds.relay / "RelayLayer",
            {
                **self.emulator.environment,
                "OUTBOX_QUEUE_URL": self._outbox,
                "WEBHOOK_SOURCES_PARAMETER": _SOURCES_PARAMETER,
            },
        )

    def usual_webhook(self, *, compiled: bool) -> Side:
        """Return the usual recipe for a webhook; see `usual_recipe`."""
        directory = self.builds.usual_compiled if compiled else self.builds.usual
        return Side(
            "the usual recipe, compiled" if compiled else "the usual recipe",
            directory / "UsualReceivingFunction",
            directory / "UsualLayer",
            {
                **self.emulator.environment,
                "OUTBOX_QUEUE_URL": self._outbox,
                "SOURCES_PARAMETER": _SOURCES_PARAMETER,
                **_POWERTOOLS,
            },
        )

    def relay_notices(self) -> Side:
        """Return the relay's function that sends notices; it trusts the chat service's certificate."""
        return Side(
            "the relay",
            self.builds.relay / "SendNoticesFunction",
            self.builds.relay / "RelayLayer",
            {
                **self.emulator.environment,
                "NOTIFY_URL_PARAMETER": _NOTIFY_PARAMETER,
                "SSL_CERT_FILE": str(self.chat.authorities),
            },
        )

    def received(self) -> int:
        """Return how many alerts the webhook has put into the Outbox, and empty it."""
        sqs = self.emulator.client("sqs")
        answer = sqs.get_queue_attributes(QueueUrl=self._outbox, AttributeNames=["ApproximateNumberOfMessages"])
        sqs.purge_queue(QueueUrl=self._outbox)
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def stored(self, side: Side, key: str) -> bytes | None:
        """Return what a side has stored under a key, and delete it."""
        s3 = self.emulator.client("s3")
        if not s3.list_objects_v2(Bucket=side.bucket, Prefix=key)["KeyCount"]:
            return None
        content: bytes = s3.get_object(Bucket=side.bucket, Key=key)["Body"].read()
        s3.delete_object(Bucket=side.bucket, Key=key)
        return content

    def usual_loop(self) -> Side:
        """Return the usual loop, with the libraries of the relay's layer."""
        return Side(
            "the usual loop",
            ROOT / "verification" / "benchmarks" / "usual_loop",
            self.builds.relay / "RelayLayer",
            {"STOCKTWITS_API_URL": self.stocktwits.api_url, "STOCKTWITS_TOKEN": self.stocktwits.access_token},
        )

    def empty(self) -> Side:
        """Return a function that does nothing: the time of the runtime itself."""
        return Side("an empty function", self.builds.empty, None, {})


def an_event(size: int) -> dict[str, Any]:
    """Return an SQS event of a number of alerts, all different from earlier ones."""
    return {"Records": [_record(_alert(next(_COUNTER))) for _ in range(size)]}


def a_request(file_type: str, day: date) -> dict[str, Any]:
    """Return an SQS event with one request for a backup."""
    return {"Records": [_record({"file_type": file_type, "day": day.isoformat()})]}


def a_post() -> dict[str, Any]:
    """Return an event of API Gateway: an alert in JSON, different from earlier ones, with the right secret."""
    path = f"/alerts/{_SOURCE}/{_SECRET}"
    return {
        "version": "2.0",
        "routeKey": "POST /alerts/{source}/{secret}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json; charset=utf-8", "user-agent": "Go-http-client/1.1"},
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "bench00000",
            "domainName": "bench00000.execute-api.us-east-1.amazonaws.com",
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "52.89.214.238"},
            "requestId": str(uuid.uuid4()),
            "routeKey": "POST /alerts/{source}/{secret}",
            "stage": "$default",
            "timeEpoch": round(time.time() * 1000),
        },
        "pathParameters": {"source": _SOURCE, "secret": _SECRET},
        "body": json.dumps(_alert(next(_COUNTER))),
        "isBase64Encoded": False,
    }


def an_alarm() -> dict[str, Any]:
    """Return an event of SNS: an alarm, as CloudWatch publishes it."""
    alarm = {
        "AlarmName": "stocktwits-relay-dead-letters",
        "AlarmDescription": "A message could not be posted and is in Dead letters with its reason.",
        "NewStateValue": "ALARM",
        "OldStateValue": "OK",
        "NewStateReason": "Threshold Crossed: 1 datapoint [1.0] was greater than or equal to the threshold (1.0).",
    }
    sns = {"Type": "Notification", "MessageId": str(uuid.uuid4()), "Message": json.dumps(alarm)}
    return {"Records": [{"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": sns}]}


def interleaved(sides: Sequence[_T], rounds: int) -> Iterator[tuple[int, _T]]:
    """Yield each side in every round, starting with another one each time."""
    for number in range(rounds):
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            yield number, side


def check(condition: object, problem: str) -> None:
    """Stop the measurement if a condition does not hold.

    Raises:
        BenchmarkError: The condition does not hold.
    """
    if not condition:
        raise BenchmarkError(problem)


def _alert(number: int) -> dict[str, str]:
    return {"body": f"Alert {number}: $AAPL crosses its {number}-minute average on volume"}


def _record(body: Mapping[str, str]) -> dict[str, Any]:
    now = str(round(time.time() * 1000))
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": f"bench-{uuid.uuid4()}",
        "body": json.dumps(body),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": now,
            "SenderId": "bench",
            "ApproximateFirstReceiveTimestamp": now,
        },
        "messageAttributes": {},
        "md5OfBody": "",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:bench-outbox",
        "awsRegion": "us-east-1",
    }
