"""The ledger and the archive in the template: kept, encrypted, and cheaper with age."""

from typing import Any

import pytest
from relay.backups.backup import FILE_TYPES

from tests.template import RESOURCES, TEMPLATE, properties


@pytest.mark.parametrize("name", ["LedgerTable", "BackupBucket"])
def test_what_cannot_be_restored_survives_the_stack_but_not_a_failed_first_deployment(name: str) -> None:
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_nothing_else_survives_the_stack() -> None:
    policies = {name: each.get("DeletionPolicy", "Delete") for name, each in RESOURCES.items()}
    assert {name for name, policy in policies.items() if policy != "Delete"} == {"LedgerTable", "BackupBucket"}
    assert properties("RelayLayer")["RetentionPolicy"] == "Delete"


def test_the_ledger_forgets_by_ttl() -> None:
    table = RESOURCES["LedgerTable"]
    assert table["Properties"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_ledger_is_encrypted_with_the_key_that_costs_nothing() -> None:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-dynamodb-table-ssespecification.html
    assert properties("LedgerTable")["SSESpecification"] == {"SSEEnabled": False}


def test_the_archive_keeps_every_version() -> None:
    assert properties("BackupBucket")["VersioningConfiguration"] == {"Status": "Enabled"}


def test_the_archive_is_encrypted_and_never_public() -> None:
    bucket = properties("BackupBucket")
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}


def lifecycle() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = properties("BackupBucket")["LifecycleConfiguration"]["Rules"]
    assert {rule["Status"] for rule in rules} == {"Enabled"}
    return rules


def test_an_unfinished_upload_is_aborted_within_a_day_wherever_it_is() -> None:
    (rule,) = [rule for rule in lifecycle() if "AbortIncompleteMultipartUpload" in rule]
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert "Prefix" not in rule


def test_backups_of_each_type_move_to_the_colder_class_and_never_expire() -> None:
    colder = {rule["Prefix"]: rule for rule in lifecycle() if "Transitions" in rule}
    assert colder.keys() == {f"{file_type}/" for file_type in FILE_TYPES}
    for rule in colder.values():
        assert rule["Transitions"] == [
            {"StorageClass": {"Ref": "BackupStorageClass"}, "TransitionInDays": {"Ref": "BackupColderAfterDays"}}
        ]
    expiring = [rule for rule in lifecycle() if any("Expiration" in name for name in rule)]
    assert [rule["Prefix"] for rule in expiring] == ["athena-results/"]


def test_a_backup_in_a_colder_class_can_be_read_at_once() -> None:
    assert set(TEMPLATE["Parameters"]["BackupStorageClass"]["AllowedValues"]) == {
        "STANDARD_IA",
        "ONEZONE_IA",
        "INTELLIGENT_TIERING",
        "GLACIER_IR",
    }
