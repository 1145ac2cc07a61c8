"""What an intruder who took over a function cannot do: the template's roles, evaluated as AWS does."""

import json
from pathlib import Path
from typing import Any

import pytest
from relay.backups.backup import FILE_TYPES
from relay.posting.result_events import SOURCE

from local.stack.iam import Grant, denied, granted
from tests.iam import Request, is_allowed, may, refused
from tests.template import TEMPLATE

OPERATOR = json.loads((Path(__file__).parents[2] / "docs" / "operator-policy.json").read_text())
POSTING = ("PostMessagesRole", "DrainLeftoversRole")
LEDGER, ARCHIVE = "stocktwits-relay-ledger", "stocktwits-relay-archive"
BACKUP = "message/2016/12/05/stocktwits_message_2016_12_05.gz"
ONLY_IF_NEW = {"IfNoneMatch": "*"}

posting = pytest.mark.parametrize("role", POSTING)


def item(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}}


def writes_of(pk: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return every way to write or delete an item."""
    on = {"TableName": LEDGER}
    return {
        "put": ("PutItem", on | {"Item": item(pk)}),
        "update": ("UpdateItem", on | {"Key": item(pk)}),
        "delete": ("DeleteItem", on | {"Key": item(pk)}),
        "put of a batch": ("BatchWriteItem", {"RequestItems": {LEDGER: [{"PutRequest": {"Item": item(pk)}}]}}),
        "delete of a batch": ("BatchWriteItem", {"RequestItems": {LEDGER: [{"DeleteRequest": {"Key": item(pk)}}]}}),
        "put of a transaction": ("TransactWriteItems", {"TransactItems": [{"Put": on | {"Item": item(pk)}}]}),
        "update of a transaction": ("TransactWriteItems", {"TransactItems": [{"Update": on | {"Key": item(pk)}}]}),
        "delete of a transaction": ("TransactWriteItems", {"TransactItems": [{"Delete": on | {"Key": item(pk)}}]}),
    }


def possible(role: str, pk: str) -> set[str]:
    """Return the ways in which a role can write or delete an item."""
    return {way for way, (operation, call) in writes_of(pk).items() if may(role, operation, **call)}


# The ledger and the gate


@posting
def test_a_compromised_function_cannot_lift_an_operators_pause(role: str) -> None:
    assert possible(role, "pause") == set()


@posting
@pytest.mark.parametrize("pk", ["pause", "post#key", "gates", "gate#", "", "Gate", "id", "Id#1", "a id#1"])
def test_a_compromised_function_can_put_no_item_but_the_gate_and_whose_a_post_is(role: str, pk: str) -> None:
    assert possible(role, "gate") == possible(role, "id#1") == {"put", "put of a transaction"}
    assert "put" not in possible(role, pk)


@posting
@pytest.mark.parametrize("pk", ["pause", "gate", "id#1", "post", "a post#key", "Post#key"])
def test_a_compromised_function_can_update_no_item_but_what_became_of_a_post(role: str, pk: str) -> None:
    assert possible(role, "post#key") == possible(role, "post#\n*") == {"update", "update of a transaction"}
    assert "update" not in possible(role, pk)


@posting
def test_a_compromised_function_cannot_hide_a_write_among_those_that_are_its_own(role: str) -> None:
    gate = {"Put": {"TableName": LEDGER, "Item": item("gate")}}
    pause = {"Put": {"TableName": LEDGER, "Item": item("pause")}}
    assert may(role, "TransactWriteItems", TransactItems=[gate])
    assert not may(role, "TransactWriteItems", TransactItems=[gate, pause])


@posting
def test_a_compromised_function_can_read_items_of_its_own_kinds_alone(role: str) -> None:
    def read(*keys: str) -> bool:
        return may(role, "BatchGetItem", RequestItems={LEDGER: {"Keys": [item(key) for key in keys]}})

    assert read("gate", "pause", "id#1", "post#key")
    assert not any(read(key) for key in ("", "gates", "a post#key", "Id#1"))
    assert not read("gate", "pause", "another")


@posting
def test_a_compromised_function_cannot_list_what_was_posted(role: str) -> None:
    assert not may(role, "GetItem", TableName=LEDGER, Key=item("post#key"))
    assert not any(may(role, operation, TableName=LEDGER) for operation in ("Scan", "Query"))


# The bus


@posting
def test_a_compromised_function_cannot_speak_in_anothers_name_on_the_bus(role: str) -> None:
    def put(*sources: str, bus: str = "results") -> bool:
        return may(role, "PutEvents", Entries=[{"EventBusName": bus, "Source": each} for each in sources])

    assert put(SOURCE)
    assert not put("billing")
    assert not put(SOURCE, "billing")
    assert not put(SOURCE, bus="another")


# The archive


def fetching(operation: str, key: str = BACKUP, **call: Any) -> bool:
    return may("FetchBackupsRole", operation, Bucket=ARCHIVE, Key=key, **call)


@pytest.mark.parametrize("operation", ["PutObject", "CompleteMultipartUpload", "CopyObject"])
@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_a_backup_is_only_replaced_by_who_names_the_version_that_it_replaces(operation: str, file_type: str) -> None:
    key = BACKUP.replace("message", file_type)
    assert not fetching(operation, key)
    assert fetching(operation, key, **ONLY_IF_NEW)
    assert fetching(operation, key, IfMatch='"5a"')


@pytest.mark.parametrize("file_type", FILE_TYPES)
def test_the_steps_of_an_upload_that_create_nothing_need_no_precondition(file_type: str) -> None:
    key = BACKUP.replace("message", file_type)
    for step in ("CreateMultipartUpload", "UploadPart", "AbortMultipartUpload", "PutObjectTagging"):
        assert fetching(step, key)


@pytest.mark.parametrize(
    "key",
    ["index.html", "message", "messages/1", "Message/1", "/message/1", "symbol/1", "athena-results/1.csv", "absent"],
)
def test_a_compromised_function_cannot_write_outside_the_archives_folders(key: str) -> None:
    for operation in ("PutObject", "CompleteMultipartUpload", "CreateMultipartUpload", "UploadPart"):
        assert not fetching(operation, key, **ONLY_IF_NEW)
    for operation in ("AbortMultipartUpload", "PutObjectTagging"):
        assert not fetching(operation, key)


def test_notes_remarks_and_what_is_damaged_can_be_overwritten() -> None:
    assert fetching("PutObject", f"absent/{BACKUP.removesuffix('.gz')}.json")
    assert fetching("PutObject", "remarks/message/2016/12/05/5a/odd.json")
    assert fetching("CompleteMultipartUpload", f"damaged/{BACKUP}")
    assert fetching("PutObjectTagging", f"damaged/{BACKUP}")


@pytest.mark.parametrize("folder", ["", "damaged/", "absent/", "remarks/"])
def test_a_compromised_function_cannot_delete_anything_or_read_anything_but_backups(folder: str) -> None:
    for operation in ("DeleteObject", "DeleteObjectVersion", "GetObjectVersion"):
        assert not fetching(operation, f"{folder}{BACKUP}")
    # AWS demands s3:GetObject for IfMatch: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    assert fetching("GetObject", f"{folder}{BACKUP}") is (folder == "")


@pytest.mark.parametrize("prefix", [{}, {"Prefix": ""}, {"Prefix": "m"}, {"Prefix": "athena-results/"}])
def test_a_compromised_function_cannot_list_what_is_not_the_archives(prefix: dict[str, str]) -> None:
    for file_type in FILE_TYPES:
        for folder in (f"{file_type}/", f"{file_type}/2016/", f"absent/{file_type}/", f"remarks/{file_type}/"):
            assert may("FetchBackupsRole", "ListObjectsV2", Bucket=ARCHIVE, Prefix=folder)
    assert not may("FetchBackupsRole", "ListObjectsV2", Bucket=ARCHIVE, **prefix)


# The other half


@posting
def test_a_compromised_function_that_posts_reaches_nothing_of_the_backups(role: str) -> None:
    assert not may(role, "ListObjectsV2", Bucket=ARCHIVE, Prefix="message/")
    assert not may(role, "PutObject", Bucket=ARCHIVE, Key=BACKUP, **ONLY_IF_NEW)
    assert not may(role, "GetParameter", Name="/stocktwits-relay/firestream")
    assert not may(role, "SendMessage", QueueUrl="/stocktwits-relay-backup-requests")


def test_a_compromised_function_that_fetches_reaches_nothing_of_the_posts() -> None:
    assert not possible("FetchBackupsRole", "gate") | possible("FetchBackupsRole", "pause")
    assert not may("FetchBackupsRole", "GetParameter", Name="/stocktwits-relay/token")
    for queue in ("outbox", "leftovers", "dead-letters"):
        assert not may("FetchBackupsRole", "SendMessageBatch", QueueUrl=f"/stocktwits-relay-{queue}")


@pytest.mark.parametrize("role", [*POSTING, "FetchBackupsRole"])
def test_a_compromised_function_cannot_publish_or_replace_a_secret(role: str) -> None:
    assert not may(role, "SendMessage", QueueUrl="/stocktwits-relay-outbox")
    for secret in ("token", "firestream"):
        assert not may(role, "PutParameter", Name=f"/stocktwits-relay/{secret}")


# The webhook


def test_a_compromised_webhook_can_publish_and_read_hashes_and_nothing_else() -> None:
    webhook = "ReceiveAlertsRole"
    assert may(webhook, "SendMessage", QueueUrl="/stocktwits-relay-outbox")
    assert may(webhook, "GetParameter", Name="/stocktwits-relay/webhook-sources")
    for operation in ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "PurgeQueue", "SetQueueAttributes"):
        assert not may(webhook, operation, QueueUrl="/stocktwits-relay-outbox")
    for queue in ("leftovers", "dead-letters", "backup-requests", "backup-failures"):
        assert not may(webhook, "SendMessage", QueueUrl=f"/stocktwits-relay-{queue}")
    for secret in ("token", "firestream"):
        assert not may(webhook, "GetParameter", Name=f"/stocktwits-relay/{secret}")
    assert not may(webhook, "PutParameter", Name="/stocktwits-relay/webhook-sources")
    assert not any(possible(webhook, pk) for pk in ("gate", "pause", "post#key", "id#1"))
    assert not may(webhook, "BatchGetItem", RequestItems={LEDGER: {"Keys": [item("post#key")]}})
    assert not may(webhook, "ListObjectsV2", Bucket=ARCHIVE, Prefix="message/")


@pytest.mark.parametrize("role", [*POSTING, "FetchBackupsRole"])
def test_no_other_function_can_read_who_may_send(role: str) -> None:
    assert not may(role, "GetParameter", Name="/stocktwits-relay/webhook-sources")


# How a policy is evaluated


def test_no_condition_is_met_by_a_request_without_its_key() -> None:
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    conditions = [each.condition for each in granted(TEMPLATE)]
    conditions += [each["Condition"] for each in OPERATOR["Statement"] if "Condition" in each]
    lenient = {operator for each in conditions for operator in each if operator.startswith("ForAllValues:")}
    assert lenient == {"ForAllValues:StringEquals", "ForAllValues:StringLike"}
    for each in conditions:
        for operator in lenient & each.keys():
            assert each["Null"] == dict.fromkeys(each[operator], "false")


ONE = Grant("A", "p", 0, "a:One", "Q/*")


@pytest.mark.parametrize(
    ("condition", "context", "met"),
    [
        ({"StringEquals": {"k": "x"}}, {"k": ["x"]}, True),
        ({"StringEquals": {"k": ["w", "x"]}}, {"k": ["x"]}, True),
        ({"StringEquals": {"k": "x*"}}, {"k": ["xy"]}, False),
        ({"StringLike": {"k": "x*"}}, {"k": ["xy"]}, True),
        ({"StringLike": {"k": "x*"}}, {}, False),
        ({"Bool": {"k": "true"}}, {"k": ["false"]}, False),
        ({"Null": {"k": "false"}}, {}, False),
        ({"Null": {"k": "false"}}, {"k": ["x"]}, True),
        ({"Null": {"k": "true"}}, {}, True),
        ({"ForAllValues:StringEquals": {"k": "x"}}, {}, True),
        ({"ForAllValues:StringEquals": {"k": ["x", "y"]}}, {"k": ["x", "y"]}, True),
        ({"ForAllValues:StringEquals": {"k": "x"}}, {"k": ["x", "y"]}, False),
        ({"StringEquals": {"k": "x"}, "Null": {"j": "true"}}, {"k": ["x"], "j": ["y"]}, False),
    ],
)
def test_a_condition_is_evaluated_as_aws_documents_it(
    condition: dict[str, Any], context: dict[str, list[str]], met: bool
) -> None:
    grant = Grant("A", "p", 0, "a:One", "Q/*", condition=condition)
    assert is_allowed([grant], [], "A", Request("a:One", "Q/1", context)) is met
    assert is_allowed([ONE], [grant], "A", Request("a:One", "Q/1", context)) is not met


@pytest.mark.parametrize("request_", [Request("a:Two", "Q/1"), Request("a:One", "Q"), Request("a:One", "R/1")])
def test_what_nothing_allows_is_refused(request_: Request) -> None:
    assert not is_allowed([ONE], [], "A", request_)
    assert not is_allowed([ONE], [], "B", Request("a:One", "Q/1"))


def test_only_calls_that_no_role_may_make_are_refused() -> None:
    put = ("PutItem", {"TableName": LEDGER, "Item": item("gate")})
    lift = ("DeleteItem", {"TableName": LEDGER, "Key": item("pause")})
    assert refused(("FetchBackupsRole", *POSTING), [put, lift]) == [lift]


def test_denials_apply_only_to_the_function_that_fetches() -> None:
    assert {each.holder for each in denied(TEMPLATE)} == {"FetchBackupsRole"}
