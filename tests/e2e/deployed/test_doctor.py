"""`relay doctor` on the deployed stack: every check finds what it looks for there, and each defect has its line.

The stack has no TLS: the statements that refuse plain HTTP are not deployed to the emulator (`local/stack/iam.py`). And
the name in the webhook's address is known to the emulator alone.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from local.build import ROOT
from local.stack.stack import STACK_NAME, Stack
from tests.e2e.sender import Sender
from tests.worlds.defects import DEFECTS, Defect, check_lines, plain_http, rounds
from tests.worlds.doctor import Report

pytestmark = pytest.mark.e2e

WITHOUT_TLS = {
    "queue-outbox": "warning",
    "queue-leftovers": "warning",
    "queue-dead-letters": "warning",
    "queue-backup-requests": "warning",
    "queue-backup-failures": "warning",
}
WITHOUT_A_NAME = {"webhook-address": "warning"}


class OnTheStack:
    """The deployed stack, as the defects need it."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.stocktwits, self.firestream, self.outputs = stack.stocktwits, stack.firestream, stack.outputs
        listed = stack.client("cloudformation").list_stack_resources(StackName=STACK_NAME)["StackResourceSummaries"]
        self._physical_ids = {each["LogicalResourceId"]: each["PhysicalResourceId"] for each in listed}

    def now(self) -> float:
        return time.time()

    def client(self, service: str) -> Any:
        return self._stack.client(service)

    def resource(self, logical_id: str) -> str:
        return self._physical_ids[logical_id]

    def doctor(self) -> Report:
        path = f"{ROOT / 'cli'}{os.pathsep}{ROOT / 'layers' / 'relay'}"
        done = subprocess.run(
            [sys.executable, "-c", "from relay_cli.app import main; main()", "doctor", "--json"],
            env={**self._stack.emulator.environment, "PATH": os.defpath, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return Report(done.returncode, json.loads(done.stdout))


@pytest.fixture(scope="module")
def deployed(stack: Stack) -> OnTheStack:
    forget_errors(stack)
    Sender(stack)
    return OnTheStack(stack)


def forget_errors(stack: Stack) -> None:
    """Empty the logs: the tests of other files make the functions fail, and the doctor looks a day back."""
    logs = stack.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        for stream in logs.describe_log_streams(logGroupName=name)["logStreams"]:
            logs.delete_log_stream(logGroupName=name, logStreamName=stream["logStreamName"])


def test_a_healthy_stack_has_no_line_that_is_not_ok(deployed: OnTheStack) -> None:
    report = deployed.doctor()
    assert report.not_ok() == WITHOUT_TLS | WITHOUT_A_NAME, report.findings
    assert [each for each in report.findings if each["check"] in WITHOUT_TLS and "plain HTTP" not in each["text"]] == []
    assert report.code == 0


def test_looking_posts_nothing_and_receives_nothing(deployed: OnTheStack) -> None:
    sqs, url = deployed.client("sqs"), deployed.outputs["DeadLetterQueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="It never came about $AAPL")
    deployed.doctor()
    (letter,) = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MessageSystemAttributeNames=["All"])["Messages"]
    assert letter["Attributes"]["ApproximateReceiveCount"] == "1"
    assert deployed.stocktwits.posts == []
    sqs.purge_queue(QueueUrl=url)


@pytest.mark.parametrize(
    "defects",
    rounds([each for each in DEFECTS if each is not plain_http]),
    ids=lambda found: found[0].name,
)
def test_each_of_several_defects_has_its_line(deployed: OnTheStack, defects: list[Defect]) -> None:
    check_lines(deployed, defects)
