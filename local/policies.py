"""Check every policy of the template and of the documents with parliament: actions, their resources, their conditions.

parliament knows which actions AWS has, which resources each can be allowed on, and which condition keys it heeds. It
reads finished policies. So the template's are gathered from its transformed form, with an example in place of each name
that CloudFormation would fill in.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.build import ROOT
from local.transformed import POLICIES, REGION, transformed

SCAN = ROOT / ".local" / "scan" / "bin" / "python"
PROGRAM = ROOT / "local" / "parliament_findings.py"

ACCEPTED = {
    ("docs/deploy-policy.json, Stacks", "INVALID_ARN"): (
        "SAM's transform belongs to the account `aws`: "
        "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/transform-aws-serverless.html"
    ),
    ("docs/deploy-policy.json, EventSources", "RESOURCE_STAR"): (
        "AWS chooses the id of an event source mapping, so no name can limit these actions"
    ),
    ("template.yaml, DrainLeftoversFunctionEveryMinuteRole/Policies/0/PolicyDocument, 0", "NO_VERSION"): (
        "SAM writes the policy of a schedule's role without a version, and it has no variables, which would need one"
    ),
    ("template.yaml, FetchBackupsFunctionNightlyRole/Policies/0/PolicyDocument, 0", "NO_VERSION"): "the same",
}
"""What parliament finds and is right all the same, by the statement and the kind of finding, with the reason."""

_OMITTED = object()
_STACK, _ACCOUNT = "stocktwits-relay", "123456789012"
_PSEUDO: dict[str, Any] = {
    "AWS::AccountId": _ACCOUNT,
    "AWS::NoValue": _OMITTED,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackName": _STACK,
    "AWS::URLSuffix": "amazonaws.com",
}
_HERE = f"{REGION}:{_ACCOUNT}"
_ARNS = {
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{_HERE}:table/{{}}",
    "AWS::IAM::Role": f"arn:aws:iam::{_ACCOUNT}:role/{{}}",
    "AWS::Lambda::Function": f"arn:aws:lambda:{_HERE}:function:{{}}",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{_HERE}:log-group:{{}}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": f"arn:aws:sns:{_HERE}:{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{_HERE}:{{}}",
}
_EXAMPLES: dict[str, Any] = {
    "PublisherArns": [f"arn:aws:sns:{_HERE}:alerts"],
    "ChartBucketName": "charts",
    "NotifyUrlParameter": "/notify-url",
}
"""A value for each parameter of a policy that is empty unless it is used."""

_TRUST = "AssumeRolePolicyDocument"


@dataclass(frozen=True)
class Finding:
    """A defect in a statement of a policy.

    Attributes:
        statement: The file or the place in the template, and the statement's Sid or its number.
        issue: parliament's name for the kind of defect, such as ``UNKNOWN_ACTION``.
        detail: What is wrong.
    """

    statement: str
    issue: str
    detail: str

    @property
    def accepted(self) -> bool:
        """Whether it is right all the same."""
        return (self.statement, self.issue) in ACCEPTED


def policies(template: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each policy of a transformed template, by where it is, as CloudFormation would create it.

    Where a condition decides, it is taken to hold. A trust policy is about its role without naming it; here it does.
    """
    names = _Names(template)
    return {
        "/".join([f"template.yaml, {resource}", *place]): names.filled(_with_resource(document, resource, place))
        for resource, each in template["Resources"].items()
        for place, document in _documents(each.get("Properties", {}))
    }


def findings(checked: Mapping[str, dict[str, Any]], *, python: Path = SCAN) -> list[Finding]:
    """Return what parliament finds in policies, accepted or not.

    An action that a wildcard stands for need not fit the resources of its statement: where it does not, the statement
    does not allow it.

    Args:
        checked: Policies by name.
        python: The interpreter that has parliament.
    """
    statements = {
        f"{name}, {statement.get('Sid', number)}": {**document, "Statement": [statement]}
        for name, document in checked.items()
        for number, statement in enumerate(document["Statement"])
    }
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PROGRAM)],
        input=json.dumps({name: json.dumps(document) for name, document in statements.items()}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return [Finding("every policy", "parliament failed", done.stderr.strip())]
    return [
        Finding(each["policy"], each["issue"], detail)
        for each in json.loads(done.stdout)
        for detail in _details(each, statements[each["policy"]]["Statement"][0])
    ]


class _Names:
    """An example for each name that CloudFormation fills in."""

    def __init__(self, template: dict[str, Any]) -> None:
        self._resources = template["Resources"]
        self._parameters = template["Parameters"]
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::GetAtt": lambda argument: self._arn(argument[0]),
            "Fn::Sub": self._sub,
            "Fn::If": self._if,
        }

    def filled(self, value: Any) -> Any:  # noqa: ANN401  what YAML may hold
        """Return a value without CloudFormation's functions."""
        if isinstance(value, list):
            return [each for each in map(self.filled, value) if each is not _OMITTED]
        if not isinstance(value, dict):
            return value
        for name, argument in value.items():
            if name in self._functions:
                return self._functions[name](argument)
        return {key: self.filled(each) for key, each in value.items()}

    def _ref(self, name: str) -> Any:  # noqa: ANN401  a parameter may be a list
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in self._parameters:
            return _EXAMPLES.get(name) or self._parameters[name]["Default"]
        return self._arn(name) if self._resources[name]["Type"] == "AWS::SNS::Topic" else f"{_STACK}-{name}"

    def _sub(self, text: str) -> str:
        return re.sub(r"\$\{([\w:]+)(\.Arn)?\}", lambda found: (self._arn if found[2] else self._ref)(found[1]), text)

    def _if(self, argument: list[Any]) -> Any:  # noqa: ANN401
        _, then, otherwise = map(self.filled, argument)
        return otherwise if then is _OMITTED else then

    def _arn(self, name: str) -> str:
        return _ARNS[self._resources[name]["Type"]].format(f"{_STACK}-{name}")


def _documents(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:  # noqa: ANN401
    """Yield each policy in a resource's properties, wherever it is, with its place there."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in parts:
        here = (*place, str(name))
        if name in {"PolicyDocument", _TRUST}:
            yield here, each
        else:
            yield from _documents(each, here)


def _with_resource(document: dict[str, Any], role: str, place: tuple[str, ...]) -> dict[str, Any]:
    if place[-1] != _TRUST:
        return document
    statements = [{**each, "Resource": {"Fn::GetAtt": [role, "Arn"]}} for each in document["Statement"]]
    return {**document, "Statement": statements}


def _details(found: dict[str, Any], statement: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong; of actions that do not fit the resources, those that the statement names in full."""
    detail, place = found["detail"], found["location"].get("string", "")
    if found["issue"] == "RESOURCE_MISMATCH":
        for each in detail:
            if each["action"] in statement["Action"]:
                yield f"{each['action']} needs a resource like {each['required_format']}"
    elif isinstance(detail, list):
        yield ", ".join(detail)
    else:
        yield ": ".join(each for each in (detail, place) if each)


def every_policy() -> dict[str, dict[str, Any]]:
    """Return the policies of the documents and of the template."""
    documents = {file: json.loads((ROOT / file).read_text()) for file in POLICIES.values()}
    return documents | policies(transformed((ROOT / "template.yaml").read_text()))


def main() -> int:
    """Print what is found and not accepted; return 1 if there is any."""
    found = [each for each in findings(every_policy()) if not each.accepted]
    for each in found:
        print(f"{each.statement}: {each.issue}: {each.detail}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
