"""``make iam``: check that every permission is needed, and that no role allows more than its function's task.

Each permission is removed in turn, and the scenario that needs it must fail. Then each role must deny what an intruder
who took over its function would try.

The stack is deployed once, with IAM enforced. Its event source mappings and schedules are deleted, so that functions
run only when a scenario invokes them: it passes a queue's messages to the function as SQS would, with real receipts.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from http import HTTPStatus
from typing import Any

import boto3
from botocore.exceptions import ClientError
from relay.aws_errors import error_code
from relay.backups.runs import GIVE_UP_SECONDS
from relay.posting.webhook.sources import encode, new_secret, new_source
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]

from local.build import ROOT, BuildError
from local.stack.emulator import REGION, EmulatorError
from local.stack.iam import Grant, granted, names
from local.stack.logs import Logs
from local.stack.stack import (
    CHART_BUCKET,
    CHART_KEY,
    LOGIN_PARAMETER,
    PACE,
    SOURCES_PARAMETER,
    STACK_NAME,
    TOKEN_PARAMETER,
    Stack,
    a_chart,
)
from verification.reliability import page

DAY = date(2016, 12, 5)
PUBLISHER = "publisher"
COLUMNS = ("Role or policy", "Action", "Resource", "Without it", "Reported reason")
ATTACK_COLUMNS = ("With the role", "An intruder tries to", "Answer")
BACK_OFF_SECONDS = 345
"""More than the first back-off, which is a little over 300 s at most, and less than the queues' own timeouts."""

NOTHING = "sts:GetCallerIdentity"
"""An action that is always allowed, for statements without any other."""


class Site:
    """The deployed stack, in which functions run only when invoked here."""

    def __init__(self, stack: Stack) -> None:
        """Delete what would invoke functions."""
        self.stack = stack
        self.firestream, self.stocktwits = stack.firestream, stack.stocktwits
        self.sqs, self.s3, self.functions = (stack.client(name) for name in ("sqs", "s3", "lambda"))
        self.bucket, self.ledger = stack.outputs["BackupBucketName"], stack.outputs["LedgerTableName"]
        self._logs = Logs(stack, "PostMessagesLogs", "DrainLeftoversLogs", "FetchBackupsLogs", "ReceiveAlertsLogs")
        self._error = ""
        scheduler = stack.client("scheduler")
        for schedule in scheduler.list_schedules()["Schedules"]:
            scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
        for source in self.functions.list_event_source_mappings()["EventSourceMappings"]:
            self.functions.delete_event_source_mapping(UUID=source["UUID"])
        self._secret = self._create_source()
        self._publisher = self._create_publisher()
        self._consumer = self._create_consumer()

    def clear(self) -> None:
        """Empty the queues, the ledger, the archive and the stand-ins."""
        for queue in ("Outbox", "Leftovers", "DeadLetter", "BackupRequests", "BackupFailures"):
            self.sqs.purge_queue(QueueUrl=self.url(f"{queue}Queue"))
        self.sqs.purge_queue(QueueUrl=self._consumer)
        table = self.stack.client("dynamodb")
        for item in table.scan(TableName=self.ledger)["Items"]:
            table.delete_item(TableName=self.ledger, Key={"pk": item["pk"]})
        for version in self.s3.list_object_versions(Bucket=self.bucket).get("Versions", []):
            self.s3.delete_object(Bucket=self.bucket, Key=version["Key"], VersionId=version["VersionId"])
        for upload in self.uploads():
            self.s3.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        self.stocktwits.reset()
        self.firestream.reset()
        self.firestream.configure(missing=[])
        list(self._logs.new())
        self._error = ""

    def restart(self, function: str) -> None:
        """End a function's workers, which cache its secret: the emulator does so when its settings change."""
        name = self.stack.outputs[f"{function}Name"]
        timeout = self.functions.get_function_configuration(FunctionName=name)["Timeout"]
        self.functions.update_function_configuration(FunctionName=name, Timeout=timeout)

    def url(self, queue: str) -> str:
        """Return a queue's URL."""
        return self.stack.outputs[f"{queue}Url"]

    def invoke(self, function: str, event: object) -> Any:  # noqa: ANN401  functions differ
        """Invoke a function, and return its result; None if it raised."""
        answer = self.functions.invoke(FunctionName=self.stack.outputs[f"{function}Name"], Payload=json.dumps(event))
        result = json.load(answer["Payload"])
        if "FunctionError" in answer:
            self._error = str(result["errorMessage"])
            return None
        return result

    def deliver(self, function: str, queue: str, body: str, age: float = 0) -> None:
        """Send a message to a queue, and invoke the function with it as SQS would, first received `age` seconds ago."""
        self.sqs.send_message(QueueUrl=self.url(queue), MessageBody=body)
        (message,) = self.sqs.receive_message(
            QueueUrl=self.url(queue), VisibilityTimeout=3600, MessageSystemAttributeNames=["All"], WaitTimeSeconds=5
        )["Messages"]
        first_received = {"ApproximateFirstReceiveTimestamp": str(round((time.time() - age) * 1000))}
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {**message["Attributes"], **first_received},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }
        self.invoke(function, {"Records": [record]})

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Return the messages in a queue, also those that are not visible, without receiving them."""
        name = self.url(queue).split("/")[-1]
        return next(waiting for url, waiting in self.stack.emulator.messages().items() if url.endswith(f"/{name}"))

    def backs_off(self, queue: str) -> bool:
        """Return whether the queue's one message becomes visible again after the function's back-off."""
        (message,) = self.messages(queue)
        return bool(0 < message["VisibleAt"] - time.time() < BACK_OFF_SECONDS)

    def stored(self) -> list[str]:
        """Return the keys in the archive."""
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def uploads(self) -> list[dict[str, Any]]:
        """Return the uploads that are neither completed nor aborted."""
        found: list[dict[str, Any]] = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return found

    def publish(self) -> None:
        """Publish with the policy for publishers."""
        try:
            self._publisher.send_message(QueueUrl=self.url("OutboxQueue"), MessageBody="From a publisher $AAPL")
        except ClientError as error:
            self._error = str(error)

    def post_to_webhook(self) -> int:
        """POST an alert with the secret of a source, and return the answer's status."""
        request = urllib.request.Request(
            self.stack.webhook_url(f"/alerts/scanner/{self._secret}"), b"From a scanner $AAPL", method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def event_received(self) -> bool:
        """Return whether a result event came through the bus."""
        return "Messages" in self.sqs.receive_message(QueueUrl=self._consumer, WaitTimeSeconds=2)

    def reason(self) -> str:
        """Return the functions' reason for a failure: an error raised, or a warning logged, preferably a denial."""
        warnings = [line for line in self._logs.new() if line.get("level") in {"WARNING", "ERROR"}]
        reasons = [self._error, *(str(line.get("reason") or line["message"]) for line in warnings)]
        denied = [each for each in reasons if "AccessDenied" in each]
        return next(filter(None, denied + reasons), "").partition(" User: ")[0].rstrip(":")

    def _create_source(self) -> str:
        secret = new_secret()
        sources = encode({"scanner": new_source(secret, added="2026-11-27")})
        self.stack.client("ssm").put_parameter(Name=SOURCES_PARAMETER, Type="SecureString", Value=sources)
        return secret

    def _create_publisher(self) -> Any:  # noqa: ANN401  a client
        iam = self.stack.client("iam")
        iam.create_user(UserName=PUBLISHER)
        iam.attach_user_policy(UserName=PUBLISHER, PolicyArn=self.stack.outputs["PublishPolicyArn"])
        return _session_of(self.stack, PUBLISHER).client("sqs", endpoint_url=self.stack.emulator.url)

    def _create_consumer(self) -> str:
        queue: str = self.sqs.create_queue(QueueName="consumer")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events = self.stack.client("events")
        events.put_rule(Name="results", EventPattern=json.dumps({"source": ["stocktwits-relay"]}))
        events.put_targets(Rule="results", Targets=[{"Id": "consumer", "Arn": arn}])
        return queue


def _session_of(stack: Stack, user: str) -> boto3.Session:
    key = stack.client("iam").create_access_key(UserName=user)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)


# ---------------------------------------------------------------- scenarios
Scenario = Callable[[Site], bool]


@dataclass(frozen=True)
class PostingFunction:
    """One of the functions that post, and its queue."""

    function: str
    queue: str

    def take(self, site: Site, body: str) -> None:
        """Let the function deliver a message."""
        if self.function == "PostMessagesFunction":
            site.deliver(self.function, self.queue, body)
        else:
            site.sqs.send_message(QueueUrl=site.url(self.queue), MessageBody=body)
            site.invoke(self.function, {})

    def posts(self, site: Site) -> bool:
        """A message is posted, and the drain deletes it."""
        self.take(site, "A plain message $AAPL")
        drained = self.function == "PostMessagesFunction" or not site.messages(self.queue)
        return len(site.stocktwits.posts) == 1 and drained

    def posts_first(self, site: Site) -> bool:
        """A new worker reads the token, and posts."""
        site.restart(self.function)
        return self.posts(site)

    def posts_a_chart(self, site: Site) -> bool:
        """A chart is read from its bucket and uploaded."""
        self.take(site, json.dumps({"body": "With a chart $AAPL", "chart": f"s3://{CHART_BUCKET}/{CHART_KEY}"}))
        charts = [post.chart.content for post in site.stocktwits.posts if post.chart]
        return charts == [a_chart()]

    def retries_later(self, site: Site) -> bool:
        """A message that could not be posted is visible again after its back-off."""
        site.stocktwits.fail("reset-before")
        self.take(site, "Retried later $AAPL")
        return site.backs_off(self.queue)

    def moves_to_dead_letters(self, site: Site) -> bool:
        """A message that cannot be posted moves to Dead letters."""
        self.take(site, '{"body": 1}')
        return len(site.messages("DeadLetterQueue")) == 1

    def sends_an_event(self, site: Site) -> bool:
        """The outcome of a message is sent to the owner's bus."""
        self.take(site, "With an event $AAPL")
        return site.event_received()

    def counts_the_outbox(self, site: Site) -> bool:
        """The drain succeeds, and reports the depth of the Outbox while the gate is open."""
        site.sqs.send_message(QueueUrl=site.url("OutboxQueue"), MessageBody="Left in the Outbox $AAPL")
        return site.invoke(self.function, {}) is not None

    def waits(self, site: Site) -> bool:
        """While the gate is closed, the drain reports that messages wait, and leaves them."""
        pause = {"pk": {"S": "pause"}, "who": {"S": "make iam"}, "why": {"S": "to test the drain"}}
        site.stack.client("dynamodb").put_item(TableName=site.ledger, Item=pause)
        self.take(site, "Waiting $AAPL")
        return "paused by make iam" in site.reason()


@dataclass(frozen=True)
class Backup:
    """The backup of one day."""

    file_type: str

    @property
    def key(self) -> str:
        """Its key in the archive."""
        return f"{self.file_type}/{DAY:%Y/%m/%d}/stocktwits_{self.file_type}_{DAY:%Y_%m_%d}.gz"

    def request(self, site: Site, age: float = 0, **fields: str) -> None:
        """Let the function fulfil a request for it, which it first received `age` seconds ago."""
        request = json.dumps({"file_type": self.file_type, "day": DAY.isoformat(), **fields})
        site.deliver("FetchBackupsFunction", "BackupRequestsQueue", request, age)

    def damage(self, site: Site, times: int | None = 1) -> None:
        """Damage its next downloads."""
        site.firestream.fail("flipped-byte", times=times, file_type=self.file_type, day=DAY)

    def is_tagged(self, site: Site, key: str) -> bool:
        """Return whether an object has tags."""
        return bool(site.s3.get_object_tagging(Bucket=site.bucket, Key=key)["TagSet"])

    def is_fetched(self, site: Site) -> bool:
        """A backup is stored with its tags."""
        self.request(site)
        return site.stored() == [self.key] and self.is_tagged(site, self.key)

    def is_fetched_first(self, site: Site) -> bool:
        """A new worker reads the login, and stores a backup."""
        site.restart("FetchBackupsFunction")
        return self.is_fetched(site)

    def is_aborted(self, site: Site) -> bool:
        """The upload of a damaged backup is aborted."""
        self.damage(site)
        self.request(site)
        return not site.uploads()

    def is_recorded_as_absent(self, site: Site) -> bool:
        """A backup that Firestream does not have at the second look is recorded as absent."""
        site.firestream.configure(missing=[(self.file_type, DAY)])
        self.request(site, asked_at="2026-11-26T09:00:00Z")
        return site.stored() == [f"absent/{self.key.removesuffix('.gz')}.json"]

    def is_replaced(self, site: Site) -> bool:
        """A stored backup that has changed at Firestream is replaced by its next version, with a remark."""
        self.request(site)
        site.firestream.fail("few-lines", times=None, lines=3, file_type=self.file_type, day=DAY)
        self.request(site, if_stored="compare")
        versions = site.s3.list_object_versions(Bucket=site.bucket, Prefix=self.key).get("Versions", [])
        return len(versions) == 2 and f"remarks/{self.file_type}/" in " ".join(site.stored())  # noqa: PLR2004

    def is_kept_damaged(self, site: Site) -> bool:
        """What was never whole is kept with its reason when its request is given up."""
        self.damage(site, times=None)
        self.request(site, GIVE_UP_SECONDS)
        key = f"damaged/{self.key}"
        return site.stored() == [key] and self.is_tagged(site, key)

    def is_not_kept_whole(self, site: Site) -> bool:
        """What is whole when it is to be kept as damaged is not kept, and its upload is aborted."""
        self.damage(site)
        self.request(site, GIVE_UP_SECONDS)
        return not site.uploads()

    def is_retried_later(self, site: Site) -> bool:
        """A request that failed is visible again after its back-off."""
        self.damage(site)
        self.request(site)
        return site.backs_off("BackupRequestsQueue")


def moves_to_backup_failures(site: Site) -> bool:
    """A request that cannot be read moves to BackupFailures."""
    site.deliver("FetchBackupsFunction", "BackupRequestsQueue", "not JSON")
    return len(site.messages("BackupFailuresQueue")) == 1


def requests_days(site: Site) -> bool:
    """A backfill requests each day."""
    site.invoke(
        "FetchBackupsFunction", {"first_day": "2016-12-01", "last_day": "2016-12-02", "file_types": ["message"]}
    )
    return len(site.messages("BackupRequestsQueue")) == 2  # noqa: PLR2004


def publishes(site: Site) -> bool:
    """A publisher with the policy publishes an alert."""
    site.publish()
    return len(site.messages("OutboxQueue")) == 1


def receives_an_alert(site: Site) -> bool:
    """A new worker reads the webhook's sources, and an alert that is POSTed is in the Outbox."""
    site.restart("ReceiveAlertsFunction")
    return site.post_to_webhook() == HTTPStatus.ACCEPTED and len(site.messages("OutboxQueue")) == 1


# ---------------------------------------------------------------- the scenario for each permission
OUTBOX, LEFTOVERS = (
    PostingFunction("PostMessagesFunction", "OutboxQueue"),
    PostingFunction("DrainLeftoversFunction", "LeftoversQueue"),
)
POSTING_FUNCTIONS = {"PostMessagesRole": OUTBOX, "DrainLeftoversRole": LEFTOVERS}
MESSAGE, ACTIVITY = Backup("message"), Backup("activity")
Wanted = tuple[str, str, str]
"""A permission: the logical id of its role or policy, the action, and the logical id of the resource."""

SCENARIOS: dict[Wanted, Scenario] = {
    ("PostMessagesRole", "sqs:ChangeMessageVisibility", "OutboxQueue"): OUTBOX.retries_later,
    ("DrainLeftoversRole", "sqs:ReceiveMessage", "LeftoversQueue"): LEFTOVERS.posts,
    ("DrainLeftoversRole", "sqs:DeleteMessage", "LeftoversQueue"): LEFTOVERS.posts,
    ("DrainLeftoversRole", "sqs:GetQueueAttributes", "LeftoversQueue"): LEFTOVERS.waits,
    ("DrainLeftoversRole", "sqs:ChangeMessageVisibility", "LeftoversQueue"): LEFTOVERS.retries_later,
    ("DrainLeftoversRole", "sqs:GetQueueAttributes", "OutboxQueue"): LEFTOVERS.counts_the_outbox,
    **{
        (role, "sqs:SendMessage", "DeadLetterQueue"): each.moves_to_dead_letters
        for role, each in POSTING_FUNCTIONS.items()
    },
    **{(role, "dynamodb:UpdateItem", "LedgerTable"): each.posts for role, each in POSTING_FUNCTIONS.items()},
    **{(role, "dynamodb:PutItem", "LedgerTable"): each.posts for role, each in POSTING_FUNCTIONS.items()},
    **{(role, "dynamodb:BatchGetItem", "LedgerTable"): each.posts for role, each in POSTING_FUNCTIONS.items()},
    **{
        (role, "ssm:GetParameter", "StockTwitsTokenParameter"): each.posts_first
        for role, each in POSTING_FUNCTIONS.items()
    },
    **{(role, "s3:GetObject", "ChartBucketName/*"): each.posts_a_chart for role, each in POSTING_FUNCTIONS.items()},
    **{
        (role, "events:PutEvents", "ResultEventBusName"): each.sends_an_event
        for role, each in POSTING_FUNCTIONS.items()
    },
    ("FetchBackupsRole", "sqs:ChangeMessageVisibility", "BackupRequestsQueue"): MESSAGE.is_retried_later,
    ("FetchBackupsRole", "sqs:SendMessage", "BackupRequestsQueue"): requests_days,
    ("FetchBackupsRole", "sqs:SendMessage", "BackupFailuresQueue"): moves_to_backup_failures,
    ("FetchBackupsRole", "s3:ListBucket", "BackupBucket"): MESSAGE.is_fetched,
    **{
        ("FetchBackupsRole", action, f"BackupBucket/{backup.file_type}/*"): scenario
        for backup in (ACTIVITY, MESSAGE)
        for action, scenario in (
            ("s3:PutObject", backup.is_fetched),
            ("s3:AbortMultipartUpload", backup.is_aborted),
            ("s3:PutObjectTagging", backup.is_fetched),
            ("s3:GetObjectTagging", backup.is_replaced),
        )
    },
    ("FetchBackupsRole", "s3:PutObject", "BackupBucket/absent/*"): MESSAGE.is_recorded_as_absent,
    ("FetchBackupsRole", "s3:PutObject", "BackupBucket/remarks/*"): MESSAGE.is_replaced,
    ("FetchBackupsRole", "s3:PutObject", "BackupBucket/damaged/*"): MESSAGE.is_kept_damaged,
    ("FetchBackupsRole", "s3:PutObjectTagging", "BackupBucket/damaged/*"): MESSAGE.is_kept_damaged,
    ("FetchBackupsRole", "s3:AbortMultipartUpload", "BackupBucket/damaged/*"): MESSAGE.is_not_kept_whole,
    ("FetchBackupsRole", "ssm:GetParameter", "FirestreamCredentialsParameter"): MESSAGE.is_fetched_first,
    ("ReceiveAlertsRole", "sqs:SendMessage", "OutboxQueue"): receives_an_alert,
    ("ReceiveAlertsRole", "ssm:GetParameter", "WebhookSourcesParameter"): receives_an_alert,
    ("PublishPolicy", "sqs:SendMessage", "OutboxQueue"): publishes,
}

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html names these three for an event source.
_POLLER = "the emulator's poller uses no role; AWS's uses this one"
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaBasicExecutionRole.html names both.
_LOGS = "the emulator writes the log without a role; AWS uses this one"
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html: 404 with this permission, 403 without it.
_MISSING = "the emulator answers 404 for a missing object anyway; S3 answers 403 without this permission"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html: s3:PutObject and s3:GetObject.
_IF_MATCH = "the emulator replaces an object under IfMatch without it; S3 demands it for that"
_QUEUES = {"PostMessagesRole": "OutboxQueue", "FetchBackupsRole": "BackupRequestsQueue"}
_POLLING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_LOGGING = ("logs:CreateLogStream", "logs:PutLogEvents")

UNTESTABLE: dict[Wanted, str] = {
    **{(role, action, queue): _POLLER for role, queue in _QUEUES.items() for action in _POLLING},
    **{
        (f"{name}Role", action, f"{name}Logs"): _LOGS
        for name in ("PostMessages", "DrainLeftovers", "FetchBackups", "ReceiveAlerts")
        for action in _LOGGING
    },
    **{(role, "s3:ListBucket", "ChartBucketName"): _MISSING for role in POSTING_FUNCTIONS},
    **{
        ("FetchBackupsRole", "s3:GetObject", f"BackupBucket/{backup.file_type}/*"): _IF_MATCH
        for backup in (ACTIVITY, MESSAGE)
    },
}


# ---------------------------------------------------------------- removing a permission
class Policies:
    """The deployed policies."""

    def __init__(self, stack: Stack) -> None:
        """Look up the physical ids of the template's resources."""
        self._stack = stack
        self._iam = stack.client("iam")
        found = stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        self._physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def session_with(self, role: str) -> boto3.Session:
        """Create a user with a role's policies, and return its session."""
        name = self._physical[role]
        self._iam.create_user(UserName=role)
        for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            self._iam.put_user_policy(UserName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
        return _session_of(self._stack, role)

    @contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        """Remove a permission temporarily."""
        holder = self._physical[grant.holder]
        removed = self._managed(holder, grant) if holder.startswith("arn:") else self._inline(holder, grant)
        with removed:
            yield

    @contextmanager
    def _inline(self, role: str, grant: Grant) -> Iterator[None]:
        put = partial(self._iam.put_role_policy, RoleName=role, PolicyName=grant.policy)
        document = self._iam.get_role_policy(RoleName=role, PolicyName=grant.policy)["PolicyDocument"]
        put(PolicyDocument=json.dumps(_without(document, grant)))
        try:
            yield
        finally:
            put(PolicyDocument=json.dumps(document))

    @contextmanager
    def _managed(self, policy: str, grant: Grant) -> Iterator[None]:
        make = partial(self._iam.create_policy_version, PolicyArn=policy, SetAsDefault=True)
        number = self._iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
        whole = self._iam.get_policy_version(PolicyArn=policy, VersionId=number)["PolicyVersion"]["Document"]
        make(PolicyDocument=json.dumps(_without(whole, grant)))
        try:
            yield
        finally:
            make(PolicyDocument=json.dumps(whole))  # a new version: the emulator cannot go back to an old one


def _without(document: dict[str, Any], grant: Grant) -> dict[str, Any]:
    """Remove an action on one resource; the statement's other resources keep it."""
    statements = [dict(each) for each in document["Statement"]]
    statement = statements[grant.statement]
    removed = [each for each in statement["Action"] if each in names(grant.action)]
    if not removed:
        raise LookupError(f"{grant} is not deployed")
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    elsewhere = [each for part, each in enumerate(resources) if part != grant.part]
    if elsewhere:
        statements.append({**statement, "Action": removed, "Resource": elsewhere})
    statement["Action"] = [each for each in statement["Action"] if each not in removed] or [NOTHING]
    return {**document, "Statement": statements}


# ---------------------------------------------------------------- what a function's role must deny
class Intruder:
    """An attacker who has a role's deployed permissions."""

    def __init__(self, site: Site, policies: Policies, role: str) -> None:
        """Create a user with the role's policies."""
        self.site = site
        self._session = policies.session_with(role)

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return a boto3 client that acts with the role's permissions."""
        return self._session.client(service, endpoint_url=self.site.stack.emulator.url)  # type: ignore[call-overload]

    def answer(self, attack: "Attack") -> str:
        """Return the error code of AWS's answer; empty if the attack succeeded."""
        try:
            attack(self)
        except ClientError as error:
            return error_code(error)
        return ""


Attack = Callable[[Intruder], object]

_OF_POSTING: dict[str, Attack] = {
    "delete an operator's pause": lambda by: by.client("dynamodb").delete_item(
        TableName=by.site.ledger, Key={"pk": {"S": "pause"}}
    ),
    "read the whole ledger": lambda by: by.client("dynamodb").scan(TableName=by.site.ledger),
    "publish to the Outbox": lambda by: by.client("sqs").send_message(
        QueueUrl=by.site.url("OutboxQueue"), MessageBody="In your name $AAPL"
    ),
    "read Firestream's login": lambda by: by.client("ssm").get_parameter(Name=LOGIN_PARAMETER, WithDecryption=True),
    "replace the account's token": lambda by: by.client("ssm").put_parameter(
        Name=TOKEN_PARAMETER, Type="SecureString", Value="{}", Overwrite=True
    ),
    "list the archive": lambda by: by.client("s3").list_objects_v2(Bucket=by.site.bucket, Prefix="message/"),
}
_OF_BACKUPS: dict[str, Attack] = {
    "write outside the archive's folders": lambda by: by.client("s3").put_object(
        Bucket=by.site.bucket, Key="index.html", Body=b"", IfNoneMatch="*"
    ),
    "write the results of queries": lambda by: by.client("s3").put_object(
        Bucket=by.site.bucket, Key="athena-results/1.csv", Body=b"", IfNoneMatch="*"
    ),
    "start an upload outside the archive's folders": lambda by: by.client("s3").create_multipart_upload(
        Bucket=by.site.bucket, Key="messages.gz"
    ),
    "list the results of queries": lambda by: by.client("s3").list_objects_v2(
        Bucket=by.site.bucket, Prefix="athena-results/"
    ),
    "list the whole bucket": lambda by: by.client("s3").list_objects_v2(Bucket=by.site.bucket),
    "read the results of queries": lambda by: by.client("s3").get_object(
        Bucket=by.site.bucket, Key="athena-results/1.csv"
    ),
    "read what is kept as damaged": lambda by: by.client("s3").get_object(
        Bucket=by.site.bucket, Key=f"damaged/{MESSAGE.key}"
    ),
    "delete a remark": lambda by: by.client("s3").delete_object(
        Bucket=by.site.bucket, Key="remarks/message/2016/12/05/5a/odd.json"
    ),
    "delete a backup": lambda by: by.client("s3").delete_object(Bucket=by.site.bucket, Key=MESSAGE.key),
    "read the account's token": lambda by: by.client("ssm").get_parameter(Name=TOKEN_PARAMETER, WithDecryption=True),
    "publish to the Outbox": _OF_POSTING["publish to the Outbox"],
}
_OF_THE_WEBHOOK: dict[str, Attack] = {
    "take messages from the Outbox": lambda by: by.client("sqs").receive_message(QueueUrl=by.site.url("OutboxQueue")),
    "fill Dead letters": lambda by: by.client("sqs").send_message(
        QueueUrl=by.site.url("DeadLetterQueue"), MessageBody="In your name $AAPL"
    ),
    "add a source": lambda by: by.client("ssm").put_parameter(
        Name=SOURCES_PARAMETER, Type="SecureString", Value="{}", Overwrite=True
    ),
    **{
        name: each
        for attacks in (_OF_POSTING, _OF_BACKUPS)
        for name, each in attacks.items()
        if name not in {"publish to the Outbox", "replace the account's token"}
    },
}
ATTACKS: dict[str, dict[str, Attack]] = {
    **dict.fromkeys(POSTING_FUNCTIONS, _OF_POSTING),
    "FetchBackupsRole": _OF_BACKUPS,
    "ReceiveAlertsRole": _OF_THE_WEBHOOK,
}
JOBS: dict[str, Attack] = {
    **dict.fromkeys(
        POSTING_FUNCTIONS,
        lambda by: by.client("dynamodb").batch_get_item(
            RequestItems={by.site.ledger: {"Keys": [{"pk": {"S": "gate"}}, {"pk": {"S": "pause"}}]}}
        ),
    ),
    "FetchBackupsRole": lambda by: by.client("s3").list_objects_v2(Bucket=by.site.bucket, Prefix="message/"),
    "ReceiveAlertsRole": lambda by: by.client("ssm").get_parameter(Name=SOURCES_PARAMETER, WithDecryption=True),
}
"""What each role must be able to do; otherwise its denials would prove nothing."""

_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})


# ---------------------------------------------------------------- the run
@dataclass
class Findings:
    """The results.

    Attributes:
        rows: For each permission: its role or policy, action, resource, what failed without it, the reported reason.
        attacks: For each attack: the role, what was tried, the answer's code.
        problems: What must be fixed.
    """

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    attacks: list[tuple[str, str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def add(self, grant: Grant, found: str, reason: str = "") -> None:
        """Add a permission."""
        self.rows.append((grant.holder, grant.action, grant.resource, found, reason))

    def add_problem(self, grant: Grant, problem: str) -> None:
        """Add a permission that must be fixed."""
        self.add(grant, problem)
        self.problems.append(f"{grant.holder}: {grant.action} on {grant.resource}: {problem}")


def grants() -> list[Grant]:
    """Return the permissions in the template."""
    return granted(yaml_parse((ROOT / "template.yaml").read_text()))


def examine(site: Site, policies: Policies, on_step: Callable[[str], None]) -> Findings:
    """Run each scenario with all permissions, and then without each permission that it needs."""
    findings = Findings()
    for scenario in dict.fromkeys(SCENARIOS.values()):
        on_step(f"with every permission: {_title(scenario)}")
        site.clear()
        if not scenario(site):
            findings.problems.append(f"failed although nothing was removed: {_title(scenario)} {site.reason()}")
    for grant in grants():
        wanted = grant.holder, grant.action, grant.resource
        if wanted in UNTESTABLE:
            findings.add(grant, f"not testable: {UNTESTABLE[wanted]}")
            continue
        if wanted not in SCENARIOS:
            findings.add_problem(grant, "no scenario of verification/reliability/iam.py exercises it")
            continue
        on_step(f"without {grant.holder}'s {grant.action} on {grant.resource}")
        site.clear()
        with policies.without(grant):
            works = SCENARIOS[wanted](site)
        if works:
            findings.add_problem(grant, f"not needed? This works without it: {_title(SCENARIOS[wanted])}")
        else:
            findings.add(grant, f"fails: {_title(SCENARIOS[wanted])}", site.reason())
    return findings


def attack(site: Site, policies: Policies, findings: Findings, on_step: Callable[[str], None]) -> None:
    """Try with each role what must be denied."""
    site.clear()
    for role, attacks in ATTACKS.items():
        intruder = Intruder(site, policies, role)
        if answer := intruder.answer(JOBS[role]):
            findings.problems.append(f"{role}: its own task is denied ({answer})")
        for name, attempt in attacks.items():
            on_step(f"with {role}: {name}")
            answer = intruder.answer(attempt)
            findings.attacks.append((role, name, answer or "done"))
            if answer not in _DENIED:
                findings.problems.append(f"{role} allows to {name} ({answer or 'it succeeded'})")


def show(findings: Findings, console: Console) -> None:
    """Print a row for each permission and each attack, and the problems."""
    for columns, rows in ((COLUMNS, findings.rows), (ATTACK_COLUMNS, findings.attacks)):
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for line in findings.problems:
        console.print(line, style="red", markup=False)


def section(findings: Findings) -> str:
    """Format the findings for the page: equal permissions in one row, without the reasons, which name this run."""
    holders_of: dict[tuple[str, ...], list[str]] = {}
    for holder, *what, _ in findings.rows:
        holders_of.setdefault(tuple(what), []).append(holder)
    rows = [
        [", ".join(holders), f"`{action}`", f"`{on}`", found] for (action, on, found), holders in holders_of.items()
    ]
    needed = sum(found.startswith("fails") for _, _, _, found, _ in findings.rows)
    tried: dict[tuple[str, str], list[str]] = {}
    for role, name, answer in findings.attacks:
        tried.setdefault((name, answer), []).append(role)
    attacks = [[", ".join(roles), name, f"`{answer}`"] for (name, answer), roles in tried.items()]
    return f"""## Permissions

The functions' roles and the policy for publishers allow {len(findings.rows)} actions, each on its own resource.
`make iam` removes each in turn, with IAM enforced by the emulator, and runs the scenario that needs it: {needed}
scenarios failed. The other permissions cannot be tested with the emulator.

{page.table(COLUMNS[:-1], rows)}

Then it acts as an intruder who took over a function, with the permissions of the function's role:

{page.table(ATTACK_COLUMNS, attacks)}

The emulator does not support the conditions on the ledger's items, on an event's source and on replacing objects. Tests
evaluate these as AWS does: `tests/project/test_roles.py` tries what each condition prevents, and every call that a
function makes in an integration test must satisfy them."""


def _title(scenario: Scenario) -> str:
    return (scenario.__doc__ or "").strip()


def main() -> int:
    """Print the findings and write them to the page; return 0 only if there are no problems."""
    console = Console(highlight=False)

    def on_step(step: str) -> None:
        console.print(step, style="dim", markup=False)

    try:
        parameters = {**PACE, "ResultEventBusName": "default", "WebhookEnabled": "true"}
        with Stack(parameters, on_step=console.print, enforce_iam=True) as stack:
            site, policies = Site(stack), Policies(stack)
            findings = examine(site, policies, on_step)
            attack(site, policies, findings, on_step)
    except (BuildError, EmulatorError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    show(findings, console)
    if findings.problems:
        return 1
    page.write("permissions", section(findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
