"""The functions with IAM enforced: their roles allow all that they need."""

import json
import time
from datetime import date
from typing import Any

import pytest
from relay.backups.backup import Backup
from relay.backups.events import IfStored, Request

from local.stack.stack import CHART_BUCKET, CHART_KEY, Stack
from tests.e2e.denials import denials
from tests.e2e.leaks import logs

pytestmark = pytest.mark.e2e


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


def test_the_role_of_post_messages_allows_all_that_it_does(stack: Stack) -> None:
    sqs, url = stack.client("sqs"), stack.outputs["OutboxQueueUrl"]
    stack.stocktwits.fail("reset-before", text="held", times=1)
    for body in (
        "Plain $AAPL",
        json.dumps({"body": "With a chart $AAPL", "chart": f"s3://{CHART_BUCKET}/{CHART_KEY}"}),
        "held back once $AAPL",
        json.dumps({"body": "Chart not there $AAPL", "chart": f"s3://{CHART_BUCKET}/missing.png"}),
    ):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    eventually(lambda: len(stack.stocktwits.posts) == 3)
    eventually(lambda: waiting(stack, "OutboxQueue") == 0)
    (dead,) = sqs.receive_message(
        QueueUrl=stack.outputs["DeadLetterQueueUrl"], WaitTimeSeconds=5, MessageAttributeNames=["All"]
    )["Messages"]
    assert "there is no object" in dead["MessageAttributes"]["RejectReason"]["StringValue"]
    assert denials(stack) == []


def test_the_role_of_drain_leftovers_allows_all_that_it_does(stack: Stack) -> None:
    stack.stocktwits.reset()
    stack.stocktwits.fail("reset-after", text="held")
    sqs = stack.client("sqs")
    for body in ("Left over $MSFT", "left over and held $MSFT", '{"body": 1}'):
        sqs.send_message(QueueUrl=stack.outputs["LeftoversQueueUrl"], MessageBody=body)
    stack.client("lambda").invoke(FunctionName=stack.outputs["DrainLeftoversFunctionName"])
    eventually(lambda: len(stack.stocktwits.posts) == 2)  # the schedule's own drain may have been faster
    eventually(lambda: waiting(stack, "LeftoversQueue") == 1)
    assert denials(stack) == []


def test_the_role_of_fetch_backups_allows_all_that_it_does(stack: Stack) -> None:
    sqs, functions = stack.client("sqs"), stack.client("lambda")
    changed, missing, cut = Backup(date(2016, 12, 1), "message"), date(2016, 12, 3), date(2016, 12, 4)
    stack.firestream.configure(missing=[("message", missing)])
    stack.firestream.fail("cut", file_type="message", day=cut, times=None)

    def invoke(event: dict[str, str]) -> dict[str, Any]:
        answer = functions.invoke(FunctionName=stack.outputs["FetchBackupsFunctionName"], Payload=json.dumps(event))
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, result
        return result

    nightly = invoke({"run": "nightly"})
    assert nightly["stored"] == 14
    assert invoke({"first_day": "2016-12-01", "last_day": "2016-12-04"})["queued"] == 8

    def request(body: str) -> None:
        sqs.send_message(QueueUrl=stack.outputs["BackupRequestsQueueUrl"], MessageBody=body)

    request("no JSON")
    eventually(lambda: len(keys(stack, "message/2016/")) == 2)
    eventually(lambda: len(keys(stack, "activity/2016/")) == 4)
    request(Request(Backup(missing, "message"), asked_at="2016-12-10T09:00:00Z").body)
    eventually(lambda: len(keys(stack, "absent/message/2016/")) == 1)
    stack.firestream.fail("few-lines", file_type="message", day=changed.day, times=None)
    request(Request(changed, IfStored.COMPARE).body)
    eventually(lambda: len(keys(stack, "remarks/message/2016/12/01/")) == 1)
    assert len(versions(stack, changed.key)) == 2
    eventually(lambda: waiting(stack, "BackupFailuresQueue") == 1)
    eventually(lambda: waiting(stack, "BackupRequestsQueue") == 1)  # the damaged one; the second look is delayed
    uploads = stack.client("s3").list_multipart_uploads(Bucket=stack.outputs["BackupBucketName"])
    assert "Uploads" not in uploads
    assert denials(stack) == []
    assert not [line for _, line in logs(stack) if "without tags" in line]


def versions(stack: Stack, key: str) -> list[Any]:
    answer = stack.client("s3").list_object_versions(Bucket=stack.outputs["BackupBucketName"], Prefix=key)
    found: list[Any] = answer.get("Versions", [])
    return found


def keys(stack: Stack, prefix: str) -> list[str]:
    answer = stack.client("s3").list_objects_v2(Bucket=stack.outputs["BackupBucketName"], Prefix=prefix)
    return [each["Key"] for each in answer.get("Contents", [])]
