"""A healthy deployed relay for `relay doctor`, and what it reports.

moto answers as AWS. It lacks Lambda without Docker, so `FakeLambda` answers in its place: what a function and an event
source mapping look like is from https://docs.aws.amazon.com/lambda/latest/api/API_Reference.html.
"""

import json
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from functools import cache
from types import SimpleNamespace
from typing import Any, Protocol

import boto3
from relay.posting.webhook.sources import encode, new_secret, new_source
from relay_cli.deployed import stack
from relay_cli.doctor import deployment
from relay_cli.doctor.checklist import checks
from relay_cli.doctor.runner import run

from local.stand_ins.firestream.server import FirestreamStandIn
from local.stand_ins.stocktwits.server import StandIn
from tests.worlds.aws import ACCOUNT, REGION, new_session, stubbed_answer
from tests.worlds.backups import ARCHIVE, LOGIN_PARAMETER
from tests.worlds.cli import STACK, WEBHOOK_PARAMETER, CliHarness, session

NOTIFY_PARAMETER = "/stocktwits-relay/notify-url"
MAIL = "owner@example.com"
TOPIC_ARN = f"arn:aws:sns:{REGION}:{ACCOUNT}:stocktwits-relay-alarms"
PUBLISHER = f"arn:aws:sns:{REGION}:{ACCOUNT}:alerts"
OUTBOX_TRIGGER, REQUESTS_TRIGGER = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
FUNCTIONS = {"PostMessages": "post-messages", "DrainLeftovers": "drain-leftovers", "FetchBackups": "fetch-backups"}
ALARMS = {"DeadLettersAlarm": "stocktwits-relay-dead-letters", "BackupsLateAlarm": "stocktwits-relay-backups-late"}
REDRIVES = {"Outbox": ("Leftovers", 3), "Leftovers": ("DeadLetter", 200), "BackupRequests": ("BackupFailures", 50)}
QUEUES = ("Outbox", "Leftovers", "DeadLetter", "BackupRequests", "BackupFailures")


@dataclass
class Report:
    """What `relay doctor --json` said, and how it ended."""

    code: int
    findings: list[dict[str, str]]

    def line(self, check: str) -> dict[str, str]:
        (found,) = [each for each in self.findings if each["check"] == check]
        return found

    def state(self, check: str) -> str:
        return self.line(check)["state"]

    def not_ok(self) -> dict[str, str]:
        """The checks that are not ok, with their states."""
        return {each["check"]: each["state"] for each in self.findings if each["state"] != "ok"}


class Deployed(Protocol):
    """A deployed relay, wherever it is: what a defect is put into, and what the doctor looks at."""

    stocktwits: StandIn
    firestream: FirestreamStandIn
    outputs: dict[str, str]

    def now(self) -> float:
        """The moment, in seconds since the epoch."""

    def client(self, service: str) -> Any:
        """The tests' own client."""

    def resource(self, logical_id: str) -> str:
        """The physical id of a resource of the template."""

    def doctor(self) -> Report:
        """Run `relay doctor`."""


def queue_arn(url: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{url.rpartition('/')[2]}"


def tls_only(arn: str) -> dict[str, Any]:
    condition = {"Bool": {"aws:SecureTransport": "false"}}
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn,
        "Condition": condition,
    }


def publishers(arn: str, *topics: str) -> dict[str, Any]:
    return {
        "Sid": "Publishers",
        "Effect": "Allow",
        "Principal": {"Service": ["sns.amazonaws.com", "events.amazonaws.com"]},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": list(topics)}},
    }


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@dataclass
class FakeLambda:
    """Lambda, as far as the doctor asks it, and as far as a defect changes it."""

    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)
    mappings: dict[str, dict[str, Any]] = field(default_factory=dict)
    unreserved: int = 1000

    def answer(self, operation: str, path: str, sent: dict[str, Any]) -> dict[str, Any] | str:
        """Its answer to a call, or an error's code."""
        name = [*path.strip("/").split("/"), ""][2]
        found: dict[str, Any] | str = {}
        match operation:
            case "GetAccountSettings":
                limit = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self.unreserved}
                found = {"AccountLimit": limit}
            case "GetFunctionConfiguration":
                found = self.functions.get(name, "ResourceNotFoundException")
            case "GetFunctionConcurrency" if name in self.reserved:
                found = {"ReservedConcurrentExecutions": self.reserved[name]}
            case "PutFunctionConcurrency":
                self.reserved[name] = sent["ReservedConcurrentExecutions"]
            case "DeleteFunctionConcurrency":
                del self.reserved[name]
            case "GetEventSourceMapping":
                found = self.mappings.get(name, "ResourceNotFoundException")
            case "UpdateEventSourceMapping":
                mapping = self.mappings[name]
                if "Enabled" in sent:
                    mapping["State"] = "Enabled" if sent["Enabled"] else "Disabled"
                mapping |= {key: value for key, value in sent.items() if key in mapping}
        return found


class DoctorWorld:
    """The command's world, with all that the template deploys."""

    def __init__(self, cli: CliHarness, firestream: FirestreamStandIn) -> None:
        self.cli = cli.with_backups("activity,message")
        self.stocktwits, self.firestream = cli.world.stand_in, firestream
        self.outputs = cli.outputs
        self.functions = FakeLambda()
        self.resources: dict[str, str] = {name: name for name in cli.log_groups} | dict(ALARMS)
        self.clock_ahead_seconds = 0.0
        self.denied: set[str] = set()
        self.statuses: dict[str, str] = {}
        _FAKES[:] = [self]
        cli.answers = self.answer
        self._create()

    def now(self) -> float:
        return self.cli.world.clock()

    def client(self, service: str) -> Any:
        return _client(service)

    def resource(self, logical_id: str) -> str:
        return self.resources[logical_id]

    def doctor(self) -> Report:
        done = self.cli("doctor", "--json")
        return Report(done.code, done.json)

    def line(self, check: str) -> dict[str, str]:
        """Run a single check; its line."""
        deployed = deployment.read(stack.find(session(), STACK), self.now())
        (finding,) = run({check: checks(deployed)[check]})
        return asdict(finding)

    def answer(self, operation: str, path: str, sent: dict[str, Any]) -> Any:
        """What AWS answers where moto does not, or knows another time; None to let moto answer."""
        if operation in self.denied:
            return "AccessDeniedException"
        if operation == "GetCallerIdentity":
            date = formatdate(self.cli.world.clock() - self.clock_ahead_seconds, usegmt=True)
            who = {"Arn": f"arn:aws:iam::{ACCOUNT}:user/ann", "Account": ACCOUNT, "UserId": "AIDA"}
            return who | {"ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {"date": date}}}
        if operation == "ListStackResources":
            listed = [
                {
                    "LogicalResourceId": name,
                    "PhysicalResourceId": value,
                    "ResourceStatus": self.statuses.get(name, "CREATE_COMPLETE"),
                }
                for name, value in self.resources.items()
            ]
            return {"StackResourceSummaries": listed}
        if "functions/" in path or "event-source-mappings/" in path or operation == "GetAccountSettings":
            return self.functions.answer(operation, path, sent)
        return None

    def create_alarm(self, name: str, topic: str) -> None:
        self.client("cloudwatch").put_metric_alarm(
            AlarmName=name,
            MetricName="Errors",
            Namespace="AWS/Lambda",
            Statistic="Sum",
            Period=300,
            EvaluationPeriods=1,
            Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
            AlarmActions=[topic],
        )

    def _create(self) -> None:
        urls = {name: self.outputs[f"{name}QueueUrl"] for name in QUEUES}
        for name, url in urls.items():
            arn = queue_arn(url)
            self.outputs[f"{name}QueueArn"] = arn
            allowed = [publishers(arn, PUBLISHER)] if name == "Outbox" else []
            attributes = {"Policy": policy(tls_only(arn), *allowed)}
            if name in REDRIVES:
                target, receives = REDRIVES[name]
                redrive = {"deadLetterTargetArn": queue_arn(urls[target]), "maxReceiveCount": receives}
                attributes["RedrivePolicy"] = json.dumps(redrive)
            self.client("sqs").set_queue_attributes(QueueUrl=url, Attributes=attributes)
        self._create_functions()
        self.client("sns").create_topic(Name=TOPIC_ARN.rpartition(":")[2])
        self.client("sns").subscribe(TopicArn=TOPIC_ARN, Protocol="email", Endpoint=MAIL)
        self.outputs["AlarmTopicArn"] = TOPIC_ARN
        for name in ALARMS.values():
            self.create_alarm(name, TOPIC_ARN)
        login = {"username": self.firestream.username, "password": self.firestream.password}
        self.client("ssm").put_parameter(Name=LOGIN_PARAMETER, Type="SecureString", Value=json.dumps(login))
        self.cli.parameters |= {
            "FirestreamUrl": self.firestream.url,
            "FirestreamCredentialsParameter": LOGIN_PARAMETER,
            "AlarmEmail": MAIL,
            "PublisherArns": PUBLISHER,
        }
        self.outputs["BackupBucketName"] = ARCHIVE

    def with_webhook(self, url: str, *sources: str) -> "DoctorWorld":
        """Switch the webhook on at an address, with a source for each of these names."""
        self.outputs["WebhookUrl"] = url
        self._create_function("ReceiveAlerts", "receive-alerts")
        self.resources["ReceiveAlertsLogs"] = "ReceiveAlertsLogs"
        self.client("logs").create_log_group(logGroupName="ReceiveAlertsLogs")
        self.store_sources(*sources)
        return self

    def with_notices(self) -> "DoctorWorld":
        """Switch notices on; their address is still to be stored."""
        self.cli.parameters["NotifyUrlParameter"] = NOTIFY_PARAMETER
        self._create_function("SendNotices", "send-notices")
        self.resources["SendNoticesLogs"] = "SendNoticesLogs"
        self.client("logs").create_log_group(logGroupName="SendNoticesLogs")
        return self

    def store_sources(self, *names: str) -> None:
        """Store sources for the webhook."""
        value = encode({name: new_source(new_secret(), added="2026-11-20") for name in names})
        self.client("ssm").put_parameter(Name=WEBHOOK_PARAMETER, Type="SecureString", Value=value, Overwrite=True)

    def _create_function(self, name: str, deployed: str) -> None:
        self.outputs[f"{name}FunctionName"] = deployed
        self.functions.functions[deployed] = {
            "FunctionName": deployed,
            "Runtime": "python3.13",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "Layers": [{"Arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:RelayLayer:1"}],
        }

    def _create_functions(self) -> None:
        for name, deployed in FUNCTIONS.items():
            self._create_function(name, deployed)
        for logical_id, uuid, queue, function in (
            ("PostMessagesFunctionOutbox", OUTBOX_TRIGGER, "Outbox", "post-messages"),
            ("FetchBackupsFunctionRequests", REQUESTS_TRIGGER, "BackupRequests", "fetch-backups"),
        ):
            self.resources[logical_id] = uuid
            self.functions.mappings[uuid] = {
                "UUID": uuid,
                "State": "Enabled",
                "EventSourceArn": self.outputs[f"{queue}QueueArn"],
                "FunctionArn": function_arn(function),
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
            }
        for logical_id, name, expression, function in (
            ("DrainLeftoversFunctionEveryMinute", f"{STACK}-drain-leftovers", "rate(1 minute)", "drain-leftovers"),
            ("FetchBackupsFunctionNightly", f"{STACK}-nightly", "rate(1 day)", "fetch-backups"),
        ):
            self.resources[logical_id] = name
            self.client("scheduler").create_schedule(
                Name=name,
                ScheduleExpression=expression,
                FlexibleTimeWindow={"Mode": "OFF"},
                Target={"Arn": function_arn(function), "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/schedules"},
            )


def function_arn(name: str) -> str:
    return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"


_FAKES: list[DoctorWorld] = []


@cache
def _session() -> boto3.session.Session:
    """The tests' own way to AWS, made once; the fake Lambda answers here, too."""
    own = new_session()
    own.events.register("before-call.lambda.*", _answer_call)
    return own


@cache
def _client(service: str) -> Any:
    return _session().client(service)


def _answer_call(model: Any, params: Any, **_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
    sent = json.loads(params["body"]) if params.get("body") else {}
    found = _FAKES[-1].functions.answer(model.name, params["url_path"], sent)
    return stubbed_answer(found if isinstance(found, str) else lambda _: found, sent)
