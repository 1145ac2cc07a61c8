"""Everything around the functions that post: queues, ledger and gate, token, charts, and a stand-in for StockTwits."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import requests
from boto3.dynamodb.types import TypeDeserializer
from relay.aws import Clients
from relay.posting.gate import Gate, Pace
from relay.posting.ledger import Ledger

from local.stand_ins.stocktwits.server import StandIn
from tests.factories import RULES_OFF
from tests.worlds.aws import ACCOUNT, REGION, Aws, attribute_values, sqs_record, string_attributes
from tests.worlds.clock import Clock, Context
from tests.worlds.functions import Function, Leftovers, Outbox

TABLE, CHARTS, TOKEN_PARAMETER = "stocktwits-relay-ledger", "stocktwits-relay-charts", "/stocktwits-relay/token"
TOKEN = "a-secret-token-0123456789"
SECRET_QUERY = "signature=a-secret-query"


class PostingWorld:
    """The functions that post, and everything that they use.

    Attributes:
        outbox: The URL of the queue Outbox.
        leftovers: The URL of the queue Leftovers.
        dead: The URL of the queue Dead letters.
        functions: Both functions, by the name of their queue.
        output: All that was written and read back.
    """

    def __init__(
        self,
        aws: Aws,
        stand_in: StandIn,
        clock: Clock,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.stand_in = stand_in
        self.clock = clock
        self.patch = patch
        self._capsys = capsys
        self.output = ""
        self.aws = aws
        self.sqs, self.dynamodb, self.ssm, self.s3 = aws.sqs, aws.dynamodb, aws.ssm, aws.s3
        self.functions: dict[str, Function] = {}
        self._create_resources()
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
            **RULES_OFF,
            DRY_RUN="false",
            CHART_BUCKET_NAME=CHARTS,
            RESULT_EVENT_BUS_NAME="",
        )
        patch.setattr("relay.posting.bootstrap.time", clock.module)
        patch.setattr("relay.posting.telemetry.time", clock.module)
        self.functions = {"outbox": Outbox(self), "leftovers": Leftovers(self)}

    def _create_resources(self) -> None:
        def queue(name: str, receives: int | None = None, target: str = "") -> str:
            policy = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{target}", "maxReceiveCount": receives}
            attributes: Any = {"VisibilityTimeout": "360", "MessageRetentionPeriod": "1209600"}
            if target:
                attributes["RedrivePolicy"] = json.dumps(policy)
            return self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

        self.dead = queue("stocktwits-relay-dead-letters")
        self.leftovers = queue("stocktwits-relay-leftovers", 200, "stocktwits-relay-dead-letters")
        self.outbox = queue("stocktwits-relay-outbox", 3, "stocktwits-relay-leftovers")
        self.create_table()
        self.store_token()
        self.s3.create_bucket(Bucket=CHARTS)

    def create_table(self) -> None:
        self.dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )

    def store_token(self, token: str = TOKEN) -> None:
        self.store_parameter(
            json.dumps({"access_token": token, "username": self.stand_in.username, "user_id": self.stand_in.user_id})
        )

    def store_parameter(self, value: str) -> None:
        self.ssm.put_parameter(Name=TOKEN_PARAMETER, Type="SecureString", Value=value, Overwrite=True)

    def settings(self, **settings: object) -> None:
        """Set environment variables of the functions; the next invocations start cold."""
        for name, value in settings.items():
            self.patch.setenv(name, str(value))
        for function in self.functions.values():
            function.restart()

    # Queues

    def send(self, queue: str, body: str, **attributes: str) -> str:
        sent = self.sqs.send_message(QueueUrl=queue, MessageBody=body, MessageAttributes=string_attributes(attributes))
        return sent["MessageId"]

    def receive(self, queue: str, **options: Any) -> list[Any]:
        received: list[Any] = self.sqs.receive_message(
            QueueUrl=queue,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=0,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
            **options,
        ).get("Messages", [])
        return received

    def receive_times(self, queue: str, times: int) -> None:
        """Receive the messages of a queue this many times, as if as many attempts had failed."""
        for _ in range(times):
            self.receive(queue, VisibilityTimeout=0)

    def count(self, queue: str) -> int:
        """How many messages are in a queue, visible or not."""
        counts = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        return int(counts["ApproximateNumberOfMessages"]) + int(counts["ApproximateNumberOfMessagesNotVisible"])

    def dead_letters(self) -> list[tuple[str, dict[str, str]]]:
        """The first ten dead letters as (body, attributes), in the order of their arrival; they stay in the queue."""
        found = self.receive(self.dead, VisibilityTimeout=0)
        return [(each["Body"], attribute_values(each.get("MessageAttributes", {}))) for each in found]

    # The ledger and the gate

    def item(self, pk: str) -> Any:
        """An item of the table in plain values, or None."""
        item = self.dynamodb.get_item(TableName=TABLE, Key={"pk": {"S": pk}}).get("Item")
        return item and {name: TypeDeserializer().deserialize(value) for name, value in item.items()}

    def entry(self, key: str) -> Any:
        """The ledger's entry of a key, or None."""
        return self.item(f"post#{key}")

    def status(self, key: str) -> Any:
        return (self.entry(key) or {}).get("status")

    def current_pause(self) -> tuple[str, int] | None:
        """The pause that an answer of StockTwits caused, as (cause, seconds left); None while the gate is open."""
        pause = (self.item("gate") or {}).get("shut")
        left = float(pause["until"]) - self.clock() if pause else 0
        return (pause["cause"], round(left)) if pause and left > 0 else None

    def pause(self, **attributes: dict[str, Any]) -> None:
        """Write the operator's pause, with attributes in DynamoDB's own notation."""
        self.dynamodb.put_item(TableName=TABLE, Item={"pk": {"S": "pause"}, **attributes})

    def lift_pause(self) -> None:
        self.dynamodb.delete_item(TableName=TABLE, Key={"pk": {"S": "pause"}})

    def ledger(self) -> Ledger:
        return Ledger(Clients().get("dynamodb"), TABLE, self.clock)

    def gate(
        self, per_hour: int = 3600, burst: int = 100, per_day: int = 0, clock: Callable[[], float] | None = None
    ) -> Gate:
        return Gate(Clients().get("dynamodb"), TABLE, Pace(per_hour, burst, per_day), clock or self.clock)

    # StockTwits

    @property
    def posted(self) -> list[str]:
        """The texts on StockTwits, oldest first."""
        return [post.body for post in self.stand_in.posts]

    @property
    def publishes(self) -> list[str | None]:
        """The texts of the requests to publish, oldest first."""
        return [seen.fields.get("body") for seen in self.stand_in.requests if seen.method == "POST"]

    @property
    def readings(self) -> int:
        """How often the account's stream was read."""
        return sum(seen.method == "GET" for seen in self.stand_in.requests)

    def post_elsewhere(self, body: str) -> None:
        """Post without the relay, as the account's owner can."""
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(
                f"{self.stand_in.api_url}/messages/create.json",
                data={"body": body},
                headers={"Authorization": f"Bearer {self.stand_in.access_token}"},
                timeout=10,
            )
        assert answer.status_code == 200

    def on_request(self, act: Callable[[Any], object]) -> None:
        """Call `act` with each request to StockTwits, before it is processed."""
        record = self.stand_in.record

        def recorded(seen: Any) -> Any:
            act(seen)
            return record(seen)

        self.patch.setattr(self.stand_in, "record", recorded)

    def shorten_read_timeout(self) -> None:
        """Let the relay wait for StockTwits for half a second only: this wait is not on the test's clock."""
        self.patch.setattr("relay.posting.stocktwits.READ_SECONDS", 0.5)

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Refuse every connection to StockTwits within the block."""
        self.stand_in.stop()
        try:
            yield
        finally:
            self.stand_in.start()

    @contextmanager
    def delayed_request(self, text: str) -> Iterator[threading.Event]:
        """Delay the request to publish this text until the block ends; yields an event that is set on its arrival."""
        arrived, released = threading.Event(), threading.Event()

        def delay(seen: Any) -> None:
            if seen.fields.get("body") == text:
                arrived.set()
                assert released.wait(30)

        self.patch.setattr("relay.posting.stocktwits.READ_SECONDS", 60)
        self.on_request(delay)
        try:
            yield arrived
        finally:
            released.set()

    # Invocations

    def context(self, remaining_ms: float = 60_000) -> Context:
        return Context(self.clock, remaining_ms)

    def event(self, *bodies: str, receive_count: int = 1, **attributes: str) -> dict[str, Any]:
        """Make a Lambda event of bodies: for those that no queue accepts, or to pass the same message twice."""
        now = str(round(self.clock() * 1000))
        records = []
        for number, body in enumerate(bodies):
            received = {
                "MessageId": f"00000000-0000-4000-8000-{number:012}",
                "ReceiptHandle": base64.b64encode(f"receipt {number}".encode()).decode(),
                "Body": body,
                "MD5OfBody": hashlib.md5(body.encode()).hexdigest(),
                "Attributes": {
                    "ApproximateReceiveCount": str(receive_count),
                    "SentTimestamp": now,
                    "SenderId": "AIDAEXAMPLE",
                    "ApproximateFirstReceiveTimestamp": now,
                },
                "MessageAttributes": string_attributes(attributes),
            }
            records.append(sqs_record(received, "stocktwits-relay-outbox"))
        return {"Records": records}

    def written(self) -> str:
        """What was written since the last call."""
        output, errors = self._capsys.readouterr()
        self.output += output + errors
        assert errors == ""
        return output

    def assert_no_secret_was_written(self) -> None:
        with suppress(AssertionError):
            self.written()
        assert TOKEN not in self.output
        assert SECRET_QUERY not in self.output
