"""The template as CloudFormation gets it, checked by cfn-lint together with the two policies of the documents.

cfn-lint compares a SAM template with SAM's own schema and does not transform it, so it sees neither the resources that
SAM makes of it, nor what must fit between them: a queue's visibility timeout and the function's, a role's actions.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import boto3
from samcli.yamlhelper import yaml_parse  # type: ignore[import-untyped]
from samtranslator.parser.parser import Parser  # type: ignore[import-untyped]
from samtranslator.translator.translator import Translator  # type: ignore[import-untyped]

from local.build import ROOT
from local.deploy import CODE

POLICIES = {"OperatorPolicy": "docs/operator-policy.json", "DeployPolicy": "docs/deploy-policy.json"}
"""The policies that a reader creates, by the name of the resource that stands for each."""

RESOURCES_OF_ACTIONS = "I3510"
"""cfn-lint's rule that a statement's resources fit its actions, which it leaves out unless it is asked."""

REGION = "us-east-1"
"""The region whose specification is used; that of any other has less in it."""


def transformed(text: str) -> dict[str, Any]:
    """Return a template as SAM's transform in CloudFormation would leave it.

    Args:
        text: The SAM template. Its code need not be there.
    """
    template: dict[str, Any] = yaml_parse(text)
    for resource in template["Resources"].values():
        if name := CODE.get(resource["Type"]):
            resource["Properties"][name] = "s3://bucket/code"
    # It names none of the policies that AWS manages, which are the first argument.
    translator = Translator({}, Parser(), boto_session=boto3.Session(region_name=REGION))
    result: dict[str, Any] = translator.translate(template, parameter_values={})
    return result


def findings(template: dict[str, Any]) -> list[str]:
    """Return what cfn-lint has to say about a transformed template, a line each."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "template.json"
        file.write_text(json.dumps(template))
        options = ["--include-checks", RESOURCES_OF_ACTIONS, "--regions", REGION, "--format", "json"]
        command = [str(Path(sys.executable).parent / "cfn-lint"), "--template", str(file), *options]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout or "[]")
    except ValueError:
        found = []
    if done.returncode and not found:
        return [f"cfn-lint failed ({done.returncode}): {done.stdout}{done.stderr}".strip()]
    return [f"{_place(each['Location']['Path'])}: {each['Rule']['Id']} {each['Message']}" for each in found]


def with_policies(template: dict[str, Any]) -> dict[str, Any]:
    """Return a transformed template that also has the policies of the documents, as managed policies."""
    documents = {name: json.loads((ROOT / file).read_text()) for name, file in POLICIES.items()}
    policies = {
        name: {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": document}}
        for name, document in documents.items()
    }
    return {**template, "Resources": template["Resources"] | policies}


def _place(path: list[str | int] | None) -> str:
    return "/".join(str(each) for each in path or ["the template"])


def main() -> int:
    """Print what cfn-lint finds; return 1 if it finds anything."""
    found = findings(with_policies(transformed((ROOT / "template.yaml").read_text())))
    for each in found:
        print(f"template.yaml, transformed: {each}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
