"""What every measurement stands on: the built functions, an emulator of AWS, a stand-in of StockTwits, and events."""

import itertools
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from local.build import HOST_ARCHITECTURE, HOST_RUNTIME, ROOT, build, compile_all
from local.emulator import Emulator
from local.rie import Rie
from local.stocktwits import StandIn

_T = TypeVar("_T")

ALL_DONE: dict[str, list[Any]] = {"batchItemFailures": []}
"""What a function answers that has nothing left over."""

_DIRECTORY = ROOT / ".local" / "bench"
_TOKEN_PARAMETER = "/bench/token"
_RELAY_TABLE, _USUAL_TABLE = "bench-relay", "bench-usual"
_COUNTER = itertools.count(1)
_EMPTY = """\
def handler(event, context):
    return {"batchItemFailures": []}
"""


class BenchmarkError(Exception):
    """A function did not do what was to be measured, so that its time means nothing."""


@dataclass(frozen=True)
class Side:
    """One of the things that are compared: a function, its layer, its environment."""

    name: str
    function: Path
    layer: Path | None
    environment: Mapping[str, str]

    def container(self) -> Rie:
        """Return a container that is yet to start."""
        return Rie(self.function, self.layer, self.environment)


@dataclass(frozen=True)
class Builds:
    """The artifacts, each in a directory of its own."""

    relay: Path
    usual: Path
    usual_compiled: Path
    empty: Path

    @classmethod
    def make(cls) -> Self:
        """Build the relay as `make build` does, and the usual recipe by plain ``sam build``."""
        relay = build(HOST_RUNTIME, HOST_ARCHITECTURE, _DIRECTORY / "relay" / "build")
        compile_all(HOST_RUNTIME, relay)
        template = ROOT / "benchmarks" / "usual_recipe" / "template.yaml"
        usual = build(HOST_RUNTIME, HOST_ARCHITECTURE, _DIRECTORY / "usual" / "build", template=template)
        compiled = _DIRECTORY / "usual_compiled"
        shutil.rmtree(compiled, ignore_errors=True)
        shutil.copytree(usual, compiled)
        compile_all(HOST_RUNTIME, compiled)
        empty = _DIRECTORY / "empty"
        empty.mkdir(exist_ok=True)
        (empty / "app.py").write_text(_EMPTY)
        return cls(relay, usual, compiled, empty)


class Ground:
    """The services on loopback, and the functions that use them."""

    def __init__(self, builds: Builds, emulator: Emulator, stocktwits: StandIn) -> None:
        """Furnish a running emulator with what the functions need."""
        self.builds = builds
        self.emulator = emulator
        self.stocktwits = stocktwits
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
        emulator.client("ssm").put_parameter(Name=_TOKEN_PARAMETER, Type="SecureString", Value=json.dumps(token))

    def relay(self, **environment: str) -> Side:
        """Return our function, its gate wide open."""
        return Side(
            "the relay",
            self.builds.relay / "PostMessagesFunction",
            self.builds.relay / "RelayLayer",
            {
                **self.emulator.environment,
                "SOURCE_QUEUE_URL": self._outbox,
                "DEAD_LETTER_QUEUE_URL": self._dead_letters,
                "LEDGER_TABLE_NAME": _RELAY_TABLE,
                "STOCKTWITS_API_URL": self.stocktwits.api_url,
                "STOCKTWITS_AUTH_STYLE": "bearer",
                "STOCKTWITS_TOKEN_PARAMETER": _TOKEN_PARAMETER,
                "MAX_POSTS_PER_HOUR": "3600000",
                "POST_BURST": "1000000",
                "MAX_POSTS_PER_DAY": "0",
                "POST_CONCURRENCY": "4",
                "DRY_RUN": "false",
                "CHART_BUCKET_NAME": "",
                **environment,
            },
        )

    def usual_recipe(self, *, compiled: bool) -> Side:
        """Return the usual recipe, its tracer on; X-Ray's daemon is a port of loopback where nobody listens."""
        directory = self.builds.usual_compiled if compiled else self.builds.usual
        return Side(
            "the usual recipe, compiled" if compiled else "the usual recipe",
            directory / "UsualFunction",
            directory / "UsualLayer",
            {
                **self.emulator.environment,
                "TABLE_NAME": _USUAL_TABLE,
                "DEAD_LETTER_QUEUE_URL": self._dead_letters,
                "STOCKTWITS_API_URL": self.stocktwits.api_url,
                "TOKEN_PARAMETER": _TOKEN_PARAMETER,
                "POWERTOOLS_SERVICE_NAME": "usual",
                "POWERTOOLS_METRICS_NAMESPACE": "Usual",
                "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
                "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            },
        )

    def usual_loop(self) -> Side:
        """Return the usual loop, with our layer's libraries."""
        return Side(
            "the usual loop",
            ROOT / "benchmarks" / "usual_loop",
            self.builds.relay / "RelayLayer",
            {"STOCKTWITS_API_URL": self.stocktwits.api_url, "STOCKTWITS_TOKEN": self.stocktwits.access_token},
        )

    def empty(self) -> Side:
        """Return a function that does nothing: what the runtime itself takes."""
        return Side("an empty function", self.builds.empty, None, {})


def an_event(size: int) -> dict[str, Any]:
    """Return an SQS event of so many alerts, none like another that ever was."""
    now = str(round(time.time() * 1000))
    return {"Records": [_record(next(_COUNTER), now) for _ in range(size)]}


def interleaved(sides: Sequence[_T], rounds: int) -> Iterator[tuple[int, _T]]:
    """Give each side its turn in every round, another one first each time."""
    for number in range(rounds):
        first = number % len(sides)
        for side in (*sides[first:], *sides[:first]):
            yield number, side


def check(condition: object, complaint: str) -> None:
    """Stop measuring what is not what it should be.

    Raises:
        BenchmarkError: The condition does not hold.
    """
    if not condition:
        raise BenchmarkError(complaint)


def _record(number: int, now: str) -> dict[str, Any]:
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": f"bench-{number}",
        "body": json.dumps({"body": f"Alert {number}: $AAPL crosses its {number}-minute average on volume"}),
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
