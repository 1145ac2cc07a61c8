"""IAM, as far as the template uses it: may a role make this call?

The emulator gives requests no ``dynamodb:LeadingKeys``, ``s3:if-none-match``, ``s3:if-match``,
``s3:ObjectCreationOperation`` and ``events:source``, and moto evaluates no conditions at all. What a call is asked for
is in AWS's Service Authorization Reference; how a policy is evaluated, in
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html. Whatever is not known here
fails: a permission is never taken for granted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from local.stack.iam import Grant, denied, granted
from tests.template import TEMPLATE

ALLOWED, DENIED = granted(TEMPLATE), denied(TEMPLATE)
RESOURCES = {
    "stocktwits-relay-ledger": "LedgerTable",
    "stocktwits-relay-archive": "BackupBucket",
    "stocktwits-relay-charts": "ChartBucketName",
    "stocktwits-relay-outbox": "OutboxQueue",
    "stocktwits-relay-leftovers": "LeftoversQueue",
    "stocktwits-relay-dead-letters": "DeadLetterQueue",
    "stocktwits-relay-backup-requests": "BackupRequestsQueue",
    "stocktwits-relay-backup-failures": "BackupFailuresQueue",
    "results": "ResultEventBusName",
    "/stocktwits-relay/token": "StockTwitsTokenParameter",
    "/stocktwits-relay/firestream": "FirestreamCredentialsParameter",
    "/stocktwits-relay/webhook-sources": "WebhookSourcesParameter",
    "/stocktwits-relay/notify-url": "NotifyUrlParameter",
}
"""The names of resources in tests, by their logical ids."""

_CREATES = {
    "PutObject": "true",
    "CopyObject": "true",
    "CompleteMultipartUpload": "true",
    "CreateMultipartUpload": "false",
    "UploadPart": "false",
}
"""Which operations need ``s3:PutObject``, and whether they create an object."""


@dataclass(frozen=True)
class Request:
    """A request to IAM.

    Attributes:
        action: Such as ``s3:PutObject``.
        resource: The template's name of it, with what follows the name in the ARN.
        context: The condition keys that the request carries, with their values.
    """

    action: str
    resource: str
    context: Mapping[str, list[str]] = field(default_factory=dict)


def may(role: str, operation: str, **call: Any) -> bool:
    """Return whether a role of the template may call an operation with these parameters on all resources in them."""
    asked = list(_requests(operation, call))
    assert asked
    return all(is_allowed(ALLOWED, DENIED, role, request) for request in asked)


def refused(roles: Sequence[str], calls: Iterable[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the calls, as operation and parameters, that none of these roles may make."""
    return [(operation, call) for operation, call in calls if not any(may(role, operation, **call) for role in roles)]


def is_allowed(allowed: Iterable[Grant], refused: Iterable[Grant], role: str, request: Request) -> bool:
    """Return whether a role may make a request: a statement allows it, and none denies it."""
    allows, refuses = (
        any(each.holder == role and _applies(each, request) for each in grants) for grants in (allowed, refused)
    )
    return allows and not refuses


def _applies(grant: Grant, request: Request) -> bool:
    return (
        grant.action == request.action
        and _like(request.resource, grant.resource)
        and all(
            _holds(operator, _listed(wanted), request.context.get(key))
            for operator, keys in grant.condition.items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, wanted: list[str], given: list[str] | None) -> bool:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html."""
    name = operator.removeprefix("ForAllValues:")
    if name == "Null":
        return wanted == [str(given is None).lower()]
    compare = {"StringEquals": str.__eq__, "Bool": str.__eq__, "StringLike": _like}[name]
    if name != operator:  # it is also met without a value
        return all(any(compare(value, each) for each in wanted) for value in given or [])
    if given is None:
        return False
    (value,) = given
    return any(compare(value, each) for each in wanted)


def _like(value: str, pattern: str) -> bool:
    anything = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(anything, value, re.DOTALL) is not None


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def _requests(operation: str, call: Mapping[str, Any]) -> Iterator[Request]:
    """Return the requests to IAM for a call; for a transaction or a batch, one for each part."""
    if "QueueUrl" in call:
        queue = call["QueueUrl"].rpartition("/")[2]
        yield Request(f"sqs:{operation.removesuffix('Batch')}", _named(queue))
    elif "Bucket" in call:
        yield _of_s3(operation, call)
    elif operation == "PutEvents":
        for each in call["Entries"]:
            yield Request("events:PutEvents", _named(each["EventBusName"]), {"events:source": [each["Source"]]})
    elif "Name" in call:
        yield Request(f"ssm:{operation}", _named(call["Name"]))
    else:
        yield from _of_dynamodb(operation, call)


def _of_s3(operation: str, call: Mapping[str, Any]) -> Request:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes-enforce.html has the keys of writes."""
    bucket = _named(call["Bucket"])
    if operation == "ListObjectsV2":
        return Request("s3:ListBucket", bucket, {"s3:prefix": [call["Prefix"]]} if "Prefix" in call else {})
    place = f"{bucket}/{call['Key']}"
    if operation not in _CREATES:
        return Request(f"s3:{operation}", place)
    context = {"s3:ObjectCreationOperation": [_CREATES[operation]]}
    for name, key in (("IfNoneMatch", "s3:if-none-match"), ("IfMatch", "s3:if-match")):
        if name in call:
            context[key] = [call[name]]
    return Request("s3:PutObject", place, context)


def _of_dynamodb(operation: str, call: Mapping[str, Any]) -> Iterator[Request]:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html has the keys."""
    if operation == "TransactWriteItems":
        for each in call["TransactItems"]:
            ((kind, write),) = each.items()
            yield from _of_dynamodb(f"{kind}Item", write)
    elif "RequestItems" in call:
        for table, asked in call["RequestItems"].items():
            items = asked["Keys"] if operation == "BatchGetItem" else [_written(each) for each in asked]
            yield _of_items(operation, table, items)
    elif "Item" in call or "Key" in call:
        yield _of_items(operation, call["TableName"], [call.get("Item") or call["Key"]])
    else:
        yield Request(f"dynamodb:{operation}", _named(call["TableName"]))


def _written(write: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, what),) = write.items()
    item: dict[str, Any] = what["Item" if kind == "PutRequest" else "Key"]
    return item


def _of_items(operation: str, table: str, items: list[dict[str, Any]]) -> Request:
    keys = [each["pk"]["S"] for each in items]
    return Request(f"dynamodb:{operation}", _named(table), {"dynamodb:LeadingKeys": keys})


def _named(name: str) -> str:
    return RESOURCES.get(name, name)
