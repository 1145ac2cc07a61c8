"""Ledger and archive outlive the stack that made them, but not a first deployment that fails."""

import json
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from local.stack.stack import Stack
from tests.template import RESOURCES, TEMPLATE

pytestmark = pytest.mark.e2e

KEPT = ("LedgerTable", "BackupBucket")
OFTEN = {"Delay": 1, "MaxAttempts": 30}


def create(stack: Stack, name: str, **others: Any) -> None:
    """Create a stack of ledger, archive and some other resources, and wait until it is there."""
    resources = {each: RESOURCES[each] for each in KEPT} | others
    template = json.dumps({"Parameters": TEMPLATE["Parameters"], "Resources": resources})
    cloudformation = stack.client("cloudformation")
    cloudformation.create_stack(StackName=name, TemplateBody=template)
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=OFTEN)


def made_by(stack: Stack, name: str) -> set[str]:
    tables = stack.client("dynamodb").list_tables()["TableNames"]
    buckets = [each["Name"] for each in stack.client("s3").list_buckets()["Buckets"]]
    return {kind for kind, names in zip(KEPT, (tables, buckets), strict=True) for each in names if name in each}


def test_a_failed_first_deployment_leaves_neither_ledger_nor_archive(stack: Stack) -> None:
    missing = f"{stack.emulator.url}/missing/missing"
    fails = {"Type": "AWS::CloudFormation::Stack", "Properties": {"TemplateURL": missing}, "DependsOn": list(KEPT)}
    with pytest.raises(WaiterError, match="ROLLBACK_COMPLETE"):
        create(stack, "failing", Fails=fails)
    assert made_by(stack, "failing") == set()


def test_a_deleted_stack_leaves_ledger_and_archive(stack: Stack) -> None:
    create(stack, "deleted")
    cloudformation = stack.client("cloudformation")
    cloudformation.delete_stack(StackName="deleted")
    cloudformation.get_waiter("stack_delete_complete").wait(StackName="deleted", WaiterConfig=OFTEN)
    assert made_by(stack, "deleted") == set(KEPT)
