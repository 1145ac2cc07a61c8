"""`make check` lints the template as CloudFormation gets it, and with it the policies of the documents."""

import json
from copy import deepcopy
from typing import Any

import pytest

from local.transformed import POLICIES, findings, transformed, with_policies
from tests.template import ROOT

pytestmark = pytest.mark.e2e  # cfn-lint takes seconds

TRANSFORMED = transformed((ROOT / "template.yaml").read_text())


def test_nothing_of_sam_is_left() -> None:
    kinds = [each["Type"] for each in TRANSFORMED["Resources"].values()]
    assert "AWS::Lambda::EventSourceMapping" in kinds
    assert [kind for kind in kinds if kind.startswith("AWS::Serverless")] == []


@pytest.fixture(scope="module")
def found() -> str:
    """What is found in the project's template with three defects; once, because it takes seconds."""
    template: dict[str, Any] = deepcopy(with_policies(TRANSFORMED))
    resources = template["Resources"]
    resources["OutboxQueue"]["Properties"]["VisibilityTimeout"] = 30
    (role, policy), statement = ("PostMessagesRole", 0), {"Effect": "Allow", "Action": "sqs:Take", "Resource": "*"}
    resources[role]["Properties"]["Policies"][policy]["PolicyDocument"]["Statement"].append(statement)
    documented = resources["OperatorPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    documented.insert(0, {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "arn:aws:s3:::archive"})
    return "\n".join(findings(template))


@pytest.mark.parametrize(
    "line",
    [
        "Resources/OutboxQueue/Properties/VisibilityTimeout: E3505",
        "Resources/PostMessagesRole/Properties/Policies/0/PolicyDocument/Statement/1/Action: W3037",
        "Resources/OperatorPolicy/Properties/PolicyDocument/Statement/0/Resource: I3510",
    ],
    ids=["what SAM made of two resources", "a role's action", "a document's resource"],
)
def test_a_defect_is_found_where_it_is(line: str, found: str) -> None:
    assert line in found
    assert found.count("\n") == 2


def test_the_policies_of_the_documents_are_linted_as_they_are() -> None:
    resources = with_policies(TRANSFORMED)["Resources"]
    for name, file in POLICIES.items():
        assert resources[name]["Properties"]["PolicyDocument"] == json.loads((ROOT / file).read_text())


def test_a_linter_that_cannot_read_the_template_is_a_finding() -> None:
    assert findings({"Resources": []})
