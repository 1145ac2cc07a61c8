"""The worlds of the integration tests: moto as AWS, the stand-ins as StockTwits and Firestream, one clock for all.

Nothing is faked between the handlers and them: SQS, DynamoDB, SSM and S3 are reached through boto3, StockTwits and
Firestream over HTTP on loopback. moto falls short of AWS in some places, which are mended by AWS's own documentation:

- A DynamoDB request is atomic; moto works on an item in several steps, so here it does one request at a time.
- SQS counts a message's attributes towards the size limit, and refuses characters that XML cannot hold.
- A long poll takes time on the world's clock, not the tester's.
- S3 compares checksums and sizes: `StrictS3`.
"""

import base64
import hashlib
import json
import ssl
import sys
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ReadTimeoutError
from botocore.session import Session
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber
from moto.sqs import models as moto_sqs
from relay.aws import Clients
from relay.backups import bootstrap as backup_wiring
from relay.errors import RelayError
from relay.posting import bootstrap as wiring
from relay.posting.gate import Gate, Pace
from relay.posting.ledger import Ledger

from functions.drain_leftovers import app as drain_leftovers
from functions.fetch_backups import app as fetch_backups
from functions.post_messages import app as post_messages
from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.iam import refused
from tests.strict_s3 import StrictS3

REGION, ACCOUNT = "us-east-1", "123456789012"
TABLE, CHARTS, TOKEN_PARAMETER = "stocktwits-relay-ledger", "stocktwits-relay-charts", "/stocktwits-relay/token"
TOKEN = "a-secret-token-0123456789"
SECRET_QUERY = "signature=a-secret-query"
ARCHIVE, LOGIN_PARAMETER, PASSWORD = "stocktwits-relay-archive", "/stocktwits-relay/firestream", "a-secret: pässword"
SQS_LIMIT = 1_048_576


class Clock:
    """A clock that stands until it is moved; whoever sleeps on it moves it."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now

    def forward(self, seconds):
        self.now += seconds

    @property
    def module(self):
        """What goes in the place of the module `time`."""
        from time import gmtime, strftime

        return SimpleNamespace(time=self, sleep=self.forward, gmtime=gmtime, strftime=strftime)


class Context:
    """What Lambda tells a handler about its invocation."""

    aws_request_id = "8c5a4b9e-7a55-4f0e-9c3a-0d1f6f6b3a11"

    def __init__(self, clock, remaining_ms):
        self._clock = clock
        self._deadline = clock() + remaining_ms / 1000

    def get_remaining_time_in_millis(self):
        return max(0, round((self._deadline - self._clock()) * 1000))


@dataclass
class Run:
    """One invocation: what it answered and what it wrote."""

    answer: dict
    output: str
    lines: list = field(default_factory=list)
    metrics: list = field(default_factory=list)

    def __post_init__(self):
        for each in map(json.loads, self.output.splitlines()):
            (self.metrics if "_aws" in each else self.lines).append(each)

    @property
    def deliveries(self):
        return [line for line in self.lines if line["message"] == "delivery"]

    @property
    def outcomes(self):
        return [line["outcome"] for line in self.deliveries]

    @property
    def reason(self):
        (line,) = self.deliveries
        return line["reason"]

    @property
    def shut(self):
        """Why the gate was reported shut, each cause once."""
        return sorted({line["cause"] for line in self.lines if line["message"] == "gate shut"})

    @property
    def complaints(self):
        return [line["message"] for line in self.lines if "could not be" in line["message"]]

    def metric(self, name):
        """The sum of a metric's values."""
        return sum(
            sum(each[name]) if isinstance(each[name], list) else each[name] for each in self.metrics if name in each
        )


def answered(planned, sent):
    """What botocore takes for AWS's answer: an error of this code, or what a function makes of the request."""
    if isinstance(planned, str):
        return SimpleNamespace(status_code=400), {
            "Error": {"Code": planned, "Message": "planned"},
            "ResponseMetadata": {"HTTPStatusCode": 400},
        }
    return SimpleNamespace(status_code=200), planned(sent) | {"ResponseMetadata": {"HTTPStatusCode": 200}}


class Aws:
    """What the relay asked AWS for, and what to answer in its place."""

    def __init__(self, session, tests_session):
        self.session = session
        self.tests_own = [tests_session.client(name) for name in ("sqs", "dynamodb", "ssm", "s3")]
        self._clients = {}
        self.forget()
        session.events.register("before-call.sqs.SendMessage", _as_sqs_refuses)
        session.events.register("before-parameter-build.*.*", self._note)
        session.events.register("before-call.*.*", self._answer)
        session.events.register_last("before-send", self._lost)  # after moto, which listens at the same place

    def forget(self):
        self.calls = []
        self._answers = {}
        self._lose = []

    def creates(self, create_client):
        """Hand out clients that are kept: making them anew for every container would take longer than the tests."""

        def client(session, service, *arguments, **options):
            if arguments or options.keys() != {"config"}:  # a session of the tests' own
                return create_client(session, service, *arguments, **options)
            if service not in self._clients:
                self._clients[service] = self.session.client(service, **options)
            return self._clients[service]

        return client

    def named(self, *operations):
        """The parameters of the calls of these operations, oldest first."""
        return [params for name, params in self.calls if name in operations]

    def answer(self, operation, answer, times=1):
        """Answer the next calls of an operation: an error's code, what makes an answer of a call's parameters, or None
        to leave a call alone."""
        self._answers.setdefault(operation, []).extend([answer] * times)

    def lose_answer(self, operation):
        """Carry out the next call of an operation, and break the connection before its answer."""
        self._lose.append(operation)

    def _note(self, params, model, **_):
        self.calls.append((model.name, dict(params)))

    def _answer(self, model, params, **_):
        planned = self._answers.get(model.name)
        if not planned:
            return None
        answer = planned.pop(0)
        if answer is None:
            return None
        called = next(sent for name, sent in reversed(self.calls) if name == model.name)
        return answered(answer, called)

    def _lost(self, request, event_name, **_):
        operation = event_name.rpartition(".")[2]
        if operation in self._lose:
            self._lose.remove(operation)
            raise ReadTimeoutError(endpoint_url=request.url)


CONTAINER = ContextVar("CONTAINER")


class Edge:
    """One function with its queue; `run` does what its trigger does."""

    def __init__(self, world, app, queue):
        self.world = world
        self.app = app
        self.queue = queue
        self._container = None

    @property
    def name(self):
        return self.app.__name__.split(".")[1]

    def container(self):
        """A fresh container of the function: nothing shared with another one."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_QUEUE_URL", self.queue)
            return wiring.container.__wrapped__()

    def relay(self):
        if container := CONTAINER.get(None):
            return container
        if self._container is None:
            self._container = self.container()
        return self._container

    def restart(self):
        """Let the next invocation start cold, with the settings as they are then."""
        self._container = None

    def send(self, *bodies, **attributes):
        """Put messages into the queue; their ids."""
        return [self.world.send(self.queue, body, **attributes) for body in bodies]

    def invoke(self, event, remaining_ms=60_000):
        for handler in wiring.telemetry(self.name).logger.handlers:
            handler.stream = sys.stdout  # it keeps the one of the process's first test
        answer = self.app.handler(event, self.world.context(remaining_ms))
        return Run(answer, self.world.written())

    def run_beside(self):
        """Run beside another invocation; the other one gives what was written."""
        self.run()

    def in_another_container(self, invoke):
        """Invoke in a fresh container, as beside one that is busy."""
        token = CONTAINER.set(self.container())
        try:
            return invoke()
        finally:
            CONTAINER.reset(token)

    def holds(self):
        """The seconds for which messages were made invisible, in the order of the calls."""
        calls = self.world.aws.named("ChangeMessageVisibilityBatch")
        assert {call["QueueUrl"] for call in calls} <= {self.queue}
        return [entry["VisibilityTimeout"] for call in calls for entry in call["Entries"]]

    def left(self):
        """How many messages the queue holds, visible or not."""
        return self.world.count(self.queue)


class Outbox(Edge):
    """`post_messages`, triggered as Lambda's event source mapping does."""

    first_back_off = 10

    def __init__(self, world):
        super().__init__(world, post_messages, world.outbox)

    def run(self, remaining_ms=60_000):
        """Receive a batch, invoke, and delete what is not reported as failed."""
        received = self.world.receive(self.queue)
        assert received, "the Outbox is empty: nothing would be invoked"
        run = self.invoke({"Records": [_record(each) for each in received]}, remaining_ms)
        failed = {each["itemIdentifier"] for each in run.answer["batchItemFailures"]}
        assert failed <= {each["MessageId"] for each in received}
        for each in received:
            if each["MessageId"] not in failed:
                self.world.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=each["ReceiptHandle"])
        return run


class Leftovers(Edge):
    """`drain_leftovers`, as its schedule triggers it."""

    first_back_off = 60

    def __init__(self, world):
        super().__init__(world, drain_leftovers, world.leftovers)

    def run(self, remaining_ms=50_000):
        return self.invoke({}, remaining_ms)


class World:
    """The queues, the ledger, the token, the charts, StockTwits and a clock."""

    def __init__(self, aws, stand_in, clock, patch, capsys):
        self.stand_in = stand_in
        self.clock = clock
        self.patch = patch
        self._capsys = capsys
        self._output = ""
        self.aws = aws
        self.sqs, self.dynamodb, self.ssm, self.s3 = aws.tests_own
        self._resources()
        self.settings(
            STACK_NAME="stocktwits-relay",
            OUTBOX_QUEUE_URL=self.outbox,
            DEAD_LETTER_QUEUE_URL=self.dead,
            LEDGER_TABLE_NAME=TABLE,
            STOCKTWITS_API_URL=stand_in.api_url,
            STOCKTWITS_AUTH_STYLE="bearer",
            STOCKTWITS_TOKEN_PARAMETER=TOKEN_PARAMETER,
            MAX_POSTS_PER_HOUR=3600,
            POST_BURST=100,
            MAX_POSTS_PER_DAY=0,
            POST_CONCURRENCY=1,
            DRY_RUN="false",
            CHART_BUCKET_NAME=CHARTS,
            RESULT_EVENT_BUS_NAME="",
        )
        self.edges = {"outbox": Outbox(self), "leftovers": Leftovers(self)}
        for edge in self.edges.values():
            patch.setattr(edge.app, "container", edge.relay)
            patch.setattr(edge.app, "time", clock.module)

    def _resources(self):
        def queue(name, receives=None, target=None):
            policy = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{target}", "maxReceiveCount": receives}
            attributes = {"VisibilityTimeout": "360", "MessageRetentionPeriod": "1209600"}
            if target:
                attributes["RedrivePolicy"] = json.dumps(policy)
            return self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

        self.dead = queue("stocktwits-relay-dead-letters")
        self.leftovers = queue("stocktwits-relay-leftovers", 200, "stocktwits-relay-dead-letters")
        self.outbox = queue("stocktwits-relay-outbox", 3, "stocktwits-relay-leftovers")
        self.create_table()
        self.store_token()
        self.s3.create_bucket(Bucket=CHARTS)

    def create_table(self):
        self.dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )

    def store_token(self, token=TOKEN):
        self.store_parameter(
            json.dumps({"access_token": token, "username": self.stand_in.username, "user_id": self.stand_in.user_id})
        )

    def store_parameter(self, value):
        self.ssm.put_parameter(Name=TOKEN_PARAMETER, Type="SecureString", Value=value, Overwrite=True)

    def settings(self, **settings):
        """Set environment variables of the functions; the next invocations start cold."""
        for name, value in settings.items():
            self.patch.setenv(name, str(value))
        for edge in getattr(self, "edges", {}).values():
            edge.restart()

    # Queues

    def send(self, queue, body, **attributes):
        sent = self.sqs.send_message(
            QueueUrl=queue,
            MessageBody=body,
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )
        return sent["MessageId"]

    def receive(self, queue, **options):
        return self.sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            **options,
        ).get("Messages", [])

    def receive_times(self, queue, times):
        """Count so many receives on the messages of a queue, as if as many attempts had failed."""
        for _ in range(times):
            self.receive(queue, VisibilityTimeout=0)

    def count(self, queue):
        counts = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])

    def dead_letters(self):
        """The first ten dead letters as (body, attributes), in the order in which they came; they stay."""
        found = self.receive(self.dead, VisibilityTimeout=0)
        return [(each["Body"], _values(each.get("MessageAttributes", {}))) for each in found]

    # The ledger and the gate

    def item(self, pk):
        """An item of the table in plain values, or None."""
        item = self.dynamodb.get_item(TableName=TABLE, Key={"pk": {"S": pk}}).get("Item")
        return item and {name: TypeDeserializer().deserialize(value) for name, value in item.items()}

    def entry(self, key):
        """What the ledger has of a key, or None."""
        return self.item(f"post#{key}")

    def status(self, key):
        return (self.entry(key) or {}).get("status")

    def shut(self):
        """What StockTwits' answers shut the gate for, as (cause, seconds from now); None when it is open."""
        shut = (self.item("gate") or {}).get("shut")
        left = float(shut["until"]) - self.clock() if shut else 0
        return (shut["cause"], round(left)) if left > 0 else None

    def pause(self, **attributes):
        """Write the operator's pause, with attributes in DynamoDB's own notation."""
        self.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": "pause"}, **attributes})

    def lift_pause(self):
        self.dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "pause"}})

    def ledger(self):
        return Ledger(Clients().get("dynamodb"), TABLE, self.clock)

    def gate(self, per_hour=3600, burst=100, per_day=0, clock=None):
        return Gate(Clients().get("dynamodb"), TABLE, Pace(per_hour, burst, per_day), clock or self.clock)

    # StockTwits

    @property
    def posted(self):
        """The texts on StockTwits, oldest first."""
        return [post.body for post in self.stand_in.posts]

    @property
    def publishes(self):
        """The texts of the requests to publish, oldest first."""
        return [seen.fields.get("body") for seen in self.stand_in.requests if seen.method == "POST"]

    @property
    def readings(self):
        """How often the account's stream was read."""
        return sum(seen.method == "GET" for seen in self.stand_in.requests)

    def post_elsewhere(self, body):
        """Post as the account's owner would by hand."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{self.stand_in.api_url}/messages/create.json",
                data={"body": body},
                headers={"Authorization": f"Bearer {self.stand_in.access_token}"},
                timeout=10,
            )
        assert answer.status_code == 200

    def on_request(self, act):
        """Call `act` with every request that StockTwits gets, before it is looked at."""
        note = self.stand_in.note

        def noted(seen):
            act(seen)
            return note(seen)

        self.patch.setattr(self.stand_in, "note", noted)

    def impatient(self):
        """Let the relay give a silent StockTwits up after half a second: the one wait that the clock cannot take."""
        self.patch.setattr("relay.posting.stocktwits.READ_SECONDS", 0.5)

    @contextmanager
    def unreachable(self):
        """Let every connection to StockTwits be refused while the block runs."""
        self.stand_in.stop()
        try:
            yield
        finally:
            self.stand_in.start()

    @contextmanager
    def held_request(self, text):
        """Hold the request to publish this text while the block runs; gives the event of its arrival."""
        arrived, released = threading.Event(), threading.Event()

        def hold(seen):
            if seen.fields.get("body") == text:
                arrived.set()
                assert released.wait(30)

        self.patch.setattr("relay.posting.stocktwits.READ_SECONDS", 60)
        self.on_request(hold)
        try:
            yield arrived
        finally:
            released.set()

    # Invocations

    def context(self, remaining_ms=60_000):
        return Context(self.clock, remaining_ms)

    def written(self):
        """What was written since the last look."""
        output, errors = self._capsys.readouterr()
        self._output += output + errors
        assert errors == ""
        return output

    def no_secret_was_written(self):
        with suppress(AssertionError):
            self.written()
        assert TOKEN not in self._output
        assert SECRET_QUERY not in self._output


class BackupRun(Run):
    """One invocation of `fetch_backups`."""

    @property
    def backups(self):
        """The log line of each backup that something was done about."""
        return [line for line in self.lines if line["message"] == "backup"]

    @property
    def outcomes(self):
        return [line["outcome"] for line in self.backups]

    @property
    def backup(self):
        (line,) = self.backups
        return line

    @property
    def summary(self):
        (line,) = (line for line in self.lines if line["message"] == "backups")
        return line

    def counted(self, name):
        """The values of a metric by its own dimension, the file type or the cause."""
        found = {}
        for each in self.metrics:
            if name in each:
                (described,) = each["_aws"]["CloudWatchMetrics"]
                (dimensions,) = described["Dimensions"]
                (own,) = set(dimensions) - {"service"}
                assert (described["Namespace"], each["service"]) == ("StockTwitsRelay", "fetch_backups")
                found[each[own]] = found.get(each[own], 0) + sum(each[name])
        return found


class Archivist:
    """`fetch_backups` with its bucket, its queues, its login and its Firestream."""

    def __init__(self, aws, firestream, clock, patch, capsys):
        self.aws = aws
        self.firestream = firestream
        self.clock = clock
        self.patch = patch
        self._capsys = capsys
        self._output = ""
        self.sqs, _, self.ssm, self.s3 = aws.tests_own
        self.strict = StrictS3(patch)
        self.s3.create_bucket(Bucket=ARCHIVE)
        attributes = {"VisibilityTimeout": "5400", "MessageRetentionPeriod": "1209600"}
        self.requests, self.failures = (
            self.sqs.create_queue(QueueName=f"stocktwits-relay-backup-{name}", Attributes=attributes)["QueueUrl"]
            for name in ("requests", "failures")
        )
        self.store_login()
        self.settings(
            STACK_NAME="stocktwits-relay",
            BACKUP_REQUESTS_QUEUE_URL=self.requests,
            BACKUP_FAILURES_QUEUE_URL=self.failures,
            BACKUP_BUCKET_NAME=ARCHIVE,
            FIRESTREAM_URL=firestream.url,
            FIRESTREAM_CREDENTIALS_PARAMETER=LOGIN_PARAMETER,
            BACKUP_FILE_TYPES="activity,message",
            BACKUP_LAG_DAYS=2,
            BACKUP_LOOKBACK_DAYS=7,
        )

    def settings(self, **settings):
        """Set environment variables of the function; the next invocation starts cold."""
        for name, value in settings.items():
            self.patch.setenv(name, str(value))
        self.restart()

    def restart(self):
        """Let the next invocation start cold."""
        backup_wiring.container.cache_clear()

    def store_login(self, password=PASSWORD):
        login = json.dumps({"username": self.firestream.username, "password": password})
        self.ssm.put_parameter(Name=LOGIN_PARAMETER, Type="SecureString", Value=login, Overwrite=True)

    # Invocations

    def invoke(self, event, remaining_ms=900_000):
        for handler in backup_wiring.telemetry().logger.handlers:
            handler.stream = sys.stdout  # it keeps the one of the process's first test
        with suppress(RelayError):
            backup_wiring.container().firestream.first_wait_seconds = 0.0
        answer = fetch_backups.handler(event, Context(self.clock, remaining_ms))
        return BackupRun(answer, self.written())

    def nightly(self, remaining_ms=900_000):
        return self.invoke({"run": "nightly"}, remaining_ms)

    def fulfil(self, *bodies, receive_count=1, remaining_ms=900_000):
        """Invoke with a record for each body; the n-th one's message id is `record n`."""
        return self.invoke(self.event(*bodies, receive_count=receive_count), remaining_ms)

    def event(self, *bodies, receive_count=1):
        return {
            "Records": [
                _record(
                    {
                        "MessageId": f"record {number}",
                        "ReceiptHandle": base64.b64encode(f"receipt {number}".encode()).decode(),
                        "Body": body if isinstance(body, str) else body.request,
                        "MD5OfBody": "",
                        "Attributes": {
                            "ApproximateReceiveCount": str(receive_count),
                            "SentTimestamp": str(round(self.clock() * 1000)),
                        },
                    },
                    "stocktwits-relay-backup-requests",
                )
                for number, body in enumerate(bodies, 1)
            ]
        }

    def work(self, most=10):
        """Receive requests, invoke, and delete what is not reported as failed; None when there are none."""
        received = self.sqs.receive_message(
            QueueUrl=self.requests, MaxNumberOfMessages=most, MessageSystemAttributeNames=["All"]
        ).get("Messages")
        if not received:
            return None
        run = self.invoke({"Records": [_record(each, "stocktwits-relay-backup-requests") for each in received]})
        failed = {each["itemIdentifier"] for each in run.answer["batchItemFailures"]}
        for each in received:
            if each["MessageId"] not in failed:
                self.sqs.delete_message(QueueUrl=self.requests, ReceiptHandle=each["ReceiptHandle"])
        return run

    # What came of them

    def listing(self):
        """The keys in the bucket."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=ARCHIVE)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def content(self, backup):
        """The stored bytes of a backup; None when there are none."""
        if backup.key not in self.listing():
            return None
        return self.s3.get_object(Bucket=ARCHIVE, Key=backup.key)["Body"].read()

    def tags(self, backup):
        found = self.s3.get_object_tagging(Bucket=ARCHIVE, Key=backup.key)["TagSet"]
        return {each["Key"]: each["Value"] for each in found}

    def waiting(self):
        """The bodies of the requests, visible or not."""
        found = []
        while batch := self.sqs.receive_message(QueueUrl=self.requests, MaxNumberOfMessages=10).get("Messages"):
            found += [each["Body"] for each in batch]
        return found

    def buried(self):
        """The buried requests as (body, attributes); they stay."""
        found = self.sqs.receive_message(
            QueueUrl=self.failures, MaxNumberOfMessages=10, VisibilityTimeout=0, MessageAttributeNames=["All"]
        ).get("Messages", [])
        return [(each["Body"], _values(each.get("MessageAttributes", {}))) for each in found]

    def asked(self):
        """The paths of the requests for links, oldest first."""
        return [seen.path for seen in self.firestream.requests if seen.host == "api"]

    def written(self):
        """What was written since the last look."""
        output, errors = self._capsys.readouterr()
        self._output += output + errors
        assert errors == ""
        return output

    def nothing_dangles(self):
        assert "Uploads" not in self.s3.list_multipart_uploads(Bucket=ARCHIVE)

    def no_secret_was_written(self, *texts):
        with suppress(AssertionError):
            self.written()
        basic = base64.b64encode(f"{self.firestream.username}:{PASSWORD}".encode()).decode()
        signatures = [seen.query["X-Amz-Signature"] for seen in self.firestream.requests if seen.host == "link"]
        for text in (self._output, *texts):
            for secret in (PASSWORD, json.dumps(PASSWORD)[1:-1], basic, "X-Amz-", *signatures):
                assert secret not in text


def _values(attributes):
    return {name: value["StringValue"] for name, value in attributes.items()}


def _record(received, queue="stocktwits-relay-outbox"):
    """A received message as Lambda hands it over."""
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


def _as_sqs_refuses(params, model, **_):
    """SQS's size limit and character set, as its documentation has them; moto looks at the body's length alone."""
    sent = json.loads(params["body"])
    attributes = sent.get("MessageAttributes", {})
    texts = [sent["MessageBody"], *(a.get("StringValue", "") for a in attributes.values())]
    size = sum(len(text.encode()) for text in texts)
    size += sum(len(name) + len(attribute["DataType"]) for name, attribute in attributes.items())
    if size > SQS_LIMIT:
        code, words = "InvalidParameterValue", f"Message must be shorter than {SQS_LIMIT} bytes."
    elif any(not _xml_holds(character) for text in texts for character in set(text)):
        code, words = "InvalidMessageContents", "Invalid characters found."
    elif any(not attribute.get("StringValue", "x") for attribute in attributes.values()):
        code, words = "InvalidParameterValue", "Message attribute values must not be empty."
    else:
        return None
    return SimpleNamespace(status_code=400), {
        "Error": {"Code": code, "Message": words},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }


def _xml_holds(character):
    return (
        character in "\t\n\r"
        or " " <= character <= "\ud7ff"
        or "\ue000" <= character <= "\ufffd"
        or character > "\uffff"
    )


_tls_settings = cache(ssl.create_default_context)


def _session():
    return boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)


@pytest.fixture(scope="session")
def aws():
    """AWS as the relay sees it, made once: reading botocore's models takes longer than a test."""
    return Aws(_session(), _session())


@pytest.fixture
def clock():
    """21 November 2026, 15:00:00 UTC."""
    return Clock(1_795_273_200.0)


@pytest.fixture(scope="session")
def running_stand_in():
    with StandIn() as running:
        yield running


@pytest.fixture
def stand_in(running_stand_in, clock):
    """A StockTwits where nothing was said yet."""
    running_stand_in.clock = clock
    running_stand_in.configure(access_token=TOKEN, latency_seconds=0, near_identical=False, link_weight=23)
    running_stand_in.reset()
    return running_stand_in


@pytest.fixture
def moto(aws, clock, monkeypatch):
    """An AWS where nothing is yet, on the tests' clock; moto's requests to DynamoDB one at a time."""
    aws.forget()
    one_at_a_time = threading.RLock()
    moto_answers = BotocoreStubber.process_request

    def atomic(stubber, request):
        if "dynamodb" not in urlsplit(request.url).netloc:
            return moto_answers(stubber, request)
        with one_at_a_time:
            return moto_answers(stubber, request)

    monkeypatch.setattr(BotocoreStubber, "process_request", atomic)
    monkeypatch.setenv("MOTO_ACCOUNT_ID", ACCOUNT)
    monkeypatch.setattr(moto_sqs, "unix_time", clock)
    monkeypatch.setattr(moto_sqs, "unix_time_millis", lambda: clock() * 1000)
    monkeypatch.setattr(moto_sqs.Queue, "wait_for_messages", lambda _queue, timeout: clock.forward(timeout))
    monkeypatch.setattr("ssl.create_default_context", _tls_settings)  # made once: it takes longer than a test
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with mock_aws():
        monkeypatch.setattr("botocore.session.Session.create_client", aws.creates(Session.create_client))
        yield aws


@pytest.fixture
def world(moto, stand_in, clock, monkeypatch, capsys):
    monkeypatch.setattr(wiring, "time", clock.module)
    monkeypatch.setattr("relay.posting.telemetry.time", clock.module)
    world = World(moto, stand_in, clock, monkeypatch, capsys)
    yield world
    world.no_secret_was_written()
    assert refused(("PostMessagesRole", "DrainLeftoversRole"), moto.calls) == []


@pytest.fixture(scope="session")
def running_firestream():
    with FirestreamStandIn(messages_per_day=40, activities_per_day=40, password=PASSWORD) as running:
        yield running


@pytest.fixture
def firestream(running_firestream, clock):
    """A Firestream that nobody asked yet, with every day's backup of the day after it."""
    running_firestream.clock = clock
    running_firestream.configure(password=PASSWORD, link_seconds=300, lag_days=1, missing=[])
    running_firestream.reset()
    return running_firestream


@pytest.fixture
def backups(moto, firestream, clock, monkeypatch, capsys):
    monkeypatch.setattr(backup_wiring, "time", clock.module)
    monkeypatch.setattr("relay.backups.firestream.READ_SECONDS", 0.5)  # the one wait that the clock cannot take
    world = Archivist(moto, firestream, clock, monkeypatch, capsys)
    yield world
    world.nothing_dangles()
    world.no_secret_was_written()
    assert refused(("FetchBackupsRole",), moto.calls) == []


@pytest.fixture
def outbox(world):
    return world.edges["outbox"]


@pytest.fixture
def leftovers(world):
    return world.edges["leftovers"]


@pytest.fixture(params=["outbox", "leftovers"])
def edge(world, request):
    """Either function; a rule told with it holds for both."""
    return world.edges[request.param]


@pytest.fixture
def lambda_context(world):
    return world.context


@pytest.fixture
def dead_letters(world):
    return world.dead_letters


@pytest.fixture
def sqs_event(world):
    """Makes a Lambda event of bodies, for what no queue would take or to hand the same message over twice."""

    def make(*bodies, receive_count=1, **attributes):
        records = []
        for number, body in enumerate(bodies):
            received = {
                "MessageId": f"00000000-0000-4000-8000-{number:012}",
                "ReceiptHandle": base64.b64encode(f"receipt {number}".encode()).decode(),
                "Body": body,
                "MD5OfBody": hashlib.md5(body.encode()).hexdigest(),
                "Attributes": {
                    "ApproximateReceiveCount": str(receive_count),
                    "SentTimestamp": str(round(world.clock() * 1000)),
                    "SenderId": "AIDAEXAMPLE",
                    "ApproximateFirstReceiveTimestamp": str(round(world.clock() * 1000)),
                },
                "MessageAttributes": {
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            }
            records.append(_record(received))
        return {"Records": records}

    return make
