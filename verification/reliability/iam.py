"""``make iam``: is every permission needed, and is none wider than its job?

Each is removed in turn, and what it is for has to fail without it; what somebody who took over a function would try has
to be denied to its role.

The stack is deployed once, with IAM enforced. Its queues trigger nothing and its schedules are gone, so that nothing
happens but what is asked for here: a queue's messages are handed to its function as SQS would, with real receipts.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any

import boto3
from botocore.exceptions import ClientError
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
    STACK_NAME,
    TOKEN_PARAMETER,
    Stack,
    a_chart,
)
from verification.reliability import page

DAY = date(2016, 12, 5)
PUBLISHER = "publisher"
COLUMNS = ("Whose", "Action", "On", "Without it", "What is said then")
ATTACK_COLUMNS = ("With the role", "Somebody tries to", "The answer")
HELD_SECONDS = 345
"""What is held comes back before: a first hold is 300 s and a little at most. What is not held stays away longer."""

NOTHING = "sts:GetCallerIdentity"
"""An action that everybody may do anyway, for statements that have none left."""


class Site:
    """The deployed stack, nothing of which moves by itself."""

    def __init__(self, stack: Stack) -> None:
        """Switch off what would start functions."""
        self.stack = stack
        self.firestream, self.stocktwits = stack.firestream, stack.stocktwits
        self.sqs, self.s3, self.functions = (stack.client(name) for name in ("sqs", "s3", "lambda"))
        self.bucket, self.ledger = stack.outputs["BackupBucketName"], stack.outputs["LedgerTableName"]
        self._logs = Logs(stack, "PostMessagesLogs", "DrainLeftoversLogs", "FetchBackupsLogs")
        self._error = ""
        scheduler = stack.client("scheduler")
        for schedule in scheduler.list_schedules()["Schedules"]:
            scheduler.delete_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
        for source in self.functions.list_event_source_mappings()["EventSourceMappings"]:
            self.functions.delete_event_source_mapping(UUID=source["UUID"])
        self._publisher = self._made_publisher()
        self._consumer = self._made_consumer()

    def clear(self) -> None:
        """Empty everything."""
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
        """Let a function forget the secret that it read: the emulator ends its workers when its settings change."""
        name = self.stack.outputs[f"{function}Name"]
        timeout = self.functions.get_function_configuration(FunctionName=name)["Timeout"]
        self.functions.update_function_configuration(FunctionName=name, Timeout=timeout)

    def url(self, queue: str) -> str:
        """Return a queue's address."""
        return self.stack.outputs[f"{queue}Url"]

    def invoke(self, function: str, event: object) -> Any:  # noqa: ANN401  whatever it returns
        """Invoke a function, and return its answer; None if it raised."""
        answer = self.functions.invoke(FunctionName=self.stack.outputs[f"{function}Name"], Payload=json.dumps(event))
        result = json.load(answer["Payload"])
        if "FunctionError" in answer:
            self._error = str(result["errorMessage"])
            return None
        return result

    def deliver(self, function: str, queue: str, body: str) -> None:
        """Put a message into a queue, and hand it to the function as SQS would."""
        self.sqs.send_message(QueueUrl=self.url(queue), MessageBody=body)
        (message,) = self.sqs.receive_message(
            QueueUrl=self.url(queue), VisibilityTimeout=3600, MessageSystemAttributeNames=["All"], WaitTimeSeconds=5
        )["Messages"]
        record = {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": message["Attributes"],
            "messageAttributes": {},
            "eventSource": "aws:sqs",
        }
        self.invoke(function, {"Records": [record]})

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Return what is in a queue, held messages too, without receiving it."""
        name = self.url(queue).split("/")[-1]
        return next(waiting for url, waiting in self.stack.emulator.messages().items() if url.endswith(f"/{name}"))

    def held(self, queue: str) -> bool:
        """Say whether the queue's one message comes back when a function wanted it to."""
        (message,) = self.messages(queue)
        return bool(0 < message["VisibleAt"] - time.time() < HELD_SECONDS)

    def stored(self) -> list[str]:
        """Return the keys in the archive."""
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def uploads(self) -> list[dict[str, Any]]:
        """Return the uploads that are neither completed nor aborted."""
        found: list[dict[str, Any]] = self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", [])
        return found

    def publish(self) -> None:
        """Publish as somebody who has the policy for publishers."""
        try:
            self._publisher.send_message(QueueUrl=self.url("OutboxQueue"), MessageBody="From a publisher $AAPL")
        except ClientError as error:
            self._error = str(error)

    def heard(self) -> bool:
        """Say whether a result event came through the bus."""
        return "Messages" in self.sqs.receive_message(QueueUrl=self._consumer, WaitTimeSeconds=2)

    def said(self) -> str:
        """Return what the functions said of it: the error that one raised, or what they warned of, a denial first."""
        warnings = [line for line in self._logs.new() if line.get("level") in {"WARNING", "ERROR"}]
        told = [self._error, *(str(line.get("reason") or line["message"]) for line in warnings)]
        denied = [each for each in told if "AccessDenied" in each]
        return next(filter(None, denied + told), "").partition(" User: ")[0].rstrip(":")

    def _made_publisher(self) -> Any:  # noqa: ANN401  a client
        iam = self.stack.client("iam")
        iam.create_user(UserName=PUBLISHER)
        iam.attach_user_policy(UserName=PUBLISHER, PolicyArn=self.stack.outputs["PublishPolicyArn"])
        return _session_of(self.stack, PUBLISHER).client("sqs", endpoint_url=self.stack.emulator.url)

    def _made_consumer(self) -> str:
        queue: str = self.sqs.create_queue(QueueName="consumer")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events = self.stack.client("events")
        events.put_rule(Name="results", EventPattern=json.dumps({"source": ["stocktwits-relay"]}))
        events.put_targets(Rule="results", Targets=[{"Id": "consumer", "Arn": arn}])
        return queue


def _session_of(stack: Stack, user: str) -> boto3.Session:
    key = stack.client("iam").create_access_key(UserName=user)["AccessKey"]
    return boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)


# ---------------------------------------------------------------- scenarios: what permissions are for
Scenario = Callable[[Site], bool]


@dataclass(frozen=True)
class Edge:
    """One of the functions that post, and the queue that it takes messages from."""

    function: str
    queue: str

    def take(self, site: Site, body: str) -> None:
        """Let it deliver a message."""
        if self.function == "PostMessagesFunction":
            site.deliver(self.function, self.queue, body)
        else:
            site.sqs.send_message(QueueUrl=site.url(self.queue), MessageBody=body)
            site.invoke(self.function, {})

    def posts(self, site: Site) -> bool:
        """A message is posted; a drain deletes it, too."""
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

    def holds(self, site: Site) -> bool:
        """What could not be posted comes back after its back-off."""
        site.stocktwits.fail("reset-before")
        self.take(site, "Held back $AAPL")
        return site.held(self.queue)

    def buries(self, site: Site) -> bool:
        """What cannot be posted becomes a dead letter."""
        self.take(site, '{"body": 1}')
        return len(site.messages("DeadLetterQueue")) == 1

    def announces(self, site: Site) -> bool:
        """What became of a message is put on the owner's bus."""
        self.take(site, "Heard of on the bus $AAPL")
        return site.heard()

    def counts_the_outbox(self, site: Site) -> bool:
        """A drain ends well, and says what is in the Outbox while the gate is open."""
        site.sqs.send_message(QueueUrl=site.url("OutboxQueue"), MessageBody="Nobody takes it $AAPL")
        return site.invoke(self.function, {}) is not None

    def waits(self, site: Site) -> bool:
        """While the gate is shut, a drain says that something waits, and leaves it."""
        pause = {"pk": {"S": "pause"}, "who": {"S": "make iam"}, "why": {"S": "to see whether a drain looks"}}
        site.stack.client("dynamodb").put_item(TableName=site.ledger, Item=pause)
        self.take(site, "It waits $AAPL")
        return "paused by make iam" in site.said()


@dataclass(frozen=True)
class Backup:
    """The backup of one day."""

    file_type: str

    @property
    def key(self) -> str:
        """Where it is stored."""
        return f"{self.file_type}/{DAY:%Y/%m/%d}/stocktwits_{self.file_type}_{DAY:%Y_%m_%d}.gz"

    def request(self, site: Site) -> None:
        """Hand over a request for it."""
        request = json.dumps({"file_type": self.file_type, "day": DAY.isoformat()})
        site.deliver("FetchBackupsFunction", "BackupRequestsQueue", request)

    def damage(self, site: Site) -> None:
        """Let the next download of it be damaged."""
        site.firestream.fail("flipped-byte", file_type=self.file_type, day=DAY)

    def is_fetched(self, site: Site) -> bool:
        """A backup is stored with its tags."""
        self.request(site)
        stored = site.stored() == [self.key]
        return stored and bool(site.s3.get_object_tagging(Bucket=site.bucket, Key=self.key)["TagSet"])

    def is_fetched_first(self, site: Site) -> bool:
        """A new worker reads the login, and stores a backup."""
        site.restart("FetchBackupsFunction")
        return self.is_fetched(site)

    def is_aborted(self, site: Site) -> bool:
        """Of a damaged backup nothing is left, not even an unfinished upload."""
        self.damage(site)
        self.request(site)
        return not site.uploads()

    def is_noted_as_absent(self, site: Site) -> bool:
        """A backup that Firestream does not have is noted as absent."""
        site.firestream.configure(missing=[(self.file_type, DAY)])
        self.request(site)
        return site.stored() == [f"absent/{self.key.removesuffix('.gz')}.json"]

    def comes_back(self, site: Site) -> bool:
        """A request that could not be fulfilled comes back after its back-off."""
        self.damage(site)
        self.request(site)
        return site.held("BackupRequestsQueue")


def buries_a_request(site: Site) -> bool:
    """A request that cannot be read waits for a person."""
    site.deliver("FetchBackupsFunction", "BackupRequestsQueue", "no JSON")
    return len(site.messages("BackupFailuresQueue")) == 1


def requests_days(site: Site) -> bool:
    """A backfill requests each day."""
    site.invoke(
        "FetchBackupsFunction", {"first_day": "2016-12-01", "last_day": "2016-12-02", "file_types": ["message"]}
    )
    return len(site.messages("BackupRequestsQueue")) == 2  # noqa: PLR2004


def publishes(site: Site) -> bool:
    """Whoever has the policy publishes an alert."""
    site.publish()
    return len(site.messages("OutboxQueue")) == 1


# ---------------------------------------------------------------- which scenario needs which permission
OUTBOX, LEFTOVERS = Edge("PostMessagesFunction", "OutboxQueue"), Edge("DrainLeftoversFunction", "LeftoversQueue")
EDGES = {"PostMessagesRole": OUTBOX, "DrainLeftoversRole": LEFTOVERS}
MESSAGE, ACTIVITY = Backup("message"), Backup("activity")
Wanted = tuple[str, str, str]
"""Who is allowed what on which resource, in the template's names."""

SCENARIOS: dict[Wanted, Scenario] = {
    ("PostMessagesRole", "sqs:ChangeMessageVisibility", "OutboxQueue"): OUTBOX.holds,
    ("DrainLeftoversRole", "sqs:ReceiveMessage", "LeftoversQueue"): LEFTOVERS.posts,
    ("DrainLeftoversRole", "sqs:DeleteMessage", "LeftoversQueue"): LEFTOVERS.posts,
    ("DrainLeftoversRole", "sqs:GetQueueAttributes", "LeftoversQueue"): LEFTOVERS.waits,
    ("DrainLeftoversRole", "sqs:ChangeMessageVisibility", "LeftoversQueue"): LEFTOVERS.holds,
    ("DrainLeftoversRole", "sqs:GetQueueAttributes", "OutboxQueue"): LEFTOVERS.counts_the_outbox,
    **{(role, "sqs:SendMessage", "DeadLetterQueue"): edge.buries for role, edge in EDGES.items()},
    **{(role, "dynamodb:UpdateItem", "LedgerTable"): edge.posts for role, edge in EDGES.items()},
    **{(role, "dynamodb:PutItem", "LedgerTable"): edge.posts for role, edge in EDGES.items()},
    **{(role, "dynamodb:BatchGetItem", "LedgerTable"): edge.posts for role, edge in EDGES.items()},
    **{(role, "ssm:GetParameter", "StockTwitsTokenParameter"): edge.posts_first for role, edge in EDGES.items()},
    **{(role, "s3:GetObject", "ChartBucketName/*"): edge.posts_a_chart for role, edge in EDGES.items()},
    **{(role, "events:PutEvents", "ResultEventBusName"): edge.announces for role, edge in EDGES.items()},
    ("FetchBackupsRole", "sqs:ChangeMessageVisibility", "BackupRequestsQueue"): MESSAGE.comes_back,
    ("FetchBackupsRole", "sqs:SendMessage", "BackupRequestsQueue"): requests_days,
    ("FetchBackupsRole", "sqs:SendMessage", "BackupFailuresQueue"): buries_a_request,
    ("FetchBackupsRole", "s3:ListBucket", "BackupBucket"): MESSAGE.is_fetched,
    **{
        ("FetchBackupsRole", action, f"BackupBucket/{backup.file_type}/*"): scenario
        for backup in (ACTIVITY, MESSAGE)
        for action, scenario in (
            ("s3:PutObject", backup.is_fetched),
            ("s3:AbortMultipartUpload", backup.is_aborted),
            ("s3:PutObjectTagging", backup.is_fetched),
        )
    },
    ("FetchBackupsRole", "s3:PutObject", "BackupBucket/absent/*"): MESSAGE.is_noted_as_absent,
    ("FetchBackupsRole", "ssm:GetParameter", "FirestreamCredentialsParameter"): MESSAGE.is_fetched_first,
    ("PublishPolicy", "sqs:SendMessage", "OutboxQueue"): publishes,
}

# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html names these three for an event source.
_POLLER = "the emulator's poller asks no role; AWS's acts with it"
# https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSLambdaBasicExecutionRole.html names both.
_LOGS = "the emulator writes the log without asking; AWS with the role"
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html: 404 with this permission, 403 without it.
_MISSING = "the emulator calls a missing object missing; S3 calls it forbidden without this"
_QUEUES = {"PostMessagesRole": "OutboxQueue", "FetchBackupsRole": "BackupRequestsQueue"}
_TAKING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
_LOGGING = ("logs:CreateLogStream", "logs:PutLogEvents")

UNTELLABLE: dict[Wanted, str] = {
    **{(role, action, queue): _POLLER for role, queue in _QUEUES.items() for action in _TAKING},
    **{
        (f"{name}Role", action, f"{name}Logs"): _LOGS
        for name in ("PostMessages", "DrainLeftovers", "FetchBackups")
        for action in _LOGGING
    },
    **{(role, "s3:ListBucket", "ChartBucketName"): _MISSING for role in EDGES},
}


# ---------------------------------------------------------------- removing a permission
class Policies:
    """The policies as they are deployed."""

    def __init__(self, stack: Stack) -> None:
        """Look up what the template's names became."""
        self._stack = stack
        self._iam = stack.client("iam")
        found = stack.client("cloudformation").describe_stack_resources(StackName=STACK_NAME)["StackResources"]
        self._physical = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in found}

    def copied(self, role: str) -> boto3.Session:
        """Make a user who may do what a role may, and act as that one."""
        name = self._physical[role]
        self._iam.create_user(UserName=role)
        for policy in self._iam.list_role_policies(RoleName=name)["PolicyNames"]:
            document = self._iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            self._iam.put_user_policy(UserName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
        return _session_of(self._stack, role)

    @contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        """Take a permission away for a while."""
        holder = self._physical[grant.holder]
        swapped = self._managed(holder, grant) if holder.startswith("arn:") else self._inline(holder, grant)
        with swapped:
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
    """Take an action on one resource away; on the statement's other resources it stays."""
    statements = [dict(each) for each in document["Statement"]]
    statement = statements[grant.statement]
    taken = [each for each in statement["Action"] if each in names(grant.action)]
    if not taken:
        raise LookupError(f"{grant} is not in what is deployed")
    resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
    elsewhere = [each for part, each in enumerate(resources) if part != grant.part]
    if elsewhere:
        statements.append({**statement, "Action": taken, "Resource": elsewhere})
    statement["Action"] = [each for each in statement["Action"] if each not in taken] or [NOTHING]
    return {**document, "Statement": statements}


# ---------------------------------------------------------------- what nobody may do with a function's role
class Intruder:
    """Somebody who has what a role is allowed, as it is deployed."""

    def __init__(self, site: Site, policies: Policies, role: str) -> None:
        """Make a user with the role's policies."""
        self.site = site
        self._session = policies.copied(role)

    def client(self, service: str) -> Any:  # noqa: ANN401  its type depends on the name
        """Return a boto3 client that acts with the role's permissions."""
        return self._session.client(service, endpoint_url=self.site.stack.emulator.url)  # type: ignore[call-overload]

    def answer(self, attack: "Attack") -> str:
        """Return the code of AWS's answer; empty when it did what was asked."""
        try:
            attack(self)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""


Attack = Callable[[Intruder], object]

_OF_POSTING: dict[str, Attack] = {
    "delete an operator's pause": lambda by: by.client("dynamodb").delete_item(
        TableName=by.site.ledger, Key={"pk": {"S": "pause"}}
    ),
    "read the ledger as a whole": lambda by: by.client("dynamodb").scan(TableName=by.site.ledger),
    "publish to the Outbox": lambda by: by.client("sqs").send_message(
        QueueUrl=by.site.url("OutboxQueue"), MessageBody="In your name $AAPL"
    ),
    "read Firestream's login": lambda by: by.client("ssm").get_parameter(Name=LOGIN_PARAMETER, WithDecryption=True),
    "replace the account's token": lambda by: by.client("ssm").put_parameter(
        Name=TOKEN_PARAMETER, Type="SecureString", Value="{}", Overwrite=True
    ),
    "see what is in the archive": lambda by: by.client("s3").list_objects_v2(Bucket=by.site.bucket, Prefix="message/"),
}
_OF_BACKUPS: dict[str, Attack] = {
    "write outside the archive's folders": lambda by: by.client("s3").put_object(
        Bucket=by.site.bucket, Key="index.html", Body=b"", IfNoneMatch="*"
    ),
    "write the results of queries": lambda by: by.client("s3").put_object(
        Bucket=by.site.bucket, Key="athena-results/1.csv", Body=b"", IfNoneMatch="*"
    ),
    "begin an upload outside the archive's folders": lambda by: by.client("s3").create_multipart_upload(
        Bucket=by.site.bucket, Key="messages.gz"
    ),
    "list the results of queries": lambda by: by.client("s3").list_objects_v2(
        Bucket=by.site.bucket, Prefix="athena-results/"
    ),
    "list the bucket as a whole": lambda by: by.client("s3").list_objects_v2(Bucket=by.site.bucket),
    "read a backup": lambda by: by.client("s3").get_object(Bucket=by.site.bucket, Key=MESSAGE.key),
    "delete a backup": lambda by: by.client("s3").delete_object(Bucket=by.site.bucket, Key=MESSAGE.key),
    "read the account's token": lambda by: by.client("ssm").get_parameter(Name=TOKEN_PARAMETER, WithDecryption=True),
    "publish to the Outbox": _OF_POSTING["publish to the Outbox"],
}
ATTACKS: dict[str, dict[str, Attack]] = {
    **dict.fromkeys(EDGES, _OF_POSTING),
    "FetchBackupsRole": _OF_BACKUPS,
}
JOBS: dict[str, Attack] = {
    **dict.fromkeys(
        EDGES,
        lambda by: by.client("dynamodb").batch_get_item(
            RequestItems={by.site.ledger: {"Keys": [{"pk": {"S": "gate"}}, {"pk": {"S": "pause"}}]}}
        ),
    ),
    "FetchBackupsRole": lambda by: by.client("s3").list_objects_v2(Bucket=by.site.bucket, Prefix="message/"),
}
"""What each role must be able to do, or a denial of anything else shows nothing."""

_DENIED = frozenset({"AccessDenied", "AccessDeniedException"})


# ---------------------------------------------------------------- the run
@dataclass
class Findings:
    """What came of it.

    Attributes:
        rows: Of each permission: whose it is, the action, the resource, what failed without it, what was said then.
        attacks: Of each attack: with whose role, what was tried, the answer's code.
        wrong: What must not be, in words.
    """

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    attacks: list[tuple[str, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def note(self, grant: Grant, found: str, said: str = "") -> None:
        """Add a permission."""
        self.rows.append((grant.holder, grant.action, grant.resource, found, said))

    def complain(self, grant: Grant, problem: str) -> None:
        """Add a permission that is not as it must be."""
        self.note(grant, problem)
        self.wrong.append(f"{grant.holder}: {grant.action} on {grant.resource}: {problem}")


def grants() -> list[Grant]:
    """Return what the template grants."""
    return granted(yaml_parse((ROOT / "template.yaml").read_text()))


def examine(site: Site, policies: Policies, say: Callable[[str], None]) -> Findings:
    """Run each scenario with every permission, and then without each that it is for."""
    findings = Findings()
    for scenario in dict.fromkeys(SCENARIOS.values()):
        say(f"with every permission: {_title(scenario)}")
        site.clear()
        if not scenario(site):
            findings.wrong.append(f"{_title(scenario)} It did not, although nothing was removed: {site.said()}")
    for grant in grants():
        wanted = grant.holder, grant.action, grant.resource
        if wanted in UNTELLABLE:
            findings.note(grant, f"cannot tell: {UNTELLABLE[wanted]}")
            continue
        if wanted not in SCENARIOS:
            findings.complain(grant, "no scenario of verification/reliability/iam.py exercises it")
            continue
        say(f"without {grant.holder}'s {grant.action} on {grant.resource}")
        site.clear()
        with policies.without(grant):
            works = SCENARIOS[wanted](site)
        if works:
            findings.complain(grant, f"superfluous? Without it, too: {_title(SCENARIOS[wanted])}")
        else:
            findings.note(grant, f"fails: {_title(SCENARIOS[wanted])}", site.said())
    return findings


def attack(site: Site, policies: Policies, findings: Findings, say: Callable[[str], None]) -> None:
    """Try what must be denied, with what each role is allowed."""
    site.clear()
    for role, attacks in ATTACKS.items():
        intruder = Intruder(site, policies, role)
        if answer := intruder.answer(JOBS[role]):
            findings.wrong.append(f"{role}: not even its own job is allowed ({answer})")
        for words, tried in attacks.items():
            say(f"with {role}: {words}")
            answer = intruder.answer(tried)
            findings.attacks.append((role, words, answer or "done"))
            if answer not in _DENIED:
                findings.wrong.append(f"{role}: whoever has it can {words} ({answer or 'it was done'})")


def show(findings: Findings, console: Console) -> None:
    """Print a row for each permission and each attack, and what is wrong."""
    for columns, rows in ((COLUMNS, findings.rows), (ATTACK_COLUMNS, findings.attacks)):
        table = Table(*columns)
        for row in rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for line in findings.wrong:
        console.print(line, style="red", markup=False)


def section(findings: Findings) -> str:
    """Return the findings for the page, permissions alike in one row, and without what holds names of one run."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for holder, *what, _ in findings.rows:
        alike.setdefault(tuple(what), []).append(holder)
    rows = [[", ".join(holders), f"`{action}`", f"`{on}`", found] for (action, on, found), holders in alike.items()]
    told = sum(found.startswith("fails") for _, _, _, found, _ in findings.rows)
    tried: dict[tuple[str, str], list[str]] = {}
    for role, words, answer in findings.attacks:
        tried.setdefault((words, answer), []).append(role)
    attacks = [[", ".join(roles), words, f"`{answer}`"] for (words, answer), roles in tried.items()]
    return f"""## Permissions

The functions' roles and the policy for publishers allow {len(findings.rows)} actions, each on a resource of its own.
`make iam` takes each away in turn, with IAM enforced by the emulator, and does what it is for: {told} were missed.
Of the others the emulator cannot tell.

{page.table(COLUMNS[:-1], rows)}

Then it acts as somebody who took over a function, with what the function's role is allowed:

{page.table(ATTACK_COLUMNS, attacks)}

The emulator does not know the conditions on the ledger's items, on an event's source and on replacing what is stored.
Tests judge by these as AWS does: `tests/project/test_roles.py` tries what each is against, and every call that a
function makes in an integration test has to pass them."""


def _title(scenario: Scenario) -> str:
    return (scenario.__doc__ or "").strip()


def main() -> int:
    """Print the findings and put them on the page; 0 only if no permission is superfluous, and none unknown here."""
    console = Console(highlight=False)

    def say(step: str) -> None:
        console.print(step, style="dim", markup=False)

    try:
        with Stack({**PACE, "ResultEventBusName": "default"}, say=console.print, enforce_iam=True) as stack:
            site, policies = Site(stack), Policies(stack)
            findings = examine(site, policies, say)
            attack(site, policies, findings, say)
    except (BuildError, EmulatorError) as error:
        console.print(str(error), style="red", markup=False)
        return 1
    show(findings, console)
    if findings.wrong:
        return 1
    page.write("permissions", section(findings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
