"""`make check` finds what AWS would not understand in a policy, wherever in the project the policy is."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from local.policies import ACCEPTED, Finding, every_policy, findings, policies
from local.transformed import transformed
from tests.template import ROOT

pytestmark = pytest.mark.e2e  # parliament is in the environment of `make check`

TRANSFORMED = transformed((ROOT / "template.yaml").read_text())
QUEUE = "arn:aws:sqs:us-east-1:123456789012:outbox"


def allowing(action: str | list[str], resource: str | list[str], **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def found_in(*statements: dict[str, Any]) -> list[Finding]:
    return findings({"a policy": {"Version": "2012-10-17", "Statement": list(statements)}})


@pytest.mark.parametrize(
    ("statement", "issue"),
    [
        (allowing("sqs:PostMessage", QUEUE), "UNKNOWN_ACTION"),
        (allowing("queue:SendMessage", QUEUE), "UNKNOWN_PREFIX"),
        (allowing("sqs:SendMessage", "arn:aws:sns:us-east-1:123456789012:outbox"), "RESOURCE_MISMATCH"),
        (allowing("s3:GetObject", "arn:aws:s3:::archive"), "RESOURCE_MISMATCH"),
        (allowing("glue:DeleteDatabase", "arn:aws:glue:*:*:database/archive"), "RESOURCE_MISMATCH"),
        (allowing("sqs:SendMessage", "outbox"), "INVALID_ARN"),
        (
            allowing("sqs:SendMessage", QUEUE, Condition={"StringEquals": {"sqs:Body": "x"}}),
            "UNKNOWN_CONDITION_FOR_ACTION",
        ),
        (allowing("sqs:SendMessage", QUEUE, Condition={"StringIs": {"aws:PrincipalArn": "x"}}), "UNKNOWN_OPERATOR"),
        (allowing("sqs:SendMessage", QUEUE, Condition={"ArnLike": {"aws:SourceArn": "outbox"}}), "MISMATCHED_TYPE"),
        (allowing("sqs:SendMessage", "*"), "RESOURCE_STAR"),
    ],
    ids=[
        "unknown action",
        "unknown service",
        "another service's resource",
        "a bucket for its objects",
        "one resource of several",
        "no ARN",
        "unknown condition key",
        "unknown operator",
        "value of another type",
        "any resource",
    ],
)
def test_a_statement_that_aws_would_not_understand_is_found(statement: dict[str, Any], issue: str) -> None:
    right = allowing("sqs:SendMessage", QUEUE, Sid="Right")
    found = found_in(right, {**statement, "Sid": "Wrong"})
    assert issue in {each.issue for each in found}
    assert {each.statement for each in found} == {"a policy, Wrong"}


def test_only_the_actions_that_a_statement_names_must_fit_its_resources() -> None:
    assert found_in(allowing("sqs:*", QUEUE)) == []


def test_every_policy_is_right_and_every_accepted_finding_is_still_found() -> None:
    found = findings(every_policy())
    assert [each for each in found if not each.accepted] == []
    assert {(each.statement, each.issue) for each in found} == ACCEPTED.keys()


def test_every_policy_of_the_template_is_checked_as_cloudformation_creates_it() -> None:
    checked = policies(TRANSFORMED)
    assert len(checked) == len(re.findall(r'"(?:AssumeRole)?PolicyDocument": ', json.dumps(TRANSFORMED)))
    assert not re.search(r'"(?:Fn::\w+|Ref)": |\$\{', json.dumps(checked))


def test_the_documents_policies_are_checked_too() -> None:
    assert {"docs/operator-policy.json", "docs/deploy-policy.json"} < every_policy().keys()


def test_what_depends_on_a_condition_is_checked_as_if_it_held() -> None:
    statements = policies(TRANSFORMED)["template.yaml, OutboxTlsOnly/PolicyDocument"]["Statement"]
    assert [each["Sid"] for each in statements] == ["TlsOnly", "Publishers"]


def test_a_linter_that_fails_is_a_finding() -> None:
    (found,) = findings({}, python=Path(sys.executable))  # which has no parliament
    assert (found.issue, found.accepted) == ("parliament failed", False)
    assert "parliament" in found.detail
