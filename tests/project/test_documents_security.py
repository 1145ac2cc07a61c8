"""docs/security.md agrees with the template, the command and the policies in docs about roles and permissions."""

import json
import re
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import typer.main
from relay.backups.backup import FILE_TYPES
from relay_cli.app import app
from relay_cli.doctor.permissions import READS
from samtranslator.translator.transform import transform

from local.stack.iam import Grant, denied, granted
from tests.template import TEMPLATE

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "security.md").read_text()
OPERATOR: dict[str, Any] = json.loads((DOCS / "operator-policy.json").read_text())
DEPLOY: dict[str, Any] = json.loads((DOCS / "deploy-policy.json").read_text())


def table(first_column: str) -> list[list[str]]:
    """Return the rows of the table that begins with a column."""
    (rows,) = re.findall(rf"^\| {first_column} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows.splitlines()]


def quoted(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def of_schedules() -> set[tuple[str, str, str]]:
    """What the roles that SAM generates may do."""

    class NoManagedPolicies:
        def load(self) -> dict[str, str]:
            return {}

    template = deepcopy(TEMPLATE)
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][name] = "s3://bucket/code"
    defaults = {name: each.get("Default", "") for name, each in template["Parameters"].items()}
    made = transform(template, defaults, NoManagedPolicies())["Resources"]
    roles = {
        name: each
        for name, each in made.items()
        if each["Type"] == "AWS::IAM::Role" and name not in TEMPLATE["Resources"]
    }
    return {(each.holder, each.action, each.resource) for each in granted({"Resources": roles})}


def terms(grant: Grant) -> list[str]:
    """The condition keys that restrict or deny an action, with their values, except the booleans of Null."""
    same = [each for each in denied(TEMPLATE) if permission(each) == permission(grant)]
    found = {
        term
        for each in (grant, *same)
        for operator, keys in each.condition.items()
        for key, wanted in keys.items()
        for term in (key, *(listed(wanted) if operator != "Null" else ()))
    }
    return sorted(found)


def permission(grant: Grant) -> tuple[str, str, str]:
    return grant.holder, grant.action, grant.resource


def test_every_threat_names_tests_that_exist() -> None:
    found = {
        name
        for file in (DOCS.parent / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    for *threat, tests, _ in table("who"):
        assert quoted(tests), threat
        assert set(quoted(tests)) <= found, threat


def test_the_table_of_roles_matches_what_the_template_grants() -> None:
    documented = [
        (each, sorted(quoted(condition)))
        for roles, actions, on, condition, _ in table("role or policy")
        for each in product(*map(quoted, (roles, actions, on)))
    ]
    given = [(permission(each), terms(each)) for each in granted(TEMPLATE)]
    assert sorted(documented) == sorted(given + [(each, []) for each in of_schedules()])


def test_the_table_of_commands_names_exactly_the_commands() -> None:
    group = typer.main.get_command(app)
    commands = {
        f"{name} {below}" if name in {"dead", "webhook"} else name
        for name, command in group.commands.items()  # type: ignore[attr-defined]
        for below in getattr(command, "commands", {"": None})
    }
    documented = {name for cell, _ in table("command") for name in quoted(cell)}
    assert documented == commands | {"login firestream", "status --why", "backups --check", "get --damaged"}


def test_the_table_of_commands_names_exactly_the_statements() -> None:
    commands = {name for cell, _ in table("command") for name in quoted(cell)}
    documented = (
        {name for _, cell in table("command") for name in quoted(cell)}
        - commands
        - {"--wait", "--with-firestream", "--file", "--force"}
    )
    assert documented | {"FindTheStack"} == {each["Sid"] for each in OPERATOR["Statement"]}


def test_the_operator_may_use_no_queue_that_the_template_does_not_name() -> None:
    queues = [
        each["Properties"]["QueueName"]["Fn::Sub"]
        for each in TEMPLATE["Resources"].values()
        if each["Type"] == "AWS::SQS::Queue"
    ]
    names = {each.replace("${AWS::StackName}", "stocktwits-relay") for each in queues}
    resources = {
        on for each in OPERATOR["Statement"] for on in listed(each["Resource"]) if on.startswith("arn:aws:sqs")
    }
    assert {each.rpartition(":")[2] for each in resources} == names


def named_by(parameter: str) -> str:
    """The ARN of the SecureString that a parameter of the template names."""
    return f"arn:aws:ssm:*:*:parameter{TEMPLATE['Parameters'][f'{parameter}Parameter']['Default']}"


def test_the_operator_may_store_the_secrets_that_the_template_reads() -> None:
    (statement,) = (each for each in OPERATOR["Statement"] if each["Sid"] == "StoreSecrets")
    named = {
        TEMPLATE["Parameters"][f"{name}Parameter"]["Default"] for name in ("StockTwitsToken", "FirestreamCredentials")
    }
    assert {each.partition(":parameter")[2] for each in statement["Resource"]} == named


def test_the_operator_can_read_each_secret_by_a_statement_of_its_own() -> None:
    reading = {
        each["Sid"]: each["Resource"] for each in OPERATOR["Statement"] if "ssm:GetParameter" in listed(each["Action"])
    }
    token, login, sources = map(named_by, ("StockTwitsToken", "FirestreamCredentials", "WebhookSources"))
    assert reading == {"ReadTheToken": token, "ReadFirestreamsLogin": login, "ReadWebhookSources": sources}


def test_the_operator_may_store_the_webhooks_sources_alone_by_a_statement_of_its_own() -> None:
    storing = {
        each["Sid"]: each["Resource"] for each in OPERATOR["Statement"] if "ssm:PutParameter" in listed(each["Action"])
    }
    assert storing.keys() == {"StoreSecrets", "StoreWebhookSources"}
    assert storing["StoreWebhookSources"] == named_by("WebhookSources")


def test_the_operator_may_call_all_that_the_doctor_calls() -> None:
    allowed = {action for each in OPERATOR["Statement"] for action in listed(each["Action"])}
    assert set(READS.values()) - allowed == {"sts:GetCallerIdentity"}  # everybody may, whatever a policy says


def test_the_operator_can_write_only_the_pause_into_the_ledger() -> None:
    writing = [each for each in OPERATOR["Statement"] if "dynamodb:PutItem" in listed(each["Action"])]
    (only,) = writing
    assert only["Condition"] == {
        "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["pause"]},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }


def test_the_operator_can_change_only_the_relays_pause_in_the_gate() -> None:
    (only,) = [each for each in OPERATOR["Statement"] if "dynamodb:UpdateItem" in listed(each["Action"])]
    assert only["Condition"]["ForAllValues:StringEquals"] == {
        "dynamodb:LeadingKeys": ["gate"],
        "dynamodb:Attributes": ["pk", "shut", "version"],
    }
    assert only["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false", "dynamodb:Attributes": "false"}


def test_the_operator_can_read_backups_but_not_query_results() -> None:
    (reading,) = [each for each in OPERATOR["Statement"] if "s3:GetObject" in listed(each["Action"])]
    folders = {each.partition(":::stocktwits-relay-backupbucket-*/")[2] for each in reading["Resource"]}
    assert folders == {f"{file_type}/*" for file_type in FILE_TYPES} | {"damaged/*"}


@pytest.mark.parametrize(
    "service", sorted({each["Type"].split("::")[1].lower() for each in TEMPLATE["Resources"].values()})
)
def test_whoever_deploys_may_use_each_service_of_the_template(service: str) -> None:
    prefix = {"serverless": "cloudformation", "apigatewayv2": "apigateway"}.get(service, service)
    assert any(action.startswith(f"{prefix}:") for each in DEPLOY["Statement"] for action in listed(each["Action"]))


def test_whoever_deploys_can_use_only_the_roles_of_the_stack() -> None:
    on = {
        on
        for each in DEPLOY["Statement"]
        for on in listed(each["Resource"])
        if any(action.startswith("iam:") for action in listed(each["Action"]))
    }
    assert on == {"arn:aws:iam::*:role/stocktwits-relay-*", "arn:aws:iam::*:policy/stocktwits-relay-*"}
    (name,) = re.findall(r"--role-name (\S+) --assume", PAGE)
    assert not name.startswith("stocktwits-relay-")
