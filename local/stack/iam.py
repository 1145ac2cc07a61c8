"""List the permissions in the template, and adapt them so that they mean the same to the emulator."""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

_BATCH_NAMES = {
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}
_UNKNOWN_KEYS = frozenset({"dynamodb:Attributes", "dynamodb:LeadingKeys", "dynamodb:ReturnValues", "events:source"})
"""Condition keys that the emulator does not set on requests: an Allow with one of them would allow nothing."""

_OF_RESOURCES = {"AWS::SQS::QueuePolicy", "AWS::S3::BucketPolicy"}
_RESOURCE = re.compile(r"\$\{(?!AWS::)(\w+)(?:\.Arn)?\}(.*)")


@dataclass(frozen=True)
class Grant:
    """One action that a role or policy allows or denies.

    Attributes:
        holder: The logical id of the role, or of the managed policy.
        policy: The name of the policy.
        statement: The index of the policy's statement.
        action: Such as ``sqs:SendMessage``.
        resource: The logical id of the resource, with what follows its name in the ARN.
        part: The index of the resource in the statement.
        condition: The statement's condition, as written.
    """

    holder: str
    policy: str
    statement: int
    action: str
    resource: str
    part: int = 0
    condition: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)


def granted(template: dict[str, Any]) -> list[Grant]:
    """List every action that the template's roles and managed policies allow."""
    return _actions(template, "Allow")


def denied(template: dict[str, Any]) -> list[Grant]:
    """List every action that the template's roles and managed policies deny."""
    return _actions(template, "Deny")


def for_the_emulator(template: dict[str, Any]) -> dict[str, Any]:
    """Adapt a template to the emulator, which has no TLS and checks a batch call under its own name.

    On AWS the permission for a batch call is that of the single call:
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html. Conditions on keys that the
    emulator does not know are removed, too; ``tests/iam.py`` evaluates those.
    """
    adapted = deepcopy(template)
    for name, resource in list(adapted["Resources"].items()):
        if resource["Type"] in _OF_RESOURCES:
            document = resource["Properties"]["PolicyDocument"]
            document["Statement"] = [each for each in document["Statement"] if each.get("Sid") != "TlsOnly"]
            if not document["Statement"]:
                del adapted["Resources"][name]
    for _, _, document in _policies(adapted["Resources"]):
        for statement in statements(document):
            actions = [name for action in _list(statement["Action"]) for name in names(action)]
            statement["Action"] = list(dict.fromkeys(actions))  # a document of two roles comes twice
            if statement["Effect"] == "Allow" and "Condition" in statement:
                statement["Condition"] = known(statement["Condition"])
    return adapted


def statements(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the statements of a policy, those under a condition as if it were met."""
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in document["Statement"]]


def names(action: str) -> list[str]:
    """Return the names under which the emulator checks an action."""
    return [action, *([_BATCH_NAMES[action]] if action in _BATCH_NAMES else [])]


def known(condition: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the part of a condition that the emulator can evaluate."""
    evaluated = {
        operator: {key: value for key, value in keys.items() if key not in _UNKNOWN_KEYS}
        for operator, keys in condition.items()
    }
    return {operator: keys for operator, keys in evaluated.items() if keys}


def _actions(template: dict[str, Any], effect: str) -> list[Grant]:
    return [
        Grant(holder, policy, number, action, _name(resource), part, statement.get("Condition", {}))
        for holder, policy, document in _policies(template["Resources"])
        for number, statement in enumerate(statements(document))
        if statement["Effect"] == effect
        for action in _list(statement["Action"])
        for part, resource in enumerate(_list(statement["Resource"]))
    ]


def _policies(resources: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield each holder of a policy, the policy's name, and its document; some documents have several holders."""
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::IAM::Role":
                for policy in properties.get("Policies", []):
                    yield name, policy["PolicyName"], policy["PolicyDocument"]
            case "AWS::IAM::Policy":
                for role in properties["Roles"]:
                    yield role["Ref"], properties["PolicyName"], properties["PolicyDocument"]
            case "AWS::IAM::ManagedPolicy":
                yield name, name, properties["PolicyDocument"]


def _name(resource: Any) -> str:  # noqa: ANN401  text, or what an intrinsic function makes of it
    match resource:
        case {"Fn::GetAtt": [str(name), "Arn"]}:
            return name
        case {"Fn::Sub": str(text)} if found := _RESOURCE.search(text):
            return found[1] + found[2]
        case _:
            return str(resource)


def _list(value: Any) -> list[Any]:  # noqa: ANN401  IAM allows one, or a list
    return value if isinstance(value, list) else [value]
