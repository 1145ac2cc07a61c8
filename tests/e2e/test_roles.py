"""The functions at work with IAM enforced: their roles allow all that they need."""

import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from samcli.yamlhelper import yaml_dump, yaml_parse

from local.stack import CHART_BUCKET, CHART_KEY, PACE, Stack

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
BATCH_NAMES = {
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}


def for_the_emulator(template: dict[str, Any]) -> dict[str, Any]:
    """Fit the template to an emulator that speaks no TLS, and that asks for a batch call's own name.

    On AWS the permission for a batch call is that of the single call:
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html.
    """
    resources = template["Resources"]
    tls_only = ("AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy")
    for name in [name for name, each in resources.items() if each["Type"] in tls_only]:
        del resources[name]
    for role in ("PostMessagesRole", "DrainLeftoversRole", "FetchBackupsRole"):
        statement = resources[role]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]
        statement["Action"] += [BATCH_NAMES[action] for action in statement["Action"] if action in BATCH_NAMES]
    return template


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("roles")
    template = folder / "template.yaml"
    template.write_text(yaml_dump(for_the_emulator(yaml_parse((ROOT / "template.yaml").read_text()))))
    with Stack(
        PACE, say=lambda _: None, template=template, build_directory=folder / "build", enforce_iam=True
    ) as running:
        yield running


def eventually(check: Any, seconds: float = 60) -> None:
    """Wait until a check on the running stack holds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.2)


def waiting(stack: Stack, queue: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.outputs[f"{queue}Url"], AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def test_the_outbox_edge_may_do_all_that_it_does(guarded: Stack) -> None:
    sqs, url = guarded.client("sqs"), guarded.outputs["OutboxQueueUrl"]
    guarded.stocktwits.fail("reset-before", text="held", times=1)
    for body in (
        "Plain $AAPL",
        json.dumps({"body": "With a chart $AAPL", "chart": f"s3://{CHART_BUCKET}/{CHART_KEY}"}),
        "held back once $AAPL",
        json.dumps({"body": "Chart not there $AAPL", "chart": f"s3://{CHART_BUCKET}/missing.png"}),
    ):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    eventually(lambda: len(guarded.stocktwits.posts) == 3)
    eventually(lambda: waiting(guarded, "OutboxQueue") == 0)
    (dead,) = sqs.receive_message(
        QueueUrl=guarded.outputs["DeadLetterQueueUrl"], WaitTimeSeconds=5, MessageAttributeNames=["All"]
    )["Messages"]
    assert "there is no object" in dead["MessageAttributes"]["RejectReason"]["StringValue"]
    assert "AccessDenied" not in logs(guarded)


def test_the_drain_may_do_all_that_it_does(guarded: Stack) -> None:
    guarded.stocktwits.reset()
    guarded.stocktwits.fail("reset-after", text="held")
    sqs = guarded.client("sqs")
    for body in ("Left over $MSFT", "left over and held $MSFT", '{"body": 1}'):
        sqs.send_message(QueueUrl=guarded.outputs["LeftoversQueueUrl"], MessageBody=body)
    guarded.client("lambda").invoke(FunctionName=guarded.outputs["DrainLeftoversFunctionName"])
    eventually(lambda: len(guarded.stocktwits.posts) == 2)  # the schedule's own drain may have been faster
    eventually(lambda: waiting(guarded, "LeftoversQueue") == 1)
    assert "AccessDenied" not in logs(guarded)


def test_the_edge_of_backups_may_do_all_that_it_does(guarded: Stack) -> None:
    sqs, functions = guarded.client("sqs"), guarded.client("lambda")
    missing, cut = date(2016, 12, 3), date(2016, 12, 4)
    guarded.firestream.configure(missing=[("message", missing)])
    guarded.firestream.fail("cut", file_type="message", day=cut, times=None)

    def invoke(event: dict[str, str]) -> dict[str, Any]:
        answer = functions.invoke(FunctionName=guarded.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event))
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result

    nightly = invoke({"run": "nightly"})
    assert nightly["stored"] == 14
    assert invoke({"first_day": "2016-12-01", "last_day": "2016-12-04"})["queued"] == 8
    sqs.send_message(QueueUrl=guarded.outputs["BackupRequestsQueueUrl"], MessageBody="no JSON")
    eventually(lambda: len(keys(guarded, "message/2016/")) == 2)
    eventually(lambda: len(keys(guarded, "activity/2016/")) == 4)
    eventually(lambda: len(keys(guarded, "absent/message/2016/")) == 1)
    eventually(lambda: waiting(guarded, "BackupFailuresQueue") == 1)
    eventually(lambda: waiting(guarded, "BackupRequestsQueue") == 1)  # the cut one, held
    uploads = guarded.client("s3").list_multipart_uploads(Bucket=guarded.outputs["BackupBucketName"])
    assert "Uploads" not in uploads
    assert "AccessDenied" not in logs(guarded)
    assert "without tags" not in logs(guarded)


def keys(stack: Stack, prefix: str) -> list[str]:
    answer = stack.client("s3").list_objects_v2(Bucket=stack.outputs["BackupBucketName"], Prefix=prefix)
    return [each["Key"] for each in answer.get("Contents", [])]


def logs(stack: Stack) -> str:
    client = stack.client("logs")
    return "".join(
        event["message"]
        for group in client.describe_log_groups()["logGroups"]
        for event in client.filter_log_events(logGroupName=group["logGroupName"])["events"]
    )
