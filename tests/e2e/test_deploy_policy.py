"""docs/deploy-policy.json is enough for CloudFormation to create, update and delete what the template describes.

Each resource type names in its schema what its handlers call: https://docs.aws.amazon.com/cloudformation-cli/latest/
userguide/resource-type-schema.html#schema-properties-handlers. cfn-lint brings the schemas.
"""

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from local.policies import findings
from local.transformed import REGION, transformed
from tests.template import ROOT, as_list

pytestmark = pytest.mark.e2e  # parliament is in the environment of `make check`

RESOURCES = transformed((ROOT / "template.yaml").read_text())["Resources"].values()
TYPES = sorted({each["Type"] for each in RESOURCES})
POLICY: dict[str, Any] = json.loads((ROOT / "docs" / "deploy-policy.json").read_text())
NOT_CALLED = {
    "ec2:*": "no function is in a VPC",
    "elasticfilesystem:*": "no function has a file system",
    "s3files:*": "the same",
    "firehose:*": "no log group delivers to a stream",
    "kinesis:*": "the table has no stream",
    "s3tables:*": "the bucket has no inventory in a table",
    "kms:*": "everything is encrypted with AWS's own keys",
    "iam:*Group*": "no policy is attached to a group",
    "iam:*User*": "no policy is attached to a user",
    "iam:*PermissionsBoundary": "no role has a boundary",
    "iam:UpdateRoleDescription": "no role has a description",
    "glue:*Connection": "the database is not in another catalog",
    "lambda:*CodeSigningConfig": "no function is signed",
    "logs:*IndexPolicy": "no log group has fields of its own in its index",
    "logs:*ResourcePolicy": "no log group has a policy of its own",
    "iam:CreateServiceLinkedRole": "neither the table nor the workgroup has anything that needs one",
    "apigateway:*agResource": "they are no actions of IAM, where tags are PUT and DELETEd",
    "lakeformation:CreateTable": "it is no action of IAM",
    "lakeformation:GetDataAccess": "it reads the contents of a table",
}
"""What handlers call for properties that the template does not use."""

OF_ANY_KIND = {"athena:ListTagsForResource", "athena:TagResource", "athena:UntagResource"}
"""What one resource of several kinds is enough for, though parliament wants one of each."""


def handlers(kind: str) -> dict[str, set[str]]:
    """Return what the handlers of a resource type call when a stack is created, updated or deleted."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, kind).schema
    return {name: set(handler["permissions"]) for name, handler in schema["handlers"].items() if name != "list"}


CALLED = {action for kind in TYPES for actions in handlers(kind).values() for action in actions}


def allowing(action: str) -> list[dict[str, Any]]:
    return [
        each
        for each in POLICY["Statement"]
        if any(fnmatchcase(action.lower(), allowed.lower()) for allowed in as_list(each["Action"]))
    ]


def unused(action: str) -> bool:
    return any(fnmatchcase(action, pattern) for pattern in NOT_CALLED)


@pytest.mark.parametrize("kind", TYPES)
def test_whoever_deploys_may_call_what_cloudformation_calls(kind: str) -> None:
    missing = {
        name: sorted(action for action in actions if not allowing(action) and not unused(action))
        for name, actions in handlers(kind).items()
    }
    assert {name: actions for name, actions in missing.items() if actions} == {}


def test_what_is_called_is_allowed_on_the_resources_that_it_needs() -> None:
    needed = sorted(action for action in CALLED if allowing(action) and not unused(action))
    named = {
        action: {"Version": POLICY["Version"], "Statement": [{**each, "Action": action} for each in allowing(action)]}
        for action in needed
    }
    misfits = {each.statement for each in findings(named) if each.issue == "RESOURCE_MISMATCH"}
    refused = {
        action
        for action in needed
        if sum(each.startswith(f"{action}, ") for each in misfits) == len(named[action]["Statement"])
    }
    assert refused == OF_ANY_KIND


def test_what_is_left_out_is_still_in_a_schema() -> None:
    assert [pattern for pattern in NOT_CALLED if not any(fnmatchcase(each, pattern) for each in CALLED)] == []
