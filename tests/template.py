"""``template.yaml``, parsed once for all tests because that takes most of a second, and look-ups in it."""

from pathlib import Path
from typing import Any

from samcli.yamlhelper import yaml_parse

from local.stack import iam

ROOT = Path(__file__).parents[1]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text())
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]

POSTING = {"PostMessagesFunction": "OutboxQueue", "DrainLeftoversFunction": "LeftoversQueue"}
FUNCTIONS = POSTING | {"FetchBackupsFunction": "BackupRequestsQueue"}
"""Each function that a queue feeds, and that queue."""

WEBHOOK = "ReceiveAlertsFunction"
"""The function that API Gateway calls."""

NOTICES = "SendNoticesFunction"
"""The function that SNS and CloudWatch Logs invoke."""

ALL_FUNCTIONS = (*FUNCTIONS, WEBHOOK, NOTICES)

QUEUES = ("OutboxQueue", "LeftoversQueue", "DeadLetterQueue", "BackupRequestsQueue", "BackupFailuresQueue")


def properties(name: str) -> dict[str, Any]:
    return RESOURCES[name]["Properties"]


def of_type(kind: str) -> dict[str, Any]:
    return {name: each["Properties"] for name, each in RESOURCES.items() if each["Type"] == kind}


def statements(policy: dict[str, Any]) -> list[dict[str, Any]]:
    """The statements of a policy, those under a condition as well."""
    return iam.statements(policy["PolicyDocument"])


def conditional_statements(policy: dict[str, Any], condition: str) -> list[dict[str, Any]]:
    """The statements of a policy that apply under a condition of the template."""
    found = [each["Fn::If"] for each in policy.get("PolicyDocument", {}).get("Statement", []) if "Fn::If" in each]
    assert all(otherwise == {"Ref": "AWS::NoValue"} for _, _, otherwise in found)
    return [then for name, then, _ in found if name == condition]


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def tls_only(action: str, resource: object) -> dict[str, Any]:
    """The statement that denies plain HTTP to everyone."""
    return {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def switched_by(condition: str) -> set[str]:
    return {name for name, each in RESOURCES.items() if each.get("Condition") == condition}
