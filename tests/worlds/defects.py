"""What may be wrong with a deployed relay: each is put in through AWS's own calls, and taken out again at the end.

The same defects are put into each world; see `Deployed`.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.worlds.cli import DONE, FAILED
from tests.worlds.doctor import Deployed, policy

TOKEN, LOGIN = "/stocktwits-relay/token", "/stocktwits-relay/firestream"
ANYBODY = {"Sid": "Anybody", "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage"}


@dataclass(frozen=True)
class Defect:
    """A defect, and the line that shows it."""

    put_in: Callable[[Deployed], AbstractContextManager[None]]
    check: str
    state: str
    words: str
    what_to_do: str

    @property
    def name(self) -> str:
        return self.put_in.__name__


DEFECTS: list[Defect] = []


def shows(check: str, state: str, words: str, what_to_do: str) -> Callable[[Callable[[Deployed], Iterator[None]]], Any]:
    """Add a defect to the list: the check that shows it, its state, and words of the line and of what to do."""

    def add(put_in: Callable[[Deployed], Iterator[None]]) -> Any:
        defect = Defect(contextmanager(put_in), check, state, words, what_to_do)
        DEFECTS.append(defect)
        return defect

    return add


def rounds(defects: list[Defect]) -> list[list[Defect]]:
    """Divide defects so that those of a round can be put in at the same time, and each has a line of its own."""
    found: list[list[Defect]] = [[] for _ in defects]
    for defect in defects:
        next(each for each in found if _about(defect) not in map(_about, each)).append(defect)
    return [each for each in found if each]


def _about(defect: Defect) -> str:
    return "token" if defect.check == "stocktwits" else defect.check


def check_lines(deployed: Deployed, defects: list[Defect]) -> None:
    """Put defects in, and look for the line of each and for the exit code."""
    with ExitStack() as put_in:
        for defect in defects:
            put_in.enter_context(defect.put_in(deployed))
        report = deployed.doctor()
    for defect in defects:
        line = report.line(defect.check)
        assert line["state"] == defect.state, line
        assert (defect.words in line["text"], defect.what_to_do in line["what_to_do"]) == (True, True), line
    assert report.code == (FAILED if "broken" in {each.state for each in defects} else DONE)


# The secrets


@contextmanager
def stored(deployed: Deployed, name: str, value: object, **how: Any) -> Iterator[None]:
    """Store another value under a parameter's name."""
    ssm = deployed.client("ssm")
    before = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    ssm.delete_parameter(Name=name)
    text = value if isinstance(value, str) else json.dumps(value)
    ssm.put_parameter(**{"Name": name, "Type": "SecureString", "Value": text} | how)
    yield
    ssm.delete_parameter(Name=name)
    ssm.put_parameter(Name=name, Type="SecureString", Value=before)


@contextmanager
def removed(deployed: Deployed, name: str) -> Iterator[None]:
    ssm = deployed.client("ssm")
    before = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    ssm.delete_parameter(Name=name)
    yield
    ssm.put_parameter(Name=name, Type="SecureString", Value=before)


def token_of(deployed: Deployed, **changes: object) -> dict[str, object]:
    account = deployed.stocktwits
    return {"access_token": account.access_token, "username": account.username, "user_id": account.user_id} | changes


@shows("token", "broken", "there is no parameter /stocktwits-relay/token", "relay login")
def no_token(deployed: Deployed) -> Iterator[None]:
    with removed(deployed, TOKEN):
        yield


@shows("token", "broken", "does not contain a JSON object with access_token", "relay login")
def token_alone(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, TOKEN, deployed.stocktwits.access_token):
        yield


@shows("token", "warning", "is not encrypted", "relay login")
def token_in_the_open(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, TOKEN, token_of(deployed), Type="String"):
        yield


@shows("token", "warning", "the functions' roles have no kms:Decrypt", "the account's own key: relay login")
def token_under_another_key(deployed: Deployed) -> Iterator[None]:
    key = deployed.client("kms").create_key()["KeyMetadata"]["KeyId"]
    with stored(deployed, TOKEN, token_of(deployed), KeyId=key):
        yield


@shows("token", "broken", "its scope does not allow posting: read", "authorize again")
def token_to_read_with(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, TOKEN, token_of(deployed, scope="read")):
        yield


@shows("stocktwits", "broken", "the token belongs to @relay_demo (4242), and the parameter names", "relay login")
def token_of_another_account(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, TOKEN, token_of(deployed, user_id=7)):
        yield


@shows("stocktwits", "warning", "the parameter names @somebody: links to posts are wrong", "relay login")
def token_with_another_name(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, TOKEN, token_of(deployed, username="somebody")):
        yield


@shows("stocktwits", "broken", "StockTwits refuses the token (401", "relay login")
def token_revoked(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, TOKEN, token_of(deployed, access_token="revoked")):
        yield


@shows("firestream", "broken", "there is no parameter /stocktwits-relay/firestream", "relay login firestream")
def no_login(deployed: Deployed) -> Iterator[None]:
    with removed(deployed, LOGIN):
        yield


@shows("firestream", "broken", "does not contain a JSON object with username and password", "relay login firestream")
def login_without_password(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, LOGIN, {"username": "demo-user"}):
        yield


@shows("firestream", "broken", "Firestream refused the login of demo-user (401", "relay login firestream")
def login_with_another_password(deployed: Deployed) -> Iterator[None]:
    with stored(deployed, LOGIN, {"username": "demo-user", "password": "another"}):
        yield


# StockTwits as it is reached from here


@contextmanager
def failing(deployed: Deployed, fault: str, **details: object) -> Iterator[None]:
    deployed.stocktwits.fail(fault, path="account/verify", **details)
    yield


@shows("stocktwits", "warning", "bot protection blocks this computer (403)", "do not try again")
def blocked(deployed: Deployed) -> Iterator[None]:
    with failing(deployed, "403-html"):
        yield


@shows("stocktwits", "broken", "200 with a page, where JSON was expected", "check StockTwitsApiUrl")
def a_page(deployed: Deployed) -> Iterator[None]:
    with failing(deployed, "not-json"):
        yield


@shows("stocktwits", "warning", "StockTwits answered 503", "try again in some minutes")
def unavailable(deployed: Deployed) -> Iterator[None]:
    with failing(deployed, "5xx-before", status=503):
        yield


@shows("stocktwits", "warning", "StockTwits answered 429: Rate limit exceeded", "try again in some minutes")
def rate_limited(deployed: Deployed) -> Iterator[None]:
    with failing(deployed, "429"):
        yield


# Queues


@contextmanager
def attributes(deployed: Deployed, queue: str, **changes: str) -> Iterator[None]:
    """Change a queue's attributes."""
    sqs, url = deployed.client("sqs"), deployed.outputs[f"{queue}QueueUrl"]
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(changes)).get("Attributes", {})
    sqs.set_queue_attributes(QueueUrl=url, Attributes=changes)
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: before.get(name, "") for name in changes})


def statements(deployed: Deployed, queue: str) -> list[dict[str, Any]]:
    answer = deployed.client("sqs").get_queue_attributes(
        QueueUrl=deployed.outputs[f"{queue}QueueUrl"], AttributeNames=["Policy"]
    )
    found: list[dict[str, Any]] = json.loads(answer.get("Attributes", {}).get("Policy", "{}")).get("Statement", [])
    return found


@shows("queue-outbox", "broken", "its policy lets others use it", "remove that statement")
def outbox_open_to_anybody(deployed: Deployed) -> Iterator[None]:
    loose = ANYBODY | {"Resource": deployed.outputs["OutboxQueueArn"]}
    with attributes(deployed, "Outbox", Policy=policy(*statements(deployed, "Outbox"), loose)):
        yield


@shows("queue-outbox", "broken", "its policy does not let", "PublisherArns")
def publishers_left_out(deployed: Deployed) -> Iterator[None]:
    kept = [each for each in statements(deployed, "Outbox") if each["Effect"] == "Deny"]
    with attributes(deployed, "Outbox", Policy=policy(*kept) if kept else ""):
        yield


@shows("queue-dead-letters", "warning", "its policy does not refuse plain HTTP", "TlsOnly")
def plain_http(deployed: Deployed) -> Iterator[None]:
    with attributes(deployed, "DeadLetter", Policy=""):
        yield


@shows("queue-outbox", "broken", "what fails again and again moves nowhere", "stocktwits-relay-leftovers")
def no_way_to_leftovers(deployed: Deployed) -> Iterator[None]:
    with attributes(deployed, "Outbox", RedrivePolicy=""):
        yield


@shows("queue-leftovers", "warning", "messages move on after 5 receives", "maximum receives 200")
def given_up_early(deployed: Deployed) -> Iterator[None]:
    redrive = {"deadLetterTargetArn": deployed.outputs["DeadLetterQueueArn"], "maxReceiveCount": 5}
    with attributes(deployed, "Leftovers", RedrivePolicy=json.dumps(redrive)):
        yield


@contextmanager
def message(deployed: Deployed, queue: str) -> Iterator[None]:
    sqs, url = deployed.client("sqs"), deployed.outputs[f"{queue}QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="It never came about $AAPL")
    yield
    sqs.purge_queue(QueueUrl=url)


@shows("dead-letters", "warning", "1 message waits for you", "relay dead list")
def a_dead_letter(deployed: Deployed) -> Iterator[None]:
    with message(deployed, "DeadLetter"):
        yield


@shows("backup-failures", "warning", "1 message waits for you", "relay backups")
def a_backup_failure(deployed: Deployed) -> Iterator[None]:
    with message(deployed, "BackupFailures"):
        yield


# What runs the functions, and what they leave


@shows("trigger-outbox", "broken", "nothing takes messages from Outbox", "update-event-source-mapping --uuid")
def trigger_disabled(deployed: Deployed) -> Iterator[None]:
    functions, uuid = deployed.client("lambda"), deployed.resource("PostMessagesFunctionOutbox")
    functions.update_event_source_mapping(UUID=uuid, Enabled=False)
    yield
    functions.update_event_source_mapping(UUID=uuid, Enabled=True)


@shows("trigger-backup-requests", "broken", "it does not report failed messages one by one", "ReportBatchItemFailures")
def whole_batches(deployed: Deployed) -> Iterator[None]:
    functions, uuid = deployed.client("lambda"), deployed.resource("FetchBackupsFunctionRequests")
    functions.update_event_source_mapping(UUID=uuid, FunctionResponseTypes=[])
    yield
    functions.update_event_source_mapping(UUID=uuid, FunctionResponseTypes=["ReportBatchItemFailures"])


@shows("function-drain-leftovers", "broken", "its reserved concurrency is 0", "delete-function-concurrency")
def never_run(deployed: Deployed) -> Iterator[None]:
    functions, name = deployed.client("lambda"), deployed.outputs["DrainLeftoversFunctionName"]
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    yield
    functions.delete_function_concurrency(FunctionName=name)


@contextmanager
def rescheduled(deployed: Deployed, logical_id: str, **changes: Any) -> Iterator[None]:
    scheduler, name = deployed.client("scheduler"), deployed.resource(logical_id)
    found = scheduler.get_schedule(Name=name)
    names = ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target", "State")
    before = {key: found[key] for key in names if key in found}
    scheduler.update_schedule(**before | changes)
    yield
    scheduler.update_schedule(**before)


@shows("schedule-drain-leftovers", "broken", "stocktwits-relay-drain-leftovers is disabled", "enable it")
def drain_disabled(deployed: Deployed) -> Iterator[None]:
    with rescheduled(deployed, "DrainLeftoversFunctionEveryMinute", State="DISABLED"):
        yield


@shows("schedule-nightly", "broken", "not FetchBackups", "BackupsEnabled=false")
def nights_of_another_function(deployed: Deployed) -> Iterator[None]:
    target = deployed.client("scheduler").get_schedule(Name=deployed.resource("FetchBackupsFunctionNightly"))["Target"]
    elsewhere = target | {"Arn": target["Arn"] + "-old"}
    with rescheduled(deployed, "FetchBackupsFunctionNightly", Target=elsewhere):
        yield


def log(deployed: Deployed, group: str, **fields: object) -> None:
    """Let CloudWatch have a line of a function's log."""
    logs, name, stream = deployed.client("logs"), deployed.resource(group), f"stream-{time.monotonic_ns()}"
    logs.create_log_stream(logGroupName=name, logStreamName=stream)
    event = {"timestamp": round(deployed.now() * 1000), "message": json.dumps(fields)}
    logs.put_log_events(logGroupName=name, logStreamName=stream, logEvents=[event])


@shows("errors-fetch-backups", "warning", "the invocation failed (KeyError: 'day')", "sam logs")
def an_error_in_a_log(deployed: Deployed) -> Iterator[None]:
    """It stays: CloudWatch cannot take back a line."""
    trace = "Traceback (most recent call last):\n  …\nKeyError: 'day'"
    log(deployed, "FetchBackupsLogs", level="ERROR", message="the invocation failed", exception=trace)
    yield


# The gate, the pace and the alarms


@shows("gate", "warning", "closed until `relay resume`: paused by Ann: earnings", "relay resume")
def paused(deployed: Deployed) -> Iterator[None]:
    dynamodb, table = deployed.client("dynamodb"), deployed.outputs["LedgerTableName"]
    pause = {"pk": {"S": "pause"}, "who": {"S": "Ann"}, "why": {"S": "earnings"}}
    dynamodb.put_item(TableName=table, Item=pause)
    yield
    dynamodb.delete_item(TableName=table, Key={"pk": pause["pk"]})


@shows("alarms", "warning", "raised now: stocktwits-relay-dead-letters", "docs/operating.md")
def alarm_raised(deployed: Deployed) -> Iterator[None]:
    cloudwatch, name = deployed.client("cloudwatch"), deployed.resource("DeadLettersAlarm")
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    yield
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")


@shows("alarms", "warning", "not announced to anybody: stocktwits-relay-dead-letters", "enable-alarm-actions")
def alarm_silenced(deployed: Deployed) -> Iterator[None]:
    cloudwatch, name = deployed.client("cloudwatch"), deployed.resource("DeadLettersAlarm")
    cloudwatch.disable_alarm_actions(AlarmNames=[name])
    yield
    cloudwatch.enable_alarm_actions(AlarmNames=[name])


@shows("alarm-topic", "warning", "does not receive the alarms", "aws sns subscribe")
def unsubscribed(deployed: Deployed) -> Iterator[None]:
    sns, topic = deployed.client("sns"), deployed.outputs["AlarmTopicArn"]
    before = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    for each in before:
        sns.unsubscribe(SubscriptionArn=each["SubscriptionArn"])
    yield
    for each in before:
        sns.subscribe(TopicArn=topic, Protocol=each["Protocol"], Endpoint=each["Endpoint"])


@shows("pace", "warning", "100,000 messages came yesterday (UTC)", "raise MaxPostsPerHour")
def too_many_for_the_pace(deployed: Deployed) -> Iterator[None]:
    """It stays: CloudWatch cannot take back a number."""
    yesterday = datetime.fromtimestamp(deployed.now(), UTC) - timedelta(days=1)
    metric = {
        "MetricName": "NumberOfMessagesSent",
        "Dimensions": [{"Name": "QueueName", "Value": deployed.outputs["OutboxQueueName"]}],
        "Timestamp": yesterday,
        "Value": 100_000,
    }
    deployed.client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[metric])
    yield
