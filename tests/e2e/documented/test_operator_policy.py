"""The permissions in docs/operator-policy.json, and in docs/security.md for each command, are enough for `relay`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pytest
from relay.backups.backup import Backup

from local.build import ROOT
from local.stack.iam import known, names
from local.stack.stack import Stack, a_chart

pytestmark = pytest.mark.e2e

POLICY = json.loads(
    # CloudFormation names log groups after the stack; the emulator has them under a path.
    (ROOT / "docs" / "operator-policy.json")
    .read_text()
    .replace("log-group:stocktwits-relay-", "log-group:/aws/cloudformation/stocktwits-relay/")
)
OPERATOR = "operator"
STATEMENTS = {each["Sid"] for each in POLICY["Statement"]}
NEEDED = {
    command: {"FindTheStack"} | (set(re.findall(r"`(\w+)`", cell)) & STATEMENTS)
    for line in re.findall(r"^\| `.*", (ROOT / "docs" / "security.md").read_text(), re.MULTILINE)
    for commands, cell in [line.strip("|").split("|")[:2]]
    for command in re.findall("`([^`]+)`", commands)
}
COMMANDS: dict[str, list[str]] = {
    "send": ["Up $AAPL", "--key", "operator-1", "--chart", "chart.png", "--wait"],
    "status": [],
    "status --why": ["operator-1"],
    "posts": [],
    "pause": ["why"],
    "resume": ["--force"],
    "dead list": [],
    "dead show": ["LETTER"],
    "dead edit": ["LETTER", "--yes"],
    "dead retry": ["LETTER"],
    "dead drop": ["LETTER", "--yes"],
    "backups": ["--from", "2016-12-01", "--to", "2016-12-02"],
    "backfill": ["2016-12-01", "2016-12-01", "--type", "message"],
    "backups --check": ["2016-12-01", "2016-12-01", "--type", "message", "--with-firestream"],
    "get": ["message", "2016-12-01", "--force"],
    "get --damaged": ["message", "2016-12-02", "--force"],
    "cat": ["message", "2016-12-01", "--limit", "1"],
    "doctor": ["--json"],
    "login": ["--token", "--expect-username", "relay_demo"],
    "login firestream": ["--username", "demo-user"],
    "webhook add": ["scanner"],
    "webhook list": [],
    "webhook test": ["scanner", "--file", "alert.txt"],
    "webhook revoke": ["scanner", "--yes"],
}
"""In this order, since `status --why` needs what `send` sent, `backups --check` and `get` what `backfill` fetched, and
`webhook list` what `webhook add` added.
LETTER is a new dead letter's id."""

OTHER_NAMES = {
    "lambda:GetFunctionConcurrency": "lambda:PutFunctionConcurrency",
    "lambda:GetEventSourceMapping": "lambda:ListEventSourceMappings",
}
"""What the emulator takes for the permission of a call; AWS's own names are in
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html."""

Relay = Callable[[str, set[str]], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def relay(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Run a command with some statements of the policy."""
    iam, sqs, folder = stack.client("iam"), stack.client("sqs"), tmp_path_factory.mktemp("operator")
    (folder / "chart.png").write_bytes(a_chart())
    (folder / "alert.txt").write_text("Up 3% $AAPL")
    damaged = Backup(date(2016, 12, 2), "message").damaged_key
    stack.client("s3").put_object(Bucket=stack.outputs["BackupBucketName"], Key=damaged, Body=b"half")
    iam.create_user(UserName=OPERATOR)
    key = iam.create_access_key(UserName=OPERATOR)["AccessKey"]
    environment = {
        **stack.emulator.environment,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        "AWS_SESSION_TOKEN": "",
        "EDITOR": "sed -i s/never/now/",
        "PATH": os.defpath,
        "PYTHONPATH": f"{ROOT / 'cli'}{os.pathsep}{ROOT / 'layers' / 'relay'}",
    }
    secrets = {"login": stack.stocktwits.access_token, "login firestream": stack.firestream.password}

    def letter() -> str:
        """Add one in an envelope: to retry it, its key is looked up in the ledger."""
        url = stack.outputs["DeadLetterQueueUrl"]
        event = {"id": "e-1", "detail-type": "alert", "source": "scanner", "detail": "It never came about $AAPL"}
        return str(sqs.send_message(QueueUrl=url, MessageBody=json.dumps(event))["MessageId"])

    def run(command: str, statements: set[str]) -> "subprocess.CompletedProcess[str]":
        document = {
            "Version": "2012-10-17",
            "Statement": [_for_the_emulator(each) for each in POLICY["Statement"] if each["Sid"] in statements],
        }
        iam.put_user_policy(UserName=OPERATOR, PolicyName="some", PolicyDocument=json.dumps(document))
        words = [*command.split(), *(letter() if each == "LETTER" else each for each in COMMANDS[command])]
        return subprocess.run(
            [sys.executable, "-c", "from relay_cli.app import main; main()", *words],
            env=environment,
            cwd=folder,
            input=secrets.get(command, ""),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    yield run
    iam.delete_user_policy(UserName=OPERATOR, PolicyName="some")
    iam.delete_access_key(UserName=OPERATOR, AccessKeyId=key["AccessKeyId"])
    iam.delete_user(UserName=OPERATOR)


def _for_the_emulator(statement: dict[str, Any]) -> dict[str, Any]:
    """Name calls and resources as the emulator does, and omit conditions that it does not know."""
    actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    named = [OTHER_NAMES.get(name, name) for action in actions for name in names(action)]
    condition = known(statement.get("Condition", {}))
    resource = "*" if statement["Sid"] == "SeeAlarms" else statement["Resource"]  # it knows no alarms by their names
    return {**statement, "Action": named, "Resource": resource, "Condition": condition}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_works_with_the_statements_that_the_document_names(command: str, relay: Relay) -> None:
    done = relay(command, NEEDED[command])
    assert done.returncode == 0, done.stderr


def test_the_doctor_checks_everything_with_the_statements_that_the_document_names(relay: Relay) -> None:
    findings = json.loads(relay("doctor", NEEDED["doctor"]).stdout)
    assert [each for each in findings if "could not be checked" in each["text"]] == []


def test_the_doctor_names_a_permission_that_is_missing(relay: Relay) -> None:
    findings = json.loads(relay("doctor", NEEDED["doctor"] - {"ReadTheToken"}).stdout)
    found = {each["check"]: each["text"] for each in findings if "could not be checked" in each["text"]}
    assert found.keys() == {"token", "stocktwits"}
    assert "ssm:GetParameter" in found["token"]


def test_a_command_fails_without_one_of_its_statements(relay: Relay) -> None:
    done = relay("pause", NEEDED["pause"] - {"PauseAndResume"})
    assert (done.returncode, "does not allow you" in done.stderr) == (3, True)
