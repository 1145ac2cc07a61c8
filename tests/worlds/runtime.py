"""The functions as they were built, in Lambda's own runtime, with what they use in an emulator of AWS.

The resources are made one by one, as the other worlds make them: LocalEmu cannot deploy the template, since its Lambda
needs Docker. Time is this machine's.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from relay.posting.webhook.sources import encode, new_source

from local.build import ROOT
from local.stack.lambda_runtime import Rie
from local.stack.stack import (
    CHART_BUCKET,
    CHART_KEY,
    LOGIN_PARAMETER,
    SOURCES_PARAMETER,
    TOKEN_PARAMETER,
    a_chart,
)
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.worlds.aws import sqs_record

TABLE, ARCHIVE = "runtime-ledger", "runtime-archive"
SOURCE, SOURCE_SECRET = "tradingview", "the-secret-of-the-sample-event"


class RunningEmulator(Protocol):
    """An emulator in a process of its own: MiniStack, or LocalEmu."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that point any AWS tool to it."""

    def client(self, service: str) -> Any:
        """Return a boto3 client for one of its services."""


class Runtime:
    """The functions and everything around them.

    Attributes:
        functions: `post`, `drain`, `fetch` and `receive`.
        outbox, leftovers, dead, requests, failures: The URLs of the queues.
    """

    def __init__(self, emulator: RunningEmulator, stocktwits: StandIn, firestream: FirestreamStandIn) -> None:
        self.stocktwits = stocktwits
        self.firestream = firestream
        self.functions: dict[str, Rie] = {}
        self._environment = emulator.environment
        self.sqs, self.s3, self._ssm, self._dynamodb = map(emulator.client, ("sqs", "s3", "ssm", "dynamodb"))
        self.dead = self._queue("runtime-dead-letters")
        self.leftovers = self._queue("runtime-leftovers", 200, self.dead)
        self.outbox = self._queue("runtime-outbox", 3, self.leftovers)
        self.requests, self.failures = self._queue("runtime-requests"), self._queue("runtime-failures")
        self._dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        for bucket in (ARCHIVE, CHART_BUCKET):
            self.s3.create_bucket(Bucket=bucket)
        self.s3.put_bucket_versioning(Bucket=ARCHIVE, VersioningConfiguration={"Status": "Enabled"})
        self.s3.put_object(Bucket=CHART_BUCKET, Key=CHART_KEY, Body=a_chart())
        token = {
            "access_token": stocktwits.access_token,
            "username": stocktwits.username,
            "user_id": stocktwits.user_id,
        }
        login = {"username": firestream.username, "password": firestream.password}
        sources = encode({SOURCE: new_source(SOURCE_SECRET, added="2026-11-27")})
        for name, value in (
            (TOKEN_PARAMETER, json.dumps(token)),
            (LOGIN_PARAMETER, json.dumps(login)),
            (SOURCES_PARAMETER, sources),
        ):
            self._ssm.put_parameter(Name=name, Type="SecureString", Value=value)

    @contextmanager
    def running(self, build: Path) -> Iterator["Runtime"]:
        """Start the functions of a build."""

        def function(name: str, timeout: int = 60, **settings: str) -> Rie:
            documented = json.loads((ROOT / "events" / "env.json").read_text())[name]
            environment = documented | settings | self._environment
            return Rie(build / name, build / "RelayLayer", environment, timeout=timeout)

        posting = {
            "OUTBOX_QUEUE_URL": self.outbox,
            "DEAD_LETTER_QUEUE_URL": self.dead,
            "LEDGER_TABLE_NAME": TABLE,
            "STOCKTWITS_API_URL": self.stocktwits.api_url,
            "CHART_BUCKET_NAME": CHART_BUCKET,
            "MAX_POSTS_PER_HOUR": "3600",
            "POST_BURST": "100",
            "MAX_POSTS_PER_DAY": "0",
            "POST_CONCURRENCY": "1",  # side by side, a refusal could keep back what was begun before it
            "DRY_RUN": "false",
        }
        fetching = {
            "BACKUP_REQUESTS_QUEUE_URL": self.requests,
            "BACKUP_FAILURES_QUEUE_URL": self.failures,
            "BACKUP_BUCKET_NAME": ARCHIVE,
            "FIRESTREAM_URL": self.firestream.url,
            "FIRESTREAM_CREDENTIALS_PARAMETER": LOGIN_PARAMETER,
        }
        with (
            function("PostMessagesFunction", SOURCE_QUEUE_URL=self.outbox, **posting) as post,
            function("DrainLeftoversFunction", SOURCE_QUEUE_URL=self.leftovers, **posting) as drain,
            function("FetchBackupsFunction", timeout=900, **fetching) as fetch,
            function("ReceiveAlertsFunction", timeout=5, OUTBOX_QUEUE_URL=self.outbox) as receive,
        ):
            self.functions = {"post": post, "drain": drain, "fetch": fetch, "receive": receive}
            yield self

    def empty(self) -> None:
        """Empty the queues and the ledger, and let StockTwits and Firestream forget what happened."""
        self.stocktwits.reset()
        self.firestream.reset()
        for queue in (self.outbox, self.leftovers, self.dead, self.requests, self.failures):
            self.sqs.purge_queue(QueueUrl=queue)
        for item in self._dynamodb.scan(TableName=TABLE)["Items"]:
            self._dynamodb.delete_item(TableName=TABLE, Key={"pk": item["pk"]})

    def open_gate(self) -> None:
        """Forget the pause after an error of StockTwits: waiting for its end would take a minute."""
        self._dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "gate"}})

    def _queue(self, name: str, receives: int = 0, target: str = "") -> str:
        attributes: dict[str, Any] = {"VisibilityTimeout": "360"}
        if target:
            policy = {"deadLetterTargetArn": self._attributes(target)["QueueArn"], "maxReceiveCount": receives}
            attributes["RedrivePolicy"] = json.dumps(policy)
        url: str = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def _attributes(self, queue: str) -> dict[str, str]:
        found: dict[str, str] = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return found

    # Queues, and Lambda's part in them

    def send(self, queue: str, *bodies: str) -> None:
        for body in bodies:
            self.sqs.send_message(QueueUrl=queue, MessageBody=body)

    def receive(self, queue: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
        return found

    def deliver(self, name: str, queue: str) -> list[str]:
        """Invoke a function with a batch, as Lambda does: what it does not report as failed is deleted.

        Returns:
            The bodies of the messages that failed; they can be received again at once, whatever the function chose.
        """
        received = self.receive(queue)
        event = {"Records": [sqs_record(each, queue.rpartition("/")[2]) for each in received]}
        failed = {each["itemIdentifier"] for each in self.functions[name].invoke(event)["batchItemFailures"]}
        assert failed <= {each["MessageId"] for each in received}
        for each in received:
            handle = {"QueueUrl": queue, "ReceiptHandle": each["ReceiptHandle"]}
            if each["MessageId"] in failed:
                self.sqs.change_message_visibility(**handle, VisibilityTimeout=0)
            else:
                self.sqs.delete_message(**handle)
        return [each["Body"] for each in received if each["MessageId"] in failed]

    def depth(self, queue: str) -> int:
        """How many messages are in a queue, visible or not."""
        counts = self._attributes(queue)
        return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])

    @property
    def posted(self) -> list[str]:
        """The texts on StockTwits, in no order."""
        return sorted(post.body for post in self.stocktwits.posts)

    # The archive

    def stored(self) -> dict[str, bytes]:
        """All objects in the archive, by their keys."""
        keys = [each["Key"] for each in self.s3.list_objects_v2(Bucket=ARCHIVE).get("Contents", [])]
        return {key: self.s3.get_object(Bucket=ARCHIVE, Key=key)["Body"].read() for key in keys}
